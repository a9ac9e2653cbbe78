//! How much one call on a normal scheduler may do, and which share of its process's timeslice that takes.

use rustler::Env;
use rustler::schedule::consume_timeslice;
use std::time::{Duration, Instant};

/// How many entries one call handles, at some hundred nanoseconds each.
pub const SLICE: usize = 1_000;
/// How long one call works through a list.
pub const WORKING: Duration = Duration::from_micros(200);

/// Measures a call, until the end of the scope, and reports its time to the scheduler. So a process that makes many such
/// calls gives way to others every fifth of a millisecond.
pub struct Timeslice<'a> {
    env: Env<'a>,
    began: Instant,
}

impl<'a> Timeslice<'a> {
    /// Begins to measure.
    pub fn begin(env: Env<'a>) -> Self {
        Timeslice {
            env,
            began: Instant::now(),
        }
    }

    /// How long the call has taken.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

impl Drop for Timeslice<'_> {
    fn drop(&mut self) {
        // The VM takes a timeslice for 1 ms; here it is 0.2 ms. In a storm, several processes that make such calls
        // take turns on one scheduler, and any other process there waits for all of them.
        let percent = self.began.elapsed().as_micros() / 2;
        consume_timeslice(self.env, percent.clamp(1, 100) as i32);
    }
}

/// Reports to the scheduler that a call took about `items` times a tenth of a microsecond. Less than one percent of a
/// timeslice is not reported.
pub fn consume(env: Env, items: usize) {
    let percent = (items / 100).min(100);
    if percent > 0 {
        consume_timeslice(env, percent as i32);
    }
}
