//! A growing row of places that is read without a lock.
//!
//! Invariants: a level is twice as large as the one before, and is made when it is first needed; it is
//! never replaced, so a reference to a place stays valid.

use std::sync::OnceLock;

/// Places of the first level.
const FIRST: usize = 16;
const LEVELS: usize = 28;

/// Places of `P`, by level and by number. To make a level takes as long as it is large, so a place
/// should be small.
///
/// ```
/// use std::sync::OnceLock;
/// use zen_monitor_core::structures::levels::Levels;
///
/// let row: Levels<OnceLock<&str>> = Levels::default();
/// assert!(row.nth(100).is_none());
/// row.nth_or_make(100).set("value").unwrap();
/// assert_eq!(row.nth(100).and_then(OnceLock::get), Some(&"value"));
/// ```
pub struct Levels<P> {
    levels: [OnceLock<Box<[P]>>; LEVELS],
}

impl<P> Default for Levels<P> {
    fn default() -> Self {
        Levels {
            levels: std::array::from_fn(|_| OnceLock::new()),
        }
    }
}

impl<P: Default> Levels<P> {
    /// The levels that are made, from the smallest on. The length of each is a power of two.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = &[P]> {
        self.levels
            .iter()
            .map_while(|level| level.get().map(|level| &**level))
    }

    /// A level, which is made if it is not yet.
    ///
    /// # Panics
    ///
    /// When there is no such level. The largest has 2^31 places.
    pub fn level(&self, level: usize) -> &[P] {
        let places = FIRST << level;
        self.levels[level].get_or_init(|| (0..places).map(|_| P::default()).collect())
    }

    /// The `n`th place of the row, counted through all levels, if its level is made.
    #[inline]
    pub fn nth(&self, n: usize) -> Option<&P> {
        let (level, place) = locate(n);
        Some(&self.levels.get(level)?.get()?[place])
    }

    /// The `n`th place of the row, whose level is made if it is not yet.
    ///
    /// # Panics
    ///
    /// As [`Levels::level`] does.
    pub fn nth_or_make(&self, n: usize) -> &P {
        let (level, place) = locate(n);
        &self.level(level)[place]
    }
}

#[inline]
fn locate(n: usize) -> (usize, usize) {
    let from_first = n + FIRST;
    let level = (from_first / FIRST).ilog2() as usize;
    (level, from_first - (FIRST << level))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_through_the_levels_in_turn() {
        assert_eq!(
            [0, 15, 16, 47, 48].map(locate),
            [(0, 0), (0, 15), (1, 0), (1, 31), (2, 0)]
        );
        let row: Levels<OnceLock<usize>> = Levels::default();
        (0..1_000).for_each(|n| row.nth_or_make(n).set(n).unwrap());
        assert!((0..1_000).all(|n| row.nth(n).and_then(OnceLock::get) == Some(&n)));
        assert_eq!(row.nth(1_000).and_then(OnceLock::get), None);
        assert!(row.nth(usize::MAX - FIRST).is_none());
        assert_eq!(row.iter().map(<[_]>::len).sum::<usize>(), 1_008);
    }
}
