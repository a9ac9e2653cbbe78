//! What a call on a normal scheduler takes of its process's timeslice.

use rustler::Env;
use rustler::schedule::consume_timeslice;
use std::time::Instant;

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
}

impl Drop for Timeslice<'_> {
    fn drop(&mut self) {
        // A timeslice is taken for a fifth of what a native call may take: in a storm, several processes
        // that make such calls take turns on one scheduler, and whoever else is there waits for them all.
        let percent = self.began.elapsed().as_micros() / 2;
        consume_timeslice(self.env, percent.clamp(1, 100) as i32);
    }
}
