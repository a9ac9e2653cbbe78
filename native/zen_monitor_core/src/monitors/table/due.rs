//! What falls due, and its way to the queues of the subscribers.

use super::MonitorTable;
use crate::monitors::dispatch::ExpiredSession;
use crate::monitors::nodes::Node;
use crate::monitors::targets::{Alike, Expired, Key, Targets};
use crate::structures::held::HELD;

impl<R: Clone, X> MonitorTable<R, X> {
    /// Makes a target due with the reason of its death certificate, and the number of the subscription that
    /// this answers, if it has one.
    pub fn certify(&self, node: &Node<X>, target: [u32; 3], subscription: Option<u32>, reason: R) {
        let key = Key {
            node: node.id(),
            id: target,
        };
        if let Some((target, monitors)) =
            self.targets.certify(key, &node.stay, subscription, reason)
        {
            self.dispatch.add_waiting(u64::from(monitors));
            self.dispatch.dead.push(target);
        }
    }

    /// Makes targets due as [`MonitorTable::certify`] does, at most [`HELD`] of them and all for one reason. Up to `limit`
    /// of their monitors go to the queues of their subscribers at once, unless something that fell due before is still on
    /// its way there. Returns how many those are.
    #[inline]
    pub fn certify_each(
        &self,
        node: &Node<X>,
        targets: impl Iterator<Item = [u32; 3]>,
        reason: &R,
        limit: usize,
    ) -> usize
    where
        R: Alike,
    {
        let node_id = node.id();
        let mut keys = targets.map(|id| Key { node: node_id, id });
        let mut monitors = Vec::with_capacity(HELD.min(limit));
        let expanding = self.dispatch.expanding.try_lock();
        let (mut moved, mut done) = (0, false);
        while !done {
            let limit = match expanding.is_some() && self.dispatch.dead.is_empty() {
                true => HELD.min(limit - moved),
                false => 0,
            };
            monitors.clear();
            let waiting;
            (waiting, done) = self.targets.certify_each(
                &self.slots,
                &mut keys,
                (&node.stay, reason),
                limit,
                &mut monitors,
                |target| self.dispatch.dead.push(target),
            );
            self.dispatch.add_waiting(waiting);
            self.enqueue(&monitors);
            moved += monitors.len();
        }
        moved
    }

    /// Makes all subscribed targets of a node due, without a reason, because its connection is
    /// gone; those of held sessions, too. Targets that wait in its outbox are left to the next sweep.
    pub fn expire(&self, node: &Node<X>) {
        let held = node.give_up();
        for session in held {
            self.expire_session(node, session);
        }
        self.expire_session(node, node.stay.renew(self.nodes.next_session()));
    }

    fn expire_session(&self, node: &Node<X>, session: u64) {
        let monitors = self.targets.expire(session);
        self.dispatch.add_waiting(monitors);
        self.dispatch.expired.push(ExpiredSession {
            session,
            node: node.id(),
            shard: 0,
        });
    }

    /// Whether nothing on a node is monitored, and it need not be told anything. What falls due does
    /// not count. See [`Stay::is_unused`](crate::monitors::stay::Stay::is_unused) for what that means to who asks.
    pub fn is_unused(&self, node: &Node<X>) -> bool {
        node.stay.is_unused() && node.is_outbox_empty() && !node.is_held()
    }

    /// Moves up to about `limit` due monitors to the queues of their subscribers, those of dead targets
    /// first. `true` when the backlog was emptied.
    pub fn expand(&self, limit: usize) -> bool {
        let steps = self.expand_dead(limit);
        self.expand_expired(limit.saturating_sub(steps), usize::MAX);
        self.is_expanded()
    }

    /// The same for dead targets only. Returns about how many steps it took, fewer than `limit` when none is left for the
    /// caller. Somebody else who does this takes care of what there is so far.
    pub fn expand_dead(&self, limit: usize) -> usize {
        let Some(_expanding) = self.dispatch.expanding.try_lock() else {
            return limit;
        };
        let mut steps = 0;
        let mut monitors = Vec::new();
        while steps < limit
            && let Some(target) = self.dispatch.dead.pop()
        {
            steps += 1 + self.expand_target(target, limit - steps, &mut monitors);
        }
        steps
    }

    /// The same for expired sessions only, in up to about `limit` steps, until about `most` monitors were moved. Returns how
    /// many were.
    pub fn expand_expired(&self, limit: usize, most: usize) -> usize {
        let (mut steps, mut moved) = (0, 0);
        let mut monitors = Vec::new();
        while steps < limit
            && moved < most
            && let Some(mut expired) = self.dispatch.expired.pop()
        {
            while steps < limit && moved < most && expired.shard < Targets::<R>::SHARDS {
                monitors.clear();
                let (seen, found) = self.targets.unlist_expired(
                    &self.slots,
                    (expired.shard, expired.session),
                    &self.nodes.get(expired.node).stay,
                    HELD.min(limit - steps),
                    &mut monitors,
                );
                self.enqueue(&monitors);
                steps += 1 + seen + monitors.len();
                moved += monitors.len();
                match found {
                    Expired::Nothing => expired.shard += 1,
                    Expired::More => {}
                    Expired::Target(target) => self.dispatch.dead.push(target),
                }
            }
            if expired.shard < Targets::<R>::SHARDS {
                self.dispatch.expired.push(expired);
            }
        }
        moved
    }

    fn expand_target(&self, target: u32, limit: usize, monitors: &mut Vec<u32>) -> usize {
        let mut steps = 0;
        while steps < limit {
            monitors.clear();
            let held = HELD.min(limit - steps);
            let done = self.targets.unlist(&self.slots, target, held, monitors);
            self.enqueue(monitors);
            steps += monitors.len();
            if done {
                return steps;
            }
        }
        self.dispatch.dead.push(target);
        steps
    }

    fn enqueue(&self, monitors: &[u32]) {
        self.subscribers
            .enqueue(&self.slots, monitors, |subscriber| {
                self.dispatch.ring.push(subscriber);
            });
    }
}
