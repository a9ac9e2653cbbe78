//! A growing array that is read without a lock.
//!
//! Invariants: chunks are only ever added, so a reference into one stays valid, and the ids of a
//! chunk are given out only after the chunk is in place.
//!
//! Nobody waits for anybody: of two that make the same branch at the same time, one has made it for nothing.

use crate::structures::limits::Full;
use crate::structures::sync::OnceBox;
use std::sync::atomic::{AtomicU32, Ordering};

/// Places in a chunk. The array grows by one chunk at a time.
pub const CHUNK: u32 = 256;
const BRANCH: u32 = 1024;
const ROOTS: u32 = 4096;
/// How many bits an id has.
pub const BITS: u32 = (CHUNK * BRANCH * ROOTS).trailing_zeros();

// With the lengths in the types, the compiler leaves out the checks of indexes.
type Chunk<T> = [T; CHUNK as usize];
type Branch<T> = [OnceBox<Chunk<T>>; BRANCH as usize];

/// An array of `T` that grows by [`CHUNK`] places, up to 2^30 of them, and never moves or shrinks.
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use zen_monitor_core::structures::arena::{Arena, CHUNK};
///
/// let arena: Arena<AtomicU32> = Arena::default();
/// let first = arena.grow().unwrap();
/// arena.get(first + CHUNK - 1).store(7, Ordering::Relaxed);
/// assert_eq!(arena.get(first + CHUNK - 1).load(Ordering::Relaxed), 7);
/// ```
pub struct Arena<T> {
    roots: Box<[OnceBox<Branch<T>>; ROOTS as usize]>,
    chunks: AtomicU32,
    /// How many chunks there may be.
    most: u32,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Arena::with_most(ROOTS * BRANCH)
    }
}

impl<T> Arena<T> {
    /// An array of at most `most` chunks.
    pub(crate) fn with_most(most: u32) -> Self {
        Arena {
            roots: boxed(OnceBox::new),
            chunks: AtomicU32::new(0),
            most: most.min(ROOTS * BRANCH),
        }
    }
}

impl<T: Default> Arena<T> {
    /// Adds a chunk and returns the id of its first place. [`Full`] when there are as many as there may be.
    pub fn grow(&self) -> Result<u32, Full> {
        let one_more = |chunks| (chunks < self.most).then_some(chunks + 1);
        // Relaxed: the number only has to be unique. The OnceBox publishes the chunk.
        let chunk = self
            .chunks
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .map_err(|_| Full)?;
        let branch = self.roots[(chunk / BRANCH) as usize].get_or_init(|| boxed(OnceBox::new));
        branch[(chunk % BRANCH) as usize].get_or_init(|| boxed(T::default));
        Ok(chunk * CHUNK)
    }
}

impl<T> Arena<T> {
    /// The place of an id that [`Arena::grow`] made.
    #[inline]
    pub fn get(&self, id: u32) -> &T {
        let chunk = id / CHUNK;
        let place = self.roots[(chunk / BRANCH % ROOTS) as usize]
            .get()
            .and_then(|branch| branch[(chunk % BRANCH) as usize].get());
        &place.expect("an id from grow")[(id % CHUNK) as usize]
    }
}

fn boxed<T, const N: usize>(place: impl Fn() -> T) -> Box<[T; N]> {
    let places: Box<[T]> = (0..N).map(|_| place()).collect();
    match places.try_into() {
        Ok(array) => array,
        Err(_) => unreachable!("as many were collected"),
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn a_full_one_refuses_for_ever_and_keeps_what_it_has() {
        let arena: Arena<AtomicU32> = Arena::with_most(2);
        assert_eq!(arena.grow(), Ok(0));
        assert_eq!(arena.grow(), Ok(CHUNK));
        arena.get(0).store(7, Ordering::Relaxed);
        for _ in 0..3 {
            assert_eq!(arena.grow(), Err(Full));
        }
        assert_eq!(arena.get(0).load(Ordering::Relaxed), 7);
    }
}
