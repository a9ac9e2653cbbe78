//! What others monitor here.
//!
//! Invariants:
//!
//! - The Proxy alone attaches, detaches, subscribes, certifies and releases. The janitor only sweeps
//!   what departed connectors left, and a Batcher only touches the outbox of its own connector.
//! - Terms are decoded before the table is locked and built after it is unlocked.
//! - A NIF that makes work for another process rings that process's bell itself.
//! - A dirty call may outlive its process, and then it meets what already belongs to a successor. So
//!   it either makes sure that its caller still is the owner, or touches what has none.

use crate::doorbell::Doorbell;
use crate::etf::{Batch, reference};
use crate::library::check_place;
use crate::reason::Reason;
use crate::state::current;
use crate::truncation::{limits, truncate};
use crate::{atoms, direct, word};
use parking_lot::Mutex;
use rustler::{
    Atom, Binary, Encoder, Env, Error, LocalPid, NifResult, Resource, ResourceArc, Term, schedule,
};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use zen_monitor_core::structures::limits::Full;
use zen_monitor_core::subscriptions::outbox::{Outbox, Pushed};
use zen_monitor_core::subscriptions::table::{
    ConnectorId, Destination, MonitorRef, SubscriptionTable,
};

/// Instructions or monitors handled by one call: few enough for each to meet an index that grows.
const SLICE: usize = 64;
/// Rows of departed connectors removed by one call.
const ROWS: usize = 256;
/// Certificates handled by one call.
const CERTIFICATES: usize = 1_000;
/// Bytes of reasons built by one call on a normal scheduler, and so the size of a bulky one.
const REASONS: usize = 16 * 1024;

/// How many reasons are kept with dead processes whose subscribers could not be told, and the bytes of
/// the longest: enough for what ends processes by the thousands, and nothing beside their rows.
const KEPT: usize = 16;
const KEPT_BYTES: usize = 64;

/// `:nodedown` in the external format.
const NODEDOWN: &[u8] = b"\x83w\x08nodedown";

type Table = SubscriptionTable<ResourceArc<Connector>, Option<Reason>>;

/// The subscription table and who is woken for it.
#[derive(Default)]
pub struct Proxy {
    table: Mutex<Table>,
    /// Detached connectors whose outboxes the janitor empties.
    discarded: Mutex<Vec<ResourceArc<Connector>>>,
    /// Both of former Proxies, until they are freed.
    former: Mutex<Vec<(Table, Vec<ResourceArc<Connector>>)>>,
    last_reason: Mutex<Option<Reason>>,
    /// Those that rows of the dead share.
    kept: Mutex<Vec<Reason>>,
    /// Wakes the Proxy when there are monitors to release.
    releases: Doorbell,
    /// Wakes the janitor when a connector has been detached.
    departures: Doorbell,
    enqueued: AtomicU64,
    swept: AtomicU64,
}

/// A subscribed connector, as the Proxy and its Batcher hold it.
pub struct Connector {
    id: ConnectorId,
    outbox: Outbox<Certificate>,
    batcher: Doorbell,
    /// The deaths that it could not be told of since it was last asked how many.
    shed: AtomicUsize,
}

#[rustler::resource_impl]
impl Resource for Connector {}

/// What tells a connector that a destination is down.
enum Certificate {
    Known(Destination, Reason),
    /// The whole `{destination, reason}`, where the destination is no immediate word.
    Encoded(Reason),
}

impl Certificate {
    fn reason(&self) -> &Reason {
        match self {
            Certificate::Known(_, reason) | Certificate::Encoded(reason) => reason,
        }
    }
}

impl Connector {
    /// Whether the certificate need not be told of in another way.
    #[inline]
    fn push(&self, env: Env, certificate: impl FnOnce() -> Certificate) -> bool {
        let pushed = self.outbox.push(certificate);
        if pushed != Pushed::Closed {
            self.batcher.ring(env);
        }
        let refused = pushed == Pushed::Refused;
        if refused {
            // Relaxed: nothing else is read by it.
            self.shed.fetch_add(1, Ordering::Relaxed);
        }
        !refused
    }

    /// For a certificate of what has no row: it is let in, however many wait.
    fn force(&self, env: Env, certificate: Reason) {
        self.outbox.force(Certificate::Encoded(certificate));
        self.batcher.ring(env);
    }
}

