//! ERTS monitors as the subscription table knows them: the numbers of their references.

use crate::terms::batch::Batch;
use crate::terms::reference::reference;
use rustler::{Env, Error, NifResult, Term};
use zen_monitor_core::subscriptions::table::MonitorRef;
use zen_monitor_core::wire::RUN;

/// How many instructions or monitors one call handles. Few, since each may meet an index that grows.
pub const SLICE: usize = 64;
/// The most destinations that one call returns: a slice, and the run that filled it.
const MADE: usize = SLICE + RUN;

/// The numbers of a list of references.
pub fn read_monitors(env: Env, monitors: Term) -> NifResult<Vec<MonitorRef>> {
    let mut numbers = Vec::new();
    let mut rest = monitors;
    while let Ok((monitor, tail)) = rest.list_get_cell() {
        if numbers.len() == MADE {
            return Err(Error::BadArg);
        }
        numbers.push(reference(env, monitor).ok_or(Error::BadArg)?);
        rest = tail;
    }
    Ok(numbers)
}

/// References of this node with these numbers, whatever it is called by now.
pub fn monitors_to_terms<'a>(env: Env<'a>, monitors: &[MonitorRef]) -> NifResult<Vec<Term<'a>>> {
    if monitors.is_empty() {
        return Ok(Vec::new());
    }
    let mut batch = Batch::new(env);
    for monitor in monitors {
        batch.reference(*monitor);
    }
    batch.build().ok_or(Error::BadArg)
}
