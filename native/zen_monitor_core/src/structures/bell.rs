//! The bell of a queue. It tells when the queue's owner must be woken: once, for the first of many pushes.

use crate::structures::sync::{AtomicBool, Ordering};

/// Tells producers whether the one consumer of a queue must be woken.
///
/// Invariant: while something waits in the queue, the bell is rung, or a producer is about to ring it. To
/// keep this, the consumer looks at the queue once more after [`Bell::rest`].
///
/// ```
/// use zen_monitor_core::structures::bell::Bell;
///
/// let bell = Bell::default();
/// assert!(bell.ring(), "the first producer wakes the consumer");
/// assert!(!bell.ring(), "the second finds it awake");
/// bell.rest();
/// assert!(bell.ring());
/// ```
pub struct Bell {
    rung: AtomicBool,
}

impl Default for Bell {
    fn default() -> Self {
        Bell {
            rung: AtomicBool::new(false),
        }
    }
}

impl Bell {
    /// A producer rings after it has pushed. `true` means that the consumer is at rest, and that this
    /// producer must wake it.
    #[inline]
    pub fn ring(&self) -> bool {
        // AcqRel: releases the push to the consumer's swap in `rest`. Both are read-modify-writes, so one
        // comes before the other, and the later one sees the earlier.
        !self.rung.swap(true, Ordering::AcqRel)
    }

    /// The consumer calls this when it has found the queue empty. Then it must look once more. If something
    /// has come in between, it rings the bell itself and goes on.
    #[inline]
    pub fn rest(&self) {
        // AcqRel: acquires the pushes of every producer whose `ring` came before.
        self.rung.swap(false, Ordering::AcqRel);
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicUsize;

    #[test]
    fn no_push_is_left_without_a_wake() {
        loom::model(|| {
            let bell = Arc::new(Bell::default());
            let queue = Arc::new(AtomicUsize::new(0));
            bell.ring();
            let producer = {
                let (bell, queue) = (bell.clone(), queue.clone());
                loom::thread::spawn(move || {
                    // Relaxed, so that only the bell itself can publish the push.
                    queue.fetch_add(1, Ordering::Relaxed);
                    bell.ring()
                })
            };
            bell.rest();
            let seen = queue.load(Ordering::Relaxed) > 0;
            let woken = producer.join().unwrap();
            assert!(seen || woken);
        });
    }
}
