//! What this node monitors.
//!
//! The name of a node is its atom's word, except for this node itself: that is `ZenMonitor.Local`,
//! for ever, because its real name changes when distribution is started or stopped.

use crate::doorbell::Doorbell;
use crate::etf::{Batch, Identity, Pid, Reader};
use crate::reason::Reason;
use crate::state::{self, current};
use crate::{atoms, direct, word};
use parking_lot::Mutex;
use rustler::schedule::consume_timeslice;
use rustler::{
    Atom, Binary, Encoder, Env, Error, LocalPid, Monitor, NifResult, Resource, ResourceArc, Term,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use zen_monitor_core::monitor_table::MonitorTable;
use zen_monitor_core::subscribers::Taken;
use zen_monitor_core::targets::{Cursor, Instruction, Key};

/// Entries handled by one call, at some hundred nanoseconds each.
const SLICE: usize = 1_000;
/// `:DOWN`s that are built together.
const BATCH: usize = 64;
/// Bytes of reasons that are built together, at about 10 ns each.
const BATCH_BYTES: usize = 16 * 1024;
/// How long one call may certify.
const CERTIFYING: Duration = Duration::from_micros(300);
/// How long one call may deliver.
const DELIVERY: Duration = Duration::from_micros(500);
/// Resources that the deaths of subscribers are watched through; each has a lock of its own.
const WATCHES: u64 = 64;
/// The last word of a target's id is the creation of a remote pid, or one of these marks, which no
/// node is given as its creation.
const NAMED: u32 = u32::MAX;
const LOCAL: u32 = u32::MAX - 1;

type Node = zen_monitor_core::nodes::Node<Remote>;

/// The monitor table and who is woken for it.
pub struct Local {
    table: MonitorTable<Reason, Remote>,
    watches: Vec<ResourceArc<Watch>>,
    /// Wakes `ZenMonitor.Local` when the backlog is too long to be expanded on the spot.
    backlog: Doorbell,
    /// Wakes `ZenMonitor.Local.Dispatcher` when a subscriber has a queue.
    ring: Doorbell,
    /// Wakes `ZenMonitor.Local.Tables` when a subscriber died.
    departures: Doorbell,
    instructed: AtomicU64,
    swept: AtomicU64,
}

/// What is kept of a node beside its targets.
pub struct Remote {
    name: u64,
    /// Its name as pids of the node are encoded with.
    encoded: Box<[u8]>,
    /// Wakes the Connector when the outbox has something.
    connector: Doorbell,
    compatibility: AtomicU64,
    cursor: Mutex<Cursor>,
}

/// Holds ERTS monitors of subscribers.
struct Watch;

#[rustler::resource_impl]
impl Resource for Watch {
    const IMPLEMENTS_DOWN: bool = true;

    fn down<'a>(&'a self, env: Env<'a>, pid: LocalPid, _monitor: Monitor) {
        if let Ok(state) = current() {
            depart(env, &state.local, word::from_term(pid.encode(env)));
        }
    }
}

impl Default for Local {
    fn default() -> Self {
        Local {
            table: MonitorTable::default(),
            watches: (0..WATCHES).map(|_| ResourceArc::new(Watch)).collect(),
            backlog: Doorbell::default(),
            ring: Doorbell::default(),
            departures: Doorbell::default(),
            instructed: AtomicU64::new(0),
            swept: AtomicU64::new(0),
        }
    }
}

impl Local {
    fn node(&self, name: Term) -> NifResult<Arc<Node>> {
        if !name.is_atom() {
            return Err(Error::BadArg);
        }
        let word = word::from_term(name);
        Ok(self.table.nodes.find_or_add(word, || Remote::new(name)))
    }

    fn wake_connector(env: Env, node: &Node) {
        node.host.connector.ring(env);
    }

    /// Expands what is due on the spot, and leaves what would take long to `ZenMonitor.Local`.
    fn expand(&self, env: Env, limit: usize) -> bool {
        let done = self.table.expand(limit);
        if !self.table.is_idle() {
            self.ring.ring(env);
        }
        done
    }

