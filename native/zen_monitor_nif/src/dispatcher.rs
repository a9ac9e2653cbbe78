//! The delivery of `:DOWN` messages.
//!
//! Each is claimed, sent and freed within one call, so whatever kills the Dispatcher neither
//! loses nor doubles one. What a call fails to send goes back to the queues (`delivery.rs`).

use crate::etf::Batch;
use crate::heap::{self, Headers, Object};
use crate::local::{Local, Node, Remote};
use crate::message::send;
use crate::options::{Gathered, Kind, pid_of};
use crate::origin::Sample;
use crate::reason::{HEAVY, Reason};
use crate::state::current;
use crate::target::{add_object, name_of, object};
use crate::timeslice::Timeslice;
use crate::{atoms, word};
use rustler::{Encoder, Env, Error, NifResult, Term};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use zen_monitor_core::monitors::delivery::Delivery;
use zen_monitor_core::monitors::share::Share;
use zen_monitor_core::monitors::subscribers::Taken;
use zen_monitor_core::monitors::targets::Key;

/// `:DOWN`s that are built together.
const BATCH: usize = 64;
/// Bytes of reasons and tags that are built together, at about 10 ns each.
const BATCH_BYTES: usize = 16 * 1024;
/// How many bytes of a reason that is built already are copied in the time of building one.
const COPIED: usize = 8;
/// How long one call may deliver.
const DELIVERY: Duration = Duration::from_micros(200);

// A batch without a heavy reason or tag need not be counted.
const _: () = assert!(BATCH * HEAVY <= BATCH_BYTES);

/// Makes the caller `ZenMonitor.Local.Dispatcher`, which delivers.
#[rustler::nif]
fn dispatcher_answer(env: Env) -> NifResult<bool> {
    Ok(current()?.local.ring.answer(env))
}

/// Sends up to `limit` `:DOWN`s, and fewer when they take long. `name` is this node's name. `share`
/// bounds what any one subscriber is given but in bulk: `{each, burst}` for as many at once, and one every so many
/// nanoseconds, or `:all`. Answers how many were sent, and whether to call again with what is left of the limit, even if
/// that is 0: then a bulk message is not sent yet. `:bulky` when [`dispatcher_deliver_bulky`] must
/// do it, because a reason waits that takes long to build.
#[rustler::nif]
fn dispatcher_deliver<'a>(
    env: Env<'a>,
    name: Term<'a>,
    limit: usize,
    share: Term<'a>,
) -> NifResult<Term<'a>> {
    if Reason::is_any_bulky() {
        return Ok(atoms::bulky().to_term(env));
    }
    Ok(deliver(env, name, limit, share)?.encode(env))
}

/// The same on a dirty scheduler, where sending costs more and nobody waits.
#[rustler::nif(schedule = "DirtyCpu")]
fn dispatcher_deliver_bulky<'a>(
    env: Env<'a>,
    name: Term<'a>,
    limit: usize,
    share: Term<'a>,
) -> NifResult<(usize, bool)> {
    deliver(env, name, limit, share)
}

fn deliver<'a>(
    env: Env<'a>,
    name: Term<'a>,
    limit: usize,
    share: Term<'a>,
) -> NifResult<(usize, bool)> {
    let state = current()?;
    let share = read_share(share)?;
    let _timeslice = Timeslice::begin(env);
    let began = Instant::now();
    let mut run = Run::new(env, &state.local, name);
    let mut done = false;
    while !done && began.elapsed() < DELIVERY {
        // Who still has something due then has had its share.
        let any = run.turns(BATCH.min(limit - run.sent), share)?;
        done = !any || run.sent == limit;
    }
    let local = &state.local;
    let done = done || local.table.is_idle();
    while done && began.elapsed() < DELIVERY {
        match local.options.take_gathered() {
            Some(gathered) => run.send_bulk(gathered)?,
            None => break,
        }
    }
    Ok((run.sent, !done || !local.options.is_delivered()))
}

/// Puts the Dispatcher to rest; `false` when a subscriber has a queue or a bulk message is due.
#[rustler::nif]
fn dispatcher_rest() -> NifResult<bool> {
    let state = current()?;
    let local = &state.local;
    Ok(local
        .ring
        .rest(|| local.table.is_idle() && local.options.is_delivered()))
}

/// The present share of each subscriber. Dispatchers come and go, so its time is that of the library.
fn read_share(share: Term) -> NifResult<Share> {
    static BEGINNING: OnceLock<Instant> = OnceLock::new();
    if atoms::all() == share {
        return Ok(Share::all());
    }
    let (each, burst) = share.decode()?;
    let now = BEGINNING.get_or_init(Instant::now).elapsed();
    Ok(Share::new(now, Duration::from_nanos(each), burst))
}

