//! What this side keeps of another node.

use crate::sides::doorbell::Doorbell;
use crate::terms::origin::Origin;
use std::sync::atomic::AtomicU64;

/// A node of the monitor table, with its [`Remote`].
pub type Node = zen_monitor_core::monitors::nodes::Node<Remote>;

/// What is kept of a node beside its targets.
#[derive(Default)]
pub struct Remote {
    /// Tells which life of the node a pid belongs to.
    pub origin: Origin,
    /// Wakes the Connector when the outbox has something.
    pub connector: Doorbell,
    /// The cached compatibility, as `calls/connector/compatibility.rs` packs it. 0 means that nothing is cached.
    pub compatibility: AtomicU64,
}