    fn expand_or_defer(&self, env: Env, limit: usize) {
        if !self.expand(env, limit) {
            self.backlog.ring(env);
        }
    }
}

impl Remote {
    fn new(name: Term) -> Remote {
        Remote {
            name: word::from_term(name),
            encoded: name.to_binary().as_slice()[1..].into(),
            connector: Doorbell::default(),
            compatibility: AtomicU64::new(MISS),
            cursor: Mutex::default(),
        }
    }
}

fn depart(env: Env, local: &Local, pid: u64) {
    if local.table.depart(pid) {
        local.departures.ring(env);
    }
}

fn words(word: u64, last: u32) -> [u32; 3] {
    [word as u32, (word >> 32) as u32, last]
}

fn pair_word(id: [u32; 3]) -> u64 {
    u64::from(id[1]) << 32 | u64::from(id[0])
}

/// The node that a target is kept under: that of its name, but this node's own processes are under
/// `ZenMonitor.Local`. A pid from a former life of this node is not among those.
fn node_of<'a>(env: Env<'a>, name: Term<'a>, id: [u32; 3]) -> Term<'a> {
    if id[2] == LOCAL {
        atoms::local().to_term(env)
    } else {
        name
    }
}

/// The id of a target: a name, a pid of this node, or the pid that `encoded` reads.
fn target_id<'a>(target: Term, encoded: impl FnOnce() -> Option<Pid<'a>>) -> Option<[u32; 3]> {
    if target.is_atom() {
        return Some(words(word::from_term(target), NAMED));
    }
    if target.decode::<LocalPid>().is_ok() {
        return Some(words(word::from_term(target), LOCAL));
    }
    remote_id(encoded()?)
}

fn remote_id(pid: Pid) -> Option<[u32; 3]> {
    (pid.creation < LOCAL).then_some([pid.id, pid.serial, pid.creation])
}

direct::nif!("monitor", 4, monitor);
direct::nif!("demonitor", 1, demonitor);

/// Places a monitor for `subscriber`. `target` is a pid or a registered name; `encoded` is the
/// reference, or `{reference, target}` for a pid. Answers `{:start, node}` when that node has no
/// Connector yet; everybody who monitors something on it before it has one is told so.
fn monitor<'a>(
    env: Env<'a>,
    [subscriber, node, target, encoded]: [Term<'a>; 4],
) -> NifResult<Term<'a>> {
    let state = current()?;
    if !node.is_atom() {
        return Err(Error::BadArg);
    }
    let subscriber: LocalPid = subscriber.decode()?;
    let encoded: Binary = encoded.decode()?;
    let mut reader = Reader::new(encoded.as_slice()).ok_or(Error::BadArg)?;
    let reference = reader.reference_or_first().ok_or(Error::BadArg)?;
    let id = target_id(target, || reader.pid()).ok_or(Error::BadArg)?;
    let node = node_of(env, node, id);
    let pid = word::from_term(subscriber.encode(env));
    let local = &state.local;
    let place = |node: &Node| {
        let placed = local.table.monitor(node, pid, reference, id);
        if placed.newcomer {
            let watch = &local.watches[(pid >> 4 & (WATCHES - 1)) as usize];
            if env.monitor(watch, &subscriber).is_none() {
                depart(env, local, pid);
            }
        }
        if placed.outbox {
            // Relaxed: a counter for people.
            local.instructed.fetch_add(1, Ordering::Relaxed);
            node.host.connector.ring(env);
        }
        node.host.connector.is_answered()
    };
    let answered = match local.table.nodes.view(word::from_term(node), place) {
        Some(answered) => answered,
        None => place(&*local.node(node)?),
    };
    if answered {
        return Ok(atoms::ok().to_term(env));
    }
    Ok((atoms::start(), node).encode(env))
}

