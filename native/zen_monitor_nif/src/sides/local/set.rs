//! Sets: many monitors under one reference.
//!
//! In the monitor table, a set is one more subscriber. It has a word that no process has, of the kind
//! [`Kind::Set`](crate::sides::local::kind::Kind::Set) or `BulkSet`. Only the owner changes a set. The tag of its
//! messages is kept once, with the set.

use crate::sides::local::tag::Tag;

/// A set, with what its messages look like.
pub type Set = zen_monitor_core::monitors::sets::Set<Envelope>;

/// What the messages of a set look like.
pub struct Envelope {
    /// The first element of each message.
    pub tag: Tag,
}
