//! For `ZenMonitor.Truncator`.

use crate::calls::direct;
use crate::terms::truncation;
use rustler::{Env, NifResult, Term, schedule};
use zen_monitor_core::truncation::Limits;

direct::nif!("truncate", 3, truncate);

/// Truncates an exit reason: everything at level `depth` becomes `:truncated`, and binaries of
/// more than `max_binary_size` bytes are shortened.
///
/// The reason of a crashed server with its stack trace takes 0.1 µs, and any reason at most 0.4 ms. There is one
/// exception: a binary of more than 400 KB that does not start on a byte boundary. The VM copies such a binary
/// before it can be read, which takes 0.8 ms per MB.
fn truncate<'a>(
    env: Env<'a>,
    [reason, depth, max_binary_size]: [Term<'a>; 3],
) -> NifResult<Term<'a>> {
    let limits = Limits {
        depth: depth.decode()?,
        max_binary_size: max_binary_size.decode()?,
    };
    let (truncated, percent) = truncation::truncate(env, reason, limits);
    if percent > 0 {
        schedule::consume_timeslice(env, percent.min(100) as i32);
    }
    Ok(truncated)
}
