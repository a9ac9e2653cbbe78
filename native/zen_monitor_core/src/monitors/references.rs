//! The monitors of some subscribers, by reference.
//!
//! Invariants:
//!
//! - An id is in exactly one place: in the only index, in one of the parts, or in the index that is being moved to
//!   the parts.
//! - No index becomes so large that allocating a larger one takes long. So when an index has [`FEW`] ids, it is
//!   divided into parts, once and for all, and every change moves a little of it.

use crate::monitors::slot::{Reference, Slot};
use crate::structures::arena::{Arena, BITS};
use crate::structures::hash::hash;
use crate::structures::index;
use crate::structures::sharded::Sharded;

/// How many ids one index holds before it is divided.
const FEW: usize = if cfg!(shuttle) {
    4
} else if cfg!(test) {
    100
} else {
    20_000
};
const PARTS: usize = 64;
/// How many buckets each change moves to the parts. A few, because a part may have to move some of its own buckets
/// for each id. There is no hurry, since the divided index does not grow any more.
const STEP: usize = 2;

type Index = index::Index<BITS, 4>;
type Draining = index::Draining<BITS, 4>;
type Parts = Sharded<BITS, PARTS>;

/// Finds a monitor by its reference. No call moves more than a few ids, however many there are.
pub struct References(Kind);

enum Kind {
    Few(Index),
    Many {
        parts: Parts,
        moved: Option<Draining>,
    },
}

impl Kind {
    #[cold]
    fn divided(moved: Draining) -> Self {
        Kind::Many {
            parts: Parts::default(),
            moved: Some(moved),
        }
    }
}

impl Default for References {
    fn default() -> Self {
        References(Kind::Few(Index::default()))
    }
}

impl References {
    /// Adds the slot of a fresh reference.
    #[inline]
    pub fn insert(&mut self, slots: &Arena<Slot>, id: u32) {
        self.insert_at(slots, hash_in(slots)(id), id);
    }

    /// The same, when the hash of the slot's reference is at hand.
    #[inline]
    pub fn insert_at(&mut self, slots: &Arena<Slot>, hash: u64, id: u32) {
        let rehash = hash_in(slots);
        if let Kind::Few(index) = &mut self.0 {
            if index.len() < FEW || !index.is_full() {
                return index.insert(hash, id, rehash);
            }
            let moved = std::mem::take(index).into_draining(rehash);
            self.0 = Kind::divided(moved);
        }
        if let Kind::Many { parts, .. } = &mut self.0 {
            parts.insert(hash, id, rehash);
        }
        self.advance(slots);
    }

    /// The slot of a reference.
    #[inline]
    pub fn find(&self, slots: &Arena<Slot>, reference: Reference) -> Option<u32> {
        self.find_where(slots, hash_of(reference), reference, |_| true)
    }

    /// A slot with this reference, of which there may be several, for which `is_it` returns `true`. `hash` is the hash of
    /// the reference.
    #[inline]
    pub fn find_where(
        &self,
        slots: &Arena<Slot>,
        hash: u64,
        reference: Reference,
        mut is_it: impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        let mut is_it = |id| slots.get(id).reference() == reference && is_it(id);
        match &self.0 {
            Kind::Few(index) => index.find(hash, is_it),
            Kind::Many { parts, moved } => {
                let found = parts.find(hash, &mut is_it);
                found.or_else(|| moved.as_ref()?.find(hash, is_it))
            }
        }
    }

    /// Takes a slot out.
    #[inline]
    pub fn remove(&mut self, slots: &Arena<Slot>, id: u32) {
        let rehash = hash_in(slots);
        let hash = rehash(id);
        let is_it = |found| found == id;
        match &mut self.0 {
            Kind::Few(index) => {
                index.remove(hash, is_it, rehash);
            }
            Kind::Many { parts, moved } => {
                let removed = parts.remove(hash, id, rehash);
                if !removed && let Some(moved) = moved {
                    moved.remove(hash, is_it);
                }
                self.advance(slots);
            }
        }
    }

    /// How many references it holds.
    pub fn count(&self) -> usize {
        match &self.0 {
            Kind::Few(index) => index.len(),
            Kind::Many { parts, moved } => parts.count() + moved.as_ref().map_or(0, Draining::len),
        }
    }

    #[inline]
    fn advance(&mut self, slots: &Arena<Slot>) {
        let Kind::Many { parts, moved } = &mut self.0 else {
            return;
        };
        let Some(draining) = moved else {
            return;
        };
        let rehash = hash_in(slots);
        draining.advance(STEP, |id| {
            let hash = rehash(id);
            parts.insert(hash, id, rehash);
        });
        if draining.is_empty() {
            *moved = None;
        }
    }
}

/// The hash of a slot's reference.
#[inline]
fn hash_in(slots: &Arena<Slot>) -> impl Fn(u32) -> u64 + Copy {
    |id| hash_of(slots.get(id).reference())
}

/// The hash of a reference.
#[inline]
pub fn hash_of(reference: Reference) -> u64 {
    let rest = u64::from(reference[1]) << 32 | u64::from(reference[2]);
    hash(rest, reference[0])
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::structures::arena::CHUNK;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::collections::btree_map::Entry;

    fn reference(number: u32) -> Reference {
        [number, 7, 0]
    }

    proptest! {
        /// As in the tables, a slot that is free keeps its former reference, and is soon given another.
        #[test]
        fn behaves_as_a_map(ops in prop::collection::vec((0..3u8, 0..500u32), 0..2_000)) {
            let slots: Arena<Slot> = Arena::default();
            let mut free: Vec<u32> = (0..2).flat_map(|_| {
                let first = slots.grow().unwrap();
                first..first + CHUNK
            }).collect();
            let (mut references, mut model) = (References::default(), BTreeMap::new());
            for (op, number) in ops {
                if op == 0 {
                    if let Some(id) = model.remove(&number) {
                        references.remove(&slots, id);
                        free.push(id);
                    }
                } else if let Entry::Vacant(entry) = model.entry(number) {
                    let id = free.pop().unwrap();
                    slots.get(id).occupy(reference(number), 0);
                    references.insert(&slots, id);
                    entry.insert(id);
                }
                prop_assert_eq!(references.count(), model.len());
                let found = references.find(&slots, reference(number));
                prop_assert_eq!(found, model.get(&number).copied());
            }
            for number in 0..500 {
                let found = references.find(&slots, reference(number));
                prop_assert_eq!(found, model.get(&number).copied());
            }
        }
    }

    #[test]
    fn is_divided_a_little_at_a_time_and_emptied_again() {
        let left = |references: &References| match &references.0 {
            Kind::Many {
                moved: Some(draining),
                ..
            } => draining.len(),
            _ => 0,
        };
        let slots: Arena<Slot> = Arena::default();
        let mut references = References::default();
        let mut divided = 0;
        for number in 0..40 * CHUNK {
            if number % CHUNK == 0 {
                slots.grow().unwrap();
            }
            slots.get(number).occupy(reference(number), 0);
            let before = left(&references);
            references.insert(&slots, number);
            assert!(before <= left(&references) + STEP);
            divided = divided.max(left(&references));
        }
        assert!(divided >= FEW - STEP);
        assert!(matches!(references.0, Kind::Many { moved: None, .. }));
        assert_eq!(references.count(), 40 * CHUNK as usize);
        for number in 0..40 * CHUNK {
            assert_eq!(references.find(&slots, reference(number)), Some(number));
            references.remove(&slots, number);
            assert_eq!(references.find(&slots, reference(number)), None);
        }
        assert_eq!(references.count(), 0);
    }
}
