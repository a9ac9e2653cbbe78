//! What a Connector does with the monitors on a node whose connection is lost and may come back. Times are
//! monotonic milliseconds.

use crate::calls::timeslice::{SLICE, Timeslice};
use crate::state::current;
use rustler::{Env, NifResult, Term};

/// Holds everything that a node was told to watch, since the connection to it is lost, for `grace` from
/// `now` on. Answers until when, and how many monitors more are held now. The time counts from when the
/// node was last there: it had answered, or been `asked` at least. Answers `nil` when it was not, and
/// nothing is held then.
#[rustler::nif]
fn connector_hold(node: Term, now: i64, grace: i64, asked: bool) -> NifResult<Option<(i64, u64)>> {
    let state = current()?;
    let table = &state.local.table;
    Ok(table.lose(state.local.node(node)?, now, grace, asked))
}

/// Notes which life of a node has answered, `nil` when that is not known. Answers since when its monitors
/// are held, if they may be subscribed again now; those that were held of another life have expired.
#[rustler::nif]
fn connector_recognize(env: Env, node: Term, life: Option<u32>) -> NifResult<Option<i64>> {
    let state = current()?;
    let local = &state.local;
    let since = local.table.recognize(local.node(node)?, life);
    if !local.table.is_expanded() {
        local.backlog.ring(env);
    }
    Ok(since)
}

/// Puts up to `limit` targets that were held, and a slice at most, into the outbox of their node. Answers
/// how many, the monitors that are not held any more, and whether that was all.
#[rustler::nif]
fn connector_resume(env: Env, node: Term, limit: usize) -> NifResult<(usize, u64, bool)> {
    let state = current()?;
    let _timeslice = Timeslice::begin(env);
    let table = &state.local.table;
    let resumed = table.resume(state.local.node(node)?, limit.min(SLICE));
    Ok((resumed.targets, resumed.monitors, resumed.done))
}

/// Whether monitors on a node are held, and until when, for a new Connector: `nil` if the node was back when
/// the former Connector died.
#[rustler::nif]
fn connector_held(node: Term) -> NifResult<(bool, Option<i64>)> {
    Ok(current()?.local.node(node)?.loss())
}