/// Removes a monitor of the calling process; tells whether it had one.
fn demonitor<'a>(env: Env<'a>, [encoded]: [Term<'a>; 1]) -> NifResult<Term<'a>> {
    let state = current()?;
    let encoded: Binary = encoded.decode()?;
    let local = &state.local;
    let removed = Reader::new(encoded.as_slice())
        .and_then(|mut reader| reader.reference())
        .is_some_and(|reference| {
            let pid = word::of_caller(env);
            local.table.demonitor(pid, reference, |node| {
                local.instructed.fetch_add(1, Ordering::Relaxed);
                Local::wake_connector(env, node);
            })
        });
    Ok(removed.encode(env))
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
    let encoded = target.to_binary();
    let id = target_id(target, || Reader::new(encoded.as_slice())?.pid()).ok_or(Error::BadArg)?;
    let pid = word::from_term(subscriber.encode(env));
    let node = state.local.node(node_of(env, node, id))?;
    let found = state.local.table.monitors(&node, pid, id);
    let identity = Identity::of_caller(env).ok_or(Error::BadArg)?;
    let mut batch = Batch::default();
    for reference in found {
        batch.reference(&identity, reference);
    }
    batch.build(env).ok_or(Error::BadArg)
}

/// The names of all nodes that something was ever monitored on.
#[rustler::nif]
fn nodes(env: Env<'_>) -> NifResult<Vec<Term<'_>>> {
    let state = current()?;
    let nodes = state.local.table.nodes.all();
    Ok(nodes
        .iter()
        .map(|node| word::to_term(env, node.host.name))
        .collect())
}

/// The Connector of a node, dead or alive; `nil` if it never had one.
#[rustler::nif]
fn connector<'a>(env: Env<'a>, node: Term<'a>) -> NifResult<Option<LocalPid>> {
    let state = current()?;
    let found = state.local.table.nodes.find(word::from_term(node));
    Ok(found.and_then(|node| node.host.connector.owner(env)))
}

/// Makes the caller the Connector of a node. `true` when it succeeds another one, whose
/// subscriptions are void.
#[rustler::nif]
fn connector_answer(env: Env, node: Term) -> NifResult<bool> {
    let node = current()?.local.node(node)?;
    *node.host.cursor.lock() = Cursor::default();
    Ok(node.host.connector.answer(env))
}

/// Queues a slice of a node's subscriptions once more. `true` when all were seen.
#[rustler::nif]
fn connector_resubscribe(node: Term) -> NifResult<bool> {
    let state = current()?;
    let node = state.local.node(node)?;
    let mut cursor = node.host.cursor.lock();
    Ok(state.local.table.resubscribe(&node, &mut cursor, SLICE))
}

/// The next instructions for a node, at most `limit` and at most a slice. `name` is what named
/// targets of the node are addressed with.
#[rustler::nif]
fn connector_take<'a>(
    env: Env<'a>,
    node: Term<'a>,
    name: Term<'a>,
    limit: usize,
) -> NifResult<Vec<Term<'a>>> {
    let state = current()?;
    let local = &state.local;
    let node = local.node(node)?;
    let instructions = local.table.take(&node, limit.min(SLICE));
    local
        .swept
        .fetch_add(instructions.len() as u64, Ordering::Relaxed);
    let mut batch = Batch::default();
    for instruction in &instructions {
        let (Instruction::Subscribe(key) | Instruction::Unsubscribe(key)) = instruction;
        add_remote(&mut batch, &node.host, *key);
    }
    let mut pids = batch.build(env).ok_or(Error::BadArg)?.into_iter();
    let (subscribe, unsubscribe) = (atoms::subscribe(), atoms::unsubscribe());
    instructions
        .iter()
        .map(|instruction| {
            let (verb, key) = match instruction {
                Instruction::Subscribe(key) => (subscribe, key),
                Instruction::Unsubscribe(key) => (unsubscribe, key),
            };
            let target = object(env, *key, name, &mut pids)?;
            Ok((verb, target).encode(env))
        })
        .collect()
}

