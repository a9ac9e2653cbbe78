//! The monitor table: every monitor that this node's processes have placed.
//!
//! It puts together [`Subscribers`], [`Targets`], [`Nodes`] and [`Dispatch`], none of which knows
//! another. No two of their locks are ever held at once, but that of what a node's Connector has under way
//! (`Node::desk`) while its instructions are taken, withdrawn or made anew.
//!
//! A monitor is linked to its subscriber first and to its target then, which arms it: who finds it
//! before cannot claim it. It is unlinked by the one that wins its claim, from its target first and
//! from its subscriber then, which frees its slot.
//!
//! Placing, removing and sweeping are here. The way of a monitor in between is beside it: what its node is told
//! (`outbox.rs`), how it falls due (`due.rs`), and its turn (`turns.rs`).

use crate::monitors::claim::Removal;
use crate::monitors::dispatch::Dispatch;
use crate::monitors::nodes::{Node, Nodes};
use crate::monitors::slot::{Reference, Slot};
use crate::monitors::subscribers::Subscribers;
use crate::monitors::targets::{Key, Targets};
use crate::structures::arena::Arena;
use crate::structures::held::HELD;
use crate::structures::limits::Full;
use crate::structures::list::NIL;
use crate::structures::sync::{Backoff, SegQueue};

mod batch;
mod due;
mod grace;
mod outbox;
mod sets;
mod turns;
mod views;

pub use views::Sizes;

/// All monitors of one Erlang node. `R` is an exit reason, `X` what the host keeps per node.
///
/// ```
/// use zen_monitor_core::monitors::delivery::Delivery;
/// use zen_monitor_core::monitors::share::Share;
/// use zen_monitor_core::monitors::table::MonitorTable;
///
/// let table: MonitorTable<&str, ()> = MonitorTable::default();
/// let (pid, reference, target) = (0x73, [1, 2, 3], [40, 0, 1]);
///
/// let node = table.nodes.find_or_add(7, || ());
/// assert!(table.monitor(node, pid, reference, target).unwrap().outbox);
/// // The subscription goes out, and its certificate comes in.
/// assert_eq!(table.take(node, 10, 10).0.len(), 1);
/// table.certify(node, target, None, "killed");
/// table.expand(10);
///
/// let mut delivery = Delivery::new(&table, 10);
/// assert_eq!(delivery.take_turns(10, |_| Share::all()), 1);
/// let (_, reason) = delivery.describe(0)[0];
/// assert_eq!(reason, Some("killed"));
/// assert!(delivery.begin(0));
/// // The host sends the message here.
/// delivery.end(0);
/// assert!(!table.demonitor(pid, reference, |_| ()));
/// ```
pub struct MonitorTable<R, X> {
    slots: Arena<Slot>,
    subscribers: Subscribers,
    pub(crate) targets: Targets<R>,
    departed: SegQueue<u32>,
    dispatch: Dispatch,
    /// The nodes.
    pub nodes: Nodes<X>,
}

/// What placing a monitor calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The subscriber is new: its death must be watched.
    pub newcomer: bool,
    /// The node's outbox was given a target: its owner must be woken.
    pub outbox: bool,
}

/// A monitor that is not armed yet. If it never is, because its target has no room for it or in a panic,
/// it is as if it had never been placed.
struct Unarmed<'t, R: Clone, X> {
    table: &'t MonitorTable<R, X>,
    slot: u32,
}

impl<R: Clone, X> Drop for Unarmed<'_, R, X> {
    fn drop(&mut self) {
        // One that has a target may be in its list. Nobody else can have claimed one that has none.
        if self.table.slots.get(self.slot).target() == NIL {
            self.table
                .subscribers
                .displace(&self.table.slots, self.slot);
        }
    }
}

impl<R, X> Default for MonitorTable<R, X>
where
    R: Clone,
{
    fn default() -> Self {
        MonitorTable {
            slots: Arena::default(),
            subscribers: Subscribers::default(),
            targets: Targets::default(),
            departed: SegQueue::new(),
            dispatch: Dispatch::default(),
            nodes: Nodes::default(),
        }
    }
}

