//! One watched process, in 20 bytes.
//!
//! Most targets are pids that one connector or a few watch. What only other targets have lies elsewhere: the node of a
//! name and the numbers of its subscriptions beside the table, and many watchers in blocks of their own. While
//! there is no monitor, its place says what has become of it.

use crate::subscriptions::references::Short;
use crate::subscriptions::watchers::{NOBODY, Watchers};

/// A local pid, a local name, or a name with the node it was asked for under, as immediate words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    /// The word of the pid or of the name.
    pub word: u64,
    /// The word of the node that a name came with, or 0.
    pub node: u64,
}

/// The number of the reason that is kept for a dead target.
pub type Kept = u32;

/// What has become of the monitor of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Monitor {
    /// The place is free.
    Gone,
    /// Nobody has been told yet that a monitor is needed.
    Unasked,
    /// It has been asked for, and not been set yet.
    Asked,
    /// It is placed, and has this reference.
    Set(Short),
    /// The target is dead, and some connectors have yet to be told why.
    Fired(Kept),
}

/// A place of the table.
#[derive(Clone, Copy)]
pub struct Target {
    /// The two halves of the word of its destination. A whole word would be aligned, and leave room unused.
    word: [u32; 2],
    /// The reference of its monitor, if that is set. Otherwise what has become of it, and the reason that is kept.
    monitor: Short,
    /// Who watches it, above two flags.
    watchers: u32,
}

const _: () = assert!(size_of::<Target>() == 20);

/// Whether the monitor is set.
const SET: u32 = 1 << 0;
/// Whether there is something beside the table.
const NAMED: u32 = 1 << 1;
const FLAGS: u32 = 2;

const GONE: u32 = 0;
const UNASKED: u32 = 1;
const ASKED: u32 = 2;
const FIRED: u32 = 3;

impl Target {
    /// A place that is free.
    pub const FREE: Target = Target {
        word: [0, 0],
        monitor: [GONE, 0],
        watchers: NOBODY.bits() << FLAGS,
    };

    /// One that nobody watches yet.
    #[inline]
    pub fn new(word: u64) -> Target {
        Target {
            word: [word as u32, (word >> u32::BITS) as u32],
            monitor: [UNASKED, 0],
            ..Target::FREE
        }
    }

    /// The word of its destination.
    #[inline]
    pub fn word(&self) -> u64 {
        let [low, high] = self.word.map(u64::from);
        high << u32::BITS | low
    }

    /// What has become of its monitor.
    #[inline]
    pub fn monitor(&self) -> Monitor {
        if self.watchers & SET != 0 {
            return Monitor::Set(self.monitor);
        }
        match self.monitor[0] {
            UNASKED => Monitor::Unasked,
            ASKED => Monitor::Asked,
            FIRED => Monitor::Fired(self.monitor[1]),
            _ => Monitor::Gone,
        }
    }

    /// Notes what has become of its monitor.
    #[inline]
    pub fn set_monitor(&mut self, monitor: Monitor) {
        let (set, words) = match monitor {
            Monitor::Gone => (0, [GONE, 0]),
            Monitor::Unasked => (0, [UNASKED, 0]),
            Monitor::Asked => (0, [ASKED, 0]),
            Monitor::Set(reference) => (SET, reference),
            Monitor::Fired(kept) => (0, [FIRED, kept]),
        };
        self.watchers = self.watchers & !SET | set;
        self.monitor = words;
    }

    /// Whether its monitor has fired.
    #[inline]
    pub fn is_dead(&self) -> bool {
        self.watchers & SET == 0 && self.monitor[0] == FIRED
    }

    /// Who watches it, or has yet to be told that it is dead.
    #[inline]
    pub fn watchers(&self) -> Watchers {
        Watchers::of_bits(self.watchers >> FLAGS)
    }

    /// Changes who watches it.
    #[inline]
    pub fn set_watchers(&mut self, watchers: Watchers) {
        self.watchers = watchers.bits() << FLAGS | self.watchers & (SET | NAMED);
    }

    /// Whether there may be something beside the table: the node of a name, or the number of a subscription.
    #[inline]
    pub fn is_named(&self) -> bool {
        self.watchers & NAMED != 0
    }

    /// Notes that there is.
    #[inline]
    pub fn set_named(&mut self) {
        self.watchers |= NAMED;
    }
}
