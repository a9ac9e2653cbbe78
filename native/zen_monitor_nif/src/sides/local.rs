//! What this node monitors: placing and removing monitors, and the upkeep of the table.
//!
//! The name of a node is its atom's word, except for this node itself: that is `ZenMonitor.Local`,
//! for ever, because its real name changes when distribution is started or stopped.

pub mod destinations;
pub mod options;
pub mod target;

use crate::calls::callers::sets;
use crate::calls::callers::sets::Envelope;
use crate::calls::connector::grace::Connection;
use crate::calls::direct;
use crate::calls::timeslice::Timeslice;
use crate::sides::doorbell::Doorbell;
use crate::sides::local::options::{Kind, WithOptions};
use crate::sides::local::target::{known_id, node_of, target_id};
use crate::state::current;
use crate::terms::batch::Batch;
use crate::terms::etf::numbers;
use crate::terms::origin::Origin;
use crate::terms::reason::Reason;
use crate::terms::reference::{plain_reference, reference};
use crate::terms::{atoms, word};
use parking_lot::Mutex;
use rustler::{Encoder, Env, Error, LocalPid, Monitor, NifResult, Resource, ResourceArc, Term};
use std::sync::atomic::{AtomicU64, Ordering};
use zen_monitor_core::monitors::sets::Sets;
use zen_monitor_core::monitors::table::MonitorTable;
use zen_monitor_core::structures::limits::Full;

/// Entries handled by one call, at some hundred nanoseconds each.
pub const SLICE: usize = 1_000;
/// Resources that the deaths of subscribers are watched through; each has a lock of its own.
const WATCHES: u64 = 64;

/// A node with what is kept of it here.
pub type Node = zen_monitor_core::monitors::nodes::Node<Remote>;

/// The monitor table and who is woken for it.
pub struct Local {
    /// The table.
    pub table: MonitorTable<Reason, Remote>,
    /// What the monitors with options need beside it.
    pub options: WithOptions,
    /// The sets.
    pub sets: Sets<Envelope>,
    watches: Vec<ResourceArc<Watch>>,
    /// Wakes `ZenMonitor.Local` when the backlog has something for it.
    pub backlog: Doorbell,
    /// Wakes `ZenMonitor.Local.Dispatcher` when a subscriber has a queue.
    pub ring: Doorbell,
    /// Wakes `ZenMonitor.Local.Tables` when a subscriber died.
    departures: Doorbell,
    /// Instructions taken by the Connectors.
    pub swept: AtomicU64,
}

/// What is kept of a node beside its targets.
#[derive(Default)]
pub struct Remote {
    /// Which life of the node its pids are of.
    pub origin: Origin,
    /// Wakes the Connector when the outbox has something.
    pub connector: Doorbell,
    /// What the cache says of it, packed; 0 is a miss.
    pub compatibility: AtomicU64,
    /// Which connection its subscriptions belong to, and whether that is lost.
    pub connection: Mutex<Connection>,
}

/// Holds ERTS monitors of subscribers.
pub struct Watch;

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
        options::depart_all(env, &state.local, word::from_term(pid.encode(env)));
    }
}

impl Default for Local {
    fn default() -> Self {
        Local {
            table: MonitorTable::default(),
            options: WithOptions::default(),
            sets: Sets::default(),
            watches: (0..WATCHES).map(|_| ResourceArc::new(Watch)).collect(),
            backlog: Doorbell::default(),
            ring: Doorbell::default(),
            departures: Doorbell::default(),
            swept: AtomicU64::new(0),
        }
    }
}

impl Local {
    /// Watches a process for as long as it lives, for `pid`, its word as a subscriber.
    pub fn watch(&self, env: Env, process: &LocalPid, pid: u64) {
        let watch = &self.watches[(pid >> 4 & (WATCHES - 1)) as usize];
        if env.monitor(watch, process).is_none() {
            depart(env, self, pid);
        }
    }

    /// Has `ZenMonitor.Local.Tables` sweep.
    pub fn ring_departures(&self, env: Env) {
        self.departures.ring(env);
    }

