//! Sets: many monitors under one reference.
//!
//! A set is one more subscriber, under a word that no process has, marked as
//! [`Kind::Set`](crate::sides::local::kind::Kind::Set). Only its owner changes it. What its messages look like is kept
//! once, with the set.

use crate::sides::local::tag::Tag;

/// A set with what its messages look like.
pub type Set = zen_monitor_core::monitors::sets::Set<Envelope>;

/// What the messages of a set look like.
pub struct Envelope {
    /// What they begin with.
    pub tag: Tag,
}
