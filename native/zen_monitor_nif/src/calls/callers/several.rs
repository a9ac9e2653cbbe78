//! Places and removes many monitors by one call. Each has a reference of its own.

use crate::calls::direct;
use crate::calls::timeslice::{Timeslice, WORKING};
use crate::sides::local::destinations::{Destinations, note_unanswered};
use crate::sides::local::kind::Kind;
use crate::sides::local::node::Node;
use crate::state::current;
use crate::terms::reference::{plain_reference, reference};
use crate::terms::{atoms, shape, word};
use rustler::{Encoder, Env, Error, NifResult, Term};
use zen_monitor_core::structures::held::HELD;
use zen_monitor_core::structures::limits::Full;

direct::nif!("monitor_all", 4, monitor_all);
direct::nif!("demonitor_all", 1, demonitor_all);

/// Places monitors on a part of a list of destinations for the calling process. `bulk` says whether they are bulk
/// monitors, and `name` is the name of this node. Each monitor gets the next of `references`, a list of fresh ones
/// that is as long as that of the destinations. Returns
///
/// - `:ok` when the list is done and every node has a Connector;
/// - `{rest, references, nodes}` otherwise: the rest of both lists, and the nodes that have no Connector yet;
/// - `{:system_limit, references, nodes}` when there is no room for some.
fn monitor_all<'a>(
    env: Env<'a>,
    [list, mut references, bulk, name]: [Term<'a>; 4],
) -> NifResult<Term<'a>> {
    let state = current()?;
    let local = &state.local;
    let timeslice = Timeslice::begin(env);
    let kind = match bulk.decode()? {
        true => local.options.bulk(),
        false => Kind::Plain,
    };
    let pid = kind.mark(word::of_caller(env));
    let mut destinations = Destinations::new(local, list, name, true);
    let (mut keys, mut nodes) = (Vec::with_capacity(HELD), Vec::new());
    let (mut words, mut unanswered) = (Vec::with_capacity(HELD), Vec::new());
    let mut more = true;
    while more && timeslice.elapsed() < WORKING {
        keys.clear();
        nodes.clear();
        words.clear();
        more = destinations.take(HELD, &mut keys, &mut nodes)?;
        for _ in &keys {
            let (monitor, rest) = shape::cell(references).ok_or(Error::BadArg)?;
            words.push(plain_reference(env, monitor).ok_or(Error::BadArg)?);
            references = rest;
        }
        let wake = |node: &Node| node.host.connector.ring(env);
        let (newcomer, outcome) = local.table.monitor_each(pid, &words, &keys, wake);
        if newcomer {
            local.watch(env, &env.pid(), pid);
        }
        note_unanswered(env, &nodes, &mut unanswered);
        if let Err(Full) = outcome {
            return Ok((atoms::system_limit(), references, unanswered).encode(env));
        }
    }
    if !more && unanswered.is_empty() {
        return Ok(atoms::ok().to_term(env));
    }
    Ok((destinations.rest, references, unanswered).encode(env))
}

/// Removes a part of a list of monitors of the calling process. Returns `{removed, rest, others}`: how many it had, the
/// rest of the list, and the references under which it had no monitor.
fn demonitor_all<'a>(env: Env<'a>, [mut list]: [Term<'a>; 1]) -> NifResult<Term<'a>> {
    let state = current()?;
    let local = &state.local;
    let timeslice = Timeslice::begin(env);
    let caller = word::of_caller(env);
    let (mut removed, mut others) = (0, Term::list_new_empty(env));
    let (mut monitors, mut words) = (Vec::with_capacity(HELD), Vec::with_capacity(HELD));
    while !list.is_empty_list() && timeslice.elapsed() < WORKING {
        if !list.is_list() {
            return Err(Error::BadArg);
        }
        monitors.clear();
        words.clear();
        while monitors.len() < HELD
            && let Some((monitor, rest)) = shape::cell(list)
        {
            list = rest;
            match reference(env, monitor) {
                Some(reference) => {
                    monitors.push(monitor);
                    words.push(reference);
                }
                None => others = others.list_prepend(monitor),
            }
        }
        for &kind in local.options.kinds() {
            let wake = |node: &Node| node.host.connector.ring(env);
            let left = local.table.demonitor_each(kind.mark(caller), &words, wake);
            removed += words.len() - left.len();
            if kind.is_tagged() {
                let mut left = left.iter().peekable();
                for (place, reference) in words.iter().enumerate() {
                    if left.next_if_eq(&&place).is_none() {
                        local.options.forget(kind, *reference);
                    }
                }
            }
            for (to, &from) in left.iter().enumerate() {
                monitors[to] = monitors[from];
                words[to] = words[from];
            }
            monitors.truncate(left.len());
            words.truncate(left.len());
            if words.is_empty() {
                break;
            }
        }
        for &monitor in &monitors {
            others = others.list_prepend(monitor);
        }
    }
    Ok((removed, list, others).encode(env))
}

/// Whether the mailbox of the calling process may hold bulk messages.
#[rustler::nif]
fn has_bulk(env: Env) -> NifResult<bool> {
    Ok(current()?.local.has_bulk(word::of_caller(env)))
}
