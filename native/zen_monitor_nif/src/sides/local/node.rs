//! A node with what this one keeps of it.

use crate::sides::doorbell::Doorbell;
use crate::terms::origin::Origin;
use std::sync::atomic::AtomicU64;

/// A node with what is kept of it here.
pub type Node = zen_monitor_core::monitors::nodes::Node<Remote>;

/// What is kept of a node beside its targets.
#[derive(Default)]
pub struct Remote {
    /// Which life of the node its pids are of.
    pub origin: Origin,
    /// Wakes the Connector when the outbox has something.
    pub connector: Doorbell,
    /// What the cache says of it, packed; 0 is a miss.
    pub compatibility: AtomicU64,
}
