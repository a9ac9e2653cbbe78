//! How many things the tables can name, and what is refused beyond that.
//!
//! Ids have 32 bits and counters share their words with flags. The guide to the architecture has
//! all limits in one table. Whoever meets one is told [`Full`], and nothing has changed then.

/// A table is full, or one entry of it has as much as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;