#[cfg(all(test, not(loom)))]
impl<R: Clone, X> MonitorTable<R, X> {
    /// With at most so many chunks of slots, subscribers in a shard, and targets in a shard.
    pub(crate) fn with_most(chunks: u32, subscribers: u32, targets: u32) -> Self {
        MonitorTable {
            slots: Arena::with_most(chunks),
            subscribers: Subscribers::with_most(subscribers),
            targets: Targets::with_most(targets),
            ..MonitorTable::default()
        }
    }
}

impl<R: Clone, X> MonitorTable<R, X> {
    /// Places a monitor of the process `pid`, under a reference that was never used before. [`Full`] when
    /// one of the tables has no room for it; nothing is left of it then.
    #[inline]
    pub fn monitor(
        &self,
        node: &Node<X>,
        pid: u64,
        reference: Reference,
        target: [u32; 3],
    ) -> Result<Placed, Full> {
        let (slot, newcomer) = self.subscribers.place(&self.slots, pid, reference)?;
        let unarmed = Unarmed { table: self, slot };
        let key = Key {
            node: node.id(),
            id: target,
        };
        let queue = self.targets.join(&self.slots, key, &node.stay, slot)?;
        // Once armed, the slot may have passed to another monitor by now.
        std::mem::forget(unarmed);
        if let Some(target) = queue {
            node.outbox.push(target);
        }
        Ok(Placed {
            newcomer,
            outbox: queue.is_some(),
        })
    }

    /// Removes a monitor of the process `pid`, which calls this itself. `false` when it has no
    /// such monitor, any more or ever; its `:DOWN`, if one was due, has been sent by then. `wake`
    /// is called for a node whose outbox was given a target.
    #[inline]
    pub fn demonitor(&self, pid: u64, reference: Reference, wake: impl FnMut(&Node<X>)) -> bool {
        let Some((id, ticket)) = self.subscribers.find_monitor(&self.slots, pid, reference) else {
            return false;
        };
        let claim = &self.slots.get(id).claim;
        let backoff = Backoff::new();
        loop {
            match claim.remove(ticket) {
                Removal::Won => {
                    self.remove(id, true, wake);
                    return true;
                }
                // A delivery that fails gives the monitor up, so it is tried again afterwards.
                Removal::Sending => {
                    while claim.is_sending(ticket) {
                        backoff.snooze();
                    }
                }
                Removal::Lost => return false,
            }
        }
    }

    /// Notes the death of a process. `true` when it leaves monitors for
    /// [`MonitorTable::sweep_departed`].
    pub fn depart(&self, pid: u64) -> bool {
        match self.subscribers.depart(pid) {
            Some(subscriber) => {
                self.departed.push(subscriber);
                true
            }
            None => false,
        }
    }

    /// Removes up to about `limit` monitors of departed subscribers. `true` when none is left.
    /// `swept` is told whose and which they are.
    pub fn sweep_departed(
        &self,
        limit: usize,
        mut wake: impl FnMut(&Node<X>),
        mut swept: impl FnMut(u64, Reference),
    ) -> bool {
        let mut steps = 0;
        while steps < limit {
            let Some(subscriber) = self.departed.pop() else {
                return true;
            };
            let limit = HELD.min(limit - steps);
            let (pid, behind) = self.subscribers.left_behind(&self.slots, subscriber, limit);
            steps += 1 + behind.len();
            if behind.is_empty() {
                continue;
            }
            for (id, ticket) in behind {
                // One that is being sent, or was a moment ago, is unlinked by its sender.
                if self.slots.get(id).claim.remove(ticket) == Removal::Won {
                    swept(pid, self.slots.get(id).reference());
                    self.remove(id, false, &mut wake);
                }
            }
            self.departed.push(subscriber);
        }
        false
    }

    fn remove(&self, slot: u32, by_owner: bool, mut wake: impl FnMut(&Node<X>)) {
        let target = self.slots.get(slot).target();
        let left = self.targets.leave(&self.slots, slot);
        self.subscribers
            .retire(&self.slots, slot, left.listed, by_owner);
        if left.waiting {
            self.dispatch.drop_waiting();
        }
        if let Some(node) = left.outbox {
            let node = self.nodes.get(node);
            node.outbox.push(target);
            wake(node);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
