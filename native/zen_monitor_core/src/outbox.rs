//! The death certificates that wait for one connector.
//!
//! Invariants:
//!
//! - A certificate leaves by [`Outbox::sent`] alone. Whatever the taker dies of in between, its
//!   successor's [`Outbox::reclaim`] finds what was taken and not sent, and sends that first: so a
//!   certificate goes out at least once, and in order.
//! - One that holds its limit closes instead of taking in another certificate, so its memory is
//!   bounded. Its owner must tell the subscriber in another way.
//! - Only the last to reclaim takes. A call of its predecessor that is still under way gets nothing,
//!   or what it took would be forgotten with what its successor sends.

use crate::sync::{Mutex, SegQueue};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

/// A queue with many writers, and one reader at a time that may die. Readers have numbers.
///
/// ```
/// use zen_monitor_core::outbox::Outbox;
///
/// let outbox = Outbox::default();
/// outbox.push("certificate");
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
    limit: usize,
    desk: Mutex<Desk<C>>,
    closed: AtomicBool,
}

struct Desk<C> {
    reader: Option<u64>,
    /// Taken by a former reader that did not say that it sent them.
    returned: VecDeque<C>,
    in_flight: VecDeque<C>,
}

/// What became of a certificate that was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It waits.
    Waiting,
    /// It was one too many: the outbox is closed now.
    Overflow,
    /// The outbox was closed before.
    Closed,
}

impl<C> Default for Outbox<C> {
    fn default() -> Self {
        Outbox::with_limit(usize::MAX)
    }
}

impl<C> Outbox<C> {
    /// An outbox in which at most about `limit` certificates wait. Writers at the same time may pass
    /// it by one each.
    pub fn with_limit(limit: usize) -> Self {
        Outbox {
            waiting: SegQueue::new(),
            limit,
            desk: Mutex::new(Desk {
                reader: None,
                returned: VecDeque::new(),
                in_flight: VecDeque::new(),
            }),
            closed: AtomicBool::new(false),
        }
    }

    /// Adds a certificate, unless the outbox is closed or full.
    #[inline]
    pub fn push(&self, certificate: C) -> Pushed {
        if self.is_closed() {
            return Pushed::Closed;
        }
        if self.waiting.len() >= self.limit {
            self.close();
            return Pushed::Overflow;
        }
        self.waiting.push(certificate);
        Pushed::Waiting
    }

    /// Takes certificates, oldest first, until `limit` is reached, none is left, or `accept` is
    /// shown one that it returns `false` for, which stays. Returns whether that was the end. There
    /// is nothing for anybody but the reader.
    pub fn take(&self, reader: u64, limit: usize, mut accept: impl FnMut(&C) -> bool) -> bool {
        let mut desk = self.desk.lock();
        if desk.reader != Some(reader) {
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

    /// Forgets what the reader took: it is on its way. Returns how many certificates that is.
    pub fn sent(&self, reader: u64) -> usize {
        let mut desk = self.desk.lock();
        if desk.reader != Some(reader) {
            return 0;
        }
        let sent = desk.in_flight.len();
        desk.in_flight.clear();
        sent
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
        self.waiting.len() + desk.returned.len() + desk.in_flight.len()
    }

    /// Whether nothing waits and nothing is in flight.
    pub fn is_empty(&self) -> bool {
        let desk = self.desk.lock();
        self.waiting.is_empty() && desk.returned.is_empty() && desk.in_flight.is_empty()
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn take(outbox: &Outbox<u32>, reader: u64, limit: usize) -> Vec<u32> {
        let mut taken = Vec::new();
        outbox.take(reader, limit, |certificate| {
            taken.push(*certificate);
            true
        });
        taken
    }

    proptest! {
        #[test]
        fn every_certificate_goes_out_at_least_once_and_in_order(
            ops in prop::collection::vec((0..5u8, 0..5usize), 0..200)
        ) {
            let outbox = Outbox::default();
            let mut reader = 1;
            outbox.reclaim(reader);
            let (mut pushed, mut sent) = (0u32, 0u32);
            let mut taken: Vec<u32> = Vec::new();
            for (op, amount) in ops {
                match op {
                    0 => for _ in 0..amount {
                        prop_assert_eq!(outbox.push(pushed), Pushed::Waiting);
                        pushed += 1;
                    },
                    1 => taken.extend(take(&outbox, reader, amount)),
                    2 => {
                        outbox.sent(reader);
                        sent += taken.drain(..).len() as u32;
                    }
                    3 => {
                        reader += 1;
                        outbox.reclaim(reader);
                        taken.clear();
                    }
                    // What a former reader had still under way.
                    _ => {
                        prop_assert_eq!(take(&outbox, reader - 1, amount), []);
                        prop_assert_eq!(outbox.sent(reader - 1), 0);
                    }
                }
                let expected: Vec<u32> = (sent..sent + taken.len() as u32).collect();
                prop_assert_eq!(&taken, &expected);
                prop_assert_eq!(outbox.is_empty(), sent == pushed);
                prop_assert_eq!(outbox.len(), (pushed - sent) as usize);
            }
        }
    }

    #[test]
    fn what_is_not_accepted_stays_in_its_place() {
        let outbox = Outbox::default();
        for certificate in 0..5 {
            outbox.push(certificate);
        }
        outbox.reclaim(1);
        assert!(outbox.take(1, 5, |&certificate| certificate < 3));
        outbox.reclaim(2);
        assert!(outbox.take(2, 5, |&certificate| certificate < 1));
        assert_eq!(outbox.sent(2), 1);
        assert_eq!(take(&outbox, 2, 5), [1, 2, 3, 4]);
    }

    #[test]
    fn a_former_reader_takes_nothing_that_its_successor_would_forget() {
        let outbox = Outbox::default();
        outbox.push(1);
        outbox.reclaim(1);
        outbox.reclaim(2);
        assert_eq!(take(&outbox, 1, 5), []);
        assert_eq!(outbox.sent(2), 0);
        assert_eq!(take(&outbox, 2, 5), [1]);
        assert_eq!(outbox.sent(1), 0);
        assert_eq!(outbox.sent(2), 1);
    }

    #[test]
    fn a_full_outbox_closes_instead_of_taking_more() {
        let outbox = Outbox::with_limit(2);
        outbox.reclaim(1);
        assert_eq!([1, 2].map(|c| outbox.push(c)), [Pushed::Waiting; 2]);
        assert_eq!(take(&outbox, 1, 1), [1]);
        assert_eq!(
            [3, 4, 5].map(|c| outbox.push(c)),
            [Pushed::Waiting, Pushed::Overflow, Pushed::Closed]
        );
        assert_eq!((outbox.len(), outbox.is_closed()), (3, true));
    }

    #[test]
    fn a_closed_outbox_takes_nothing_in() {
        let outbox = Outbox::default();
        outbox.push(1);
        outbox.push(2);
        outbox.close();
        outbox.push(3);
        assert!(outbox.discard(1));
        assert!(!outbox.discard(9));
        assert!(outbox.is_empty());
    }
}
