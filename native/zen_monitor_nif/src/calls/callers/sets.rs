//! Makes, changes, reads and ends sets.

use crate::calls::direct;
use crate::calls::timeslice::{Timeslice, WORKING};
use crate::sides::local::Local;
use crate::sides::local::destinations::{Destinations, note_unanswered};
use crate::sides::local::kind::Kind;
use crate::sides::local::node::Node;
use crate::sides::local::set::{Envelope, Set};
use crate::sides::local::tag::Tag;
use crate::sides::local::target::{add_object, name_of};
use crate::state::current;
use crate::terms::batch::Batch;
use crate::terms::reference::{plain_reference, reference};
use crate::terms::{atoms, word};
use rustler::{Encoder, Env, Error, NifResult, Term};
use std::sync::Arc;
use zen_monitor_core::structures::held::HELD;
use zen_monitor_core::structures::limits::Full;

direct::nif!("set_put", 3, set_put);
direct::nif!("set_delete", 3, set_delete);

/// Makes an empty set that belongs to the calling process. `monitor` is a fresh reference, and `tag` the first element
/// of the messages. Raises `:system_limit` when there is no room for a set.
#[rustler::nif]
fn set_open<'a>(env: Env<'a>, monitor: Term<'a>, tag: Term<'a>, bulk: bool) -> NifResult<bool> {
    let state = current()?;
    let local = &state.local;
    let reference = plain_reference(env, monitor).ok_or(Error::BadArg)?;
    let tag = Tag::new(env, tag)?;
    let owner = word::of_caller(env);
    let kind = if bulk { Kind::BulkSet } else { Kind::Set };
    let word = |number| kind.mark(number << 4);
    let envelope = Envelope { tag };
    let (set, newcomer) = local.sets.open(owner, reference, word, envelope);
    if newcomer {
        local.watch(env, &env.pid(), owner);
    }
    if let Err(Full) = local.table.open_set(set.word) {
        local.sets.close(&set);
        return Err(Error::RaiseAtom("system_limit"));
    }
    Ok(true)
}

/// The set of a reference, if it belongs to the calling process. Otherwise the answer of the call: `:closed` when there
/// is no such set, or `{:owner, pid}` when it belongs to another process.
fn own<'a>(env: Env<'a>, local: &Local, monitor: Term<'a>) -> Result<Arc<Set>, Term<'a>> {
    let set = find(env, local, monitor).ok_or_else(|| atoms::closed().to_term(env))?;
    if set.owner == word::of_caller(env) {
        return Ok(set);
    }
    Err((atoms::owner(), word::to_term(env, set.owner)).encode(env))
}

fn find(env: Env, local: &Local, monitor: Term) -> Option<Arc<Set>> {
    local.sets.find(reference(env, monitor)?)
}

