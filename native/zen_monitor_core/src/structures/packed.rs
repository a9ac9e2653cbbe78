//! Values in numbered places, of which only those that are taken use memory.
//!
//! Invariant: there are as many values as bits in `taken`, in the order of their places. So a value is found by counting
//! the bits below its own.

use smallvec::SmallVec;

/// How many places there are.
pub const PLACES: u32 = u64::BITS;

/// Up to [`PLACES`] values, each in a place of its own.
///
/// ```
/// use zen_monitor_core::structures::packed::Packed;
///
/// let mut packed = Packed::default();
/// packed.insert(40, "later");
/// packed.insert(7, "sooner");
/// assert_eq!(packed.get(40), Some(&"later"));
/// assert_eq!(packed.next(8), Some(40));
/// assert_eq!(packed.remove(7), Some("sooner"));
/// assert_eq!(packed.get(7), None);
/// ```
pub struct Packed<T> {
    taken: u64,
    /// A single one needs no block of its own, which would be several times as large.
    values: SmallVec<[T; 1]>,
}

impl<T> Default for Packed<T> {
    fn default() -> Self {
        Packed {
            taken: 0,
            values: SmallVec::new(),
        }
    }
}

impl<T> Packed<T> {
    /// The value in a place.
    #[inline]
    pub fn get(&self, place: u32) -> Option<&T> {
        let rank = self.rank(place)?;
        self.values.get(rank)
    }

    /// The same, to be changed.
    #[inline]
    pub fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        let rank = self.rank(place)?;
        self.values.get_mut(rank)
    }

    /// Puts a value into a place that is free.
    #[inline]
    pub fn insert(&mut self, place: u32, value: T) {
        debug_assert!(self.get(place).is_none());
        let values = self.values.len();
        if values == self.values.capacity() {
            // Half as many more, for neighbours often come together; and no more than there are places.
            self.values
                .reserve_exact((values / 2 + 1).min(PLACES as usize - values));
        }
        self.values.insert(self.below(place), value);
        self.taken |= 1 << place;
    }

    /// Takes out the value in a place.
    #[inline]
    pub fn remove(&mut self, place: u32) -> Option<T> {
        let rank = self.rank(place)?;
        self.taken &= !(1 << place);
        let value = self.values.remove(rank);
        let left = self.values.len();
        if left <= self.values.capacity() / 4 {
            self.values.grow(2 * left);
        }
        Some(value)
    }

    /// The first place from `from` on that is taken.
    #[inline]
    pub fn next(&self, from: u32) -> Option<u32> {
        let ahead = self.taken & u64::MAX.checked_shl(from)?;
        (ahead != 0).then(|| ahead.trailing_zeros())
    }

    /// Whether all places are free.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.taken == 0
    }

    #[inline]
    fn rank(&self, place: u32) -> Option<usize> {
        (self.taken >> place & 1 == 1).then(|| self.below(place))
    }

    /// How many places below one are taken.
    #[inline]
    fn below(&self, place: u32) -> usize {
        (self.taken & ((1 << place) - 1)).count_ones() as usize
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn behaves_as_a_map(ops in prop::collection::vec((any::<bool>(), 0..PLACES, any::<u16>()), 0..400)) {
            let mut packed = Packed::default();
            let mut model = BTreeMap::new();
            for (insert, place, value) in ops {
                if !insert {
                    prop_assert_eq!(packed.remove(place), model.remove(&place));
                } else if let Some(there) = packed.get_mut(place) {
                    *there = value;
                    prop_assert!(model.insert(place, value).is_some());
                } else {
                    packed.insert(place, value);
                    prop_assert_eq!(model.insert(place, value), None);
                }
                prop_assert_eq!(packed.is_empty(), model.is_empty());
                for place in 0..PLACES {
                    prop_assert_eq!(packed.get(place), model.get(&place));
                    let next = model.range(place..).next().map(|(&place, _)| place);
                    prop_assert_eq!(packed.next(place), next);
                }
                prop_assert_eq!(packed.next(PLACES), None);
            }
        }
    }

    #[test]
    fn takes_no_more_than_it_needs() {
        let mut packed = Packed::default();
        for place in 0..PLACES {
            packed.insert(place, place);
            let (values, room) = (packed.values.len(), packed.values.capacity());
            assert!(room <= values + values / 2 + 1, "{room} for {values}");
        }
        assert_eq!(packed.values.capacity(), PLACES as usize);
        for place in 0..PLACES {
            packed.remove(place);
            let (values, room) = (packed.values.len(), packed.values.capacity());
            assert!(room <= 4 * values.max(1), "{room} for {values}");
        }
        assert!(!packed.values.spilled());
    }
}
