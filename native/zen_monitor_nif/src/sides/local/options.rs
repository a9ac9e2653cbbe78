//! Monitors that were placed with options.
//!
//! They cost the others nothing: a process that places some is one more subscriber for each
//! [`Kind`], under its own word with a mark in bits that no pid has in use. So who delivers sees from
//! that word whether there is anything to look up, and a bulk monitor needs no record at all.

use crate::calls::callers::sets;
use crate::calls::direct;
use crate::calls::dispatcher::run::Due;
use crate::sides::local::{Local, Node, depart, place};
use crate::state::current;
use crate::terms::batch::Batch;
use crate::terms::etf::{Identity, Numbers, numbers};
use crate::terms::reason::{BULKY, HEAVY, Reason};
use crate::terms::{atoms, word};
use parking_lot::Mutex;
use rustler::env::{OwnedEnv, SavedTerm};
use rustler::{Encoder, Env, Error, LocalPid, NifResult, Term};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use zen_monitor_core::monitors::options::Options;
use zen_monitor_core::monitors::slot::Reference;
use zen_monitor_core::monitors::subscribers::Taken;
use zen_monitor_core::monitors::targets::Key;

/// The most entries of one bulk message.
const ENTRIES: usize = 1_000;
/// The most that the reasons in one bulk message may weigh, in bytes that have to be decoded, at
/// about 10 ns each. One that is only copied again weighs an eighth.
const WEIGHT: usize = 32 * 1024;

/// What kind of subscriber a monitor belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One without options.
    Plain = 0,
    /// One whose message has a tag of its own, or whose reference is an alias.
    Tagged = 0b0100,
    /// One that is delivered together with others.
    Bulk = 0b1000,
    /// A tagged one whose tag takes long to build, so that it is taken alone. It has the others taken together
    /// whether it is due or not.
    Heavy = 0b1100,
    /// A member of a set, whose word is not that of a process: a pid's has both of its lowest bits set.
    Set = 0b0001,
    /// One of a set that is told of many in one message.
    BulkSet = 0b1001,
}

impl Kind {
    /// The kind of a subscriber's word.
    #[inline]
    pub fn of(subscriber: u64) -> Kind {
        if subscriber & 0b0010 == 0 {
            return match subscriber & 0b1000 {
                0 => Kind::Set,
                _ => Kind::BulkSet,
            };
        }
        match subscriber & 0b1100 {
            0b0100 => Kind::Tagged,
            0b1000 => Kind::Bulk,
            0b1100 => Kind::Heavy,
            _ => Kind::Plain,
        }
    }

    /// Whether there is a record of what the monitor carries.
    #[inline]
    fn is_tagged(self) -> bool {
        matches!(self, Kind::Tagged | Kind::Heavy)
    }

    /// Whether it is that of a set's members.
    #[inline]
    pub fn is_set(self) -> bool {
        matches!(self, Kind::Set | Kind::BulkSet)
    }

    /// The word that a process has as a subscriber of this kind, or a set, in place of whose pid is a number
    /// without its lowest four bits.
    #[inline]
    pub fn mark(self, pid: u64) -> u64 {
        pid | self as u64
    }
}

/// The word of the process behind that of a subscriber which is no set.
#[inline]
pub fn pid_of(subscriber: u64) -> u64 {
    subscriber & !0b1100
}

/// What the monitors with options need beside the monitor table.
#[derive(Default)]
pub struct WithOptions {
    /// Whether there ever was one.
    used: AtomicBool,
    tagged: Options<Tagged>,
    /// What is to be delivered in bulk, and its subscribers' words.
    gathered: Mutex<HashMap<u64, Gathered>>,
}

/// What a tagged monitor carries.
struct Tagged {
    tag: Tag,
    /// Its reference, if that is an alias.
    alias: Option<Numbers>,
}