/// Closes the chunk that was taken: it was sent.
#[rustler::nif]
fn connector_confirm(node: Term) -> NifResult<Atom> {
    let state = current()?;
    state.local.table.confirm(&*state.local.node(node)?);
    Ok(atoms::ok())
}

/// Takes a slice of the chunk back: it was not sent. `true` when nothing is left of it.
#[rustler::nif]
fn connector_withdraw(node: Term) -> NifResult<bool> {
    let state = current()?;
    let node = state.local.node(node)?;
    Ok(state.local.table.withdraw(&node, SLICE))
}

/// Makes a slice of what waits for a node due, since it cannot be told. Answers how much that was,
/// and `true` when nothing is left.
#[rustler::nif]
fn connector_fail(env: Env, node: Term) -> NifResult<(usize, bool)> {
    let state = current()?;
    let local = &state.local;
    let failed = local.table.fail(&*local.node(node)?, SLICE);
    local.expand_or_defer(env, SLICE);
    Ok(failed)
}

/// Makes everything that a node was told to watch due, since the connection to it is gone.
#[rustler::nif]
fn connector_expire(env: Env, node: Term) -> NifResult<Atom> {
    let state = current()?;
    let local = &state.local;
    local.table.expire(&local.node(node)?);
    local.backlog.ring(env);
    Ok(atoms::ok())
}

/// Makes the targets of the first `certificates` due, and returns the rest of the list: `{:ok,
/// rest}`, or `{:bulky, rest}` when [`connector_certify_bulky`] must go on with it. What is not a
/// certificate of a process on the node is passed over.
#[rustler::nif]
fn connector_certify<'a>(
    env: Env<'a>,
    node: Term<'a>,
    certificates: Term<'a>,
) -> NifResult<(Atom, Term<'a>)> {
    let (rest, bulky) = certify(env, node, certificates, false)?;
    Ok((if bulky { atoms::bulky() } else { atoms::ok() }, rest))
}

/// The same for reasons that may be of any size. Returns the rest of the list.
#[rustler::nif(schedule = "DirtyCpu")]
fn connector_certify_bulky<'a>(
    env: Env<'a>,
    node: Term<'a>,
    certificates: Term<'a>,
) -> NifResult<Term<'a>> {
    Ok(certify(env, node, certificates, true)?.0)
}

/// Certifies until a slice is done, time is up, or a reason is bulky where `bulky` says that none
/// may be, or the other way round. Returns the rest, and whether it begins with a bulky reason.
fn certify<'a>(
    env: Env<'a>,
    node: Term<'a>,
    certificates: Term<'a>,
    bulky: bool,
) -> NifResult<(Term<'a>, bool)> {
    let state = current()?;
    let local = &state.local;
    let node = local.node(node)?;
    let began = Instant::now();
    let mut last: Option<(Term, Reason)> = None;
    let mut rest = certificates;
    let mut stopped = false;
    for certified in 0..SLICE {
        if !bulky && certified % 16 == 15 && began.elapsed() > CERTIFYING {
            break;
        }
        let Ok((certificate, tail)) = rest.list_get_cell() else {
            rest = Term::list_new_empty(env);
            break;
        };
        if let Ok((destination, reason)) = certificate.decode::<(Term, Term)>()
            && let Some(id) = certified_id(destination, &node.host)
        {
            if is_untruncated(reason) != bulky {
                stopped = !bulky;
                break;
            }
            let reason = match &last {
                Some((term, known)) if *term == reason => known.clone(),
                _ => {
                    let encoded = Reason::from_term(reason);
                    last = Some((reason, encoded.clone()));
                    encoded
                }
            };
            local.table.certify(&node, id, reason);
        }
        rest = tail;
    }
    local.expand_or_defer(env, SLICE);
    let percent = began.elapsed().as_micros() / 10;
    consume_timeslice(env, percent.clamp(1, 100) as i32);
    Ok((rest, stopped))
}