    /// The node of a name, which is added if it is new.
    pub fn node(&self, name: Term) -> NifResult<&Node> {
        if !name.is_atom() {
            return Err(Error::BadArg);
        }
        let word = word::from_term(name);
        Ok(self.table.nodes.find_or_add(word, Remote::default))
    }

    /// A target and its node, if anything was ever monitored there.
    pub fn locate<'a>(
        &self,
        env: Env<'a>,
        node: Term<'a>,
        target: Term<'a>,
    ) -> NifResult<Option<(&Node, [u32; 3])>> {
        if !node.is_atom() || !target.is_atom() && !target.is_pid() {
            return Err(Error::BadArg);
        }
        let name = word::from_term(node_of(env, node, target));
        let located = self.table.nodes.find(name).and_then(|node| {
            let id = target_id(target, node)?;
            Some((node, id))
        });
        Ok(located)
    }

    /// Expands a part of what is due, and tells whether that was all.
    fn expand(&self, env: Env, limit: usize) -> bool {
        let done = self.table.expand(limit);
        if !self.table.is_idle() {
            self.ring.ring(env);
        }
        done
    }

    /// Expands what is due on the spot, and leaves what would take long to `ZenMonitor.Local`.
    pub fn expand_or_defer(&self, env: Env, limit: usize) {
        if !self.expand(env, limit) {
            self.backlog.ring(env);
        }
    }
}

/// Notes the death of a subscriber.
pub fn depart(env: Env, local: &Local, pid: u64) {
    if local.table.depart(pid) {
        local.departures.ring(env);
    }
}

direct::nif!("monitor", 4, monitor);
direct::nif!("demonitor", 1, demonitor);

/// Places a monitor for `subscriber` under a fresh reference. `target` is a registered name, a pid of
/// `node` or a pid of this node. Raises `:system_limit` when a table is full, or the target has as many
/// monitors as it may. Answers `:alias` for a reference that has more to it than the numbers that are
/// kept, and `{:start, node}` when that node has no Connector yet; everybody who monitors something on it
/// before it has one is told so.
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

/// Places a monitor, and does what that calls for.
#[inline]
pub fn place<'a>(
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

/// Removes a monitor of the calling process; tells whether it had one, and may answer `:bulk` as
/// [`options::demonitor`] does.
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
    Ok(options::demonitor(env, local, reference, &mut { wake }))
}

/// The references under which `subscriber` monitors a target. Dirty: it walks all monitors of it.
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

/// Makes the caller `ZenMonitor.Local`, which expands the backlog.
#[rustler::nif]
fn backlog_answer(env: Env) -> NifResult<bool> {
    Ok(current()?.local.backlog.answer(env))
}

/// Expands a slice of the backlog. `true` when it was emptied.
#[rustler::nif]
fn backlog_expand(env: Env) -> NifResult<bool> {
    let state = current()?;
    let _timeslice = Timeslice::begin(env);
    Ok(state.local.expand(env, SLICE))
}

/// Puts `ZenMonitor.Local` to rest; `false` when the backlog has something.
#[rustler::nif]
fn backlog_rest() -> NifResult<bool> {
    let state = current()?;
    let local = &state.local;
    Ok(local.backlog.rest(|| local.table.is_expanded()))
}

/// Makes the caller `ZenMonitor.Local.Tables`, which sweeps up after dead subscribers.
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
    let ended = sets::sweep(env, local);
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

/// The counters: `{placed, removed, standing, waiting, enqueued, processed, delivered,
/// instructions_queued, instructions_swept, held}`.
#[rustler::nif]
fn local_counters(env: Env<'_>) -> NifResult<Term<'_>> {
    let state = current()?;
    let local = &state.local;
    let counts = local.table.counts();
    let dispatch = local.table.dispatch_counts();
    Ok(vec![
        counts.placed,
        counts.removed,
        counts.standing,
        dispatch.waiting,
        dispatch.enqueued,
        dispatch.processed,
        dispatch.delivered,
        local.table.instructed(),
        local.swept.load(Ordering::Relaxed),
        local.table.monitors_held(),
    ]
    .encode(env))
}

/// How many `:DOWN`s wait for delivery.
#[rustler::nif]
fn batch_length() -> NifResult<u64> {
    Ok(current()?.local.table.dispatch_counts().waiting)
}
