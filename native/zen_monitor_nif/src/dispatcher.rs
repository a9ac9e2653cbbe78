//! The delivery of `:DOWN` messages.
//!
//! Each is claimed, sent and released within one call, so whatever kills the Dispatcher neither
//! loses nor doubles one.

use crate::etf::Batch;
use crate::heap::{self, Headers, Object};
use crate::local::{Local, Node};
use crate::message::send;
use crate::options::{Gathered, Kind, pid_of};
use crate::origin::Sample;
use crate::reason::{HEAVY, Reason};
use crate::sets::Envelopes;
use crate::state::current;
use crate::target::{add_object, name_of, object};
use crate::timeslice::Timeslice;
use crate::{atoms, word};
use rustler::{Encoder, Env, Error, NifResult, Term};
use std::sync::Arc;
use std::time::{Duration, Instant};
use zen_monitor_core::subscribers::Taken;
use zen_monitor_core::targets::Key;

/// `:DOWN`s that are built together.
const BATCH: usize = 64;
/// Bytes of reasons and tags that are built together, at about 10 ns each.
const BATCH_BYTES: usize = 16 * 1024;
/// How many bytes of a reason that is built already are copied in the time of building one.
const COPIED: usize = 8;
/// How long one call may deliver.
const DELIVERY: Duration = Duration::from_micros(200);

// A batch without a heavy reason need not be counted.
const _: () = assert!(BATCH * HEAVY <= BATCH_BYTES);

/// Makes the caller `ZenMonitor.Local.Dispatcher`, which delivers.
#[rustler::nif]
fn dispatcher_answer(env: Env) -> NifResult<bool> {
    Ok(current()?.local.ring.answer(env))
}

/// Sends up to `limit` `:DOWN`s, and fewer when they take long. `name` is this node's name.
/// Answers how many were sent, and whether to call again with what is left of the limit, even if
/// that is 0: then a bulk message is not sent yet. `:bulky` when [`dispatcher_deliver_bulky`] must
/// do it, because a reason waits that takes long to build.
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
    let _timeslice = Timeslice::begin(env);
    let began = Instant::now();
    let mut delivery = Delivery::new(env, &state.local, name);
    while delivery.sent < limit && began.elapsed() < DELIVERY {
        if !delivery.run(BATCH.min(limit - delivery.sent))? {
            break;
        }
    }
    let local = &state.local;
    let done = delivery.sent == limit || local.table.is_idle();
    while done && began.elapsed() < DELIVERY {
        match local.options.take_gathered() {
            Some(gathered) => delivery.send_bulk(gathered)?,
            None => break,
        }
    }
    Ok((delivery.sent, !done || !local.options.is_delivered()))
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

/// A monitor that is due, and what its `:DOWN` says.
pub type Due = (Taken, Key, Option<Reason>);

/// One run of the Dispatcher.
struct Delivery<'a, 'b> {
    env: Env<'a>,
    local: &'b Local,
    name: Term<'a>,
    batch: Batch<'a>,
    /// The last reason and its `{:zen_monitor, reason}`: neighbours often share one.
    cause: Option<(Option<Reason>, Term<'a>)>,
    envelopes: Envelopes<'a, 'b>,
    sent: usize,
}

impl<'a, 'b> Delivery<'a, 'b> {
    fn new(env: Env<'a>, local: &'b Local, name: Term<'a>) -> Self {
        Delivery {
            env,
            local,
            name,
            batch: Batch::new(env),
            cause: None,
            envelopes: Envelopes::new(env, local),
            sent: 0,
        }
    }

    /// Takes up to `limit` monitors in turn and sends their `:DOWN`s, but gathers those that go out
    /// in bulk. `false` when none was due.
    fn run(&mut self, limit: usize) -> NifResult<bool> {
        let table = &self.local.table;
        let (mut turns, mut bytes) = (0, 0);
        let mut due: Vec<Due> = Vec::with_capacity(limit);
        let mut taken = Vec::with_capacity(limit);
        let mut full = Vec::new();
        while turns < limit && bytes < BATCH_BYTES && full.is_empty() {
            let together = if Reason::is_any_heavy() {
                1
            } else {
                limit - turns
            };
            taken.clear();
            match table.next_turns(together, &mut taken) {
                0 => break,
                more => turns += more,
            }
            for (taken, (key, reason)) in taken.iter().zip(table.describe(&taken)) {
                let kind = Kind::of(taken.pid);
                let mut bulk = kind == Kind::Bulk;
                if kind == Kind::Set {
                    // That of a set which has ended is left to who ends it.
                    let Some(opened) = self.envelopes.of(taken.pid) else {
                        continue;
                    };
                    let envelope = &opened.set.host;
                    bulk = envelope.bulk;
                    bytes += envelope.tag.weight() / COPIED;
                }
                if bulk {
                    self.sent += 1;
                    full.extend(self.local.options.gather(*taken, key, reason));
                    continue;
                }
                // One that neighbours share is built once, and copied for each.
                let again = matches!(due.last(), Some((_, _, last)) if is_same(last, &reason));
                let size = reason.as_ref().map_or(0, |reason| reason.as_etf().len());
                bytes += size / if again { COPIED } else { 1 };
                bytes += self.local.options.weight(kind, taken.reference);
                due.push((*taken, key, reason));
            }
        }
        let delivered = self.send_each(&due)?;
        self.sent += delivered;
        table.count_run(turns as u64, delivered as u64);
        for gathered in full {
            self.send_bulk(gathered)?;
        }
        Ok(turns > 0)
    }