/// Whether a reason is of the one kind that no node truncates.
fn is_untruncated(reason: Term) -> bool {
    reason
        .decode::<(Term, Term)>()
        .is_ok_and(|(tag, detail)| atoms::shutdown() == tag && !detail.is_atom())
}

/// Puts the Connector to rest; `false` when something has come into the outbox.
#[rustler::nif]
fn connector_rest(node: Term) -> NifResult<bool> {
    let node = current()?.local.node(node)?;
    Ok(node.host.connector.rest(|| node.is_outbox_empty()))
}

/// Makes the caller `ZenMonitor.Local`, which expands the backlog.
#[rustler::nif]
fn backlog_answer(env: Env) -> NifResult<bool> {
    Ok(current()?.local.backlog.answer(env))
}

/// Expands a slice of the backlog. `true` when it was emptied.
#[rustler::nif]
fn backlog_expand(env: Env) -> NifResult<bool> {
    Ok(current()?.local.expand(env, SLICE))
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
    Ok(state
        .local
        .table
        .sweep_departed(SLICE, |node| Local::wake_connector(env, node)))
}

/// Puts `ZenMonitor.Local.Tables` to rest; `false` when a subscriber has died meanwhile.
#[rustler::nif]
fn departures_rest() -> NifResult<bool> {
    let state = current()?;
    let local = &state.local;
    Ok(local.departures.rest(|| local.table.is_swept()))
}

/// Makes the caller `ZenMonitor.Local.Dispatcher`, which delivers.
#[rustler::nif]
fn dispatcher_answer(env: Env) -> NifResult<bool> {
    Ok(current()?.local.ring.answer(env))
}

/// Sends up to `limit` `:DOWN`s, and fewer when they take long. `name` is this node's name.
/// Answers how many were sent, and whether more wait; `:bulky` when [`dispatcher_deliver_bulky`]
/// must do it, because a reason waits that takes long to build.
#[rustler::nif]
fn dispatcher_deliver<'a>(env: Env<'a>, name: Term<'a>, limit: usize) -> NifResult<Term<'a>> {
    if Reason::is_any_bulky() {
        return Ok(atoms::bulky().to_term(env));
    }
    Ok(deliver(env, name, limit)?.encode(env))
}

/// The same on a dirty scheduler, where sending costs more and nobody waits.
#[rustler::nif(schedule = "DirtyCpu")]
fn dispatcher_deliver_bulky<'a>(
    env: Env<'a>,
    name: Term<'a>,
    limit: usize,
) -> NifResult<(usize, bool)> {
    deliver(env, name, limit)
}

fn deliver<'a>(env: Env<'a>, name: Term<'a>, limit: usize) -> NifResult<(usize, bool)> {
    let state = current()?;
    let began = Instant::now();
    let mut delivery = Delivery::new(env, &state.local, name)?;
    while delivery.sent < limit && began.elapsed() < DELIVERY {
        if !delivery.run(BATCH.min(limit - delivery.sent))? {
            break;
        }
    }
    let percent = began.elapsed().as_micros() / 10;
    consume_timeslice(env, percent.clamp(1, 100) as i32);
    Ok((delivery.sent, !state.local.table.is_idle()))
}

/// Puts the Dispatcher to rest; `false` when a subscriber has a queue.
#[rustler::nif]
fn dispatcher_rest() -> NifResult<bool> {
    let state = current()?;
    let local = &state.local;
    Ok(local.ring.rest(|| local.table.is_idle()))
}

