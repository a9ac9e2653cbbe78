//! The grace: holding the monitors on a node whose connection is lost and may come back. Times are monotonic milliseconds.

use crate::calls::timeslice::{SLICE, Timeslice};
use crate::state::current;
use rustler::{Env, NifResult, Term};

/// Holds all monitors that a node was told of, when the connection to it is lost. They are held for `grace` from `now`
/// on; if the node has not answered since an earlier loss, the time counts from that loss. Returns until when, and how
/// many more monitors are held now. Returns `nil`, and holds nothing, when the node was not there at all: it had neither
/// answered nor been `asked`.
#[rustler::nif]
fn connector_hold(node: Term, now: i64, grace: i64, asked: bool) -> NifResult<Option<(i64, u64)>> {
    let state = current()?;
    let table = &state.local.table;
    Ok(table.lose(state.local.node(node)?, now, grace, asked))
}

/// Notes which life of a node has answered, or `nil` if that is not known. Monitors that were held for another life
/// expire. Returns since when the others are held, if they may be subscribed again now.
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

/// Puts held targets into the outbox of their node: up to `limit`, and a slice at most. Returns how many, how many
/// monitors are not held any more by that, and whether that was all.
#[rustler::nif]
fn connector_resume(env: Env, node: Term, limit: usize) -> NifResult<(usize, u64, bool)> {
    let state = current()?;
    let _timeslice = Timeslice::begin(env);
    let table = &state.local.table;
    let resumed = table.resume(state.local.node(node)?, limit.min(SLICE));
    Ok((resumed.targets, resumed.monitors, resumed.done))
}

/// Tells a new Connector whether monitors on its node are held, and until when. The time is `nil` if the node was back
/// when the former Connector died.
#[rustler::nif]
fn connector_held(node: Term) -> NifResult<(bool, Option<i64>)> {
    Ok(current()?.local.node(node)?.loss())
}
