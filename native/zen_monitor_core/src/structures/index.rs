//! A hash index of slab ids that never stalls to grow.
//!
//! Invariants:
//!
//! - An id counts in exactly one of `live` and `draining`.
//! - `draining` is emptied, a few buckets per change, before `live` can fill up, so no call ever
//!   moves more than [`STEP`] buckets and no call rehashes a whole table.
//!
//! The keys live in the slab that the ids point into: callers pass the hash and an equality test. To look at a key is
//! often a cache miss, and `hashbrown` has one of 128 wrong ids looked at. So the bits that an id does not need hold a
//! *mark*, which are bits of the hash of its key, and only ids with the right mark are looked at.

use hashbrown::HashTable;

/// Buckets moved from the draining table by each insertion or removal.
const STEP: usize = 16;
/// How many buckets the first table has.
const FIRST: usize = 16;
/// A table of at most this many buckets is never shrunk.
const SMALLEST: usize = 64;
/// A table of at most this many buckets grows to four times its size, and a larger one to twice its size. Four times means
/// half as many moves, and larger tables, but fewer that are left behind, which comes to the same on average. Where many
/// indexes grow together, they all stay little for long.
const LITTLE: usize = 256;

/// The bits of a hash from this one on are those by which `hashbrown` filters. Marks are made of those below.
const TAG: u32 = 57;

/// A set of slab ids of up to `BITS` bits, found by the hash of the keys they stand for. An id takes `BYTES` bytes.
///
/// ```
/// use zen_monitor_core::structures::index::Index;
///
/// let keys = ["a", "b"];
/// let hash = |id: u32| keys[id as usize].as_bytes()[0] as u64;
/// let mut index = Index::<32, 4>::default();
/// index.insert(hash(1), 1, hash);
/// assert_eq!(index.find(hash(1), |id| keys[id as usize] == "b"), Some(1));
/// assert_eq!(index.remove(hash(1), |id| id == 1, hash), Some(1));
/// assert!(index.is_empty());
/// ```
#[derive(Default)]
pub struct Index<const BITS: u32, const BYTES: usize> {
    live: HashTable<Marked<BITS, BYTES>>,
    draining: Option<Draining<BITS, BYTES>>,
}

/// An id of `BITS` bits, with its mark above them.
#[derive(Clone, Copy)]
struct Marked<const BITS: u32, const BYTES: usize>([u8; BYTES]);

impl<const BITS: u32, const BYTES: usize> Marked<BITS, BYTES> {
    const ROOM: u32 = 8 * BYTES as u32;

    #[inline]
    fn new(hash: u64, id: u32) -> Self {
        debug_assert_eq!(u64::from(id) >> BITS, 0);
        let bytes = (id | Self::mark(hash)).to_le_bytes();
        Marked(std::array::from_fn(|place| bytes[place]))
    }

    /// The mark of a hash, where it stands.
    #[inline]
    fn mark(hash: u64) -> u32 {
        const { assert!(BITS <= Self::ROOM && Self::ROOM <= u32::BITS) };
        let above = hash >> (TAG - (Self::ROOM - BITS)) << BITS;
        above as u32 & (u32::MAX >> (u32::BITS - Self::ROOM))
    }

    #[inline]
    fn word(self) -> u32 {
        let mut bytes = [0; 4];
        bytes[..BYTES].copy_from_slice(&self.0);
        u32::from_le_bytes(bytes)
    }

    #[inline]
    fn id(self) -> u32 {
        self.word() & (u32::MAX >> (u32::BITS - BITS))
    }

    /// Whether it may be the id of a key with this hash, and is the one that is looked for.
    #[inline]
    fn is(self, hash: u64, eq: impl FnOnce(u32) -> bool) -> bool {
        let id = self.id();
        self.word() - id == Self::mark(hash) && eq(id)
    }
}

/// A table that is emptied little by little. Ids in buckets before the cursor have been moved. They are
/// still there, because erasing each would cost as much as moving it, and nothing looks at them.
pub(crate) struct Draining<const BITS: u32, const BYTES: usize> {
    table: HashTable<Marked<BITS, BYTES>>,
    cursor: usize,
    left: usize,
}

impl<const BITS: u32, const BYTES: usize> Index<BITS, BYTES> {
    /// The id whose key has this `hash` and satisfies `eq`.
    #[inline]
    pub fn find(&self, hash: u64, mut eq: impl FnMut(u32) -> bool) -> Option<u32> {
        if let Some(marked) = self.live.find(hash, |marked| marked.is(hash, &mut eq)) {
            return Some(marked.id());
        }
        self.draining.as_ref()?.find(hash, eq)
    }

    /// Adds `id`, which must not be present. `rehash` gives the hash of any id in the index.
    #[inline]
    pub fn insert(&mut self, hash: u64, id: u32, rehash: impl Fn(u32) -> u64) {
        if self.is_full() {
            // More room, or a fresh table of the same size when tombstones filled it.
            let buckets = self.live.num_buckets();
            let wanted = match self.live.len() * 2 > buckets {
                true if buckets <= LITTLE => buckets * 4,
                true => buckets * 2,
                false => buckets,
            };
            self.replace(wanted, &rehash);
        }
        let marked = Marked::new(hash, id);
        self.live
            .insert_unique(hash, marked, |marked| rehash(marked.id()));
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
        let found = self
            .live
            .find_entry(hash, |marked| marked.is(hash, &mut eq));
        let removed = match found {
            Ok(entry) => Some(entry.remove().0.id()),
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
    pub(crate) fn into_draining(mut self, rehash: impl Fn(u32) -> u64) -> Draining<BITS, BYTES> {
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
        let grown = HashTable::with_capacity(buckets.max(FIRST) * 7 / 8);
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
            let hash = rehash(id);
            live.insert_unique(hash, Marked::new(hash, id), |marked| rehash(marked.id()));
        });
        if draining.is_empty() {
            self.draining = None;
        }
    }
}