/// A monitor that is due, and what its `:DOWN` says.
pub type Due = (Taken, Key, Option<Reason>);

/// One run of the Dispatcher.
struct Run<'a, 'b> {
    env: Env<'a>,
    local: &'b Local,
    name: Term<'a>,
    batch: Batch<'a>,
    /// The last reason and its `{:zen_monitor, reason}`: neighbours often share one.
    cause: Option<(Option<Reason>, Term<'a>)>,
    sent: usize,
}

impl<'a, 'b> Run<'a, 'b> {
    fn new(env: Env<'a>, local: &'b Local, name: Term<'a>) -> Self {
        Run {
            env,
            local,
            name,
            batch: Batch::new(env),
            cause: None,
            sent: 0,
        }
    }

    /// Takes up to `limit` monitors in turn and sends their `:DOWN`s, but gathers those that go out
    /// in bulk. `false` when none was due.
    fn turns(&mut self, limit: usize, share: Share) -> NifResult<bool> {
        let table = &self.local.table;
        let (mut turns, mut bytes) = (0, 0);
        let mut delivery = Delivery::new(table, limit);
        let mut due: Vec<Due> = Vec::with_capacity(limit);
        // Where they are in the delivery, which has those that are gathered as well.
        let mut numbers = Vec::with_capacity(limit);
        let mut full = Vec::new();
        while turns < limit && bytes < BATCH_BYTES && full.is_empty() {
            let together = match Reason::heavy() {
                0 => limit - turns,
                _ => 1,
            };
            let first = delivery.len();
            // A bulk message is one, however much is in it.
            let share = |pid| match Kind::of(pid) {
                Kind::Bulk => Share::all(),
                Kind::Heavy => share.last(),
                _ => share,
            };
            match delivery.take_turns(together, share) {
                0 => break,
                more => turns += more,
            }
            for (number, (key, reason)) in (first..).zip(delivery.describe(first)) {
                let taken = *delivery.taken(number);
                let kind = Kind::of(taken.pid);
                if kind == Kind::Bulk {
                    self.sent += 1;
                    full.extend(self.local.options.gather(taken, key, reason));
                    delivery.pass_on(number);
                    continue;
                }
                // One that neighbours share is built once, and copied for each.
                let again = matches!(due.last(), Some((_, _, last)) if is_same(last, &reason));
                let size = reason.as_ref().map_or(0, |reason| reason.as_etf().len());
                bytes += size / if again { COPIED } else { 1 };
                bytes += self.local.options.weight(kind, taken.reference);
                due.push((taken, key, reason));
                numbers.push(number);
            }
        }
        self.send_each(&mut delivery, &numbers, &due)?;
        self.sent += delivery.sent();
        drop(delivery);
        for gathered in full {
            self.send_bulk(gathered)?;
        }
        Ok(turns > 0)
    }

    /// Sends those that are claimed, one right after the other, so that their receiver finds many at
    /// a time; they are freed together afterwards.
    fn send_each(
        &mut self,
        delivery: &mut Delivery<Reason, Remote>,
        numbers: &[usize],
        due: &[Due],
    ) -> NifResult<()> {
        let due_by_number = numbers.iter().zip(due);
        if let Some(loose) = self.loose(due) {
            for ((&number, (taken, _, _)), (object, cause)) in due_by_number.zip(&loose.parts) {
                if delivery.begin(number) {
                    self.send_loose(loose.headers, taken, *object, *cause);
                    delivery.end(number);
                }
            }
        } else {
            for ((&number, (taken, _, _)), (reference, object, cause)) in
                due_by_number.zip(self.build(due)?)
            {
                let kind = Kind::of(taken.pid);
                let tag = self.local.options.tag(self.env, kind, taken.reference);
                let down = (tag, reference, atoms::process(), object, cause).encode(self.env);
                if delivery.begin(number) {
                    self.send(taken.pid, down);
                    delivery.end(number);
                    self.local.options.forget(kind, taken.reference);
                }
            }
        }
        Ok(())
    }

    /// What the messages are made of, if none has options and nothing has to be decoded for them.
    fn loose(&mut self, due: &[Due]) -> Option<Loose<'a, 'b>> {
        let headers = heap::headers()?;
        let mut nodes = Vec::new();
        let mut objects = Vec::with_capacity(due.len());
        for (taken, key, _) in due {
            if Kind::of(taken.pid) != Kind::Plain {
                return None;
            }
            let (_, sample, name) = self.known(&mut nodes, *key);
            objects.push(object(sample.as_deref(), *name, *key)?);
        }
        // Not before it is known that they are of use: they may be large.
        let causes = due.iter().map(|(_, _, reason)| self.cause(reason));
        Some(Loose {
            parts: objects.into_iter().zip(causes).collect(),
            headers,
            _nodes: nodes,
        })
    }

