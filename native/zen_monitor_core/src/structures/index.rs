//! A hash index of slab ids that never stalls to grow.
//!
//! Invariants:
//!
//! - An id counts in exactly one of `live` and `draining`.
//! - `draining` is emptied, a few buckets per change, before `live` can fill up, so no call ever
//!   moves more than [`STEP`] buckets and no call rehashes a whole table.
//!
//! The keys live in the slab that the ids point into: callers pass the hash and an equality test.

use hashbrown::HashTable;

/// Buckets moved from the draining table by each insertion or removal.
const STEP: usize = 16;
/// A table of at most this many buckets is never shrunk.
const SMALLEST: usize = 64;

/// A set of `u32` slab ids, found by the hash of the keys they stand for.
///
/// ```
/// use zen_monitor_core::structures::index::Index;
///
/// let keys = ["a", "b"];
/// let hash = |id: u32| keys[id as usize].as_bytes()[0] as u64;
/// let mut index = Index::default();
/// index.insert(hash(1), 1, hash);
/// assert_eq!(index.find(hash(1), |id| keys[id as usize] == "b"), Some(1));
/// assert_eq!(index.remove(hash(1), |id| id == 1, hash), Some(1));
/// assert!(index.is_empty());
/// ```
#[derive(Default)]
pub struct Index {
    live: HashTable<u32>,
    draining: Option<Draining>,
}

/// A table that is emptied little by little. Ids in buckets before the cursor have been moved. They are
/// still there, because erasing each would cost as much as moving it, and nothing looks at them.
pub(crate) struct Draining {
    table: HashTable<u32>,
    cursor: usize,
    left: usize,
}

impl Index {
    /// The id whose key has this `hash` and satisfies `eq`.
    #[inline]
    pub fn find(&self, hash: u64, mut eq: impl FnMut(u32) -> bool) -> Option<u32> {
        if let Some(id) = self.live.find(hash, |&id| eq(id)) {
            return Some(*id);
        }
        self.draining.as_ref()?.find(hash, eq)
    }

    /// Adds `id`, which must not be present. `rehash` gives the hash of any id in the index.
    #[inline]
    pub fn insert(&mut self, hash: u64, id: u32, rehash: impl Fn(u32) -> u64) {
        if self.is_full() {
            // Twice the room, or a fresh table of the same size when tombstones filled it.
            let buckets = self.live.num_buckets();
            let wanted = if self.live.len() * 2 > buckets {
                buckets * 2
            } else {
                buckets
            };
            self.replace(wanted, &rehash);
        }
        self.live.insert_unique(hash, id, |&id| rehash(id));
        self.advance(&rehash);
    }

    /// Takes out the id whose key has this `hash` and satisfies `eq`, and returns it.
    #[inline]
    pub fn remove(
        &mut self,
        hash: u64,
        mut eq: impl FnMut(u32) -> bool,
        rehash: impl Fn(u32) -> u64,
    ) -> Option<u32> {
        let removed = match self.live.find_entry(hash, |&id| eq(id)) {
            Ok(entry) => Some(entry.remove().0),
            Err(_) => self
                .draining
                .as_mut()
                .and_then(|draining| draining.remove(hash, eq)),
        };
        let buckets = self.live.num_buckets();
        if self.draining.is_none() && buckets > SMALLEST && self.live.len() < buckets / 16 {
            self.replace(buckets / 4, &rehash);
        }
        self.advance(&rehash);
        removed
    }

    /// How many ids the index holds.
    pub fn len(&self) -> usize {
        self.live.len() + self.draining.as_ref().map_or(0, Draining::len)
    }

    /// Whether the index holds no id.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the next insertion makes it grow.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.live.len() == self.live.capacity()
    }

    /// All ids, as a table from which others take them little by little.
    pub(crate) fn into_draining(mut self, rehash: impl Fn(u32) -> u64) -> Draining {
        self.finish(&rehash);
        Draining::new(self.live)
    }

    fn finish(&mut self, rehash: &impl Fn(u32) -> u64) {
        // STEP is so large that there is nothing left to do here. Should that ever change, it stays correct.
        while self.draining.is_some() {
            self.advance(rehash);
        }
    }

    fn replace(&mut self, buckets: usize, rehash: &impl Fn(u32) -> u64) {
        self.finish(rehash);
        // hashbrown fills seven of eight buckets, so this asks for just `buckets` of them.
        let grown = HashTable::with_capacity(buckets.max(4) * 7 / 8);
        let table = std::mem::replace(&mut self.live, grown);
        if !table.is_empty() {
            self.draining = Some(Draining::new(table));
        }
    }

    #[inline]
    fn advance(&mut self, rehash: &impl Fn(u32) -> u64) {
        let Some(draining) = &mut self.draining else {
            return;
        };
        let live = &mut self.live;
        draining.advance(STEP, |id| {
            live.insert_unique(rehash(id), id, |&id| rehash(id));
        });
        if draining.is_empty() {
            self.draining = None;
        }
    }
}

impl Draining {
    fn new(table: HashTable<u32>) -> Self {
        Draining {
            left: table.len(),
            table,
            cursor: 0,
        }
    }