/// Puts a part of a list of destinations into a set of the calling process. `name` is the name of this node. Returns
///
/// - `added`, how many are new, when the list is done and every node has a Connector;
/// - `{added, rest, nodes}` otherwise: with the rest of the list, and the nodes that have no Connector yet;
/// - `{added, :system_limit, nodes}` when there is no room for some;
/// - `:closed` or `{:owner, pid}`, as [`own`] does.
fn set_put<'a>(env: Env<'a>, [monitor, list, name]: [Term<'a>; 3]) -> NifResult<Term<'a>> {
    let state = current()?;
    let local = &state.local;
    let set = match own(env, local, monitor) {
        Ok(set) => set,
        Err(answer) => return Ok(answer),
    };
    let timeslice = Timeslice::begin(env);
    let mut destinations = Destinations::new(local, list, name, true);
    let (mut keys, mut nodes) = (Vec::with_capacity(HELD), Vec::new());
    let (mut added, mut unanswered) = (0, Vec::new());
    let mut more = true;
    while more && timeslice.elapsed() < WORKING {
        keys.clear();
        nodes.clear();
        more = destinations.take(HELD, &mut keys, &mut nodes)?;
        let wake = |node: &Node| node.host.connector.ring(env);
        let (new, outcome) = local.table.put(set.word, &keys, wake);
        local.sets.add(&set, new);
        added += new;
        note_unanswered(env, &nodes, &mut unanswered);
        if let Err(Full) = outcome {
            let full = (added, atoms::system_limit(), unanswered);
            return Ok(full.encode(env));
        }
    }
    if !more && unanswered.is_empty() {
        return Ok(added.encode(env));
    }
    Ok((added, destinations.rest, unanswered).encode(env))
}

/// Deletes a part of a list of destinations from a set of the calling process. Returns `deleted`, how many were members,
/// when the list is done, or else `{deleted, rest}`; and `:closed` or `{:owner, pid}`, as [`own`] does.
fn set_delete<'a>(env: Env<'a>, [monitor, list, name]: [Term<'a>; 3]) -> NifResult<Term<'a>> {
    let state = current()?;
    let local = &state.local;
    let set = match own(env, local, monitor) {
        Ok(set) => set,
        Err(answer) => return Ok(answer),
    };
    let timeslice = Timeslice::begin(env);
    let mut destinations = Destinations::new(local, list, name, false);
    let (mut keys, mut nodes) = (Vec::with_capacity(HELD), Vec::new());
    let mut deleted = 0;
    let mut more = true;
    while more && timeslice.elapsed() < WORKING {
        keys.clear();
        nodes.clear();
        more = destinations.take(HELD, &mut keys, &mut nodes)?;
        let wake = |node: &Node| node.host.connector.ring(env);
        let removed = local.table.delete(set.word, &keys, wake);
        local.sets.subtract(&set, removed);
        deleted += removed;
    }
    match more {
        true => Ok((deleted, destinations.rest).encode(env)),
        false => Ok(deleted.encode(env)),
    }
}

/// Removes a part of the members of a set of the calling process, and ends the set when none is left. Returns `true` when
/// it has ended and `false` when there is more to do; and `:closed` or `{:owner, pid}`, as [`own`] does.
#[rustler::nif]
fn set_close<'a>(env: Env<'a>, monitor: Term<'a>) -> NifResult<Term<'a>> {
    let state = current()?;
    let local = &state.local;
    let set = match own(env, local, monitor) {
        Ok(set) => set,
        Err(answer) => return Ok(answer),
    };
    let timeslice = Timeslice::begin(env);
    while timeslice.elapsed() < WORKING {
        let wake = |node: &Node| node.host.connector.ring(env);
        let (removed, is_empty) = local.table.empty(set.word, wake);
        local.sets.subtract(&set, removed);
        if is_empty {
            local.sets.close(&set);
            local.depart(env, set.word);
            return Ok(true.encode(env));
        }
    }
    Ok(false.encode(env))
}

/// Whether a destination is in a set. `destination` is a list of that one destination.
#[rustler::nif]
fn set_member<'a>(
    env: Env<'a>,
    monitor: Term<'a>,
    destination: Term<'a>,
    name: Term<'a>,
) -> NifResult<bool> {
    let state = current()?;
    let local = &state.local;
    let mut keys = Vec::new();
    Destinations::new(local, destination, name, false).take(1, &mut keys, &mut Vec::new())?;
    let set = find(env, local, monitor);
    Ok(set.is_some_and(|set| keys.iter().any(|&key| local.table.is_member(set.word, key))))
}

/// `{members, waiting}` of a set: how many members it has, and how many of those are due. `:closed` when there
/// is no such set.
#[rustler::nif]
fn set_size<'a>(env: Env<'a>, monitor: Term<'a>) -> NifResult<Term<'a>> {
    let state = current()?;
    let local = &state.local;
    Ok(match find(env, local, monitor) {
        Some(set) => (set.size(), local.table.queued(set.word)).encode(env),
        None => atoms::closed().to_term(env),
    })
}

/// The members of a set, in the order in which they were put. `name` is the name of this node. Dirty: the more members
/// there are, the longer it takes.
#[rustler::nif(schedule = "DirtyCpu")]
fn set_members<'a>(env: Env<'a>, monitor: Term<'a>, name: Term<'a>) -> NifResult<Vec<Term<'a>>> {
    let state = current()?;
    let local = &state.local;
    let Some(set) = find(env, local, monitor) else {
        return Ok(Vec::new());
    };
    let mut batch = Batch::new(env);
    let mut recent: Option<(&Node, Option<_>, Term)> = None;
    for key in local.table.members(set.word) {
        let (_, sample, host) = match recent.take() {
            Some(known) if known.0.id() == key.node => recent.insert(known),
            _ => {
                let node = local.table.nodes.get(key.node);
                let sample = node.host.origin.sample();
                recent.insert((node, sample, name_of(env, node, name)))
            }
        };
        add_object(&mut batch, sample.as_deref(), *host, key);
    }
    batch.build().ok_or(Error::BadArg)
}
