//! What is returned when a table has no room.
//!
//! Ids have 32 bits, and some counters share a word with flags. The guide to the monitor table has a table of
//! all limits. A call that would exceed one returns [`Full`], and changes nothing.

/// A table is full, or one entry of it has as much as it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;
