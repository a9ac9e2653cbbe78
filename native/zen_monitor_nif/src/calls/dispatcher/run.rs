//! The delivery of `:DOWN` messages.
//!
//! Each message is claimed, sent and freed within one call. So when the Dispatcher is killed, no message is lost and none
//! is sent twice. What a call has taken and fails to send goes back to the queues (the core's `delivery.rs`).

use crate::sides::local::Local;
use crate::sides::local::envelopes::Envelopes;
use crate::sides::local::kind::{Kind, pid_of};
use crate::sides::local::node::{Node, Remote};
use crate::sides::local::options::{Due, Gathered};
use crate::sides::local::target::{add_object, name_of, object};
use crate::terms::batch::Batch;
use crate::terms::heap::{Headers, Object};
use crate::terms::message::send;
use crate::terms::origin::Sample;
use crate::terms::reason::{HEAVY, Reason};
use crate::terms::{atoms, heap, word};
use rustler::{Encoder, Env, Error, NifResult, Term};
use std::sync::Arc;
use zen_monitor_core::monitors::delivery::Delivery;
use zen_monitor_core::monitors::share::Share;
use zen_monitor_core::monitors::subscribers::Taken;
use zen_monitor_core::monitors::targets::{Alike, Key};

/// How many `:DOWN`s are built together.
pub const BATCH: usize = 64;
/// How many bytes of reasons and tags are built together, at about 10 ns for each byte.
const BATCH_BYTES: usize = 16 * 1024;
/// How many bytes of a term that is built already can be copied in the time of building one byte.
const COPIED: usize = 8;

// The bytes of a batch without a heavy reason or tag need not be counted: there are never too many.
const _: () = assert!(BATCH * HEAVY <= BATCH_BYTES);

/// One run of the Dispatcher.
pub struct Run<'a, 'b> {
    env: Env<'a>,
    local: &'b Local,
    name: Term<'a>,
    batch: Batch<'a>,
    /// The last reason and its `{:zen_monitor, reason}`, since neighbours often share a reason.
    cause: Option<(Option<Reason>, Term<'a>)>,
    envelopes: Envelopes<'a, 'b>,
    /// How much of the budget is spent: the messages that were sent, and the monitors that were gathered.
    pub sent: usize,
}

impl<'a, 'b> Run<'a, 'b> {
    /// Begins a run, with nothing sent.
    pub fn new(env: Env<'a>, local: &'b Local, name: Term<'a>) -> Self {
        Run {
            env,
            local,
            name,
            batch: Batch::new(env),
            cause: None,
            envelopes: Envelopes::new(env, local),
            sent: 0,
        }
    }

    /// Has a reason that is at hand as a term not built again.
    pub fn know(&mut self, term: Term<'a>, reason: Reason) {
        let term = (atoms::zen_monitor(), term).encode(self.env);
        self.cause = Some((Some(reason), term));
    }

    /// Takes up to `limit` turns and sends the `:DOWN`s. Bulk monitors are gathered instead. `false` when nobody had a
    /// turn.
    pub fn turns(&mut self, limit: usize, share: Share) -> NifResult<bool> {
        let table = &self.local.table;
        let (mut turns, mut bytes) = (0, 0);
        let mut delivery = Delivery::new(table, limit);
        let mut due: Vec<Due> = Vec::with_capacity(limit);
        // Their places in the delivery, which also has those that are gathered.
        let mut numbers = Vec::with_capacity(limit);
        let mut full = Vec::new();
        while turns < limit && bytes < BATCH_BYTES && full.is_empty() {
            let together = match Reason::heavy() {
                0 => limit - turns,
                _ => 1,
            };
            let first = delivery.len();
            // A bulk message counts as one, however many entries it has.
            let share = |pid| match Kind::of(pid) {
                kind if kind.is_bulk() => Share::all(),
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
                if kind.is_set() {
                    // A member of a set that has ended is removed by whoever ends the set.
                    let Some(opened) = self.envelopes.of(taken.pid) else {
                        delivery.pass_on(number);
                        continue;
                    };
                    bytes += opened.set.host.tag.weight() / COPIED;
                }
                if kind.is_bulk() {
                    self.sent += 1;
                    full.extend(self.local.options.gather(taken, key, reason));
                    delivery.pass_on(number);
                    continue;
                }
                // A reason that neighbours share is built once, and copied for each.
                let again = matches!(due.last(), Some((_, _, last)) if is_alike(last, &reason));
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

    /// Claims and sends one after the other. Nothing is freed in between, so that a receiver that wakes finds many
    /// messages at a time.
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
                    self.envelopes.consumed(taken.pid);
                    self.send_loose(loose.headers, taken, *object, *cause);
                    delivery.end(number);
                    self.envelopes.told();
                }
            }
        } else {
            for ((&number, (taken, _, _)), (reference, object, cause)) in
                due_by_number.zip(self.build(due)?)
            {
                let kind = Kind::of(taken.pid);
                let (receiver, tag) = match self.envelopes.address(taken.pid) {
                    Some((owner, tag, _)) => (owner, tag),
                    None => {
                        let tag = self.local.options.tag(self.env, kind, taken.reference);
                        (pid_of(taken.pid), tag)
                    }
                };
                let down = (tag, reference, atoms::process(), object, cause).encode(self.env);
                if delivery.begin(number) {
                    self.envelopes.consumed(taken.pid);
                    self.send(receiver, down);
                    delivery.end(number);
                    self.envelopes.told();
                    self.local.options.forget(kind, taken.reference);
                }
            }
        }
        Ok(())
    }