impl Proxy {
    /// Whether the Batcher of a connector has nothing to do, not even to stop.
    fn is_quiet(&self, connector: &Connector) -> bool {
        connector.outbox.is_empty()
            && !connector.outbox.is_closed()
            && !self.table.lock().has_untold(connector.id)
    }

    /// What is kept of the reason of a process whose subscribers could not all be told.
    fn keep(&self, reason: &Reason) -> Option<Reason> {
        if reason.as_etf().len() > KEPT_BYTES {
            return None;
        }
        let mut kept = self.kept.lock();
        if let Some(same) = kept.iter().find(|kept| kept.as_etf() == reason.as_etf()) {
            return Some(same.clone());
        }
        if kept.len() == KEPT {
            kept.retain(Reason::is_shared);
        }
        (kept.len() < KEPT).then(|| {
            kept.push(reason.clone());
            reason.clone()
        })
    }

    /// Makes certificates of up to `budget` deaths that a connector has yet to be told of.
    fn recover(&self, connector: &Connector, budget: usize) {
        let mut unknown = None;
        let mut recovered = 0;
        let mut table = self.table.lock();
        table.collect(connector.id, budget, |destination, kept| {
            let reason = kept.as_ref().or(unknown.as_ref());
            let reason = reason
                .cloned()
                .unwrap_or_else(|| unknown.insert(Reason::from_etf(NODEDOWN)).clone());
            connector
                .outbox
                .force(Certificate::Known(destination, reason));
            recovered += 1;
        });
        drop(table);
        count(&self.enqueued, recovered);
    }

    /// Subscriptions, watched destinations, and the certificates that wait for attached connectors.
    pub fn sizes(&self) -> (usize, usize, usize) {
        let table = self.table.lock();
        let certificates = table.outboxes().map(|connector| connector.outbox.len());
        let certificates = certificates.sum::<usize>() + table.untold();
        (table.len() - table.untold(), table.targets(), certificates)
    }

    /// The reason in the form that is kept. A mass exit has one reason: it is stored once.
    fn share(&self, reason: Term) -> Reason {
        let encoded = reason.to_binary();
        let mut last = self.last_reason.lock();
        match &*last {
            Some(same) if same.as_etf() == encoded.as_slice() => same.clone(),
            _ => {
                let reason = Reason::from_etf(&encoded);
                // A bulky one is not worth keeping alive for the next.
                *last = (encoded.len() <= REASONS).then(|| reason.clone());
                reason
            }
        }
    }

    /// `is_due` is asked when the table is locked.
    fn certify(
        &self,
        env: Env,
        destination: Term,
        reason: Term,
        is_due: impl FnOnce() -> bool,
    ) -> Atom {
        // Nothing else has subscribers: this is no `:DOWN` of a monitor placed for them.
        let Some(Subject::Known(destination)) = Subject::of(destination) else {
            return atoms::ok();
        };
        let reason = self.share(reason);
        let mut table = self.table.lock();
        if !is_due() {
            return atoms::ok();
        }
        let certificate = || Certificate::Known(destination, reason.clone());
        let (enqueued, shed) = table.certify(
            destination,
            || self.keep(&reason),
            |connector| connector.push(env, certificate),
        );
        drop(table);
        count(&self.enqueued, enqueued);
        consume(env, reason.as_etf().len() / 64 + enqueued + shed);
        atoms::ok()
    }
}

/// A destination as it was asked for.
enum Subject {
    Known(Destination),
    /// A pid of another node, or of a former life of this one.
    Foreign,
}

impl Subject {
    #[inline]
    fn of(term: Term) -> Option<Subject> {
        let known = |word, node| Some(Subject::Known(Destination { word, node }));
        if term.is_atom() {
            return known(word::from_term(term), 0);
        }
        if term.is_pid() {
            return match term.decode::<LocalPid>() {
                Ok(_) => known(word::from_term(term), 0),
                Err(_) => Some(Subject::Foreign),
            };
        }
        let (name, node): (Term, Term) = term.decode().ok()?;
        if name.is_atom() && node.is_atom() {
            known(word::from_term(name), word::from_term(node))
        } else {
            None
        }
    }
}

