//! What was ignored because it was malformed.

use crate::state::current;
use rustler::NifResult;

/// Counts what was ignored. Returns how much is to be reported now, or `nil` if an interval (ms) has not passed since
/// the last report.
#[rustler::nif]
fn malformed(amount: u64, interval: u64) -> NifResult<Option<u64>> {
    Ok(current()?.malformed.count(amount, interval))
}

/// How much has been ignored.
#[rustler::nif]
fn malformed_count() -> NifResult<u64> {
    Ok(current()?.malformed.ignored())
}
