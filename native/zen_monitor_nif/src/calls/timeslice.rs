//! How much one call on a normal scheduler may do, and what it takes of its process's timeslice.

use rustler::Env;
use rustler::schedule::consume_timeslice;
use std::time::{Duration, Instant};

/// Entries handled by one call, at some hundred nanoseconds each.
pub const SLICE: usize = 1_000;
/// How long one call works through a list.
pub const WORKING: Duration = Duration::from_micros(200);

/// Measures a call from here to the end of its scope, and tells the scheduler, so that a process
/// which makes many such calls gives way to others every fifth of a millisecond.
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
        // A timeslice is taken for a fifth of what a native call may take: in a storm, several processes
        // that make such calls take turns on one scheduler, and whoever else is there waits for them all.
        let percent = self.began.elapsed().as_micros() / 2;
        consume_timeslice(self.env, percent.clamp(1, 100) as i32);
    }
}

/// Tells the scheduler that a call took about `items` times a tenth of a microsecond, if that is
/// more than it takes a call to have cost anyway.
pub fn consume(env: Env, items: usize) {
    let percent = (items / 100).min(100);
    if percent > 0 {
        consume_timeslice(env, percent as i32);
    }
}