/// What a message begins with.
pub enum Tag {
    /// An atom's word.
    Atom(u64),
    /// Another term.
    Encoded(Reason),
    /// Takes ten times the memory, and an eighth of the time, which is its weight. Locked, since an environment serves one
    /// thread at a time.
    Copied(Mutex<(OwnedEnv, SavedTerm)>, usize),
}

/// Monitors of one subscriber, taken from its queue and not claimed yet.
#[derive(Default)]
pub struct Gathered {
    /// What their `:DOWN`s say.
    pub entries: Vec<Due>,
    weight: usize,
}

impl WithOptions {
    /// The kinds of subscribers that a process may be.
    pub fn kinds(&self) -> &'static [Kind] {
        // Relaxed: a process that asks for itself, or after another's death, has the order of
        // events from the VM.
        if self.used.load(Ordering::Relaxed) {
            &[Kind::Plain, Kind::Tagged, Kind::Bulk, Kind::Heavy]
        } else {
            &[Kind::Plain]
        }
    }

    /// The kind of bulk monitors, of which there will be some.
    pub fn bulk(&self) -> Kind {
        self.used.store(true, Ordering::Relaxed);
        Kind::Bulk
    }

    /// Forgets what a monitor carried.
    pub fn forget(&self, kind: Kind, reference: Reference) {
        if kind.is_tagged() {
            self.tagged.remove(reference);
        }
    }

    /// Adds the reference of a monitor to a batch.
    #[inline]
    pub fn add_reference(&self, batch: &mut Batch, kind: Kind, reference: Reference) {
        let alias = match kind.is_tagged() {
            true => self.tagged.view(reference, |tagged| tagged.alias).flatten(),
            false => None,
        };
        match alias {
            Some(numbers) => batch.encoded_reference(numbers),
            None => batch.reference(reference),
        }
    }

    /// The tag of a monitor's message. Another one if the monitor is gone: its claim fails then.
    pub fn tag<'a>(&self, env: Env<'a>, kind: Kind, reference: Reference) -> Term<'a> {
        let down = atoms::down().to_term(env);
        if !kind.is_tagged() {
            return down;
        }
        let tag = |tagged: &Tagged| tagged.tag.to_term(env);
        self.tagged.view(reference, tag).unwrap_or(down)
    }

    /// What the tag of a monitor's message weighs, in bytes that have to be decoded.
    pub fn weight(&self, kind: Kind, reference: Reference) -> usize {
        let weight = |tagged: &Tagged| tagged.tag.weight();
        match kind.is_tagged() {
            true => self.tagged.view(reference, weight).unwrap_or(0),
            false => 0,
        }
    }

    /// Keeps a monitor for its subscriber's bulk message. Returns what must be sent now, because it
    /// fills a message.
    pub fn gather(&self, taken: Taken, key: Key, reason: Option<Reason>) -> Option<Gathered> {
        let mut all = self.gathered.lock();
        let gathered = all.entry(taken.pid).or_default();
        gathered.weight += reason.as_ref().map_or(0, |reason| {
            let again =
                matches!(gathered.entries.last(), Some((_, _, Some(last))) if last.is_same(reason));
            reason.as_etf().len() / if again { 8 } else { 1 }
        });
        gathered.entries.push((taken, key, reason));
        let full = gathered.entries.len() >= ENTRIES || gathered.weight >= WEIGHT;
        if full { all.remove(&taken.pid) } else { None }
    }

    /// Takes what was gathered for one subscriber.
    pub fn take_gathered(&self) -> Option<Gathered> {
        let mut all = self.gathered.lock();
        let subscriber = *all.keys().next()?;
        all.remove(&subscriber)
    }

    /// Whether nothing is gathered.
    pub fn is_delivered(&self) -> bool {
        self.gathered.lock().is_empty()
    }
}

direct::nif!("monitor_with", 5, monitor_with);

