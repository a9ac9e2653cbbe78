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

use crate::calls::direct;
use crate::library::check_place;
use crate::sides::doorbell::Doorbell;
use crate::state::current;
use crate::terms::batch::Batch;
use crate::terms::etf::{Identity, Pid, decode_pids};
use crate::terms::numbering::Numbering;
use crate::terms::parts::{COMPARED, Parts};
use crate::terms::reason::Reason;
use crate::terms::reference::reference;
use crate::terms::{atoms, word};
use parking_lot::Mutex;
use rustler::{
    Atom, Binary, Encoder, Env, Error, LocalPid, NifResult, Resource, ResourceArc, Term, schedule,
};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use zen_monitor_core::structures::limits::Full;
use zen_monitor_core::subscriptions::outbox::{Outbox, Pushed};
use zen_monitor_core::subscriptions::table::{
    ConnectorId, Destination, MonitorRef, SubscriptionTable,
};
use zen_monitor_core::wire::{Decoder, Kind, Numbers, RUN};

/// Instructions or monitors handled by one call: few enough for each to meet an index that grows.
const SLICE: usize = 64;
/// Rows of departed connectors removed by one call.
const ROWS: usize = 256;
/// How long one call may encode reasons.
const CERTIFYING: Duration = Duration::from_micros(300);
/// Certificates handled by one call.
const CERTIFICATES: usize = 1_000;
/// Bytes of reasons built by one call on a normal scheduler, and so the size of a bulky one.
const REASONS: usize = 16 * 1024;

/// How many reasons are kept with dead processes whose subscribers could not be told, and the bytes of
/// the longest: enough for what ends processes by the thousands, and nothing beside their rows.
const KEPT: usize = 16;
const KEPT_BYTES: usize = 64;

/// The most destinations that one call returns: a slice, and the run that filled it.
const MADE: usize = SLICE + RUN;

/// `:noproc` in the external format.
const NOPROC: &[u8] = b"\x83w\x06noproc";
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
    /// The targets that the Proxy is placing monitors of.
    asked: Mutex<Vec<u32>>,
    /// The version of the compact wire that its node speaks, or 0.
    version: AtomicU32,
}

#[rustler::resource_impl]
impl Resource for Connector {}

/// What tells a connector that a destination is down.
enum Certificate {
    Known(Destination, Reason),
    /// The same, with the number of the subscription.
    Numbered(Destination, u32, Reason),
    /// Of a pid of a former life of this node.
    Former(Numbers, u32, Reason),
    /// The whole `{destination, reason}`, where the destination is no immediate word.
    Encoded(Reason),
}

impl Certificate {
    #[inline]
    fn new(destination: Destination, number: Option<u32>, reason: Reason) -> Certificate {
        match number {
            Some(number) => Certificate::Numbered(destination, number, reason),
            None => Certificate::Known(destination, reason),
        }
    }

    fn reason(&self) -> &Reason {
        match self {
            Certificate::Known(_, reason)
            | Certificate::Numbered(_, _, reason)
            | Certificate::Former(_, _, reason)
            | Certificate::Encoded(reason) => reason,
        }
    }
}

impl Connector {
    /// Whether the certificate need not be told of in another way. The Batcher must be woken.
    #[inline]
    fn push(&self, certificate: impl FnOnce() -> Certificate) -> bool {
        let pushed = self.outbox.push(certificate);
        let refused = pushed == Pushed::Refused;
        if refused {
            // Relaxed: nothing else is read by it.
            self.shed.fetch_add(1, Ordering::Relaxed);
        }
        !refused
    }

