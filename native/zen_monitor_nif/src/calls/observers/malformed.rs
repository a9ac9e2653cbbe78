//! What was ignored because it made no sense.

use crate::state::current;
use rustler::NifResult;

/// Counts what was ignored. Answers how much must be reported now, or `nil`.
#[rustler::nif]
fn malformed(amount: u64, interval: u64) -> NifResult<Option<u64>> {
    Ok(current()?.malformed.count(amount, interval))
}

/// How much has been ignored.
#[rustler::nif]
fn malformed_count() -> NifResult<u64> {
    Ok(current()?.malformed.ignored())
}
