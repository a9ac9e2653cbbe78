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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn push(outbox: &Outbox<u32>, certificate: u32) -> Pushed {
        outbox.push(|| certificate)
    }

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
            ops in prop::collection::vec((0..7u8, 0..5usize), 0..200)
        ) {
            let outbox = Outbox::default();
            let mut reader = 1;
            outbox.reclaim(reader);
            let (mut pushed, mut sent) = (0u32, 0u32);
            let mut taken: Vec<u32> = Vec::new();
            let mut passed: Vec<u32> = Vec::new();
            for (op, amount) in ops {
                match op {
                    0 => for _ in 0..amount {
                        prop_assert_eq!(push(&outbox, pushed), Pushed::Waiting);
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
                    4 if passed.is_empty() => {
                        let waits = (pushed - sent) as usize;
                        let may = outbox.pass_on(amount, |certificate| {
                            passed.push(*certificate);
                            true
                        });
                        prop_assert!(!may || waits <= amount && taken.is_empty());
                        if !may {
                            passed.clear();
                        }
                    }
                    4 => {
                        prop_assert!(!outbox.pass_on(amount, |_| true));
                        prop_assert_eq!(outbox.passed_on(), passed.len());
                        sent += passed.drain(..).len() as u32;
                    }
                    5 => {
                        outbox.take_back();
                        passed.clear();
                    }
                    // What a former reader had still under way.
                    _ => {
                        prop_assert_eq!(take(&outbox, reader - 1, amount), []);
                        prop_assert_eq!(outbox.sent(reader - 1), 0);
                    }
                }
                let away = if passed.is_empty() { &taken } else { &passed };
                let expected: Vec<u32> = (sent..sent + away.len() as u32).collect();
                prop_assert_eq!(away, &expected);
                prop_assert!(taken.is_empty() || passed.is_empty());
                prop_assert_eq!(outbox.is_empty(), sent == pushed);
                prop_assert_eq!(outbox.len(), (pushed - sent) as usize);
            }
        }
    }

    #[test]
    fn what_is_not_accepted_stays_in_its_place() {
        let outbox = Outbox::default();
        for certificate in 0..5 {
            push(&outbox, certificate);
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
        push(&outbox, 1);
        outbox.reclaim(1);
        outbox.reclaim(2);
        assert_eq!(take(&outbox, 1, 5), []);
        assert_eq!(outbox.sent(2), 0);
        assert_eq!(take(&outbox, 2, 5), [1]);
        assert_eq!(outbox.sent(1), 0);
        assert_eq!(outbox.sent(2), 1);
    }

    #[test]
    fn what_waits_for_the_budget_is_not_limited() {
        let outbox = Outbox::default();
        outbox.reclaim(1);
        for certificate in 0..100 {
            assert_eq!(push(&outbox, certificate), Pushed::Waiting);
        }
        // The connection refuses a message of ten, which is all that the budget has let go unused.
        take(&outbox, 1, 10);
        outbox.withhold(10, 12);
        let pushed = [100, 101, 102, 103].map(|certificate| push(&outbox, certificate));
        let (waiting, refused) = (Pushed::Waiting, Pushed::Refused);
        assert_eq!(pushed, [waiting, waiting, refused, refused]);
        assert!(outbox.is_withheld() && outbox.len() == 102);
        // Of those that waited before, the others come to wait for the connection, too.
        outbox.withhold(1_000, 101);
        assert_eq!(push(&outbox, 104), refused);
        outbox.withhold(0, 103);
        assert_eq!(push(&outbox, 105), waiting);
        assert_eq!(push(&outbox, 106), refused);
        outbox.force(107);
        assert_eq!(outbox.len(), 104);
    }

    #[test]
    fn a_connection_that_takes_a_message_now_and_then_is_no_way_round_the_limit() {
        let outbox = Outbox::default();
        outbox.reclaim(1);
        let mut refused = 0;
        for _ in 0..100 {
            take(&outbox, 1, 1);
            outbox.withhold(1, 50);
            refused += (0..10)
                .filter(|&certificate| push(&outbox, certificate) == Pushed::Refused)
                .count();
            assert!(outbox.len() <= 52);
            outbox.sent(1);
        }
        assert!(refused > 800);
        // All was sent: what comes then has no past.
        take(&outbox, 1, 100);
        outbox.sent(1);
        assert!(outbox.is_empty() && outbox.is_drained() && !outbox.is_withheld());
        outbox.withhold(0, 1);
        assert_eq!(
            [1, 2].map(|c| push(&outbox, c)),
            [Pushed::Waiting, Pushed::Refused]
        );
    }

    #[test]
    fn a_closed_outbox_takes_nothing_in() {
        let outbox = Outbox::default();
        push(&outbox, 1);
        push(&outbox, 2);
        outbox.close();
        push(&outbox, 3);
        assert!(outbox.discard(1));
        assert!(!outbox.discard(9));
        assert!(outbox.is_empty());
    }
}

