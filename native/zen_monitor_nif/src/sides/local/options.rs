//! What the monitors that were placed with options need beside the monitor table.

use crate::sides::local::kind::Kind;
use crate::sides::local::tag::Tag;
use crate::terms::atoms;
use crate::terms::batch::Batch;
use crate::terms::etf::Numbers;
use crate::terms::reason::{HEAVY, Reason};
use parking_lot::Mutex;
use rustler::{Env, Term};
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

/// A monitor that is due, and what its `:DOWN` says.
pub type Due = (Taken, Key, Option<Reason>);

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

    /// Keeps what a monitor is about to carry, and returns its kind. `alias` says whether its reference is one.
    pub fn keep(&self, numbers: Numbers, tag: Tag, alias: bool) -> Kind {
        let kind = match tag.weight() > HEAVY {
            true => Kind::Heavy,
            false => Kind::Tagged,
        };
        let alias = alias.then_some(numbers);
        self.tagged.insert(numbers.words, Tagged { tag, alias });
        self.used.store(true, Ordering::Relaxed);
        kind
    }

    /// How many monitors carry something.
    pub fn count(&self) -> usize {
        self.tagged.count()
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
