//! One number and its key, read without a lock.

use crate::structures::sync::{AtomicU32, AtomicUsize, Ordering, fence};

/// A value that is looked up by the one key it has, which changes with it. At first there is neither.
///
/// The version leaves 2 when divided by 4 while there is a value, 0 while there is none, and is odd while the two
/// change. The key alone would not do in its place: it may change twice while it is read, and be what it was before.
///
/// ```
/// use zen_monitor_core::structures::seqlock::Seqlock;
///
/// let creation = Seqlock::default();
/// assert_eq!(creation.get(0), None);
/// creation.set(0x7F00, 5);
/// assert_eq!(creation.get(0x7F00), Some(5));
/// assert_eq!(creation.get(0x7F08), None);
/// creation.clear();
/// assert_eq!(creation.get(0x7F00), None);
/// ```
#[derive(Default)]
pub struct Seqlock {
    version: AtomicU32,
    key: AtomicUsize,
    value: AtomicU32,
}

impl Seqlock {
    /// The value, if this is its key. `None` may also mean that it is just being changed.
    #[inline]
    pub fn get(&self, key: usize) -> Option<u32> {
        // Acquire: what is read next is at least as new as the version.
        let version = self.version.load(Ordering::Acquire);
        // Relaxed, these three: had one of the first two been written after this version, the fence,
        // which pairs with the one in `set`, would let the third read a newer one.
        if self.key.load(Ordering::Relaxed) != key {
            return None;
        }
        let value = self.value.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        let unchanged = self.version.load(Ordering::Relaxed) == version;
        (unchanged && version % 4 == 2).then_some(value)
    }

    /// Changes both. Callers take turns under a lock of theirs.
    pub fn set(&self, key: usize, value: u32) {
        // Relaxed: only its callers write it, in turn.
        let version = self.version.load(Ordering::Relaxed);
        self.version
            .store(version.wrapping_add(1), Ordering::Relaxed);
        // Release: who reads what follows reads that version too, or a newer one.
        fence(Ordering::Release);
        self.key.store(key, Ordering::Relaxed);
        self.value.store(value, Ordering::Relaxed);
        // Release: who reads this version reads what it is of.
        self.version
            .store(version.wrapping_add(2 + version % 4), Ordering::Release);
    }

    /// Forgets both. Callers take turns with those of [`Seqlock::set`].
    pub fn clear(&self) {
        // Relaxed: as there.
        let version = self.version.load(Ordering::Relaxed);
        // Release: who reads this version sees what the caller did before.
        self.version
            .store(version.wrapping_add(version % 4), Ordering::Release);
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::sync::Arc;

    /// Pids of two lives of a node that are monitored by turns.
    #[test]
    fn a_key_that_comes_back_has_its_own_value() {
        loom::model(|| {
            let lock = Arc::new(Seqlock::default());
            lock.set(8, 1);
            let writer = {
                let lock = lock.clone();
                loom::thread::spawn(move || {
                    lock.set(16, 2);
                    lock.set(8, 1);
                })
            };
            assert!(matches!(lock.get(8), None | Some(1)));
            writer.join().unwrap();
            assert_eq!((lock.get(8), lock.get(16)), (Some(1), None));
        });
    }
}
