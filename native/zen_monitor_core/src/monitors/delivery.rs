//! The delivery of monitors that were taken from the queues of their subscribers.
//!
//! Invariant: a monitor that was taken is freed if its message was sent, and else goes back to its queue. That
//! holds however the delivery ends: when all is done, early with an error, or in a panic.

use crate::monitors::share::Share;
use crate::monitors::subscribers::Taken;
use crate::monitors::table::MonitorTable;
use crate::monitors::targets::Key;

/// Monitors on their way to their subscribers. They are numbered from 0, in the order of their turns. Monitors
/// whose message was not sent by the time that this is dropped go back to their queues.
///
/// ```
/// use zen_monitor_core::monitors::delivery::Delivery;
/// use zen_monitor_core::monitors::share::Share;
/// use zen_monitor_core::monitors::table::MonitorTable;
///
/// let table: MonitorTable<&str, ()> = MonitorTable::default();
/// let node = table.nodes.find_or_add(7, || ());
/// table.monitor(node, 0x73, [1, 2, 3], [40, 0, 1]).unwrap();
/// table.take(node, 10, 10);
/// table.certify(node, [40, 0, 1], None, "killed");
/// table.expand(10);
///
/// // One that is not even tried is taken again.
/// let share = |_pid| Share::all();
/// assert_eq!(Delivery::new(&table, 10).take_turns(10, share), 1);
///
/// let mut delivery = Delivery::new(&table, 10);
/// assert_eq!(delivery.take_turns(10, share), 1);
/// assert_eq!(delivery.describe(0)[0].1, Some("killed"));
/// assert!(delivery.begin(0));
/// // The host sends the message to `delivery.taken(0).pid` here.
/// delivery.end(0);
/// drop(delivery);
/// assert_eq!(Delivery::new(&table, 10).take_turns(10, share), 0);
/// ```
pub struct Delivery<'t, R: Clone, X> {
    table: &'t MonitorTable<R, X>,
    entries: Vec<(Taken, State)>,
    turns: usize,
    sent: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not claimed yet.
    Waiting,
    /// Its message is being sent.
    Claimed,
    /// Its message was sent.
    Sent,
    /// Somebody else has consumed it, or has taken charge of it.
    Gone,
}

impl<'t, R: Clone, X> Delivery<'t, R, X> {
    /// An empty delivery with room for so many monitors.
    #[inline]
    pub fn new(table: &'t MonitorTable<R, X>, capacity: usize) -> Self {
        Delivery {
            table,
            entries: Vec::with_capacity(capacity),
            turns: 0,
            sent: 0,
        }
    }

    /// Adds up to `limit` monitors in turn, and for no subscriber more than the `share` of its pid. Returns how
    /// many turns there were, including those of removed monitors. There are fewer than `limit` when no more
    /// are due, when every subscriber has had its share, or when a share says that this was the last.
    #[inline]
    pub fn take_turns(&mut self, limit: usize, share: impl Fn(u64) -> Share) -> usize {
        let entries = &mut self.entries;
        let add = |taken| entries.push((taken, State::Waiting));
        let turns = self.table.next_turns(limit, share, add);
        self.turns += turns;
        turns
    }

    /// Adds a monitor that was taken before and passed on.
    #[inline]
    pub fn take(&mut self, taken: Taken) {
        self.entries.push((taken, State::Waiting));
    }

    /// How many monitors there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no monitor.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many were sent.
    #[inline]
    pub fn sent(&self) -> usize {
        self.sent
    }

    /// A monitor by its number.
    #[inline]
    pub fn taken(&self, number: usize) -> &Taken {
        &self.entries[number].0
    }

    /// The target and the reason of each monitor from number `first` on. They mean nothing for a monitor that cannot
    /// be claimed afterwards.
    #[inline]
    pub fn describe(&self, first: usize) -> Vec<(Key, Option<R>)> {
        let taken = self.entries[first..].iter();
        self.table.describe(taken.map(|(taken, _)| taken))
    }

    /// Passes a monitor on to someone else, who will deliver it.
    #[inline]
    pub fn pass_on(&mut self, number: usize) {
        self.entries[number].1 = State::Gone;
    }

    /// Claims a monitor. After `true`, send its message at once, since a demonitor may wait for that. After `false`,
    /// the monitor is gone.
    #[inline]
    pub fn begin(&mut self, number: usize) -> bool {
        let (taken, state) = &mut self.entries[number];
        let claimed = self.table.begin_send(taken);
        *state = if claimed { State::Claimed } else { State::Gone };
        claimed
    }

    /// Notes that the message of a claimed monitor was sent.
    #[inline]
    pub fn end(&mut self, number: usize) {
        let (taken, state) = &mut self.entries[number];
        *state = State::Sent;
        self.table.end_send(taken);
        self.sent += 1;
    }

    /// Notes that one message for all claimed monitors was sent.
    pub fn end_all(&mut self) {
        for number in 0..self.entries.len() {
            if self.entries[number].1 == State::Claimed {
                self.end(number);
            }
        }
    }
}