    /// The parts of the messages, if none has options and no part has to be decoded.
    fn loose(&mut self, due: &[Due]) -> Option<Loose<'a, 'b>> {
        let headers = heap::headers()?;
        let mut nodes = Vec::new();
        let mut objects = Vec::with_capacity(due.len());
        for (taken, key, _) in due {
            let kind = Kind::of(taken.pid);
            if kind != Kind::Plain && !kind.is_set() {
                return None;
            }
            let (_, sample, name) = self.known(&mut nodes, *key);
            objects.push(object(sample.as_deref(), *name, *key)?);
        }
        // The causes come last, because they may be large and would be of no use after a `None` above.
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
        // SAFETY: the `Loose` that the object comes from holds the sample of its node.
        unsafe {
            heap::with_down(self.env, headers, terms, reference, object, |down| {
                down.send(&pid);
            });
        }
    }

    /// Sends what was gathered for one subscriber, unless nothing of it is left. All is claimed before it is sent and
    /// freed afterwards. A demonitor in between waits for as long as it takes to copy the message.
    pub fn send_bulk(&mut self, gathered: Gathered) -> NifResult<()> {
        let Some(subscriber) = gathered.entries.first().map(|(taken, _, _)| taken.pid) else {
            return Ok(());
        };
        let table = &self.local.table;
        let mut delivery = Delivery::new(table, gathered.entries.len());
        for (taken, _, _) in &gathered.entries {
            delivery.take(*taken);
        }
        let built = self.build(&gathered.entries)?;
        // The members of a set share one reference.
        let shared = (self.envelopes.address(subscriber))
            .zip(built.first())
            .map(|((owner, tag, _), (reference, _, _))| (owner, tag, *reference));
        let mut left = Vec::with_capacity(built.len());
        for (number, (reference, object, cause)) in built.into_iter().enumerate() {
            if delivery.begin(number) {
                self.envelopes.consumed(subscriber);
                left.push(match shared {
                    Some(_) => (object, cause).encode(self.env),
                    None => (reference, object, cause).encode(self.env),
                });
            }
        }
        if !left.is_empty() {
            let (receiver, message) = match shared {
                Some((owner, tag, reference)) => {
                    let message = (tag, reference, atoms::bulk(), left);
                    (owner, message.encode(self.env))
                }
                None => {
                    let message = (atoms::down(), atoms::bulk(), left);
                    (pid_of(subscriber), message.encode(self.env))
                }
            };
            self.send(receiver, message);
            delivery.end_all();
            self.envelopes.told();
        }
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

    /// The node of a target, which is the last of `nodes` afterwards. Neighbours often share a node.
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
            send(self.env, &pid, message);
        }
    }

    fn cause(&mut self, reason: &Option<Reason>) -> Term<'a> {
        if let Some((known, term)) = &self.cause
            && is_alike(known, reason)
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

fn is_alike(one: &Option<Reason>, other: &Option<Reason>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.is_alike(other),
        (None, None) => true,
        _ => false,
    }
}

/// A node, a sample of its pids, and its name.
type Known<'a, 'b> = (&'b Node, Option<Arc<Sample>>, Term<'a>);

/// The parts of a batch of messages.
struct Loose<'a, 'b> {
    headers: Headers,
    /// They hold the samples that keep the objects valid.
    _nodes: Vec<Known<'a, 'b>>,
    /// The object and the `{:zen_monitor, reason}` of each message.
    parts: Vec<(Object<'a>, Term<'a>)>,
}