    #[inline]
    fn send_loose(&self, headers: Headers, taken: &Taken, object: Object<'a>, cause: Term<'a>) {
        let [down, process] = [atoms::down(), atoms::process()].map(|atom| atom.to_term(self.env));
        let (terms, reference) = ((down, process, cause), taken.reference);
        let Some(pid) = word::to_pid(self.env, taken.pid) else {
            return;
        };
        // A dead subscriber has no use for it.
        // SAFETY: the sample that the object is of is among the nodes of its `Loose`.
        unsafe {
            heap::with_down(self.env, headers, terms, reference, object, |down| {
                down.send(&pid);
            });
        }
    }

    /// Sends what was gathered for one subscriber, unless nothing of it is left. All is claimed
    /// before and released after: a demonitor in between waits, for as long as it takes to copy.
    fn send_bulk(&mut self, gathered: Gathered) -> NifResult<()> {
        let table = &self.local.table;
        let mut delivery = Delivery::new(table, gathered.entries.len());
        for (taken, _, _) in &gathered.entries {
            delivery.take(*taken);
        }
        let entries = self.build(&gathered.entries)?;
        let mut left = Vec::with_capacity(entries.len());
        for (number, entry) in entries.into_iter().enumerate() {
            if delivery.begin(number) {
                left.push(entry);
            }
        }
        if !left.is_empty() {
            let message = (atoms::down(), atoms::bulk(), left).encode(self.env);
            self.send(delivery.taken(0).pid, message);
            delivery.end_all();
        }
        Ok(())
    }

    /// The reference, the object and the `{:zen_monitor, reason}` of each.
    fn build(&mut self, due: &[Due]) -> NifResult<Vec<(Term<'a>, Term<'a>, Term<'a>)>> {
        let mut nodes = Vec::new();
        for (taken, key, _) in due {
            let options = &self.local.options;
            options.add_reference(&mut self.batch, Kind::of(taken.pid), taken.reference);
            let (_, sample, name) = self.known(&mut nodes, *key);
            add_object(&mut self.batch, sample.as_deref(), *name, *key);
        }
        let mut built = self.batch.build().ok_or(Error::BadArg)?.into_iter();
        let mut terms = Vec::with_capacity(due.len());
        for (_, _, reason) in due {
            let (Some(reference), Some(object)) = (built.next(), built.next()) else {
                return Err(Error::BadArg);
            };
            terms.push((reference, object, self.cause(reason)));
        }
        Ok(terms)
    }

    /// The node of a target, which is the last of `nodes` afterwards; neighbours often share one.
    #[inline]
    fn known<'n>(&self, nodes: &'n mut Vec<Known<'a, 'b>>, key: Key) -> &'n Known<'a, 'b> {
        if nodes
            .last()
            .is_none_or(|(node, _, _)| node.id() != key.node)
        {
            let node = self.local.table.nodes.get(key.node);
            let name = name_of(self.env, node, self.name);
            nodes.push((node, node.host.origin.sample(), name));
        }
        nodes.last().expect("pushed above")
    }

    fn send(&self, subscriber: u64, message: Term<'a>) {
        if let Some(pid) = word::to_pid(self.env, pid_of(subscriber)) {
            // A dead subscriber has no use for it.
            send(self.env, &pid, message);
        }
    }

    fn cause(&mut self, reason: &Option<Reason>) -> Term<'a> {
        if let Some((known, term)) = &self.cause
            && is_same(known, reason)
        {
            return *term;
        }
        let term = match reason {
            // A message without its reason is better than none.
            Some(reason) => reason
                .to_term(self.env)
                .unwrap_or_else(|_| atoms::truncated().to_term(self.env)),
            None => atoms::nodedown().to_term(self.env),
        };
        let term = (atoms::zen_monitor(), term).encode(self.env);
        self.cause = Some((reason.clone(), term));
        term
    }
}

fn is_same(one: &Option<Reason>, other: &Option<Reason>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.is_same(other),
        (None, None) => true,
        _ => false,
    }
}

/// A node, a sample of its pids, and its name.
type Known<'a, 'b> = (&'b Node, Option<Arc<Sample>>, Term<'a>);

/// What a batch of messages is made of.
struct Loose<'a, 'b> {
    headers: Headers,
    /// They hold the samples by which the objects are valid.
    _nodes: Vec<Known<'a, 'b>>,
    /// The object and the `{:zen_monitor, reason}` of each message.
    parts: Vec<(Object<'a>, Term<'a>)>,
}
