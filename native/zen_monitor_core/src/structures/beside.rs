//! What only a few entries of a table have, kept beside it.
//!
//! Few of the monitored processes have a name, for example. What a name needs and a pid does not takes no room in the
//! table this way.

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use std::hash::Hash;

/// What some places of a table have beside them. It is divided among `MAPS` maps, so that none is large: a large map
/// takes long to grow. `K` is a place, or begins with one.
pub struct Beside<K, V, const MAPS: usize>(Box<[HashMap<K, V, FxBuildHasher>]>);

/// A key that tells the place that it is of.
pub trait Key: Copy + Eq + Hash {
    /// The place.
    fn place(self) -> u32;
}

impl Key for u32 {
    #[inline]
    fn place(self) -> u32 {
        self
    }
}

impl Key for (u32, u32) {
    #[inline]
    fn place(self) -> u32 {
        self.0
    }
}

impl<K, V, const MAPS: usize> Default for Beside<K, V, MAPS> {
    fn default() -> Self {
        Beside((0..MAPS).map(|_| HashMap::default()).collect())
    }
}

impl<K: Key, V: Copy, const MAPS: usize> Beside<K, V, MAPS> {
    /// What there is beside a place.
    #[inline]
    pub fn get(&self, key: K) -> Option<V> {
        let map = &self.0[key.place() as usize % MAPS];
        // Nearly always there is none, and a lookup is not free.
        if map.is_empty() {
            return None;
        }
        map.get(&key).copied()
    }

    /// Puts something beside a place, instead of what was there.
    pub fn set(&mut self, key: K, value: V) {
        self.0[key.place() as usize % MAPS].insert(key, value);
    }

    /// Takes away what there is beside a place.
    #[inline]
    pub fn remove(&mut self, key: K) {
        let map = &mut self.0[key.place() as usize % MAPS];
        if !map.is_empty() {
            map.remove(&key);
        }
    }

    /// How many places have something beside them.
    pub fn len(&self) -> usize {
        self.0.iter().map(HashMap::len).sum()
    }

    /// Whether none has.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_one_thing_for_each_key() {
        let mut beside: Beside<(u32, u32), u32, 2> = Beside::default();
        assert_eq!(beside.get((7, 1)), None);
        beside.set((7, 1), 10);
        beside.set((7, 2), 20);
        beside.set((9, 1), 30);
        beside.set((7, 1), 11);
        beside.remove((9, 1));
        beside.remove((8, 1));
        assert_eq!(
            [(7, 1), (7, 2), (9, 1)].map(|key| beside.get(key)),
            [Some(11), Some(20), None]
        );
        assert_eq!((beside.len(), beside.is_empty()), (2, false));
    }
}
