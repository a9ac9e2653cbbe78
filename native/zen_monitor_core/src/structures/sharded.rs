//! An index that is divided into many.
//!
//! Even the empty table that an index of ten million entries grows into takes milliseconds to prepare, so there are many
//! small ones.

use crate::structures::hash::shard;
use crate::structures::index::Index;

/// A set of slab ids of up to `BITS` bits, as [`Index`] is one, divided into `SHARDS`.
///
/// ```
/// use zen_monitor_core::structures::hash::hash;
/// use zen_monitor_core::structures::sharded::Sharded;
///
/// let keys = [7, 9_000];
/// let hash_of = |id: u32| hash(0, keys[id as usize]);
/// let mut sharded = Sharded::<31>::default();
/// sharded.insert(hash_of(1), 1, hash_of);
/// assert_eq!(sharded.find(hash(0, 9_000), |id| keys[id as usize] == 9_000), Some(1));
/// sharded.remove(hash_of(1), 1, hash_of);
/// assert_eq!(sharded.find(hash(0, 9_000), |_| true), None);
/// ```
pub struct Sharded<const BITS: u32, const SHARDS: usize = 256>(Box<[Index<BITS, 4>]>);

impl<const BITS: u32, const SHARDS: usize> Default for Sharded<BITS, SHARDS> {
    fn default() -> Self {
        Sharded((0..SHARDS).map(|_| Index::default()).collect())
    }
}

impl<const BITS: u32, const SHARDS: usize> Sharded<BITS, SHARDS> {
    /// The id whose key has this `hash` and satisfies `eq`.
    #[inline]
    pub fn find(&self, hash: u64, eq: impl FnMut(u32) -> bool) -> Option<u32> {
        self.0[shard(hash, SHARDS)].find(hash, eq)
    }

    /// Adds `id`, which must not be present. `rehash` gives the hash of any id that is.
    #[inline]
    pub fn insert(&mut self, hash: u64, id: u32, rehash: impl Fn(u32) -> u64) {
        self.0[shard(hash, SHARDS)].insert(hash, id, rehash);
    }

    /// Takes out `id`, whose key has this `hash`. Returns whether it was present.
    #[inline]
    pub fn remove(&mut self, hash: u64, id: u32, rehash: impl Fn(u32) -> u64) -> bool {
        let is_it = |found| found == id;
        self.0[shard(hash, SHARDS)]
            .remove(hash, is_it, rehash)
            .is_some()
    }

    /// How many ids it holds.
    pub fn count(&self) -> usize {
        self.0.iter().map(Index::len).sum()
    }
}
