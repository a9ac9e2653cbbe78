//! Places and removes one monitor.

use crate::calls::direct;
use crate::sides::local::Local;
use crate::sides::local::kind::Kind;
use crate::sides::local::node::Node;
use crate::sides::local::tag::Tag;
use crate::sides::local::target::{known_id, node_of, target_id};
use crate::state::current;
use crate::terms::batch::Batch;
use crate::terms::etf::numbers;
use crate::terms::reference::{plain_reference, reference};
use crate::terms::{atoms, word};
use rustler::{Encoder, Env, Error, LocalPid, NifResult, Term};
use zen_monitor_core::monitors::slot::Reference;
use zen_monitor_core::structures::limits::Full;

direct::nif!("monitor", 4, monitor);
direct::nif!("demonitor", 1, demonitor);
direct::nif!("monitor_with", 5, monitor_with);

/// Places a monitor for `subscriber` under a fresh reference. `target` is a registered name, a pid of `node` or a pid of
/// this node. Returns
///
/// - `:ok`;
/// - `{:start, node}` when the monitor is placed, and that node has no Connector yet. Every caller gets this until it
///   has one;
/// - `:alias` when the reference is an alias, which needs [`monitor_with`].
///
/// Raises `:system_limit` when a table is full or the target has as many monitors as it may have.
fn monitor<'a>(
    env: Env<'a>,
    [subscriber, node, target, monitor]: [Term<'a>; 4],
) -> NifResult<Term<'a>> {
    let state = current()?;
    let Some(reference) = plain_reference(env, monitor) else {
        let is_alias = numbers(env, monitor).is_some();
        return is_alias
            .then(|| atoms::alias().to_term(env))
            .ok_or(Error::BadArg);
    };
    let monitor = (subscriber.decode()?, Kind::Plain, reference);
    place(env, &state.local, monitor, node, target)
}

/// Places a monitor with options, and returns what [`monitor`] does. `options` is `:bulk` or `{tag, alias?}`: the first
/// element of the message, and whether the reference is an alias.
fn monitor_with<'a>(
    env: Env<'a>,
    [subscriber, node, target, monitor, options]: [Term<'a>; 5],
) -> NifResult<Term<'a>> {
    let state = current()?;
    let local = &state.local;
    let subscriber: LocalPid = subscriber.decode()?;
    let numbers = numbers(env, monitor).ok_or(Error::BadArg)?;
    if !node.is_atom() {
        return Err(Error::BadArg);
    }
    let kind = if atoms::bulk() == options {
        local.options.bulk()
    } else {
        let (tag, alias): (Term, bool) = options.decode()?;
        local.options.keep(numbers, Tag::new(env, tag)?, alias)
    };
    let placed = place(env, local, (subscriber, kind, numbers.words), node, target);
    if placed.is_err() {
        local.options.forget(kind, numbers.words);
    }
    placed
}

/// Places a monitor, watches a new subscriber, and wakes the Connector.
#[inline]
fn place<'a>(
    env: Env<'a>,
    local: &Local,
    (subscriber, kind, reference): (LocalPid, Kind, [u32; 3]),
    node: Term<'a>,
    target: Term<'a>,
) -> NifResult<Term<'a>> {
    let pid = kind.mark(word::from_term(subscriber.encode(env)));
    let node = node_of(env, node, target);
    let place = |node: &Node, id| -> NifResult<bool> {
        let placed = local
            .table
            .monitor(node, pid, reference, id)
            .map_err(|Full| Error::RaiseAtom("system_limit"))?;
        if placed.newcomer {
            local.watch(env, &subscriber, pid);
        }
        if placed.outbox {
            node.host.connector.ring(env);
        }
        Ok(node.host.connector.is_answered())
    };
    let found = local.table.nodes.find(word::from_term(node));
    let known = found.and_then(|node| Some(place(node, known_id(target, &node.host)?)));
    let answered = match known {
        Some(answered) => answered?,
        None if target.is_atom() || target.is_pid() => {
            let node = local.node(node)?;
            let id = target_id(target, node).ok_or(Error::BadArg)?;
            place(node, id)?
        }
        None => return Err(Error::BadArg),
    };
    if answered {
        return Ok(atoms::ok().to_term(env));
    }
    Ok((atoms::start(), node).encode(env))
}

/// Removes a monitor of the calling process. Returns whether it had one, or `:bulk` as [`demonitor_with`] does.
fn demonitor<'a>(env: Env<'a>, [monitor]: [Term<'a>; 1]) -> NifResult<Term<'a>> {
    let state = current()?;
    let local = &state.local;
    let Some(reference) = reference(env, monitor) else {
        return Ok(false.encode(env));
    };
    let wake = |node: &Node| node.host.connector.ring(env);
    if local.table.demonitor(word::of_caller(env), reference, wake) {
        return Ok(true.encode(env));
    }
    Ok(demonitor_with(env, local, reference, &mut { wake }))
}

/// Removes a monitor with options of the calling process. Returns `true` if it had one. If not, returns `false`, or
/// `:bulk` when the mailbox of the process may hold bulk messages.
#[cold]
#[inline(never)]
fn demonitor_with<'a>(
    env: Env<'a>,
    local: &Local,
    reference: Reference,
    wake: &mut dyn FnMut(&Node),
) -> Term<'a> {
    let pid = word::of_caller(env);
    for &kind in &local.options.kinds()[1..] {
        if local.table.demonitor(kind.mark(pid), reference, &mut *wake) {
            local.options.forget(kind, reference);
            return true.encode(env);
        }
    }
    if local.has_bulk(pid) {
        return atoms::bulk().to_term(env);
    }
    false.encode(env)
}

/// The references under which `subscriber` monitors a target. Dirty: it walks all monitors of the target.
#[rustler::nif(schedule = "DirtyCpu")]
fn monitors<'a>(
    env: Env<'a>,
    subscriber: LocalPid,
    node: Term<'a>,
    target: Term<'a>,
) -> NifResult<Vec<Term<'a>>> {
    let state = current()?;
    let local = &state.local;
    let Some((node, id)) = local.locate(env, node, target)? else {
        return Ok(Vec::new());
    };
    let pid = word::from_term(subscriber.encode(env));
    let mut batch = Batch::new(env);
    for &kind in local.options.kinds() {
        for reference in local.table.monitors(node, kind.mark(pid), id) {
            local.options.add_reference(&mut batch, kind, reference);
        }
    }
    batch.build().ok_or(Error::BadArg)
}
