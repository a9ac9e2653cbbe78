//! What a Connector does with the monitors on a node whose connection is lost and may come back.

use crate::calls::timeslice::{SLICE, Timeslice};
use crate::sides::local::connection::Recognized;
use crate::state::current;
use rustler::{Env, NifResult, Term};

/// Holds everything that a node was told to watch, since the connection to it is lost, for `grace` from
/// `now` on. Answers until when, and how many monitors more are held now. The time counts from when the
/// node was last there: it had answered, or been `asked` at least. Answers `nil` when it was not, and
/// nothing is held then.
#[rustler::nif]
fn connector_hold(node: Term, now: i64, grace: i64, asked: bool) -> NifResult<Option<(i64, u64)>> {
    let state = current()?;
    let node = state.local.node(node)?;
    let connection = &mut *node.host.connection.lock();
    let grace = connection.lose(now, grace, asked);
    Ok(grace.map(|(deadline, begins)| match begins {
        true => (deadline, state.local.table.hold(node)),
        false => (deadline, 0),
    }))
}

/// Notes which life of a node has answered, `nil` when that is not known. Answers since when its monitors
/// were held, if they may be subscribed again now; those that were held of another life have expired.
#[rustler::nif]
fn connector_recognize(env: Env, node: Term, life: Option<u32>) -> NifResult<Option<i64>> {
    let state = current()?;
    let local = &state.local;
    let node = local.node(node)?;
    let connection = &mut *node.host.connection.lock();
    match connection.recognize(life) {
        Recognized::Unlost => Ok(None),
        Recognized::Same(since) => Ok(Some(since)),
        Recognized::Other => {
            local.table.expire(node);
            local.backlog.ring(env);
            Ok(None)
        }
    }
}

/// Puts up to `limit` targets that were held, and a slice at most, into the outbox of their node. Answers
/// how many, the monitors that are not held any more, and whether that was all.
#[rustler::nif]
fn connector_resume(env: Env, node: Term, limit: usize) -> NifResult<(usize, u64, bool)> {
    let state = current()?;
    let _timeslice = Timeslice::begin(env);
    let node = state.local.node(node)?;
    let resumed = state.local.table.resume(node, limit.min(SLICE));
    if resumed.done {
        node.host.connection.lock().resume();
    }
    Ok((resumed.targets, resumed.monitors, resumed.done))
}

/// Whether monitors on a node are held, and until when, for a new Connector: `nil` if the node was back when
/// the former Connector died.
#[rustler::nif]
fn connector_held(node: Term) -> NifResult<(bool, Option<i64>)> {
    let state = current()?;
    let connection = state.local.node(node)?.host.connection.lock();
    Ok((connection.is_lost(), connection.deadline()))
}
