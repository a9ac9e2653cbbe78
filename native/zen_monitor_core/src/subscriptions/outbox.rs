//! The death certificates that wait for one connector.
//!
//! Invariants:
//!
//! - A certificate leaves by [`Outbox::sent`] alone. Whatever the taker dies of in between, its
//!   successor's [`Outbox::reclaim`] finds what was taken and not sent, and sends that first: so a
//!   certificate goes out at least once, and in order.
//! - While its connection takes nothing, no more certificates come in than it has been allowed, so its
//!   memory is bounded. Its owner must tell the subscriber of the others in another way. Those that wait
//!   for the budget of their taker are as many as that lets be.
//! - Who finds the taker asleep may *pass on* what waits, if that is all there is. Until it has said what became of
//!   it, nothing else leaves, so it is in order, too.
//! - Only the last to reclaim takes. A call of its predecessor that is still under way gets nothing,
//!   or what it took would be forgotten with what its successor sends.

use crate::structures::sync::{AtomicBool, AtomicUsize, Mutex, Ordering, SegQueue};
use std::collections::VecDeque;

/// A queue with many writers, and one reader at a time that may die. Readers have numbers.
///
/// ```
/// use zen_monitor_core::subscriptions::outbox::Outbox;
///
/// let outbox = Outbox::default();
/// outbox.push(|| "certificate");
/// let reader = 1;
/// outbox.reclaim(reader);
/// let mut taken = Vec::new();
/// outbox.take(reader, 10, |certificate| { taken.push(*certificate); true });
/// assert_eq!(taken, ["certificate"]);
///
/// assert!(!outbox.is_empty(), "it may still have to be sent again");
/// assert_eq!(outbox.sent(reader), 1);
/// assert!(outbox.is_empty());
/// ```
pub struct Outbox<C> {
    waiting: SegQueue<C>,
    desk: Mutex<Desk<C>>,
    closed: AtomicBool,
    /// How many certificates wait because of the connection.
    withheld: AtomicUsize,
    /// How many of these there may be, and `usize::MAX` while the connection takes what it is sent.
    limit: AtomicUsize,
}

struct Desk<C> {
    reader: Option<u64>,
    /// Taken by a former reader that did not say that it sent them.
    returned: VecDeque<C>,
    in_flight: VecDeque<C>,
    /// Passed on by somebody else.
    passed: VecDeque<C>,
}

impl<C> Desk<C> {
    fn len(&self) -> usize {
        self.returned.len() + self.in_flight.len() + self.passed.len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What became of a certificate that was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It waits.
    Waiting,
    /// As many as may wait because of the connection do, and it is not among them.
    Refused,
    /// The outbox is closed.
    Closed,
}

impl<C> Default for Outbox<C> {
    fn default() -> Self {
        Outbox {
            waiting: SegQueue::new(),
            desk: Mutex::new(Desk {
                reader: None,
                returned: VecDeque::new(),
                in_flight: VecDeque::new(),
                passed: VecDeque::new(),
            }),
            closed: AtomicBool::new(false),
            withheld: AtomicUsize::new(0),
            limit: AtomicUsize::new(usize::MAX),
        }
    }
}

impl<C> Outbox<C> {
    /// Adds the certificate that `certificate` makes, unless the outbox is closed, or as many as may
    /// wait because of the connection do.
    #[inline]
    pub fn push(&self, certificate: impl FnOnce() -> C) -> Pushed {
        if self.is_closed() {
            return Pushed::Closed;
        }
        // Both relaxed: writers at the same time may pass the limit by one each, and one that has not
        // seen a change of it yet by what it pushes until then.
        let limit = self.limit.load(Ordering::Relaxed);
        if limit != usize::MAX {
            if self.withheld.load(Ordering::Relaxed) >= limit {
                return Pushed::Refused;
            }
            self.withheld.fetch_add(1, Ordering::Relaxed);
        }
        self.waiting.push(certificate());
        Pushed::Waiting
    }

    /// Adds a certificate that nobody can be told of in another way, limit or not, unless the outbox is
    /// closed.
    pub fn force(&self, certificate: C) {
        if !self.is_closed() {
            self.waiting.push(certificate);
        }
    }