/// One instruction of a connector.
enum Instruction<'a> {
    Subscribe(Destination),
    Unsubscribe(Destination),
    /// Subscribe to what is not of this node, and so is no process.
    Refuse(Term<'a>),
    /// Unsubscribe from such a thing.
    Nothing,
}

impl<'a> Instruction<'a> {
    #[inline]
    fn of(term: Term<'a>, home: [u64; 2]) -> Option<Instruction<'a>> {
        let (verb, subject): (Term, Term) = term.decode().ok()?;
        let destination = Subject::of(subject)?;
        if atoms::subscribe() == verb {
            Some(match destination {
                Subject::Known(destination) if is_local(destination, home) => {
                    Instruction::Subscribe(destination)
                }
                _ => Instruction::Refuse(subject),
            })
        } else if atoms::unsubscribe() == verb {
            Some(match destination {
                // Whatever the node: this one may have been renamed since.
                Subject::Known(destination) => Instruction::Unsubscribe(destination),
                Subject::Foreign => Instruction::Nothing,
            })
        } else {
            None
        }
    }
}

impl Instruction<'_> {
    fn is_unsubscribe(&self) -> bool {
        matches!(self, Instruction::Unsubscribe(_))
    }
}

/// Whether a destination is a pid of this node, a bare name, or a name at one of the `home` nodes.
#[inline]
fn is_local(destination: Destination, home: [u64; 2]) -> bool {
    destination.node == 0 || home.contains(&destination.node)
}

fn destination_to_term(env: Env<'_>, destination: Destination) -> Term<'_> {
    let name = word::to_term(env, destination.word);
    match destination.node {
        0 => name,
        node => (name, word::to_term(env, node)).encode(env),
    }
}

/// References of this node with these numbers, whatever it is called by now.
fn monitors_to_terms<'a>(env: Env<'a>, monitors: &[MonitorRef]) -> NifResult<Vec<Term<'a>>> {
    if monitors.is_empty() {
        return Ok(Vec::new());
    }
    let mut batch = Batch::new(env);
    for monitor in monitors {
        batch.reference(*monitor);
    }
    batch.build().ok_or(Error::BadArg)
}

fn count(counter: &AtomicU64, amount: usize) {
    // Relaxed: nothing else is read by it.
    counter.fetch_add(amount as u64, Ordering::Relaxed);
}

/// Tells the scheduler that a call took about `items` times a tenth of a microsecond, if that is
/// more than it takes a call to have cost anyway.
fn consume(env: Env, items: usize) {
    let percent = (items / 100).min(100);
    if percent > 0 {
        schedule::consume_timeslice(env, percent as i32);
    }
}

/// Empties the table for a Proxy that starts, and makes it the owner of the releases. What was in it
/// is left to [`proxy_free`], because a dirty call that outlived its Proxy would empty the table of
/// the next. The former subscribers are told by the death of the former Proxy, if there was one, which
/// is what it answers.
#[rustler::nif]
fn proxy_reset(env: Env) -> NifResult<bool> {
    let state = current()?;
    let proxy = &state.proxy;
    let succeeds = proxy.releases.answer(env);
    let table = std::mem::take(&mut *proxy.table.lock());
    let discarded = std::mem::take(&mut *proxy.discarded.lock());
    proxy.former.lock().push((table, discarded));
    Ok(succeeds)
}

/// Frees what former Proxies left. Dirty: that takes as long as it is large.
#[rustler::nif(schedule = "DirtyCpu")]
fn proxy_free() -> NifResult<Atom> {
    // Not freed under the lock: the next Proxy must not have to wait for it.
    let former = std::mem::take(&mut *current()?.proxy.former.lock());
    drop(former);
    Ok(atoms::ok())
}

/// Adds a connector.
#[rustler::nif]
fn proxy_attach(env: Env) -> NifResult<Term> {
    let state = current()?;
    let mut attached = None;
    state.proxy.table.lock().attach(|id| {
        let mut connector = ResourceArc::new(Connector {
            id,
            outbox: Outbox::default(),
            batcher: Doorbell::default(),
            shed: AtomicUsize::new(0),
        });
        check_place(&mut connector);
        attached.insert(connector).clone()
    });
    Ok(attached.encode(env))
}

