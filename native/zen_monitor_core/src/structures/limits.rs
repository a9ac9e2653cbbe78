//! How many things the tables can name, and what is refused beyond that.
//!
//! Ids have 32 bits and counters share their words with flags. The guide to the architecture has
//! all limits in one table. Whoever meets one is told [`Full`], and nothing has changed then.

/// A table is full, or one entry of it has as much as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// How many ids each of `shards` tables may give out, if the number of a shard is a part of the id. The
/// last 32-bit number stays free: it marks the end of a list and the empty place of a queue.
pub const fn of_each(shards: usize) -> u32 {
    u32::MAX / shards as u32
}