    /// Sends those that are claimed, one right after the other, so that their receiver finds many at
    /// a time; they are freed together afterwards. Returns how many.
    fn send_each(&mut self, due: &[Due]) -> NifResult<usize> {
        let mut claimed = Claimed::new(self.local, due.len());
        if let Some(loose) = self.loose(due) {
            for ((taken, _, _), (object, cause)) in due.iter().zip(&loose.parts) {
                if claimed.begin(taken) {
                    self.envelopes.consumed(taken.pid);
                    self.send_loose(loose.headers, taken, *object, *cause);
                    claimed.end();
                }
            }
        } else {
            for ((taken, _, _), (reference, object, cause)) in due.iter().zip(self.build(due)?) {
                let kind = Kind::of(taken.pid);
                let (receiver, tag) = match self.envelopes.address(taken.pid) {
                    Some((owner, tag, _)) => (owner, tag),
                    None => {
                        let tag = self.local.options.tag(self.env, kind, taken.reference);
                        (pid_of(taken.pid), tag)
                    }
                };
                let down = (tag, reference, atoms::process(), object, cause).encode(self.env);
                if claimed.begin(taken) {
                    self.envelopes.consumed(taken.pid);
                    self.send(receiver, down);
                    claimed.end();
                    self.local.options.forget(kind, taken.reference);
                }
            }
        }
        Ok(claimed.taken.len())
    }

    /// What the messages are made of, if none has options and nothing has to be decoded for them.
    fn loose(&mut self, due: &[Due]) -> Option<Loose<'a, 'b>> {
        let headers = heap::headers()?;
        let mut nodes = Vec::new();
        let mut objects = Vec::with_capacity(due.len());
        for (taken, key, _) in due {
            if !matches!(Kind::of(taken.pid), Kind::Plain | Kind::Set) {
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
    fn send_loose(&mut self, headers: Headers, taken: &Taken, object: Object<'a>, cause: Term<'a>) {
        let plain = || (taken.pid, atoms::down().to_term(self.env), taken.reference);
        let address = self.envelopes.address(taken.pid);
        let (receiver, tag, reference) = address.unwrap_or_else(plain);
        let terms = (tag, atoms::process().to_term(self.env), cause);
        let Some(pid) = word::to_pid(self.env, receiver) else {
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
        let Some(subscriber) = gathered.entries.first().map(|(taken, _, _)| taken.pid) else {
            return Ok(());
        };
        let built = self.build(&gathered.entries)?;
        // One reference is that of all the members of a set.
        let shared = (self.envelopes.address(subscriber))
            .zip(built.first())
            .map(|((owner, tag, _), (reference, _, _))| (owner, tag, *reference));
        let entry = |(reference, object, cause): (Term<'a>, Term<'a>, Term<'a>)| match shared {
            Some(_) => (object, cause).encode(self.env),
            None => (reference, object, cause).encode(self.env),
        };
        let entries: Vec<Term> = built.into_iter().map(entry).collect();
        let mut claimed = Claimed::new(self.local, entries.len());
        let mut left = Vec::new();
        for ((taken, _, _), entry) in gathered.entries.iter().zip(entries) {
            if claimed.begin(taken) {
                self.envelopes.consumed(taken.pid);
                left.push(entry);
            }
        }
        if !left.is_empty() {
            let (receiver, message) = match shared {
                Some((owner, tag, reference)) => (
                    owner,
                    (tag, reference, atoms::bulk(), left).encode(self.env),
                ),
                None => {
                    let message = (atoms::down(), atoms::bulk(), left).encode(self.env);
                    (pid_of(subscriber), message)
                }
            };
            self.send(receiver, message);
        }
        claimed.end();
        let delivered = claimed.taken.len() as u64;
        self.local.table.count_run(0, delivered);
        Ok(())
    }

    /// The reference, the object and the `{:zen_monitor, reason}` of each.
    fn build(&mut self, due: &[Due]) -> NifResult<Vec<(Term<'a>, Term<'a>, Term<'a>)>> {
        let mut nodes = Vec::new();
        for (taken, key, _) in due {
            match self.envelopes.address(taken.pid) {
                Some((_, _, reference)) => self.batch.reference(reference),
                None => {
                    let (options, kind) = (&self.local.options, Kind::of(taken.pid));
                    options.add_reference(&mut self.batch, kind, taken.reference);
                }
            }
            let (node, sample, name) = self.known(&mut nodes, *key);
            add_object(&mut self.batch, &node.host, sample.as_deref(), *name, *key);
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

    fn send(&self, receiver: u64, message: Term<'a>) {
        if let Some(pid) = word::to_pid(self.env, receiver) {
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

/// Monitors that were claimed, to be sent. However that ends, with a panic too, nobody waits for it any
/// longer, and they are freed.
struct Claimed<'b> {
    local: &'b Local,
    taken: Vec<Taken>,
    /// How many of them are sent.
    sent: usize,
}

impl<'b> Claimed<'b> {
    fn new(local: &'b Local, capacity: usize) -> Self {
        Claimed {
            local,
            taken: Vec::with_capacity(capacity),
            sent: 0,
        }
    }

    /// Claims a monitor, unless somebody else has consumed it. It has to be sent at once.
    #[inline]
    fn begin(&mut self, taken: &Taken) -> bool {
        let claimed = self.local.table.begin_send(taken);
        if claimed {
            self.taken.push(*taken);
        }
        claimed
    }

    /// Notes that all that were claimed are sent.
    #[inline]
    fn end(&mut self) {
        for taken in &self.taken[self.sent..] {
            self.local.table.end_send(taken);
        }
        self.sent = self.taken.len();
    }
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        self.end();
        self.local.table.release(&self.taken);
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
