//! What a node must be told of its targets: taken out of its outbox, and put back when it was not sent.

use super::MonitorTable;
use crate::monitors::nodes::Node;
use crate::monitors::targets::{Cursor, Instruction};
use crate::structures::held::HELD;

impl<R: Clone, X> MonitorTable<R, X> {
    /// Takes what a node must be told, at most `limit` instructions in the order in which they
    /// arose, from at most `steps` targets, of which some may have nothing to tell any more. `true`
    /// when the outbox was emptied, or what is first in it is just being pushed. The chunk is all that was taken since
    /// [`MonitorTable::confirm`]; it counts as sent unless [`MonitorTable::withdraw`] follows.
    pub fn take(&self, node: &Node<X>, limit: usize, steps: usize) -> (Vec<Instruction>, bool) {
        self.take_as(node, limit, steps, false)
    }

    /// The same for a node that returns the numbers of subscriptions.
    pub fn take_numbered(
        &self,
        node: &Node<X>,
        limit: usize,
        steps: usize,
    ) -> (Vec<Instruction>, bool) {
        self.take_as(node, limit, steps, true)
    }

    fn take_as(
        &self,
        node: &Node<X>,
        limit: usize,
        steps: usize,
        numbered: bool,
    ) -> (Vec<Instruction>, bool) {
        let mut desk = node.desk.lock();
        let taken = &mut desk.get_or_insert_default().taken;
        let mut instructions = Vec::new();
        let mut queued = Vec::new();
        let mut left = steps;
        while left > 0 && instructions.len() < limit {
            let most = HELD.min(left).min(limit - instructions.len());
            queued.clear();
            node.outbox.pop_many(most, &mut queued);
            // Not under the locks of the targets.
            taken.reserve(queued.len());
            instructions.reserve(queued.len());
            self.targets
                .emit(&queued, numbered, &node.stay, |target, instruction| {
                    if !matches!(instruction, Instruction::Unsubscribe(_)) {
                        taken.push(target);
                    }
                    instructions.push(instruction);
                });
            if queued.len() < most {
                return (instructions, true);
            }
            left -= most;
        }
        (instructions, false)
    }

    /// Closes the chunk: it was sent.
    pub fn confirm(&self, node: &Node<X>) {
        if let Some(desk) = &mut *node.desk.lock() {
            desk.taken.clear();
        }
    }

    /// Takes back up to `limit` subscriptions of the chunk: it was not sent. `true` when none is
    /// left.
    pub fn withdraw(&self, node: &Node<X>, limit: usize) -> bool {
        let mut desk = node.desk.lock();
        let Some(taken) = desk.as_mut().map(|desk| &mut desk.taken) else {
            return true;
        };
        let kept = taken.len().saturating_sub(limit);
        for target in taken.drain(kept..) {
            if self.targets.withdraw(target, node.id()) {
                node.outbox.push(target);
            }
        }
        taken.is_empty()
    }

    /// Has [`MonitorTable::resubscribe`] begin with the first of a node's subscriptions.
    pub fn begin_resubscribing(&self, node: &Node<X>) {
        if let Some(desk) = &mut *node.desk.lock() {
            desk.cursor = Cursor::default();
        }
    }

    /// Withdraws all subscriptions of a node, `limit` at a call, because the process that they
    /// were made for is gone. `true` when all were seen. An open chunk is closed: it is among them.
    pub fn resubscribe(&self, node: &Node<X>, limit: usize) -> bool {
        let mut queued = Vec::new();
        let mut desk = node.desk.lock();
        let desk = desk.get_or_insert_default();
        desk.taken.clear();
        let done =
            self.targets
                .resubscribe(node.stay.session(), &mut desk.cursor, limit, &mut queued);
        for target in queued {
            node.outbox.push(target);
        }
        done
    }

    /// Makes up to `limit` targets in a node's outbox due as [`MonitorTable::expire`] does, since
    /// the node cannot be subscribed to. Tells how many became due, and whether the outbox was emptied,
    /// or what is first in it is just being pushed.
    pub fn fail(&self, node: &Node<X>, limit: usize) -> (usize, bool) {
        let mut queued = Vec::new();
        node.outbox.pop_many(limit, &mut queued);
        let mut failed = 0;
        for &target in &queued {
            failed += usize::from(self.fail_target(node, target));
        }
        (failed, queued.len() < limit)
    }

    /// Makes targets due as [`MonitorTable::fail`] does, from the head of a node's outbox, after a look
    /// at `amount` of them. What the node watches already stays: it can still tell of that. Tells how
    /// many became due.
    pub fn shed(&self, node: &Node<X>, amount: usize) -> usize {
        let mut shed = 0;
        for _ in 0..amount {
            let Some(target) = node.outbox.pop() else {
                break;
            };
            if self.targets.is_subscribed(target) {
                node.outbox.push(target);
            } else {
                shed += usize::from(self.fail_target(node, target));
            }
        }
        shed
    }

    fn fail_target(&self, node: &Node<X>, target: u32) -> bool {
        let Some(monitors) = self.targets.fail(target, &node.stay) else {
            return false;
        };
        self.dispatch.add_waiting(u64::from(monitors));
        self.dispatch.dead.push(target);
        true
    }
}
