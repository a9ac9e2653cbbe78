//! What the tables hold, for people. Nothing else depends on these functions.

use crate::sides::local::kind::{Kind, pid_of};
use crate::sides::local::target::{add_object, name_of};
use crate::sides::proxy::connector::Connector;
use crate::sides::proxy::destination::Subject;
use crate::state::current;
use crate::terms::batch::Batch;
use crate::terms::word;
use rustler::{Encoder, Env, Error, LocalPid, NifResult, ResourceArc, Term};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::{Duration, Instant};
use zen_monitor_core::monitors::subscribers::Holding;
use zen_monitor_core::structures::held::HELD;

/// How long one call looks at subscribers, at a few nanoseconds each.
const LOOKING: Duration = Duration::from_millis(20);

/// `{node, targets, monitors, monitors held, instructions waiting}` of every node. Dirty: it looks at a thousand shards.
#[rustler::nif(schedule = "DirtyCpu")]
#[allow(clippy::type_complexity)]
fn survey_nodes(env: Env<'_>) -> NifResult<Vec<(Term<'_>, u64, u64, u64, usize)>> {
    let state = current()?;
    let nodes = state.local.table.survey_nodes();
    Ok(nodes
        .into_iter()
        .map(|(node, targets, monitors, held)| {
            let name = word::to_term(env, node.name());
            (name, targets, monitors, held, node.outbox_len())
        })
        .collect())
}

/// How many instructions wait for a node.
#[rustler::nif]
fn outbox_len(node: Term) -> NifResult<usize> {
    Ok(current()?.local.node(node)?.outbox_len())
}

/// Three things: `{pid, monitors, queued}` of the `limit` processes that have the most queued, and among equals the most
/// monitors; `{reference, owner, members, queued}` of the `limit` largest sets; and whether there was time to look at all
/// subscribers. The members of a set count as monitors of its owner. Dirty: there may be a million subscribers.
#[rustler::nif(schedule = "DirtyCpu")]
#[allow(clippy::type_complexity)]
fn survey_subscribers(
    env: Env<'_>,
    limit: usize,
) -> NifResult<(Vec<Term<'_>>, Vec<Term<'_>>, bool)> {
    let state = current()?;
    let local = &state.local;
    let began = Instant::now();
    let mut most: BinaryHeap<Reverse<Holding>> = BinaryHeap::new();
    let mut sets = Vec::new();
    let mut seen = 0;
    let all = local.table.survey(|holding| {
        if holding.monitors > 0 && limit > 0 {
            match Kind::of(holding.pid) {
                Kind::Set | Kind::BulkSet => sets.push(holding),
                _ => most.push(Reverse(holding)),
            }
        }
        // One process may be up to four subscribers.
        if most.len() > limit.saturating_mul(4) {
            most.pop();
        }
        seen += 1;
        seen % 1_024 != 0 || began.elapsed() < LOOKING
    });
    let mut merged: BTreeMap<u64, Holding> = BTreeMap::new();
    let mut add = |pid: u64, holding: Holding| {
        let sum = merged.entry(pid).or_default();
        *sum = Holding {
            queued: sum.queued + holding.queued,
            monitors: sum.monitors + holding.monitors,
            pid,
        };
    };
    for Reverse(holding) in most {
        add(pid_of(holding.pid), holding);
    }
    sets.sort_unstable_by_key(|holding| Reverse((holding.monitors, holding.pid)));
    let mut largest = Vec::new();
    let mut batch = Batch::new(env);
    for holding in sets {
        // A set that has ended meanwhile has no owner any more.
        let Some(set) = local.sets.by_word(holding.pid) else {
            continue;
        };
        add(set.owner, holding);
        if largest.len() < limit {
            batch.reference(set.reference);
            largest.push((set.owner, holding));
        }
    }
    let references = batch.build().ok_or(Error::BadArg)?;
    let largest = references.into_iter().zip(largest);
    let largest = largest.map(|(reference, (owner, holding))| {
        let owner = word::to_term(env, owner);
        (reference, owner, holding.monitors, holding.queued).encode(env)
    });
    let mut holdings: Vec<Holding> = merged.into_values().collect();
    holdings.sort_unstable_by_key(|holding| Reverse(*holding));
    holdings.truncate(limit);
    let listed = holdings.into_iter().map(|holding| {
        let pid = word::to_term(env, holding.pid);
        (pid, holding.monitors, holding.queued).encode(env)
    });
    Ok((listed.collect(), largest.collect(), all))
}

