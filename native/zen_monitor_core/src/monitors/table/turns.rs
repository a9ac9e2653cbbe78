//! The turns of the subscribers: what [`Delivery`](crate::monitors::delivery::Delivery) takes, claims and frees.

use super::MonitorTable;
use crate::monitors::share::Share;
use crate::monitors::subscribers::Taken;
use crate::monitors::targets::Key;
use crate::structures::held::HELD;

impl<R: Clone, X> MonitorTable<R, X> {
    /// Takes up to `limit` monitors in turn. `taken` is given those that are to be delivered. Returns how
    /// many there were, removed ones included: fewer than `limit` when the ring is empty, when all who stand in
    /// it have had their share, or when a share says that this was the last.
    pub(crate) fn next_turns(
        &self,
        limit: usize,
        share: impl Fn(u64) -> Share,
        mut taken: impl FnMut(Taken),
    ) -> usize {
        let (mut turns, mut passed, mut ended) = (0, 0, false);
        while turns < limit && !ended {
            let add = |one: Taken| {
                ended = share(one.pid).is_last();
                taken(one);
            };
            match self.next(limit - turns, &share, add) {
                None => break,
                // Who has had its share goes on standing in the ring. Once nobody else does, it is over. At
                // most a budget's worth of shares is spent, so that is soon.
                Some(0) if passed > self.dispatch.ring.len() => break,
                Some(0) => passed += 1,
                Some(more) => {
                    turns += more;
                    passed = 0;
                }
            }
        }
        turns
    }

    /// The next monitor in turn; while nobody else waits for a turn, up to `limit`.
    #[inline]
    pub(super) fn next(
        &self,
        limit: usize,
        share: impl Fn(u64) -> Share,
        taken: impl FnMut(Taken),
    ) -> Option<usize> {
        let subscriber = self.dispatch.ring.pop()?;
        let alone = self.dispatch.ring.is_empty();
        let limit = if alone { limit.min(HELD) } else { 1 };
        let (turns, more) = self
            .subscribers
            .dequeue(&self.slots, subscriber, limit, share, taken);
        if more {
            self.dispatch.ring.push(subscriber);
        }
        Some(turns)
    }

    /// What the `:DOWN`s of taken monitors say; meaningless for one on which the claim fails
    /// afterwards.
    #[inline]
    pub(crate) fn describe<'a>(
        &self,
        taken: impl Iterator<Item = &'a Taken>,
    ) -> Vec<(Key, Option<R>)> {
        self.targets.describe(taken.map(|taken| taken.target))
    }

    /// Claims a taken monitor. After `true` the caller sends, calls [`MonitorTable::end_send`] at
    /// once, and [`MonitorTable::release`] soon; after `false` the monitor is gone and nothing is to
    /// be done.
    #[inline]
    pub(crate) fn begin_send(&self, taken: &Taken) -> bool {
        self.slots.get(taken.slot).claim.begin_send(taken.ticket)
    }

    /// Notes that the `:DOWN` of a claimed monitor is sent: a demonitor need not wait for it any
    /// more.
    #[inline]
    pub(crate) fn end_send(&self, taken: &Taken) {
        self.slots.get(taken.slot).claim.end_send(taken.ticket);
    }

    /// Gives a claim up whose `:DOWN` was not sent.
    pub(crate) fn retract(&self, taken: &Taken) {
        self.slots.get(taken.slot).claim.retract(taken.ticket);
    }

    /// Returns unclaimed monitors to their queues, unless they were removed.
    pub(crate) fn give_back<'a>(&self, undelivered: impl Iterator<Item = &'a Taken>) {
        self.subscribers
            .give_back(&self.slots, undelivered, |subscriber| {
                self.dispatch.ring.push(subscriber);
            });
    }

    /// Frees the slots of monitors that were delivered.
    #[inline]
    pub(crate) fn release(&self, delivered: &[u32]) {
        for ids in delivered.chunks(HELD) {
            let ids = || ids.iter().copied();
            self.targets.leave_delivered(&self.slots, ids());
            self.subscribers.retire_delivered(&self.slots, ids());
        }
    }

    /// Notes what a run of turns has done, for the counters.
    pub(crate) fn count_run(&self, processed: u64, delivered: u64) {
        self.dispatch.add_run(processed, delivered);
    }
}
