//! What a call on a normal scheduler took of its process's timeslice.

use rustler::Env;
use rustler::schedule::consume_timeslice;
use std::time::Instant;

/// Tells the scheduler what a call took that began at `began`. A timeslice is a millisecond.
pub fn consume_since(env: Env, began: Instant) {
    let percent = began.elapsed().as_micros() / 10;
    consume_timeslice(env, percent.clamp(1, 100) as i32);
}