/// Places a monitor with options, as `monitor` does one without. `options` is `:bulk`, or what its
/// message begins with and whether its reference is an alias.
fn monitor_with<'a>(
    env: Env<'a>,
    [subscriber, node, target, monitor, options]: [Term<'a>; 5],
) -> NifResult<Term<'a>> {
    let state = current()?;
    let local = &state.local;
    let subscriber: LocalPid = subscriber.decode()?;
    let numbers = numbers(env, monitor).ok_or(Error::BadArg)?;
    if !node.is_atom() {
        return Err(Error::BadArg);
    }
    let kind = if atoms::bulk() == options {
        Kind::Bulk
    } else {
        let (tag, alias): (Term, bool) = options.decode()?;
        let tag = Tag::new(env, tag)?;
        let kind = match tag.weight() > HEAVY {
            true => Kind::Heavy,
            false => Kind::Tagged,
        };
        let alias = alias.then_some(numbers);
        let tagged = Tagged { tag, alias };
        local.options.tagged.insert(numbers.words, tagged);
        kind
    };
    local.options.used.store(true, Ordering::Relaxed);
    let placed = place(env, local, (subscriber, kind, numbers.words), node, target);
    if placed.is_err() {
        local.options.forget(kind, numbers.words);
    }
    placed
}

impl Tag {
    /// Keeps a term.
    pub fn new(env: Env, tag: Term) -> NifResult<Tag> {
        if tag.is_atom() {
            return Ok(Tag::Atom(word::from_term(tag)));
        }
        let identity = Identity::of_caller(env).ok_or(Error::BadArg)?;
        let encoded = tag.to_binary();
        // An encoded pid of this node would not be one of it any more, once that has a name; and one
        // that is bulky would have all deliveries take place on a dirty scheduler.
        if identity.is_nameless() || encoded.len() > BULKY {
            let owned = OwnedEnv::new();
            let saved = owned.save(tag);
            let weight = encoded.len() / 8;
            return Ok(Tag::Copied(Mutex::new((owned, saved)), weight));
        }
        Ok(Tag::Encoded(Reason::from_etf(&encoded)))
    }

    /// The term.
    pub fn to_term<'a>(&self, env: Env<'a>) -> Term<'a> {
        match self {
            Tag::Atom(atom) => word::to_term(env, *atom),
            Tag::Encoded(encoded) => encoded
                .to_term(env)
                .unwrap_or_else(|_| atoms::down().to_term(env)),
            Tag::Copied(copied, _) => {
                let (owned, saved) = &*copied.lock();
                owned.run(|inner| saved.load(inner).in_env(env))
            }
        }
    }

    /// What it weighs, in bytes that have to be decoded.
    pub fn weight(&self) -> usize {
        match self {
            Tag::Atom(_) => 0,
            Tag::Encoded(encoded) => encoded.as_etf().len(),
            Tag::Copied(_, weight) => *weight,
        }
    }
}

/// Removes a monitor with options of the calling process. Answers whether it had one: `true` or
/// `false`, but `:bulk` when it had none and its mailbox may hold bulk messages.
#[cold]
#[inline(never)]
pub fn demonitor<'a>(
    env: Env<'a>,
    local: &Local,
    reference: Reference,
    wake: &mut dyn FnMut(&Node),
) -> Term<'a> {
    let pid = word::of_caller(env);
    for &kind in &local.options.kinds()[1..] {
        if local.table.demonitor(kind.mark(pid), reference, &mut *wake) {
            local.options.forget(kind, reference);
            return true.encode(env);
        }
    }
    let bulk = Kind::Bulk.mark(pid);
    if local.options.kinds().contains(&Kind::Bulk) && local.table.is_subscriber(bulk) {
        return atoms::bulk().to_term(env);
    }
    false.encode(env)
}

/// Notes the death of a process, whatever it has placed.
pub fn depart_all(env: Env, local: &Local, pid: u64) {
    for kind in local.options.kinds() {
        depart(env, local, kind.mark(pid));
    }
    sets::depart_owner(env, local, pid);
}