/// Detaches a connector: its Batcher stops, and its rows and certificates are left to the janitor.
#[rustler::nif]
fn proxy_detach(env: Env, connector: ResourceArc<Connector>) -> NifResult<Atom> {
    let state = current()?;
    let detached = state.proxy.table.lock().detach(connector.id);
    connector.outbox.close();
    connector.batcher.ring(env);
    state.proxy.discarded.lock().extend(detached);
    state.proxy.departures.ring(env);
    Ok(atoms::ok())
}

/// Carries out the first instructions of a list. Returns the others, the `{target, destination}`
/// that need a monitor, the monitors that are not needed any more, and what was no instruction.
#[rustler::nif]
#[allow(clippy::type_complexity)]
fn proxy_process<'a>(
    env: Env<'a>,
    connector: ResourceArc<Connector>,
    home: Term<'a>,
    instructions: Term<'a>,
) -> NifResult<(Term<'a>, Vec<(u32, Term<'a>)>, Vec<Term<'a>>, Vec<Term<'a>>)> {
    let state = current()?;
    let unnamed = atoms::nonode_at_nohost().to_term(env);
    let home = [home, unnamed].map(word::from_term);
    let mut rest = instructions;
    let mut slice = Vec::with_capacity(SLICE);
    let mut malformed = Vec::new();
    while slice.len() + malformed.len() < SLICE {
        let Ok((instruction, tail)) = rest.list_get_cell() else {
            if !rest.is_empty_list() {
                malformed.push(rest);
                rest = Term::list_new_empty(env);
            }
            break;
        };
        match Instruction::of(instruction, home) {
            Some(instruction) => slice.push(instruction),
            None => malformed.push(instruction),
        }
        rest = tail;
    }

    let mut made = Vec::new();
    let mut released = Vec::new();
    let mut refused = Vec::new();
    let mut unwatched = Vec::new();
    let mut table = state.proxy.table.lock();
    for instruction in &slice {
        match *instruction {
            Instruction::Subscribe(destination) => {
                match table.subscribe(connector.id, destination) {
                    Ok(target) => made.extend(target),
                    Err(Full) => unwatched.push(destination),
                }
            }
            Instruction::Unsubscribe(destination) => {
                released.extend(table.unsubscribe(connector.id, destination));
            }
            Instruction::Refuse(subject) => refused.push(subject),
            Instruction::Nothing => {}
        }
    }
    let unused =
        slice.iter().any(Instruction::is_unsubscribe) && !table.is_subscribed(connector.id);
    let begin = |target| Some((target, table.begin_monitor(target)?));
    let made: Vec<(u32, Destination)> = made.into_iter().filter_map(begin).collect();
    drop(table);

    if unused {
        // It notes when it could retire.
        connector.batcher.ring(env);
    }
    count(&state.proxy.enqueued, refused.len() + unwatched.len());
    let refused = refused
        .into_iter()
        .map(|subject| (subject, atoms::noproc()));
    let unwatched = unwatched.into_iter();
    let unwatched =
        unwatched.map(|subject| (destination_to_term(env, subject), atoms::system_limit()));
    for certificate in refused.chain(unwatched) {
        connector.force(env, Reason::from_term(certificate.encode(env)));
    }
    let to_term = |(target, destination)| (target, destination_to_term(env, destination));
    let made = made.into_iter().map(to_term).collect();
    let released = monitors_to_terms(env, &released)?;
    consume(env, slice.len());
    Ok((rest, made, released, malformed))
}

/// Notes the monitors of targets: `{target, monitor}`.
#[rustler::nif]
fn proxy_monitored<'a>(env: Env<'a>, placed: Term<'a>) -> NifResult<Atom> {
    let state = current()?;
    // Decoding an improper list panics.
    placed.list_length()?;
    let placed: Vec<(u32, Term<'a>)> = placed.decode()?;
    let read = |&(target, monitor): &(u32, Term<'a>)| Some((target, reference(env, monitor)?));
    let placed: Option<Vec<(u32, MonitorRef)>> = placed.iter().map(read).collect();
    let placed = placed.ok_or(Error::BadArg)?;
    let mut table = state.proxy.table.lock();
    for &(target, monitor) in &placed {
        if !table.set_monitor(target, monitor) {
            return Err(Error::BadArg);
        }
    }
    drop(table);
    consume(env, placed.len());
    Ok(atoms::ok())
}

direct::nif!("proxy_certify", 4, proxy_certify);

/// Puts a certificate into the outbox of every subscriber of a destination that is down. The limits are
/// those of a truncation.
fn proxy_certify<'a>(
    env: Env<'a>,
    [destination, reason, depth, max_binary_size]: [Term<'a>; 4],
) -> NifResult<Term<'a>> {
    let state = current()?;
    let reason = truncate(env, reason, limits(depth, max_binary_size)?);
    let certified = state.proxy.certify(env, destination, reason, || true);
    Ok(certified.to_term(env))
}