#[cfg(all(test, any(loom, shuttle)))]
mod models {
    //! Who pushes passes on while the bell finds the Batcher asleep, as the NIFs do. Under shuttle the queue is one of the points at which threads are switched, under loom it is not.
    use super::*;
    use crate::structures::bell::Bell;
    #[cfg(loom)]
    use loom::{sync::Arc, thread};
    #[cfg(shuttle)]
    use shuttle::{sync::Arc, thread};

    /// What reaches the connector, in its order.
    #[derive(Default)]
    struct Stage {
        outbox: Outbox<u32>,
        bell: Bell,
        wire: Mutex<Vec<u32>>,
        /// The wake-ups of the Batcher.
        woken: AtomicUsize,
    }

    fn check(model: fn()) {
        #[cfg(loom)]
        {
            let mut builder = loom::model::Builder::new();
            builder.preemption_bound = Some(2);
            builder.check(model);
        }
        #[cfg(shuttle)]
        shuttle::check_random(model, 20_000);
    }

    impl Stage {
        fn wake(&self) {
            self.woken.fetch_add(1, Ordering::AcqRel);
        }

        /// Whether the owner may sleep.
        fn rest(&self) -> bool {
            if !self.outbox.is_empty() {
                return false;
            }
            self.bell.rest();
            self.outbox.is_empty() || !self.bell.ring()
        }

        /// A death. The connection takes what is passed on, or `refuses` it.
        fn die(&self, certificate: u32, refuses: bool) {
            assert_eq!(self.outbox.push(|| certificate), Pushed::Waiting);
            if !self.bell.ring() {
                return;
            }
            let mut passed = Vec::new();
            let accept = |certificate: &u32| {
                passed.push(*certificate);
                true
            };
            if !self.outbox.pass_on(8, accept) {
                return self.wake();
            }
            if refuses {
                self.outbox.take_back();
                return self.wake();
            }
            self.wire.lock().extend(&passed);
            assert_eq!(self.outbox.passed_on(), passed.len());
            if !self.rest() {
                self.wake();
            }
        }

        /// The sweeps of a Batcher that was woken, and of one that has just begun.
        fn sweep(&self, reader: u64) {
            loop {
                let mut taken = Vec::new();
                self.outbox.take(reader, 1, |certificate| {
                    taken.push(*certificate);
                    true
                });
                self.wire.lock().extend(&taken);
                assert_eq!(self.outbox.sent(reader), taken.len());
                if self.rest() {
                    return;
                }
                thread::yield_now();
            }
        }

        /// All that was pushed has come once, and that of the first holder in order.
        fn check(&self, certificates: usize) {
            if self.woken.load(Ordering::Acquire) > 0 {
                self.sweep(2);
            }
            assert!(self.outbox.is_empty());
            let wire = self.wire.lock();
            assert_eq!(wire.len(), certificates, "{wire:?}");
            let of_one = wire.iter().filter(|&&certificate| certificate < 10);
            assert!(of_one.is_sorted(), "{wire:?}");
        }
    }

    /// Nothing is lost, doubled or out of order when two pass on, and a new Batcher takes, which the bell does not keep
    /// from that.
    fn pass_on_beside_a_new_reader(refuses: bool) {
        let stage = Arc::new(Stage::default());
        stage.outbox.reclaim(1);
        let holder = {
            let stage = stage.clone();
            thread::spawn(move || stage.die(10, refuses))
        };
        let batcher = {
            let stage = stage.clone();
            thread::spawn(move || {
                stage.bell.ring();
                stage.outbox.reclaim(2);
                stage.sweep(2);
            })
        };
        stage.die(0, false);
        stage.die(1, false);
        holder.join().unwrap();
        batcher.join().unwrap();
        stage.check(3);
    }

    #[test]
    fn what_is_passed_on_goes_out_once_and_in_order() {
        check(|| pass_on_beside_a_new_reader(false));
    }

    #[test]
    fn so_does_what_the_connection_refuses() {
        check(|| pass_on_beside_a_new_reader(true));
    }
}