    /// The id whose key has this `hash` and satisfies `eq`.
    #[inline]
    pub(crate) fn find(&self, hash: u64, eq: impl FnMut(u32) -> bool) -> Option<u32> {
        self.table.get_bucket(self.bucket(hash, eq)?).copied()
    }

    /// Takes out the id whose key has this `hash` and satisfies `eq`, and returns it.
    #[inline]
    pub(crate) fn remove(&mut self, hash: u64, eq: impl FnMut(u32) -> bool) -> Option<u32> {
        let bucket = self.bucket(hash, eq)?;
        let entry = self.table.get_bucket_entry(bucket).ok()?;
        self.left -= 1;
        Some(entry.remove().0)
    }

    /// Takes out what is in the next few buckets.
    #[inline]
    pub(crate) fn advance(&mut self, buckets: usize, mut take: impl FnMut(u32)) {
        let end = (self.cursor + buckets).min(self.table.num_buckets());
        for bucket in self.cursor..end {
            if let Some(&id) = self.table.get_bucket(bucket) {
                self.left -= 1;
                take(id);
            }
        }
        self.cursor = end;
    }

    pub(crate) fn len(&self) -> usize {
        self.left
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.left == 0
    }

    #[inline]
    fn bucket(&self, hash: u64, mut eq: impl FnMut(u32) -> bool) -> Option<usize> {
        let mut buckets = self.table.iter_hash_buckets(hash);
        buckets.find(|&bucket| {
            bucket >= self.cursor && self.table.get_bucket(bucket).is_some_and(|&id| eq(id))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;
    use std::collections::hash_map::Entry;

    fn hash(id: u32) -> u64 {
        u64::from(id).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    proptest! {
        /// As in the tables, a free id keeps its former key until it is used again.
        #[test]
        fn behaves_as_a_map_of_keys(ops in prop::collection::vec((0..3u8, 0..400u32), 0..3_000)) {
            let mut index = Index::default();
            let (mut keys, mut free, mut model) = (Vec::new(), Vec::new(), HashMap::new());
            for (op, key) in ops {
                // Two insertions to one removal, so that sequences grow and shrink the table.
                if op < 2 {
                    if let Entry::Vacant(entry) = model.entry(key) {
                        let id = free.pop().unwrap_or_else(|| {
                            keys.push(key);
                            keys.len() as u32 - 1
                        });
                        keys[id as usize] = key;
                        entry.insert(id);
                        index.insert(hash(key), id, |id| hash(keys[id as usize]));
                    }
                } else {
                    let rehash = |id: u32| hash(keys[id as usize]);
                    let removed = index.remove(hash(key), |id| keys[id as usize] == key, rehash);
                    prop_assert_eq!(removed, model.remove(&key));
                    free.extend(removed);
                }
                prop_assert_eq!(index.len(), model.len());
                let found = index.find(hash(key), |id| keys[id as usize] == key);
                prop_assert_eq!(found, model.get(&key).copied());
            }
            for key in 0..400 {
                let found = index.find(hash(key), |id| keys[id as usize] == key);
                prop_assert_eq!(found, model.get(&key).copied());
            }
        }
    }

    #[test]
    fn never_moves_more_than_a_step_at_once() {
        let mut index = Index::default();
        let moved = std::cell::Cell::new(0);
        let counting = |id| {
            moved.set(moved.get() + 1);
            hash(id)
        };
        for id in 0..200_000 {
            moved.set(0);
            index.insert(hash(id), id, counting);
            assert!(moved.get() <= STEP, "{} moved at {id}", moved.get());
        }
        for id in 0..200_000 {
            moved.set(0);
            assert_eq!(
                index.remove(hash(id), |found| found == id, counting),
                Some(id)
            );
            assert!(moved.get() <= STEP, "{} moved at {id}", moved.get());
        }
    }

    #[test]
    fn churn_at_a_constant_size_keeps_the_memory() {
        let mut index = Index::default();
        for id in 0..1_000 {
            index.insert(hash(id), id, hash);
        }
        for id in 1_000..100_000 {
            index.insert(hash(id), id, hash);
            index.remove(hash(id - 1_000), |found| found == id - 1_000, hash);
        }
        assert_eq!(index.len(), 1_000);
        assert!(index.live.num_buckets() <= 4_096);
    }

    #[test]
    fn what_is_before_the_cursor_is_not_looked_at() {
        let mut index = Index::default();
        // With 58 ids, about half are moved. All have the same hash, so they lie side by side.
        let same = |_| 0;
        for id in 0..58 {
            index.insert(0, id, same);
        }
        let draining = index.draining.as_ref().expect("it grows");
        let moved = |id: u32| index.live.find(0, |&live| live == id).is_some();
        let left: Vec<u32> = (0..58).filter(|&id| !moved(id)).collect();
        assert!((1..57).contains(&left.len()) && draining.len() == left.len());
        for id in left {
            let found = draining.find(0, |found| found == id || moved(found));
            assert_eq!(found, Some(id));
        }
    }
}