impl<const BITS: u32, const BYTES: usize> Draining<BITS, BYTES> {
    fn new(table: HashTable<Marked<BITS, BYTES>>) -> Self {
        Draining {
            left: table.len(),
            table,
            cursor: 0,
        }
    }

    /// The id whose key has this `hash` and satisfies `eq`.
    #[inline]
    pub(crate) fn find(&self, hash: u64, eq: impl FnMut(u32) -> bool) -> Option<u32> {
        let marked = self.table.get_bucket(self.bucket(hash, eq)?)?;
        Some(marked.id())
    }

    /// Takes out the id whose key has this `hash` and satisfies `eq`, and returns it.
    #[inline]
    pub(crate) fn remove(&mut self, hash: u64, eq: impl FnMut(u32) -> bool) -> Option<u32> {
        let bucket = self.bucket(hash, eq)?;
        let entry = self.table.get_bucket_entry(bucket).ok()?;
        self.left -= 1;
        Some(entry.remove().0.id())
    }

    /// Takes out what is in the next few buckets.
    #[inline]
    pub(crate) fn advance(&mut self, buckets: usize, mut take: impl FnMut(u32)) {
        let end = (self.cursor + buckets).min(self.table.num_buckets());
        for bucket in self.cursor..end {
            if let Some(marked) = self.table.get_bucket(bucket) {
                self.left -= 1;
                take(marked.id());
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
            let is_it = |marked: &Marked<BITS, BYTES>| marked.is(hash, &mut eq);
            bucket >= self.cursor && self.table.get_bucket(bucket).is_some_and(is_it)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;
    use std::collections::hash_map::Entry;

    /// How many keys the properties are tried with.
    const KEYS: u32 = 400;

    fn hash(id: u32) -> u64 {
        u64::from(id).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    /// As in the tables, a free id keeps its former key until it is used again.
    fn behaves_as_a_map<const BITS: u32, const BYTES: usize>(
        ops: &[(u8, u32)],
        hash: fn(u32) -> u64,
    ) -> Result<(), TestCaseError> {
        let mut index = Index::<BITS, BYTES>::default();
        let (mut keys, mut free, mut model) = (Vec::new(), Vec::new(), HashMap::new());
        for &(op, key) in ops {
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
        for key in 0..KEYS {
            let found = index.find(hash(key), |id| keys[id as usize] == key);
            prop_assert_eq!(found, model.get(&key).copied());
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn behaves_as_a_map_of_keys(ops in prop::collection::vec((0..3u8, 0..KEYS), 0..3_000)) {
            behaves_as_a_map::<32, 4>(&ops, hash)?;
            behaves_as_a_map::<24, 3>(&ops, hash)?;
            behaves_as_a_map::<22, 3>(&ops, hash)?;
            behaves_as_a_map::<9, 4>(&ops, hash)?;
        }

        #[test]
        fn behaves_as_a_map_of_keys_that_collide(ops in prop::collection::vec((0..3u8, 0..KEYS), 0..1_000)) {
            // The same place and the same filter for all, and a few marks, or only one.
            let few = |key| u64::from(key % 4) << (TAG - 2);
            behaves_as_a_map::<22, 3>(&ops, few)?;
            behaves_as_a_map::<9, 2>(&ops, few)?;
            behaves_as_a_map::<9, 2>(&ops, |_| u64::MAX)?;
        }
    }

    #[test]
    fn the_largest_id_is_found_under_every_mark() {
        let largest = (1 << 22) - 1;
        for mark in 0..4 {
            let hash = mark << (TAG - 2);
            let mut index = Index::<22, 3>::default();
            index.insert(hash, largest, |_| hash);
            assert_eq!(index.find(hash, |id| id == largest), Some(largest));
        }
    }

    #[test]
    fn what_has_another_mark_is_not_looked_at() {
        let hash = |id| u64::from(id) << (TAG - 2);
        let mut index = Index::<22, 3>::default();
        for id in 0..4 {
            index.insert(hash(id), id, hash);
        }
        for wanted in 0..4 {
            let looked_at = |id| {
                assert_eq!(id, wanted);
                true
            };
            assert_eq!(index.find(hash(wanted), looked_at), Some(wanted));
        }
    }

    #[test]
    fn never_moves_more_than_a_step_at_once() {
        let mut index = Index::<24, 4>::default();
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
    fn a_little_one_moves_few_ids_to_grow() {
        let mut index = Index::<24, 3>::default();
        let moved = std::cell::Cell::new(0);
        for id in 0..896 {
            index.insert(hash(id), id, |id| {
                moved.set(moved.get() + 1);
                hash(id)
            });
        }
        // 14, 56 and 224 of them, each time that seven of eight buckets are full.
        assert_eq!((moved.get(), index.live.num_buckets()), (294, 1_024));
    }

    #[test]
    fn churn_at_a_constant_size_keeps_the_memory() {
        let mut index = Index::<24, 4>::default();
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
        let mut index = Index::<24, 4>::default();
        // With 58 ids, about half are moved. All have the same hash, so they lie side by side.
        let same = |_| 0;
        for id in 0..58 {
            index.insert(0, id, same);
        }
        let draining = index.draining.as_ref().expect("it grows");
        let moved = |id: u32| index.live.find(0, |live| live.id() == id).is_some();
        let left: Vec<u32> = (0..58).filter(|&id| !moved(id)).collect();
        assert!((1..57).contains(&left.len()) && draining.len() == left.len());
        for id in left {
            let found = draining.find(0, |found| found == id || moved(found));
            assert_eq!(found, Some(id));
        }
    }
}
