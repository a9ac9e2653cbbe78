//! A slab that grows by chunks. Ids stay valid, no value is copied to grow, and a freed place is used again
//! before the slab takes more memory.
//!
//! What is copied now and then is the list of the chunks. With chunks of 64 values that takes more than a millisecond for a
//! hundred million values, so a slab that holds a whole table in one has larger ones.

use crate::structures::limits::Full;

/// How many values the chunks of a slab hold that is one of many, and mostly small.
const FEW: usize = 64;
/// The least that a chunk of free ids holds.
const FREE: usize = 256;

/// Values addressed by a stable `u32` id. `CHUNK` is how many are allocated at a time.
///
/// ```
/// use zen_monitor_core::structures::slab::Slab;
///
/// let mut slab: Slab<&str> = Slab::default();
/// let id = slab.insert("value").unwrap();
/// assert_eq!(slab[id], "value");
/// slab.remove(id);
/// assert_eq!(slab.insert("other"), Ok(id));
/// ```
pub struct Slab<T, const CHUNK: usize = FEW> {
    chunks: Vec<Vec<T>>,
    /// The free ids are in chunks as well: a vector of a million would be copied to hold one more.
    free: Vec<Vec<u32>>,
    /// How many values it may hold.
    most: u32,
}

impl<T, const CHUNK: usize> Default for Slab<T, CHUNK> {
    fn default() -> Self {
        Slab::with_most(u32::MAX)
    }
}

impl<T, const CHUNK: usize> Slab<T, CHUNK> {
    const FREE_CHUNK: usize = if CHUNK < FREE { FREE } else { CHUNK };

    /// A slab of at most `most` values. Ids are below `most`.
    pub fn with_most(most: u32) -> Self {
        Slab {
            chunks: Vec::new(),
            free: Vec::new(),
            most,
        }
    }

    /// Stores `value` and returns its id. [`Full`] when there are as many as there may be.
    #[inline]
    pub fn insert(&mut self, value: T) -> Result<u32, Full> {
        if let Some(chunk) = self.free.last_mut() {
            let id = chunk.pop().expect("a chunk of free ids is never empty");
            if chunk.is_empty() {
                self.free.pop();
            }
            self[id] = value;
            return Ok(id);
        }
        let id = self.places();
        if id == self.most {
            return Err(Full);
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let chunk = self.chunks.len() - 1;
        self.chunks[chunk].push(value);
        Ok(id)
    }

    /// Whether the next value would be refused.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.free.is_empty() && self.places() == self.most
    }

    /// How many values it holds.
    pub fn count(&self) -> usize {
        fn sum<T>(chunks: &[Vec<T>], full: usize) -> usize {
            // All but the last are full.
            match chunks {
                [] => 0,
                [full_ones @ .., last] => full_ones.len() * full + last.len(),
            }
        }
        sum(&self.chunks, CHUNK) - sum(&self.free, Self::FREE_CHUNK)
    }

    /// Frees the place of `id`, which must not be used any more. The value stays in it until the place is
    /// used again; so a caller whose `T` owns memory empties it first.
    #[inline]
    pub fn remove(&mut self, id: u32) {
        match self.free.last_mut() {
            Some(chunk) if chunk.len() < Self::FREE_CHUNK => chunk.push(id),
            _ => {
                let mut chunk = Vec::with_capacity(Self::FREE_CHUNK);
                chunk.push(id);
                self.free.push(chunk);
            }
        }
    }

    /// The number of places, taken and free. All ids are below it.
    pub fn places(&self) -> u32 {
        let last = self.chunks.last().map_or(0, Vec::len);
        (self.chunks.len().saturating_sub(1) * CHUNK + last) as u32
    }

    /// The values from a place on that lie side by side, free ones too. None behind the last.
    #[inline]
    pub fn run(&self, from: u32) -> &[T] {
        let chunk = self.chunks.get(from as usize / CHUNK);
        chunk
            .and_then(|chunk| chunk.get(from as usize % CHUNK..))
            .unwrap_or_default()
    }
}

impl<T, const CHUNK: usize> std::ops::Index<u32> for Slab<T, CHUNK> {
    type Output = T;

    #[inline]
    fn index(&self, id: u32) -> &T {
        &self.chunks[id as usize / CHUNK][id as usize % CHUNK]
    }
}

impl<T, const CHUNK: usize> std::ops::IndexMut<u32> for Slab<T, CHUNK> {
    #[inline]
    fn index_mut(&mut self, id: u32) -> &mut T {
        &mut self.chunks[id as usize / CHUNK][id as usize % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn a_full_one_refuses_until_something_is_removed() {
        let mut slab: Slab<u32> = Slab::with_most(65);
        let ids: Vec<u32> = (0..65).map(|value| slab.insert(value).unwrap()).collect();
        assert!(slab.is_full());
        assert_eq!(slab.insert(65), Err(Full));
        slab.remove(ids[7]);
        assert!(!slab.is_full());
        assert_eq!(slab.insert(65), Ok(ids[7]));
        assert_eq!(slab.insert(66), Err(Full));
        assert_eq!((slab.count(), slab[ids[64]], slab[ids[7]]), (65, 64, 65));
    }

    proptest! {
        #[test]
        fn behaves_as_a_map(ops in prop::collection::vec((any::<bool>(), any::<u16>()), 0..1_000)) {
            let mut slab: Slab<u16> = Slab::default();
            let mut model: HashMap<u32, u16> = HashMap::new();
            for (insert, value) in ops {
                if insert {
                    let id = slab.insert(value).unwrap();
                    prop_assert!(model.insert(id, value).is_none(), "a taken place was given out");
                } else if let Some(&id) = model.keys().nth(usize::from(value) % model.len().max(1)) {
                    prop_assert_eq!(slab[id], model.remove(&id).unwrap());
                    slab.remove(id);
                }
            }
            for (id, value) in model {
                prop_assert_eq!(slab[id], value);
            }
        }
    }
}