/// One run of the Dispatcher.
struct Delivery<'a, 'b> {
    env: Env<'a>,
    local: &'b Local,
    name: Term<'a>,
    identity: Identity,
    batch: Batch,
    taken: Vec<(Taken, Key, Option<Reason>)>,
    /// The last reason and its `{:zen_monitor, reason}`: neighbours often share one.
    cause: Option<(Option<Reason>, Term<'a>)>,
    sent: usize,
}

impl<'a, 'b> Delivery<'a, 'b> {
    fn new(env: Env<'a>, local: &'b Local, name: Term<'a>) -> NifResult<Self> {
        Ok(Delivery {
            env,
            local,
            name,
            identity: Identity::of_caller(env).ok_or(Error::BadArg)?,
            batch: Batch::default(),
            taken: Vec::with_capacity(BATCH),
            cause: None,
            sent: 0,
        })
    }

    /// Takes up to `limit` monitors in turn and sends their `:DOWN`s. `false` when none was due.
    fn run(&mut self, limit: usize) -> NifResult<bool> {
        let mut turns = 0;
        let mut bytes = 0;
        while turns < limit && bytes < BATCH_BYTES {
            let turn = self.local.table.next();
            if turn.idle {
                break;
            }
            turns += 1;
            if let Some(taken) = turn.taken {
                let (key, reason) = self.local.table.describe(&taken);
                bytes += reason.as_ref().map_or(0, |reason| reason.as_etf().len());
                self.taken.push((taken, key, reason));
            }
        }
        let mut node = None;
        for (taken, key, _) in &self.taken {
            self.batch.reference(&self.identity, taken.reference);
            if is_remote_pid(*key) {
                let node = cached(&mut node, *key, self.local);
                add_remote(&mut self.batch, &node.host, *key);
            }
        }
        let mut built = self.batch.build(self.env).ok_or(Error::BadArg)?.into_iter();
        let sent_before = self.sent;
        for index in 0..self.taken.len() {
            let (taken, key, reason) = self.taken[index].clone();
            let reference = built.next().ok_or(Error::BadArg)?;
            let name = if key.id[2] == NAMED {
                let host = &cached(&mut node, key, self.local).host;
                match word::to_term(self.env, host.name) {
                    local if local == atoms::local().to_term(self.env) => self.name,
                    remote => remote,
                }
            } else {
                self.name
            };
            let object = object(self.env, key, name, &mut built)?;
            let down = (
                atoms::down(),
                reference,
                atoms::process(),
                object,
                self.cause(reason),
            )
                .encode(self.env);
            if self.local.table.begin_send(&taken) {
                if let Some(pid) = word::to_pid(self.env, taken.pid) {
                    // A dead subscriber has no use for it.
                    let _ = self.env.send(&pid, down);
                }
                self.local.table.end_send(&taken);
                self.sent += 1;
            }
        }
        self.taken.clear();
        self.local
            .table
            .count_run(turns as u64, (self.sent - sent_before) as u64);
        Ok(turns > 0)
    }

    fn cause(&mut self, reason: Option<Reason>) -> Term<'a> {
        if let Some((known, term)) = &self.cause {
            let same = match (known, &reason) {
                (Some(known), Some(reason)) => known.is_same(reason),
                (None, None) => true,
                _ => false,
            };
            if same {
                return *term;
            }
        }
        let term = match &reason {
            // A message without its reason is better than none.
            Some(reason) => reason
                .to_term(self.env)
                .unwrap_or_else(|_| atoms::truncated().to_term(self.env)),
            None => atoms::nodedown().to_term(self.env),
        };
        let term = (atoms::zen_monitor(), term).encode(self.env);
        self.cause = Some((reason, term));
        term
    }
}

fn cached<'n>(last: &'n mut Option<Arc<Node>>, key: Key, local: &Local) -> &'n Node {
    if last.as_ref().is_none_or(|node| node.id() != key.node) {
        *last = Some(local.table.nodes.get(key.node));
    }
    last.as_ref().expect("set above")
}

fn is_remote_pid(key: Key) -> bool {
    key.id[2] < LOCAL
}

fn add_remote(batch: &mut Batch, host: &Remote, key: Key) {
    if is_remote_pid(key) {
        let [id, serial, creation] = key.id;
        batch.pid(Pid {
            node: &host.encoded,
            id,
            serial,
            creation,
        });
    }
}

