//! What is known of one watched process, in 12 bytes.
//!
//! Most targets are pids that one connector or a few watch. What only other targets have lies elsewhere: the numbers of
//! the subscriptions of a name beside the table, and many watchers in blocks of their own. While there is no monitor, its
//! place says what has become of it.

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
    /// The reference of its monitor, if that is set. Otherwise what has become of it, and the reason that is kept.
    monitor: Short,
    /// Who watches it, above two flags.
    watchers: u32,
}

const _: () = assert!(size_of::<Target>() == 12);

/// Whether the monitor is set.
const SET: u32 = 1 << 0;
/// Whether there may be numbers of subscriptions beside the table.
const NUMBERED: u32 = 1 << 1;
const FLAGS: u32 = 2;

const GONE: u32 = 0;
const UNASKED: u32 = 1;
const ASKED: u32 = 2;
const FIRED: u32 = 3;

impl Target {
    /// A place that is free.
    pub const FREE: Target = Target {
        monitor: [GONE, 0],
        watchers: NOBODY.bits() << FLAGS,
    };

    /// One that nobody watches yet.
    pub const NEW: Target = Target {
        monitor: [UNASKED, 0],
        ..Target::FREE
    };

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
        self.watchers = watchers.bits() << FLAGS | self.watchers & (SET | NUMBERED);
    }

    /// Whether there may be numbers of its subscriptions beside the table.
    #[inline]
    pub fn is_numbered(&self) -> bool {
        self.watchers & NUMBERED != 0
    }

    /// Notes that there is.
    #[inline]
    pub fn set_numbered(&mut self) {
        self.watchers |= NUMBERED;
    }
}
