//! One lock at a time over a row of shards.

use crate::structures::sync::{Mutex, MutexGuard};

/// How many entries are handled while one lock is held.
pub const HELD: usize = 64;

/// Holds the lock of a shard for as long as the next entry is in that shard, too. Neighbours share a
/// shard, so a batch of them takes one lock instead of one for each.
///
/// The caller bounds the length of a batch by [`HELD`], so that no lock is held for long.
pub struct Held<'a, S> {
    shards: &'a [Mutex<S>],
    held: Option<(usize, MutexGuard<'a, S>)>,
}

impl<'a, S> Held<'a, S> {
    /// Holds no lock at first.
    #[inline]
    pub fn new(shards: &'a [Mutex<S>]) -> Self {
        Held { shards, held: None }
    }

    /// The shard of this number. The lock of the former one is released first: no two are ever held.
    #[inline]
    pub fn lock(&mut self, number: usize) -> &mut S {
        if self.held.as_ref().is_none_or(|(held, _)| *held != number) {
            self.held = None;
        }
        let shards = self.shards;
        let (_, shard) = self
            .held
            .get_or_insert_with(|| (number, shards[number].lock()));
        shard
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn holds_one_shard_at_a_time() {
        let shards = [Mutex::new(0), Mutex::new(0)];
        let mut held = Held::new(&shards);
        for number in [0, 0, 1, 0] {
            *held.lock(number) += 1;
            assert!(shards[number].try_lock().is_none());
            assert!(shards[1 - number].try_lock().is_some());
        }
        drop(held);
        assert_eq!([*shards[0].lock(), *shards[1].lock()], [3, 1]);
    }
}
