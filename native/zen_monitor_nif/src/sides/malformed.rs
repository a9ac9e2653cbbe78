//! How much was ignored because it made no sense.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// How much was ignored, and how much of that was reported when.
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
    /// Counts what was ignored. Once in an interval (ms), it answers how much that was since the
    /// last such answer; the caller reports it.
    pub fn count(&self, amount: u64, interval: u64) -> Option<u64> {
        // Relaxed, here and below: these are numbers for people.
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