/// `{sets, members, largest}`: how many sets there are, how many members they have together, and how many the largest
/// one has. Dirty: there may be a million sets. It looks at as many as it can in 20 ms.
#[rustler::nif(schedule = "DirtyCpu")]
fn survey_sets() -> NifResult<(usize, usize, usize)> {
    let state = current()?;
    let sets = &state.local.sets;
    let (began, mut largest, mut seen) = (Instant::now(), 0, 0);
    sets.survey(None, |set| {
        largest = largest.max(set.size());
        seen += 1;
        seen % 1_024 != 0 || began.elapsed() < LOOKING
    });
    let (count, members) = sets.counts();
    Ok((count, members, largest))
}

/// `{monitors, queued, [{reference, object}], [{reference, members, queued}]}` of a process. The first two count the
/// members of its sets, too; the lists have some of its monitors and some of its sets. `name` is the name of this node.
/// Dirty: the process may have many sets.
#[rustler::nif(schedule = "DirtyCpu")]
#[allow(clippy::type_complexity)]
fn held<'a>(
    env: Env<'a>,
    name: Term<'a>,
    pid: LocalPid,
) -> NifResult<(u32, u32, Vec<(Term<'a>, Term<'a>)>, Vec<Term<'a>>)> {
    let state = current()?;
    let local = &state.local;
    let pid = word::from_term(pid.encode(env));
    let (mut monitors, mut queued) = (0, 0);
    let mut batch = Batch::new(env);
    for &kind in local.options.kinds() {
        let (holding, held) = local.table.held(kind.mark(pid));
        monitors += holding.monitors;
        queued += holding.queued;
        for (reference, key) in held {
            local.options.add_reference(&mut batch, kind, reference);
            let node = local.table.nodes.get(key.node);
            let host = name_of(env, node, name);
            add_object(&mut batch, None, host, key);
        }
    }
    let built = batch.build().ok_or(Error::BadArg)?;
    let described = built.chunks_exact(2).map(|pair| (pair[0], pair[1]));
    let mut sets = Vec::new();
    local.sets.survey(Some(pid), |set| {
        let (members, waiting) = (set.size() as u32, local.table.queued(set.word));
        monitors += members;
        queued += waiting;
        if sets.len() < HELD {
            batch.reference(set.reference);
            sets.push((members, waiting));
        }
        true
    });
    let references = batch.build().ok_or(Error::BadArg)?;
    let sets = references.into_iter().zip(sets);
    let sets =
        sets.map(|(reference, (members, waiting))| (reference, members, waiting).encode(env));
    Ok((monitors, queued, described.collect(), sets.collect()))
}

/// How many monitors this node has on a target, and some of the processes that placed them.
#[rustler::nif]
fn watchers<'a>(env: Env<'a>, node: Term<'a>, target: Term<'a>) -> NifResult<(u32, Vec<Term<'a>>)> {
    let state = current()?;
    let Some((node, id)) = state.local.locate(env, node, target)? else {
        return Ok((0, Vec::new()));
    };
    let (count, pids) = state.local.table.watchers(node, id);
    let process = |subscriber| match Kind::of(subscriber) {
        Kind::Set | Kind::BulkSet => Some(state.local.sets.by_word(subscriber)?.owner),
        _ => Some(pid_of(subscriber)),
    };
    let mut pids: Vec<u64> = pids.into_iter().filter_map(process).collect();
    pids.dedup();
    let pids = pids.into_iter().map(|pid| word::to_term(env, pid));
    Ok((count, pids.collect()))
}

/// The connectors that watch a destination.
#[rustler::nif]
fn proxy_watchers<'a>(env: Env<'a>, destination: Term<'a>) -> NifResult<Vec<Term<'a>>> {
    let state = current()?;
    let Some(Subject::Known(destination)) = Subject::of(destination) else {
        return Ok(Vec::new());
    };
    let mut watchers = Vec::new();
    let watcher = |connector: &ResourceArc<Connector>| watchers.push(connector.encode(env));
    state.proxy.table.lock().watchers(destination, watcher);
    Ok(watchers)
}

/// How many certificates wait for a connector or are just being sent to it.
#[rustler::nif]
fn proxy_outbox_len(connector: ResourceArc<Connector>) -> usize {
    connector.outbox.len()
}
