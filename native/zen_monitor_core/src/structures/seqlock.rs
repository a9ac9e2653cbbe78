//! One number with its key, read without a lock.

use crate::structures::sync::{AtomicU32, AtomicUsize, Ordering, fence};

/// A value that is looked up by its key. Both change together. At first there is neither.
///
/// The version modulo 4 tells the state: 0 while there is no value, 2 while there is one, odd while the two
/// change. To read the key twice instead would not do: it may change and change back in between.
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
    /// The value, if this is its key. `None` may also mean that the two are just being changed.
    #[inline]
    pub fn get(&self, key: usize) -> Option<u32> {
        // Acquire: what is read next is at least as new as the version.
        let version = self.version.load(Ordering::Acquire);
        // Relaxed, all three loads: if the key or the value was written after this version, the fence,
        // which pairs with the one in `set`, makes the third load read a newer version.
        if self.key.load(Ordering::Relaxed) != key {
            return None;
        }
        let value = self.value.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        let unchanged = self.version.load(Ordering::Relaxed) == version;
        (unchanged && version % 4 == 2).then_some(value)
    }

    /// Changes both. Callers must hold a lock, so that they take turns.
    pub fn set(&self, key: usize, value: u32) {
        // Relaxed: only callers write it, and they take turns.
        let version = self.version.load(Ordering::Relaxed);
        self.version
            .store(version.wrapping_add(1), Ordering::Relaxed);
        // Release: whoever reads the new key or value reads the odd version, too, or a newer one.
        fence(Ordering::Release);
        self.key.store(key, Ordering::Relaxed);
        self.value.store(value, Ordering::Relaxed);
        // Release: whoever reads this version reads its key and value.
        self.version
            .store(version.wrapping_add(2 + version % 4), Ordering::Release);
    }

    /// Forgets both. Callers hold the same lock as those of [`Seqlock::set`].
    pub fn clear(&self) {
        // Relaxed: as in `set`.
        let version = self.version.load(Ordering::Relaxed);
        // Release: whoever reads this version sees what the caller did before.
        self.version
            .store(version.wrapping_add(version % 4), Ordering::Release);
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::sync::Arc;

    /// As when pids of two lives of a node are monitored in turn.
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
