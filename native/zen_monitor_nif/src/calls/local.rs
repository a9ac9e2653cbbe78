//! For `ZenMonitor.Local`, which expands the backlog, and for `ZenMonitor.Local.Tables`, which removes the monitors of
//! dead subscribers.

use crate::calls::timeslice::{SLICE, Timeslice};
use crate::sides::local::Watch;
use crate::sides::local::kind::Kind;
use crate::state::current;
use crate::terms::word;
use rustler::{Encoder, Env, LocalPid, Monitor, NifResult, Resource};

#[rustler::resource_impl]
impl Resource for Watch {
    const IMPLEMENTS_DOWN: bool = true;

    fn down<'a>(&'a self, env: Env<'a>, pid: LocalPid, _monitor: Monitor) {
        watched_is_down(env, pid);
    }
}

/// Notes the death of a subscriber.
pub fn watched_is_down(env: Env, pid: LocalPid) {
    if let Ok(state) = current() {
        let pid = word::from_term(pid.encode(env));
        state.local.depart_all(env, pid);
    }
}

/// Makes the caller the `ZenMonitor.Local` that is woken. Returns whether it succeeds another one.
#[rustler::nif]
fn backlog_answer(env: Env) -> NifResult<bool> {
    Ok(current()?.local.backlog.answer(env))
}

/// Expands a slice of the backlog: dead targets, and up to about `most` monitors on nodes that are down. Returns
/// `{moved, dead?, down?}`: how many of the latter there were, and whether more of either is left.
#[rustler::nif]
fn backlog_expand(env: Env, most: usize) -> NifResult<(usize, bool, bool)> {
    let state = current()?;
    let _timeslice = Timeslice::begin(env);
    let moved = state.local.expand(env, SLICE, most);
    let table = &state.local.table;
    Ok((
        moved,
        !table.is_dead_expanded(),
        !table.is_expired_expanded(),
    ))
}

/// Puts `ZenMonitor.Local` to rest; `false` when the backlog has something.
#[rustler::nif]
fn backlog_rest() -> NifResult<bool> {
    let state = current()?;
    let local = &state.local;
    Ok(local.backlog.rest(|| local.table.is_expanded()))
}

/// Makes the caller the `ZenMonitor.Local.Tables` that is woken. Returns whether it succeeds another one.
#[rustler::nif]
fn departures_answer(env: Env) -> NifResult<bool> {
    Ok(current()?.local.departures.answer(env))
}

/// Removes a slice of the monitors of dead subscribers. `true` when none is left.
#[rustler::nif]
fn departures_sweep(env: Env) -> NifResult<bool> {
    let state = current()?;
    let _timeslice = Timeslice::begin(env);
    let local = &state.local;
    let ended = local.sweep_sets(env);
    let swept = local.table.sweep_departed(
        SLICE,
        |node| node.host.connector.ring(env),
        |pid, reference| match Kind::of(pid) {
            Kind::Set | Kind::BulkSet => local.sets.swept(),
            kind => local.options.forget(kind, reference),
        },
    );
    Ok(ended && swept)
}

/// Puts `ZenMonitor.Local.Tables` to rest; `false` when a subscriber has died meanwhile.
#[rustler::nif]
fn departures_rest() -> NifResult<bool> {
    let state = current()?;
    let local = &state.local;
    Ok(local
        .departures
        .rest(|| local.table.is_swept() && local.sets.is_swept()))
}