impl<R: Clone, X> Drop for Delivery<'_, R, X> {
    fn drop(&mut self) {
        self.table.count_run(self.turns as u64, self.sent as u64);
        if self.sent > 0 {
            let sent = self.entries.iter();
            let sent = sent.filter(|(_, state)| *state == State::Sent);
            let slots: Vec<u32> = sent.map(|(taken, _)| taken.slot).collect();
            self.table.release(&slots);
        }
        if self.sent < self.entries.len() {
            let claimed = self.entries.iter();
            for (taken, _) in claimed.filter(|(_, state)| *state == State::Claimed) {
                self.table.retract(taken);
            }
            let left = self.entries.iter();
            let left = left.filter(|(_, state)| matches!(state, State::Waiting | State::Claimed));
            self.table.give_back(left.map(|(taken, _)| taken));
        }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    type Table = MonitorTable<u32, ()>;

    const PID: u64 = 0x73;

    /// A table in which `PID` has `amount` monitors that are due, with the references from 0 on.
    fn due(amount: u32) -> Table {
        let table = Table::default();
        let node = table.nodes.find_or_add(7, || ());
        for number in 0..amount {
            let target = [number, 0, 1];
            table.monitor(node, PID, [number, 0, 0], target).unwrap();
        }
        table.take(node, usize::MAX, usize::MAX);
        table.expire(node);
        while !table.expand(1_000) {}
        table
    }

    /// Delivers everything that is due, and returns the references in order.
    fn deliver_all(table: &Table) -> Vec<u32> {
        let mut delivery = Delivery::new(table, 100);
        let mut sent = Vec::new();
        while delivery.take_turns(100, |_| Share::all()) > 0 {}
        for number in 0..delivery.len() {
            if delivery.begin(number) {
                sent.push(delivery.taken(number).reference[0]);
                delivery.end(number);
            }
        }
        sent
    }

    fn assert_drained(table: &Table) {
        assert_eq!(deliver_all(table), []);
        assert_eq!(table.counts().standing, 0);
    }

    #[test]
    fn what_a_panic_leaves_is_delivered_once_by_the_next() {
        let table = due(10);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let mut delivery = Delivery::new(&table, 10);
            assert_eq!(delivery.take_turns(10, |_| Share::all()), 10);
            for number in 0..4 {
                assert!(delivery.begin(number));
                delivery.end(number);
            }
            assert!(delivery.begin(4));
            panic!("before the fifth is sent");
        }));
        assert!(panicked.is_err());
        assert_eq!(table.counts().standing, 6);
        let mut rest = deliver_all(&table);
        rest.sort_unstable();
        assert_eq!(rest, [4, 5, 6, 7, 8, 9]);
        assert_drained(&table);
        assert_eq!(table.dispatch_counts().waiting, 0);
    }

    #[test]
    fn a_demonitor_does_not_wait_for_what_a_panic_left() {
        let table = due(3);
        drop(catch_unwind(AssertUnwindSafe(|| {
            let mut delivery = Delivery::new(&table, 3);
            delivery.take_turns(3, |_| Share::all());
            assert!(delivery.begin(1));
            panic!("before it is sent");
        })));
        assert!(table.demonitor(PID, [1, 0, 0], |_| ()));
        assert_eq!(deliver_all(&table), [0, 2]);
        assert_drained(&table);
    }

    #[test]
    fn what_is_removed_while_it_is_taken_does_not_come_back() {
        let table = due(3);
        let mut delivery = Delivery::new(&table, 3);
        delivery.take_turns(3, |_| Share::all());
        assert!(table.demonitor(PID, [0, 0, 0], |_| ()));
        // Its slot is taken again, by a monitor of another tenancy.
        let placed = table.monitor(table.nodes.get(0), PID, [9, 0, 0], [9, 0, 1]);
        assert!(placed.unwrap().outbox);
        assert!(!delivery.begin(0));
        drop(delivery);
        assert_eq!(deliver_all(&table), [1, 2]);
        assert!(table.demonitor(PID, [9, 0, 0], |_| ()));
    }

    #[test]
    fn what_is_left_of_a_dead_subscriber_is_swept() {
        let table = due(3);
        let mut delivery = Delivery::new(&table, 3);
        delivery.take_turns(3, |_| Share::all());
        assert!(delivery.begin(0));
        table.depart(PID);
        // The sweep does not get the one that is claimed yet.
        table.sweep_departed(2, |_| (), |_, _| ());
        drop(delivery);
        while !table.sweep_departed(10, |_| (), |_, _| ()) {}
        assert_drained(&table);
        let sizes = table.sizes();
        assert_eq!((sizes.subscribers, sizes.references), (0, 0));
    }

    #[test]
    fn what_is_passed_on_is_delivered_by_another() {
        let table = due(2);
        let mut first = Delivery::new(&table, 2);
        first.take_turns(2, |_| Share::all());
        let mut second = Delivery::new(&table, 1);
        second.take(*first.taken(1));
        first.pass_on(1);
        drop(first);
        assert!(second.begin(0));
        second.end_all();
        assert_eq!(second.sent(), 1);
        drop(second);
        assert_eq!(deliver_all(&table), [0]);
        assert_drained(&table);
    }
}
