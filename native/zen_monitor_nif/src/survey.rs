//! What the tables hold, for people who look at them. Nothing here is on anybody's way.

use crate::etf::Batch;
use crate::options::pid_of;
use crate::state::current;
use crate::target::{add_object, name_of};
use crate::word;
use rustler::{Encoder, Env, Error, LocalPid, NifResult, Term};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::{Duration, Instant};
use zen_monitor_core::monitors::subscribers::Holding;

/// How long one call looks at subscribers, at some nanoseconds each.
const LOOKING: Duration = Duration::from_millis(20);

/// `{node, targets, monitors, monitors held, instructions waiting}` of every node. Dirty: there are a thousand
/// shards to be looked at.
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

/// `{pid, monitors, queued}` of the `limit` subscribers that have the most waiting, then the most
/// monitors, and whether all subscribers were looked at. Dirty: there may be a million.
#[rustler::nif(schedule = "DirtyCpu")]
#[allow(clippy::type_complexity)]
fn survey_subscribers(env: Env<'_>, limit: usize) -> NifResult<(Vec<(Term<'_>, u32, u32)>, bool)> {
    let state = current()?;
    let began = Instant::now();
    let mut most: BinaryHeap<Reverse<Holding>> = BinaryHeap::new();
    let mut seen = 0;
    let all = state.local.table.survey(|holding| {
        if holding.monitors > 0 && limit > 0 {
            most.push(Reverse(holding));
        }
        // One process may be four subscribers.
        if most.len() > limit.saturating_mul(4) {
            most.pop();
        }
        seen += 1;
        seen % 1_024 != 0 || began.elapsed() < LOOKING
    });
    let mut merged: BTreeMap<u64, Holding> = BTreeMap::new();
    for Reverse(holding) in most {
        let pid = pid_of(holding.pid);
        let sum = merged.entry(pid).or_default();
        *sum = Holding {
            queued: sum.queued + holding.queued,
            monitors: sum.monitors + holding.monitors,
            pid,
        };
    }
    let mut holdings: Vec<Holding> = merged.into_values().collect();
    holdings.sort_unstable_by_key(|holding| Reverse(*holding));
    holdings.truncate(limit);
    let listed = holdings.into_iter().map(|holding| {
        let pid = word::to_term(env, holding.pid);
        (pid, holding.monitors, holding.queued)
    });
    Ok((listed.collect(), all))
}

/// `{monitors, queued, [{reference, object}]}` of a process: the list holds a part when there are
/// many. `name` is this node's name.
#[rustler::nif]
#[allow(clippy::type_complexity)]
fn held<'a>(
    env: Env<'a>,
    name: Term<'a>,
    pid: LocalPid,
) -> NifResult<(u32, u32, Vec<(Term<'a>, Term<'a>)>)> {
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
    Ok((monitors, queued, described.collect()))
}

/// How many monitors this node has of a target, and some of the processes that placed them.
#[rustler::nif]
fn watchers<'a>(env: Env<'a>, node: Term<'a>, target: Term<'a>) -> NifResult<(u32, Vec<Term<'a>>)> {
    let state = current()?;
    let Some((node, id)) = state.local.locate(env, node, target)? else {
        return Ok((0, Vec::new()));
    };
    let (count, pids) = state.local.table.watchers(node, id);
    let mut pids: Vec<u64> = pids.into_iter().map(pid_of).collect();
    pids.dedup();
    let pids = pids.into_iter().map(|pid| word::to_term(env, pid));
    Ok((count, pids.collect()))
}
