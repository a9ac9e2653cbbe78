//! What monitors with options need beside the monitor table.

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

/// The most that the reasons in one bulk message may weigh. A reason weighs as many bytes as it is encoded in, at about
/// 10 ns each to decode. A reason that equals the last one is only copied, and weighs an eighth.
const WEIGHT: usize = 32 * 1024;

/// A monitor that is due, with the target and the reason that its `:DOWN` names.
pub type Due = (Taken, Key, Option<Reason>);

/// What monitors with options need beside the monitor table.
#[derive(Default)]
pub struct WithOptions {
    /// Whether there ever was a monitor with options.
    used: AtomicBool,
    tagged: Options<Tagged>,
    /// What is to be delivered in bulk, by the words of the subscribers.
    gathered: Mutex<HashMap<u64, Gathered>>,
}

/// What a tagged monitor carries.
struct Tagged {
    tag: Tag,
    /// Its reference, if that is an alias.
    alias: Option<Numbers>,
}

/// Bulk monitors of one subscriber that were taken from its queue and are not claimed yet.
#[derive(Default)]
pub struct Gathered {
    /// The monitors, each with what its `:DOWN` says.
    pub entries: Vec<Due>,
    weight: usize,
}

impl WithOptions {
    /// The kinds of subscribers that a process may be, apart from sets.
    pub fn kinds(&self) -> &'static [Kind] {
        // Relaxed: a process asks about itself, or about one whose death it was told of. The VM has ordered
        // these events already.
        if self.used.load(Ordering::Relaxed) {
            &[Kind::Plain, Kind::Tagged, Kind::Bulk, Kind::Heavy]
        } else {
            &[Kind::Plain]
        }
    }

    /// The kind of bulk monitors. The caller is about to place some.
    pub fn bulk(&self) -> Kind {
        self.used.store(true, Ordering::Relaxed);
        Kind::Bulk
    }

    /// Keeps the tag of a monitor that is about to be placed, and returns its kind. `alias` says whether the
    /// reference is an alias.
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

    /// How many monitors have a tag or an alias.
    pub fn count(&self) -> usize {
        self.tagged.count()
    }

    /// Forgets the tag or alias of a monitor.
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

    /// The tag of a monitor's message. If the monitor is gone, any tag will do, since its claim will fail.
    pub fn tag<'a>(&self, env: Env<'a>, kind: Kind, reference: Reference) -> Term<'a> {
        let down = atoms::down().to_term(env);
        if !kind.is_tagged() {
            return down;
        }
        let tag = |tagged: &Tagged| tagged.tag.to_term(env);
        self.tagged.view(reference, tag).unwrap_or(down)
    }

    /// What the tag of a monitor's message weighs: how many bytes have to be decoded.
    pub fn weight(&self, kind: Kind, reference: Reference) -> usize {
        let weight = |tagged: &Tagged| tagged.tag.weight();
        match kind.is_tagged() {
            true => self.tagged.view(reference, weight).unwrap_or(0),
            false => 0,
        }
    }

    /// Keeps a monitor for the bulk message of its subscriber. If the message is full by that, returns it to be sent
    /// now.
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

    /// Takes what was gathered for any one subscriber.
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
