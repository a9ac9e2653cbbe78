//! A growing row of places that are filled once and read without a lock.
//!
//! Invariants: a level is twice as large as the one before, and is made when it is first needed; levels
//! and what is in their places are never replaced, so a reference to either stays valid.

use std::sync::OnceLock;

/// Places of the first level.
const FIRST: usize = 16;
const LEVELS: usize = 28;

/// Places for `T`, by level and by number.
///
/// ```
/// use zen_monitor_core::levels::Levels;
///
/// let row = Levels::default();
/// assert_eq!(row.nth(100), None);
/// row.fill(100, "value");
/// assert_eq!(row.nth(100), Some(&"value"));
/// ```
pub struct Levels<T> {
    levels: [OnceLock<Box<[OnceLock<T>]>>; LEVELS],
}

impl<T> Default for Levels<T> {
    fn default() -> Self {
        Levels {
            levels: std::array::from_fn(|_| OnceLock::new()),
        }
    }
}

impl<T> Levels<T> {
    /// The levels that are made, from the smallest on. The length of each is a power of two.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = &[OnceLock<T>]> {
        self.levels
            .iter()
            .map_while(|level| level.get().map(|level| &**level))
    }

    /// A level, which is made if it is not yet.
    ///
    /// # Panics
    ///
    /// When there is no such level. The largest has 2^31 places.
    pub fn level(&self, level: usize) -> &[OnceLock<T>] {
        let places = FIRST << level;
        self.levels[level].get_or_init(|| (0..places).map(|_| OnceLock::new()).collect())
    }

    /// What is in the `n`th place of the row, counted through all levels.
    #[inline]
    pub fn nth(&self, n: usize) -> Option<&T> {
        let (level, place) = locate(n);
        self.levels[level].get()?[place].get()
    }

    /// Fills the `n`th place. One that is filled keeps what it has.
    pub fn fill(&self, n: usize, value: T) -> &T {
        let (level, place) = locate(n);
        self.level(level)[place].get_or_init(|| value)
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
        let row = Levels::default();
        (0..1_000).for_each(|n| assert_eq!(row.fill(n, n), &n));
        assert_eq!(row.fill(7, 8), &7);
        assert!((0..1_000).all(|n| row.nth(n) == Some(&n)));
        assert_eq!(row.nth(1_000), None);
        assert_eq!(row.iter().map(|level| level.len()).sum::<usize>(), 1_008);
    }
}
