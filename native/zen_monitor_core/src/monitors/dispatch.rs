//! The dispatch queue: which `:DOWN`s are due, and whose turn it is.
//!
//! A dead target or an expired session enters the *backlog* as one entry, however many monitors it has.
//! Expanding the backlog moves monitors to the queues of their subscribers. Dead targets do not wait there for
//! sessions, which may have millions of monitors. A subscriber with a queue stands in the *ring*. Each turn of
//! the ring takes one monitor of one subscriber, so a long queue does not delay a short one.

use crate::structures::sync::{Mutex, SegQueue};
use crossbeam_utils::CachePadded;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// The subscribed targets of an expired session, from a shard on.
pub struct ExpiredSession {
    /// Its number.
    pub session: u64,
    /// Its node.
    pub node: u32,
    /// The next shard of the targets to look at.
    pub shard: usize,
}

/// The queues of the dispatcher, and their counters.
pub struct Dispatch {
    /// Dead targets with listed monitors: the part of the backlog that comes first.
    pub dead: SegQueue<u32>,
    /// The rest of the backlog.
    pub expired: SegQueue<ExpiredSession>,
    /// Held by who moves monitors to the queues of their subscribers, so that of two exits, the later one does not
    /// overtake the earlier one on its way there.
    pub expanding: Mutex<()>,
    /// The subscribers that have a queue.
    pub ring: SegQueue<u32>,
    waiting: CachePadded<AtomicI64>,
    enqueued: CachePadded<AtomicU64>,
    processed: CachePadded<AtomicU64>,
    delivered: CachePadded<AtomicU64>,
}

/// The counters of a [`Dispatch`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DispatchCounts {
    /// `:DOWN`s that are due, and neither delivered nor removed.
    pub waiting: u64,
    /// `:DOWN`s that have ever become due.
    pub enqueued: u64,
    /// Monitors taken from the queues, removed ones included.
    pub processed: u64,
    /// `:DOWN`s sent.
    pub delivered: u64,
}

impl Default for Dispatch {
    fn default() -> Self {
        Dispatch {
            dead: SegQueue::new(),
            expired: SegQueue::new(),
            expanding: Mutex::new(()),
            ring: SegQueue::new(),
            waiting: CachePadded::default(),
            enqueued: CachePadded::default(),
            processed: CachePadded::default(),
            delivered: CachePadded::default(),
        }
    }
}

// All counters are relaxed: people and gauges read them, and nothing is decided by them.
impl Dispatch {
    /// Notes that monitors fell due.
    #[inline]
    pub fn add_waiting(&self, monitors: u64) {
        self.waiting.fetch_add(monitors as i64, Ordering::Relaxed);
        self.enqueued.fetch_add(monitors, Ordering::Relaxed);
    }

    /// Notes that a due monitor was removed before its delivery.
    #[inline]
    pub fn drop_waiting(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// Notes what a run through the ring has done.
    pub fn add_run(&self, processed: u64, delivered: u64) {
        self.processed.fetch_add(processed, Ordering::Relaxed);
        self.delivered.fetch_add(delivered, Ordering::Relaxed);
        self.waiting.fetch_sub(delivered as i64, Ordering::Relaxed);
    }

    /// The counters.
    pub fn counts(&self) -> DispatchCounts {
        DispatchCounts {
            // The subtraction for a monitor may be seen before its addition.
            waiting: self.waiting.load(Ordering::Relaxed).max(0) as u64,
            enqueued: self.enqueued.load(Ordering::Relaxed),
            processed: self.processed.load(Ordering::Relaxed),
            delivered: self.delivered.load(Ordering::Relaxed),
        }
    }
}