/// The term of a target, as `Process.monitor/1` would name it. The pid of another node is the next
/// of `pids`.
fn object<'a>(
    env: Env<'a>,
    key: Key,
    name: Term<'a>,
    pids: &mut impl Iterator<Item = Term<'a>>,
) -> NifResult<Term<'a>> {
    match key.id[2] {
        NAMED => Ok((word::to_term(env, pair_word(key.id)), name).encode(env)),
        LOCAL => Ok(word::to_term(env, pair_word(key.id))),
        _ => pids.next().ok_or(Error::BadArg),
    }
}

/// The id of a certified destination, if it can be one of the node's.
fn certified_id(destination: Term, host: &Remote) -> Option<[u32; 3]> {
    if let Ok((name, _node)) = destination.decode::<(Term, Term)>() {
        return name.is_atom().then(|| words(word::from_term(name), NAMED));
    }
    if destination.is_atom() || destination.decode::<LocalPid>().is_ok() {
        return target_id(destination, || None);
    }
    if !destination.is_pid() {
        return None;
    }
    let encoded = destination.to_binary();
    let pid = Reader::new(encoded.as_slice())?.pid()?;
    if pid.node != &*host.encoded {
        return None;
    }
    remote_id(pid)
}

/// `Remote::compatibility`: a tag in two bits, the attempt in the next six, and the millisecond
/// until which it is enforced, signed, in the rest.
const MISS: u64 = 0;
const COMPATIBLE: u64 = 1;
const UNAVAILABLE: u64 = 2;
const INCOMPATIBLE: u64 = 3;
const MOST_ATTEMPTS: u32 = 63;

/// What is known of a node: `:miss`, `:compatible`, `:unavailable`, or
/// `{:incompatible, enforce_until, attempt}`.
#[rustler::nif]
fn compatibility<'a>(env: Env<'a>, node: Term<'a>) -> NifResult<Term<'a>> {
    let state = current()?;
    // Acquire: with the release below, who reads it sees what was done before it was set.
    let word = state
        .local
        .table
        .nodes
        .view(word::from_term(node), |node| {
            node.host.compatibility.load(Ordering::Acquire)
        })
        .unwrap_or(MISS);
    Ok(match word & 0b11 {
        COMPATIBLE => atoms::compatible().encode(env),
        UNAVAILABLE => atoms::unavailable().encode(env),
        INCOMPATIBLE => {
            let (until, attempt) = (word as i64 >> 8, word >> 2 & 0b11_1111);
            (atoms::incompatible(), until, attempt).encode(env)
        }
        _ => atoms::miss().encode(env),
    })
}

/// Notes what is known of a node. `enforce_until` (monotonic ms) and `attempt` count for
/// `:incompatible` only.
#[rustler::nif]
fn set_compatibility(
    node: Term,
    compatibility: Atom,
    enforce_until: i64,
    attempt: u32,
) -> NifResult<Atom> {
    let state = current()?;
    let word = if compatibility == atoms::compatible() {
        COMPATIBLE
    } else if compatibility == atoms::unavailable() {
        UNAVAILABLE
    } else if compatibility == atoms::incompatible() {
        (enforce_until as u64) << 8 | u64::from(attempt.min(MOST_ATTEMPTS)) << 2 | INCOMPATIBLE
    } else {
        return Err(Error::BadArg);
    };
    let node = state.local.node(node)?;
    node.host.compatibility.store(word, Ordering::Release);
    Ok(atoms::ok())
}

/// The counters: `{placed, removed, standing, waiting, enqueued, processed, delivered,
/// instructions_queued, instructions_swept}`.
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
        local.instructed.load(Ordering::Relaxed),
        local.swept.load(Ordering::Relaxed),
    ]
    .encode(env))
}

/// How many `:DOWN`s wait for delivery.
#[rustler::nif]
fn batch_length() -> NifResult<u64> {
    Ok(state::current()?.local.table.dispatch_counts().waiting)
}