/// The same for a reason that passes untouched, of any size.
#[rustler::nif(schedule = "DirtyCpu")]
fn proxy_certify_bulky(env: Env, destination: Term, reason: Term) -> NifResult<Atom> {
    let state = current()?;
    let proxy = &state.proxy;
    // A new Proxy is the owner before it locks the table to replace it. Its subscriptions are no
    // business of a former one's call: a name may have another process by now.
    let is_due = || proxy.releases.owner(env) == Some(env.pid());
    Ok(proxy.certify(env, destination, reason, is_due))
}

/// Removes targets that nobody watches any more. Returns their monitors, and whether to go on.
#[rustler::nif]
fn proxy_release(env: Env) -> NifResult<(Vec<Term>, bool)> {
    let state = current()?;
    let mut released = Vec::new();
    let release = |monitor| released.push(monitor);
    state.proxy.table.lock().release(SLICE, release);
    let is_empty = || !state.proxy.table.lock().has_vacant();
    let more = !state.proxy.releases.rest(is_empty);
    consume(env, released.len());
    Ok((monitors_to_terms(env, &released)?, more))
}

/// Makes the caller the janitor, which must sweep.
#[rustler::nif]
fn proxy_answer_departures(env: Env) -> NifResult<Atom> {
    current()?.proxy.departures.answer(env);
    Ok(atoms::ok())
}

/// Removes rows and certificates of detached connectors. Returns whether to go on, and how many rows
/// are left.
#[rustler::nif]
fn proxy_sweep(env: Env) -> NifResult<(bool, usize)> {
    let state = current()?;
    let proxy = &state.proxy;
    let mut table = proxy.table.lock();
    table.sweep(ROWS);
    let (vacant, left) = (table.has_vacant(), table.left_behind());
    drop(table);
    if vacant {
        proxy.releases.ring(env);
    }
    let discarded = proxy.discarded.lock().pop();
    if let Some(connector) = discarded
        && connector.outbox.discard(CERTIFICATES)
    {
        proxy.discarded.lock().push(connector);
    }
    consume(env, ROWS);
    // Both are looked at anew: since the sweep, a connector may have been detached and even its
    // outbox been emptied here, while its ringing found this janitor awake.
    let is_empty = || !proxy.table.lock().has_departed() && proxy.discarded.lock().is_empty();
    Ok((!proxy.departures.rest(is_empty), left))
}

/// Makes the caller the Batcher of a connector, which must sweep. Returns whether there was one
/// before it.
#[rustler::nif]
fn proxy_answer_certificates(env: Env, connector: ResourceArc<Connector>) -> bool {
    let succeeds = connector.batcher.answer(env);
    connector.outbox.reclaim(word::of_caller(env));
    succeeds
}

/// Adds a certificate, the external term format of `{destination, reason}`.
#[rustler::nif]
fn proxy_enqueue(env: Env, connector: ResourceArc<Connector>, encoded: Binary) -> NifResult<Atom> {
    let state = current()?;
    connector.force(env, Reason::from_etf(&encoded));
    count(&state.proxy.enqueued, 1);
    Ok(atoms::ok())
}

/// Takes up to `limit` certificates and returns them with how many more may be asked for, which is
/// 0 when none is left. What it could not be told of comes when all else has been sent. `closed` when the connector is detached, `bulky` when the next certificate
/// has to be taken by [`proxy_take_bulky`]. Only its Batcher is given any.
#[rustler::nif]
fn proxy_take<'a>(
    env: Env<'a>,
    connector: ResourceArc<Connector>,
    limit: usize,
) -> NifResult<Term<'a>> {
    if connector.outbox.is_closed() {
        return Ok(atoms::closed().encode(env));
    }
    take(env, &connector, limit, REASONS)
}

