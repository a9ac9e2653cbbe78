//! A growing array that is read without a lock.
//!
//! Invariants: chunks are only ever added, so a reference into one stays valid, and the ids of a
//! chunk are given out only after the chunk is in place.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Places in a chunk, the unit of growth.
pub const CHUNK: u32 = 256;
const BRANCH: u32 = 1024;
const ROOTS: u32 = 4096;

// Arrays of these very lengths, because then no index has to be checked.
type Chunk<T> = Box<[T; CHUNK as usize]>;
type Branch<T> = Box<[OnceLock<Chunk<T>>; BRANCH as usize]>;

/// An array of `T` that grows by [`CHUNK`] places, up to 2^30 of them, and never moves or shrinks.
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use zen_monitor_core::arena::{Arena, CHUNK};
///
/// let arena: Arena<AtomicU32> = Arena::default();
/// let first = arena.grow();
/// arena.get(first + CHUNK - 1).store(7, Ordering::Relaxed);
/// assert_eq!(arena.get(first + CHUNK - 1).load(Ordering::Relaxed), 7);
/// ```
pub struct Arena<T> {
    roots: Box<[OnceLock<Branch<T>>; ROOTS as usize]>,
    chunks: AtomicU32,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Arena {
            roots: boxed(OnceLock::new),
            chunks: AtomicU32::new(0),
        }
    }
}

impl<T: Default> Arena<T> {
    /// Adds a chunk and returns the id of its first place.
    ///
    /// # Panics
    ///
    /// When all 2^30 places are in use; nothing has changed then.
    pub fn grow(&self) -> u32 {
        // Relaxed: the number only has to be unique; the chunk is published by its OnceLock.
        let chunk = self.chunks.fetch_add(1, Ordering::Relaxed);
        assert!(chunk < ROOTS * BRANCH, "the monitor table is full");
        let branch = self.roots[(chunk / BRANCH) as usize].get_or_init(|| boxed(OnceLock::new));
        branch[(chunk % BRANCH) as usize].get_or_init(|| boxed(T::default));
        chunk * CHUNK
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
