//! A slab that grows by small chunks: ids stay valid, nothing is ever copied to grow, and freed
//! places are taken again before new memory is.

const CHUNK: usize = 64;
/// The free ids grow by chunks as well: a vector of a million would be copied to hold one more.
const FREE_CHUNK: usize = 256;

/// Values addressed by a stable `u32` id.
///
/// ```
/// use zen_monitor_core::slab::Slab;
///
/// let mut slab = Slab::default();
/// let id = slab.insert("value");
/// assert_eq!(slab[id], "value");
/// slab.remove(id);
/// assert_eq!(slab.insert("other"), id);
/// ```
pub struct Slab<T> {
    chunks: Vec<Vec<T>>,
    free: Vec<Vec<u32>>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab {
            chunks: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slab<T> {
    /// Stores `value` and returns its id.
    #[inline]
    pub fn insert(&mut self, value: T) -> u32 {
        if let Some(chunk) = self.free.last_mut() {
            let id = chunk.pop().expect("a chunk of free ids is never empty");
            if chunk.is_empty() {
                self.free.pop();
            }
            self[id] = value;
            return id;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let chunk = self.chunks.len() - 1;
        self.chunks[chunk].push(value);
        (chunk * CHUNK + self.chunks[chunk].len() - 1) as u32
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
        sum(&self.chunks, CHUNK) - sum(&self.free, FREE_CHUNK)
    }

    /// Gives the place of `id` back. The value stays in it until the place is taken again, so ids
    /// must not be used after this; a `T` that owns memory is emptied by its owner first.
    #[inline]
    pub fn remove(&mut self, id: u32) {
        match self.free.last_mut() {
            Some(chunk) if chunk.len() < FREE_CHUNK => chunk.push(id),
            _ => {
                let mut chunk = Vec::with_capacity(FREE_CHUNK);
                chunk.push(id);
                self.free.push(chunk);
            }
        }
    }
}

impl<T> Slab<T> {
    /// All ids are below this, those of free places too.
    pub fn places(&self) -> u32 {
        let last = self.chunks.last().map_or(0, Vec::len);
        (self.chunks.len().saturating_sub(1) * CHUNK + last) as u32
    }
}

impl<T> std::ops::Index<u32> for Slab<T> {
    type Output = T;

    #[inline]
    fn index(&self, id: u32) -> &T {
        &self.chunks[id as usize / CHUNK][id as usize % CHUNK]
    }
}

impl<T> std::ops::IndexMut<u32> for Slab<T> {
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

    proptest! {
        #[test]
        fn behaves_as_a_map(ops in prop::collection::vec((any::<bool>(), any::<u16>()), 0..1_000)) {
            let mut slab = Slab::default();
            let mut model: HashMap<u32, u16> = HashMap::new();
            for (insert, value) in ops {
                if insert {
                    let id = slab.insert(value);
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
