//! What a Connector does with the monitors on a node whose connection is lost and may come back.
//!
//! All that must outlive a Connector is here: whose life the subscriptions were made for, since when
//! they are held, and for how long.

use crate::calls::timeslice::Timeslice;
use crate::sides::local::SLICE;
use crate::state::current;
use rustler::{Env, NifResult, Term};

/// What is known of the connection to a node.
#[derive(Default)]
pub struct Connection {
    /// The life of the node whose Proxy has answered over it, by its creation.
    life: Option<u32>,
    /// Boxed, since most nodes have none.
    loss: Option<Box<Loss>>,
}

/// A connection that was lost, with sessions that are held. Times are monotonic milliseconds.
struct Loss {
    since: i64,
    /// When the grace ends; nothing once the node is back.
    deadline: Option<i64>,
}

impl Connection {
    /// Forgets all of it, since what was held has expired.
    pub fn forget(&mut self) {
        *self = Connection::default();
    }
}

/// Holds everything that a node was told to watch, since the connection to it is lost, for `grace` from
/// `now` on. Answers until when, and how many monitors more are held now. The time counts from when the
/// node was last there: it had answered, or been `asked` at least. Answers `nil` when it was not, and
/// nothing is held then.
#[rustler::nif]
fn connector_hold(node: Term, now: i64, grace: i64, asked: bool) -> NifResult<Option<(i64, u64)>> {
    let state = current()?;
    let node = state.local.node(node)?;
    let connection = &mut *node.host.connection.lock();
    if let Some(deadline) = connection.loss.as_ref().and_then(|loss| loss.deadline) {
        return Ok(Some((deadline, 0)));
    }
    if connection.life.is_none() && !asked {
        return Ok(None);
    }
    let deadline = now.saturating_add(grace);
    let since = connection.loss.as_ref().map_or(now, |loss| loss.since);
    connection.loss = Some(Box::new(Loss {
        since,
        deadline: Some(deadline),
    }));
    Ok(Some((deadline, state.local.table.hold(node))))
}

/// Notes which life of a node has answered, `nil` when that is not known. Answers since when its monitors
/// were held, if they may be subscribed again now; those that were held of another life have expired.
#[rustler::nif]
fn connector_recognize(env: Env, node: Term, life: Option<u32>) -> NifResult<Option<i64>> {
    let state = current()?;
    let local = &state.local;
    let node = local.node(node)?;
    let connection = &mut *node.host.connection.lock();
    let is_same = life.is_some() && connection.life == life;
    connection.life = life;
    let Some(loss) = &mut connection.loss else {
        return Ok(None);
    };
    if is_same {
        loss.deadline = None;
        return Ok(Some(loss.since));
    }
    connection.loss = None;
    local.table.expire(node);
    local.backlog.ring(env);
    Ok(None)
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
        node.host.connection.lock().loss = None;
    }
    Ok((resumed.targets, resumed.monitors, resumed.done))
}

/// Whether monitors on a node are held, and until when, for a new Connector: `nil` if the node was back when
/// the former Connector died.
#[rustler::nif]
fn connector_held(node: Term) -> NifResult<(bool, Option<i64>)> {
    let state = current()?;
    let connection = state.local.node(node)?.host.connection.lock();
    let loss = connection.loss.as_ref();
    Ok((loss.is_some(), loss.and_then(|loss| loss.deadline)))
}