/// The same, whatever the size of the reasons.
#[rustler::nif(schedule = "DirtyCpu")]
fn proxy_take_bulky<'a>(
    env: Env<'a>,
    connector: ResourceArc<Connector>,
    limit: usize,
) -> NifResult<Term<'a>> {
    take(env, &connector, limit, usize::MAX)
}

fn take<'a>(
    env: Env<'a>,
    connector: &Connector,
    limit: usize,
    bulky: usize,
) -> NifResult<Term<'a>> {
    let mut reasons: Vec<Reason> = Vec::new();
    let mut taken: Vec<(Option<Destination>, usize)> = Vec::new();
    let mut size = 0;
    let mut wanted = limit.min(CERTIFICATES);
    if connector.outbox.is_drained() {
        wanted = wanted.min(ROWS);
        current()?.proxy.recover(connector, wanted);
    }
    let reader = word::of_caller(env);
    let stopped = connector.outbox.take(reader, wanted, |certificate| {
        let reason = certificate.reason();
        if !reasons.last().is_some_and(|last| last.is_same(reason)) {
            let length = reason.as_etf().len();
            if size + length > bulky {
                return false;
            }
            size += length;
            reasons.push(reason.clone());
        }
        let destination = match certificate {
            Certificate::Known(destination, _) => Some(*destination),
            Certificate::Encoded(_) => None,
        };
        taken.push((destination, reasons.len() - 1));
        true
    });
    // Not before: whoever succeeds the caller, were it killed meanwhile, needs the outbox at once.
    let reasons = reasons.iter().map(|reason| reason.to_term(env));
    let reasons = reasons.collect::<NifResult<Vec<Term>>>()?;
    consume(env, taken.len() + size / 64);
    if stopped && taken.is_empty() {
        return Ok(atoms::bulky().encode(env));
    }
    let left = match taken.len() {
        amount if stopped || amount == wanted => limit - amount,
        _ => 0,
    };
    let to_term = |(destination, reason)| match destination {
        Some(known) => (destination_to_term(env, known), reasons[reason]).encode(env),
        None => reasons[reason],
    };
    let taken: Vec<Term> = taken.into_iter().map(to_term).collect();
    Ok((taken, left).encode(env))
}

/// Forgets the certificates that were taken: they were sent. Returns whether the Batcher may sleep.
#[rustler::nif]
fn proxy_sent(env: Env, connector: ResourceArc<Connector>) -> NifResult<bool> {
    let state = current()?;
    let sent = connector.outbox.sent(word::of_caller(env));
    count(&state.proxy.swept, sent);
    let is_quiet = || state.proxy.is_quiet(&connector);
    Ok(connector.batcher.rest(is_quiet))
}

/// Notes that the connection does not take the certificates that were taken, and has let a budget of
/// `unused` go by: at most `limit` may wait because of that. `false` when the connector is detached.
#[rustler::nif]
fn proxy_withhold(connector: ResourceArc<Connector>, unused: usize, limit: usize) -> bool {
    connector.outbox.withhold(unused, limit);
    !connector.outbox.is_closed()
}

/// How many deaths a connector could not be told of since this was last asked.
#[rustler::nif]
fn proxy_shed(connector: ResourceArc<Connector>) -> usize {
    // Relaxed: nothing else is read by it.
    connector.shed.swap(0, Ordering::Relaxed)
}

/// Whether a connector has no subscriptions, and no certificates wait for it.
#[rustler::nif]
fn proxy_is_unused(connector: ResourceArc<Connector>) -> NifResult<bool> {
    let state = current()?;
    let subscribed = state.proxy.table.lock().is_subscribed(connector.id);
    Ok(!subscribed && state.proxy.is_quiet(&connector))
}

/// How many certificates wait for a connector or are on their way out.
#[rustler::nif]
fn proxy_outbox_len(connector: ResourceArc<Connector>) -> usize {
    connector.outbox.len()
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

/// `{subscriptions, certificates enqueued, certificates swept}`: the first is a gauge, the others
/// count from the start.
#[rustler::nif]
fn proxy_counters() -> NifResult<(usize, u64, u64)> {
    let state = current()?;
    let proxy = &state.proxy;
    // Relaxed: independent counters.
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (subscriptions, _, _) = proxy.sizes();
    Ok((subscriptions, load(&proxy.enqueued), load(&proxy.swept)))
}