    /// Notes that the connection does not take what was taken out for it, which stays in flight. From
    /// now on at most `limit` certificates wait because of that: those that come in meanwhile, and of
    /// those that were there before as many as the budget has let go unused, `unused` more with this
    /// call.
    pub fn withhold(&self, unused: usize, limit: usize) {
        // Relaxed: see `push`.
        let withheld = self.withheld.load(Ordering::Relaxed).saturating_add(unused);
        self.withheld
            .store(withheld.min(self.len()), Ordering::Relaxed);
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Whether certificates may be refused, because the connection takes nothing.
    pub fn is_withheld(&self) -> bool {
        // Relaxed: see `push`.
        self.limit.load(Ordering::Relaxed) != usize::MAX
    }

    /// Takes certificates, oldest first, until `limit` is reached, none is left, or `accept` is
    /// shown one that it returns `false` for, which stays. Returns whether that was the end. There
    /// is nothing for anybody but the reader.
    pub fn take(&self, reader: u64, limit: usize, mut accept: impl FnMut(&C) -> bool) -> bool {
        let mut desk = self.desk.lock();
        if desk.reader != Some(reader) || !desk.passed.is_empty() {
            return false;
        }
        for _ in 0..limit {
            let next = desk.returned.pop_front().or_else(|| self.waiting.pop());
            let Some(certificate) = next else {
                return false;
            };
            // First on the desk, then shown: a panic in `accept` loses nothing.
            desk.in_flight.push_back(certificate);
            if !desk.in_flight.back().is_some_and(&mut accept) {
                let refused = desk.in_flight.pop_back();
                if let Some(refused) = refused {
                    desk.returned.push_front(refused);
                }
                return true;
            }
        }
        false
    }

    /// Forgets what the reader took: it is on its way, and the connection takes what it is sent. Returns
    /// how many certificates that is.
    pub fn sent(&self, reader: u64) -> usize {
        let mut desk = self.desk.lock();
        if desk.reader != Some(reader) {
            return 0;
        }
        let sent = desk.in_flight.len();
        desk.in_flight.clear();
        let left = self.waiting.len() + desk.returned.len();
        // Relaxed: see `push`. A backlog outlasts a message or two that get through, or a connection that
        // takes one now and then would let in as many again each time.
        self.limit.store(usize::MAX, Ordering::Relaxed);
        self.withheld.fetch_min(left, Ordering::Relaxed);
        sent
    }

    /// Shows all that waits to `accept`, in order, for a caller that sends it in place of the reader, and tells
    /// whether it may: not if there is more than `limit`, something that was taken may have to be sent again, somebody
    /// else is passing on, or `accept` returns `false`. A caller that may must say what became of it, by
    /// [`Outbox::passed_on`] or [`Outbox::take_back`]; nobody else may.
    pub fn pass_on(&self, limit: usize, mut accept: impl FnMut(&C) -> bool) -> bool {
        let mut desk = self.desk.lock();
        if desk.reader.is_none() || self.is_closed() || !desk.is_empty() {
            return false;
        }
        while let Some(certificate) = self.waiting.pop() {
            // First on the desk, then shown: a panic in `accept` loses nothing.
            desk.passed.push_back(certificate);
            if desk.passed.len() > limit || !desk.passed.back().is_some_and(&mut accept) {
                desk.returned = std::mem::take(&mut desk.passed);
                return false;
            }
        }
        !desk.passed.is_empty()
    }

    /// Forgets what was passed on: it is on its way. Returns how many certificates that is.
    pub fn passed_on(&self) -> usize {
        std::mem::take(&mut self.desk.lock().passed).len()
    }

    /// Puts back what was passed on and not sent, before all that the reader takes next.
    pub fn take_back(&self) {
        let mut desk = self.desk.lock();
        let mut passed = std::mem::take(&mut desk.passed);
        passed.append(&mut desk.returned);
        desk.returned = passed;
    }

    /// Whether no certificate is left to be taken.
    pub fn is_drained(&self) -> bool {
        self.waiting.is_empty() && self.desk.lock().returned.is_empty()
    }

    /// Puts back what was taken and not sent. A new reader begins with this, and is the reader from
    /// then on.
    pub fn reclaim(&self, reader: u64) {
        let mut desk = self.desk.lock();
        desk.reader = Some(reader);
        let mut in_flight = std::mem::take(&mut desk.in_flight);
        in_flight.append(&mut desk.returned);
        desk.returned = in_flight;
    }

    /// How many certificates wait or are in flight.
    pub fn len(&self) -> usize {
        let desk = self.desk.lock();
        self.waiting.len() + desk.len()
    }

    /// Whether nothing waits and nothing is in flight.
    pub fn is_empty(&self) -> bool {
        let desk = self.desk.lock();
        self.waiting.is_empty() && desk.is_empty()
    }

    /// Refuses all further certificates.
    pub fn close(&self) {
        // Release: whoever sees the outbox closed also sees what its closer did before.
        self.closed.store(true, Ordering::Release);
    }

    /// Whether the outbox is closed.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Drops up to `budget` waiting certificates and returns whether more are left.
    pub fn discard(&self, budget: usize) -> bool {
        for _ in 0..budget {
            if self.waiting.pop().is_none() {
                return false;
            }
        }
        !self.waiting.is_empty()
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;

#[cfg(all(test, any(loom, shuttle)))]
mod models;
