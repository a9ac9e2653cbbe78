//! What was ignored because it made no sense.

use crate::state::current;
use rustler::NifResult;
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
    fn count(&self, amount: u64, interval: u64) -> Option<u64> {
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
}

/// Counts what was ignored. Answers how much must be reported now, or `nil`.
#[rustler::nif]
fn malformed(amount: u64, interval: u64) -> NifResult<Option<u64>> {
    Ok(current()?.malformed.count(amount, interval))
}

/// How much has been ignored.
#[rustler::nif]
fn malformed_count() -> NifResult<u64> {
    Ok(current()?.malformed.ignored.load(Ordering::Relaxed))
}
