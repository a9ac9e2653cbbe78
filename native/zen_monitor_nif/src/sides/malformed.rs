//! Counts what was ignored because it was malformed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// How much was ignored, how much of that has been reported, and when.
pub struct Malformed {
    since: Instant,
    ignored: AtomicU64,
    reported: AtomicU64,
    /// Milliseconds from `since` to the last report, and 0 before the first.
    last: AtomicU64,
}

impl Default for Malformed {
    fn default() -> Self {
        Malformed {
            since: Instant::now(),
            ignored: AtomicU64::new(0),
            reported: AtomicU64::new(0),
            last: AtomicU64::new(0),
        }
    }
}

impl Malformed {
    /// Counts what was ignored. At most once in an interval (ms), returns how much that was since it last did; the
    /// caller reports it.
    pub fn count(&self, amount: u64, interval: u64) -> Option<u64> {
        // Relaxed, here and below: only people read these numbers.
        let ignored = self.ignored.fetch_add(amount, Ordering::Relaxed) + amount;
        let last = self.last.load(Ordering::Relaxed);
        let now = self.since.elapsed().as_millis() as u64 + 1;
        if last != 0 && now < last + interval {
            return None;
        }
        self.last
            .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
            .ok()?;
        let reported = self.reported.swap(ignored, Ordering::Relaxed);
        Some(ignored.saturating_sub(reported))
    }

    /// How much has been ignored.
    pub fn ignored(&self) -> u64 {
        self.ignored.load(Ordering::Relaxed)
    }
}