    /// For a certificate of what has no row: it is let in, however many wait.
    fn force(&self, env: Env, certificate: Certificate) {
        self.outbox.force(certificate);
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
        table.collect(connector.id, budget, |destination, number, kept| {
            let reason = kept.as_ref().or(unknown.as_ref());
            let reason = reason
                .cloned()
                .unwrap_or_else(|| unknown.insert(Reason::from_etf(NODEDOWN)).clone());
            connector
                .outbox
                .force(Certificate::new(destination, number, reason));
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

    /// Certifies destinations for their reasons, until that was told to many. Returns how many of them are
    /// done. `is_due` is asked when the table is locked.
    fn certify(
        &self,
        env: Env,
        exits: &[(Destination, Reason)],
        is_due: impl FnOnce() -> bool,
    ) -> usize {
        let (mut enqueued, mut shed, mut done) = (0, 0, 0);
        let mut told: Vec<ResourceArc<Connector>> = Vec::new();
        let mut table = self.table.lock();
        if !is_due() {
            return exits.len();
        }
        for (destination, reason) in exits {
            if enqueued + shed > CERTIFICATES {
                break;
            }
            let counted = table.certify(
                *destination,
                || self.keep(reason),
                |connector, number| {
                    // Those of a mass exit are mostly for one.
                    if !told
                        .last()
                        .is_some_and(|last| std::ptr::eq(&**last, &**connector))
                    {
                        told.push(connector.clone());
                    }
                    connector.push(|| Certificate::new(*destination, number, reason.clone()))
                },
            );
            enqueued += counted.0;
            shed += counted.1;
            done += 1;
        }
        drop(table);
        for connector in told {
            connector.batcher.ring(env);
        }
        count(&self.enqueued, enqueued);
        consume(env, enqueued + shed);
        done
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
                Ok(_) => known(plain(word::from_term(term)), 0),
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
    /// With a number that the certificate returns.
    SubscribeNumbered(Destination, u32),
    Unsubscribe(Destination),
    /// Subscribe to what is not of this node, and so is no process.
    Refuse(Term<'a>),
    /// Subscribe to a pid of a former life of this node.
    RefuseFormer(Numbers, u32),
    /// Unsubscribe from such a thing.
    Nothing,
}

impl<'a> Instruction<'a> {
    #[inline]
    fn of(term: Term<'a>, home: [u64; 2]) -> Option<Instruction<'a>> {
        let (verb, subject, number): (Term, Term, Option<u32>) = match term.decode() {
            Ok((verb, subject)) => (verb, subject, None),
            Err(_) => {
                let (verb, subject, number) = term.decode().ok()?;
                (verb, subject, Some(number))
            }
        };
        let destination = Subject::of(subject)?;
        if atoms::subscribe() == verb {
            Some(match destination {
                Subject::Known(destination) if is_local(destination, home) => match number {
                    Some(number) => Instruction::SubscribeNumbered(destination, number),
                    None => Instruction::Subscribe(destination),
                },
                _ => Instruction::Refuse(subject),
            })
        } else if atoms::unsubscribe() == verb && number.is_none() {
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

/// The word of a local pid as the table has it, whose neighbours are those of the pid.
#[inline]
fn plain(word: u64) -> u64 {
    Numbering::known().map_or(word, |numbering| numbering.plain(word))
}

fn destination_to_term(env: Env<'_>, destination: Destination) -> Term<'_> {
    let word = destination.word;
    let word = Numbering::known().map_or(word, |numbering| numbering.whole(word));
    let name = word::to_term(env, word);
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
            asked: Mutex::default(),
            version: AtomicU32::new(0),
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

/// Carries out the first instructions of a part: a list of them, or runs of pids. `monitors` are those of the
/// destinations that the call before has returned, in that order. Returns the rest of the part, the
/// destinations that need a monitor, the monitors that are not needed any more, and what was no
/// instruction.
#[rustler::nif]
#[allow(clippy::type_complexity)]
fn proxy_process<'a>(
    env: Env<'a>,
    connector: ResourceArc<Connector>,
    home: Term<'a>,
    part: Term<'a>,
    monitors: Term<'a>,
) -> NifResult<(Term<'a>, Vec<Term<'a>>, Vec<Term<'a>>, Vec<Term<'a>>)> {
    let state = current()?;
    let mut slice = Vec::with_capacity(SLICE);
    let mut malformed = Vec::new();
    let monitors = read_monitors(env, monitors)?;
    let rest = if part.is_binary() {
        read_runs(env, part, &mut slice, &mut malformed)?
    } else {
        read_list(env, part, home, &mut slice, &mut malformed)
    };

    let mut made = Vec::new();
    let mut released = Vec::new();
    let mut refused = Vec::new();
    let mut unwatched = Vec::new();
    let mut nobody: Option<Reason> = None;
    let mut asked = connector.asked.lock();
    if asked.len() != monitors.len() {
        return Err(Error::BadArg);
    }
    let mut table = state.proxy.table.lock();
    for (target, monitor) in asked.drain(..).zip(monitors) {
        table.set_monitor(target, monitor);
    }
    for instruction in &slice {
        match *instruction {
            Instruction::Subscribe(destination) => {
                match table.subscribe(connector.id, destination) {
                    Ok(target) => made.extend(target),
                    Err(Full) => unwatched.push((destination, None)),
                }
            }
            Instruction::SubscribeNumbered(destination, number) => {
                let (former, next) = table.subscribe_numbered(connector.id, destination, number);
                released.extend(former);
                match next {
                    Ok(target) => made.extend(target),
                    Err(Full) => unwatched.push((destination, Some(number))),
                }
            }
            Instruction::Unsubscribe(destination) => {
                released.extend(table.unsubscribe(connector.id, destination));
            }
            Instruction::Refuse(subject) => {
                let certificate = (subject, atoms::noproc()).encode(env);
                refused.push(Certificate::Encoded(Reason::from_term(certificate)));
            }
            Instruction::RefuseFormer(pid, creation) => {
                let reason = nobody.get_or_insert_with(|| Reason::from_etf(NOPROC));
                refused.push(Certificate::Former(pid, creation, reason.clone()));
            }
            Instruction::Nothing => {}
        }
    }
    let unused =
        slice.iter().any(Instruction::is_unsubscribe) && !table.is_subscribed(connector.id);
    let mut destinations = Vec::with_capacity(made.len());
    for target in made {
        if let Some(destination) = table.begin_monitor(target) {
            asked.push(target);
            destinations.push(destination);
        }
    }
    drop((table, asked));

    if unused {
        // It notes when it could retire.
        connector.batcher.ring(env);
    }
    count(&state.proxy.enqueued, refused.len() + unwatched.len());
    let unwatched = unwatched.into_iter().map(|(destination, number)| {
        let reason = Reason::from_term(atoms::system_limit().to_term(env));
        Certificate::new(destination, number, reason)
    });
    for certificate in refused.into_iter().chain(unwatched) {
        connector.force(env, certificate);
    }
    let to_term = |destination| destination_to_term(env, destination);
    let destinations = destinations.into_iter().map(to_term).collect();
    let released = monitors_to_terms(env, &released)?;
    consume(env, slice.len());
    Ok((rest, destinations, released, malformed))
}

/// The numbers of a list of references.
fn read_monitors(env: Env, monitors: Term) -> NifResult<Vec<MonitorRef>> {
    let mut numbers = Vec::new();
    let mut rest = monitors;
    while let Ok((monitor, tail)) = rest.list_get_cell() {
        if numbers.len() == MADE {
            return Err(Error::BadArg);
        }
        numbers.push(reference(env, monitor).ok_or(Error::BadArg)?);
        rest = tail;
    }
    Ok(numbers)
}

/// Reads a slice of a list of instructions, and returns the rest.
fn read_list<'a>(
    env: Env<'a>,
    list: Term<'a>,
    home: Term<'a>,
    slice: &mut Vec<Instruction<'a>>,
    malformed: &mut Vec<Term<'a>>,
) -> Term<'a> {
    let unnamed = atoms::nonode_at_nohost().to_term(env);
    let home = [home, unnamed].map(word::from_term);
    let mut rest = list;
    while slice.len() + malformed.len() < SLICE {
        let Ok((instruction, tail)) = rest.list_get_cell() else {
            if !rest.is_empty_list() {
                malformed.push(rest);
            }
            return Term::list_new_empty(env);
        };
        match Instruction::of(instruction, home) {
            Some(instruction) => slice.push(instruction),
            None => malformed.push(instruction),
        }
        rest = tail;
    }
    rest
}

/// Reads a slice of runs, and returns the others, or the empty list.
fn read_runs<'a>(
    env: Env<'a>,
    part: Term<'a>,
    slice: &mut Vec<Instruction<'a>>,
    malformed: &mut Vec<Term<'a>>,
) -> NifResult<Term<'a>> {
    let bytes = Binary::from_term(part)?;
    let creation = Identity::of_caller(env).ok_or(Error::BadArg)?.creation;
    let numbering = Numbering::known();
    let own = |numbers, of| numbering.filter(|_| of == creation)?.plain_of(numbers);
    let mut decoder = Decoder::new(&bytes);
    let sub = |from: &[u8], to: &[u8]| {
        let place = bytes.len() - from.len();
        Ok::<_, Error>(
            bytes
                .make_subbinary(place, from.len() - to.len())?
                .to_term(env),
        )
    };
    while slice.len() + malformed.len() < SLICE && !decoder.rest().is_empty() {
        let before = decoder.rest();
        let run = decoder.next();
        let is_instruction = run.as_ref().is_some_and(|run| match run.kind {
            Kind::Subscribe => {
                slice.extend(run.pids().iter().map(|&pid| match own(pid, run.creation) {
                    Some(word) => Instruction::Subscribe(Destination { word, node: 0 }),
                    None => Instruction::RefuseFormer(pid, run.creation),
                }));
                true
            }
            Kind::Unsubscribe => {
                slice.extend(run.pids().iter().map(|&pid| match own(pid, run.creation) {
                    Some(word) => Instruction::Unsubscribe(Destination { word, node: 0 }),
                    None => Instruction::Nothing,
                }));
                true
            }
            Kind::Dead(_) => false,
        });
        if !is_instruction || decoder.is_malformed() {
            malformed.push(sub(before, decoder.rest())?);
        }
    }
    match decoder.rest() {
        [] => Ok(Term::list_new_empty(env)),
        rest => sub(rest, &[]),
    }
}

direct::nif!("proxy_certify", 1, proxy_certify);

/// Puts a certificate into the outbox of every subscriber of destinations that are down: a list of
/// `[destination | reason]`, each reason truncated. Returns the rest of the list: that for which there was no
/// time.
fn proxy_certify<'a>(env: Env<'a>, [exits]: [Term<'a>; 1]) -> NifResult<Term<'a>> {
    let state = current()?;
    let began = Instant::now();
    let mut read: Vec<(Destination, Reason)> = Vec::with_capacity(SLICE);
    let mut rests = Vec::with_capacity(SLICE);
    let mut last: Option<(u64, Reason)> = None;
    let mut rest = exits;
    let mut bytes = 0;
    while read.len() < SLICE && (bytes < REASONS || began.elapsed() < CERTIFYING) {
        let Ok((exit, tail)) = rest.list_get_cell() else {
            break;
        };
        let (destination, reason) = exit.list_get_cell()?;
        // Nothing else has subscribers: this is no `:DOWN` of a monitor placed for them.
        if let Some(Subject::Known(destination)) = Subject::of(destination) {
            let known = match &last {
                // The very same term, or the same atom.
                Some((word, known)) if *word == word::from_term(reason) => known.clone(),
                _ => {
                    let known = state.proxy.share(reason);
                    bytes += known.as_etf().len();
                    last = Some((word::from_term(reason), known.clone()));
                    known
                }
            };
            rests.push(rest);
            read.push((destination, known));
        }
        rest = tail;
    }
    let done = state.proxy.certify(env, &read, || true);
    consume(env, bytes / 64);
    Ok(rests.get(done).copied().unwrap_or(rest))
}

/// Puts a certificate into the outbox of every subscriber of a destination that is down. The reason passes
/// untouched, and may be of any size.
#[rustler::nif(schedule = "DirtyCpu")]
fn proxy_certify_bulky(env: Env, destination: Term, reason: Term) -> NifResult<Atom> {
    let state = current()?;
    let proxy = &state.proxy;
    let Some(Subject::Known(destination)) = Subject::of(destination) else {
        return Ok(atoms::ok());
    };
    // A new Proxy is the owner before it locks the table to replace it. Its subscriptions are no
    // business of a former one's call: a name may have another process by now.
    let is_due = || proxy.releases.owner(env) == Some(env.pid());
    proxy.certify(env, &[(destination, proxy.share(reason))], is_due);
    Ok(atoms::ok())
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
    connector.force(env, Certificate::Encoded(Reason::from_etf(&encoded)));
    count(&state.proxy.enqueued, 1);
    Ok(atoms::ok())
}

/// Takes up to `limit` certificates, for a message in the given version of the compact wire, in parts, or in a
/// list, where that is 0. Returns them with how many they are, and how many more may be asked for, which is
/// 0 when none is left. What it could not be told of comes when all else has been sent. `closed` when the
/// connector is detached, `bulky` when the next certificate has to be taken by [`proxy_take_bulky`]. Only
/// its Batcher is given any.
#[rustler::nif]
fn proxy_take<'a>(
    env: Env<'a>,
    connector: ResourceArc<Connector>,
    version: u32,
    limit: usize,
) -> NifResult<Term<'a>> {
    if connector.outbox.is_closed() {
        return Ok(atoms::closed().encode(env));
    }
    take(env, &connector, version, limit, REASONS)
}

/// The same, whatever the size of the reasons.
#[rustler::nif(schedule = "DirtyCpu")]
fn proxy_take_bulky<'a>(
    env: Env<'a>,
    connector: ResourceArc<Connector>,
    version: u32,
    limit: usize,
) -> NifResult<Term<'a>> {
    take(env, &connector, version, limit, usize::MAX)
}

/// What a certificate is of.
#[derive(Clone, Copy)]
enum Dead {
    Known(Destination),
    Numbered(Destination, u32),
    Former(Numbers, u32),
    /// It is with its reason.
    Encoded,
}

fn take<'a>(
    env: Env<'a>,
    connector: &Connector,
    version: u32,
    limit: usize,
    bulky: usize,
) -> NifResult<Term<'a>> {
    let mut reasons: Vec<Reason> = Vec::new();
    let mut taken: Vec<(Dead, usize)> = Vec::new();
    let mut size = 0;
    let mut wanted = limit.min(CERTIFICATES);
    if connector.outbox.is_drained() {
        wanted = wanted.min(ROWS);
        current()?.proxy.recover(connector, wanted);
    }
    let reader = word::of_caller(env);
    let stopped = connector.outbox.take(reader, wanted, |certificate| {
        let reason = certificate.reason();
        let recent = reasons.len().saturating_sub(COMPARED);
        let same = |known: &Reason| known.is_same(reason) || known.as_etf() == reason.as_etf();
        let place = match reasons[recent..].iter().rposition(same) {
            Some(place) => recent + place,
            None => {
                let length = reason.as_etf().len();
                if size + length > bulky {
                    return false;
                }
                size += length;
                reasons.push(reason.clone());
                reasons.len() - 1
            }
        };
        let dead = match certificate {
            Certificate::Known(destination, _) => Dead::Known(*destination),
            Certificate::Numbered(destination, number, _) => Dead::Numbered(*destination, *number),
            Certificate::Former(numbers, creation, _) => Dead::Former(*numbers, *creation),
            Certificate::Encoded(_) => Dead::Encoded,
        };
        taken.push((dead, place));
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
    let amount = taken.len();
    let certificates = match version {
        0 => certificates(env, &taken, &reasons)?,
        _ => certificate_parts(env, &taken, &reasons)?,
    };
    Ok((certificates, amount, left).encode(env))
}

/// Certificates as version 2 knows them.
fn certificates<'a>(
    env: Env<'a>,
    taken: &[(Dead, usize)],
    reasons: &[Term<'a>],
) -> NifResult<Vec<Term<'a>>> {
    let to_term = |&(dead, reason): &(Dead, usize)| match dead {
        Dead::Known(destination) | Dead::Numbered(destination, _) => {
            Ok((destination_to_term(env, destination), reasons[reason]).encode(env))
        }
        Dead::Former(numbers, creation) => {
            Ok((former_pid(env, numbers, creation)?, reasons[reason]).encode(env))
        }
        Dead::Encoded => Ok(reasons[reason]),
    };
    taken.iter().map(to_term).collect()
}

/// Certificates in parts.
fn certificate_parts<'a>(
    env: Env<'a>,
    taken: &[(Dead, usize)],
    reasons: &[Term<'a>],
) -> NifResult<Vec<Term<'a>>> {
    let creation = Identity::of_caller(env).ok_or(Error::BadArg)?.creation;
    let numbering = Numbering::known();
    let numbers = |destination: Destination| match destination.node {
        0 => numbering?.numbers(destination.word),
        _ => None,
    };
    let mut parts = Parts::new(env);
    for &(dead, number) in taken {
        let reason = reasons[number];
        let destination = |destination| destination_to_term(env, destination);
        match dead {
            Dead::Known(known) => match numbers(known) {
                Some(pid) => parts.certify((number, reason), pid, creation),
                None => parts.term((destination(known), reason).encode(env)),
            },
            Dead::Numbered(known, subscription) => {
                parts.term((destination(known), subscription, reason).encode(env));
            }
            Dead::Former(pid, creation) => parts.certify((number, reason), pid, creation),
            Dead::Encoded => parts.term(reason),
        }
    }
    Ok(parts.finish())
}

/// A pid of a former life of this node.
fn former_pid<'a>(env: Env<'a>, [id, serial]: Numbers, creation: u32) -> NifResult<Term<'a>> {
    let identity = Identity::of_caller(env).ok_or(Error::BadArg)?;
    let pid = Pid {
        node: &identity.node,
        id,
        serial,
        creation,
    };
    let pids = decode_pids(env, &[pid]).ok_or(Error::BadArg)?;
    Ok(pids[0])
}

/// Notes which version of the compact wire the node of a connector speaks, or 0.
#[rustler::nif]
fn proxy_speak(connector: ResourceArc<Connector>, version: u32) -> Atom {
    // Relaxed: nothing else is read by it.
    connector.version.store(version, Ordering::Relaxed);
    atoms::ok()
}

/// The version of the compact wire that the node of a connector speaks, or 0.
#[rustler::nif]
fn proxy_version(connector: ResourceArc<Connector>) -> u32 {
    // Relaxed: nothing else is read by it.
    connector.version.load(Ordering::Relaxed)
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
