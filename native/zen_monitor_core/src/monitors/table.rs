//! The monitor table: every monitor that this node's processes have placed.
//!
//! It puts together [`Subscribers`], [`Targets`], [`Nodes`] and [`Dispatch`], none of which knows
//! another. No two of their locks are ever held at once, but that of what a node's Connector has under way
//! (`Node::desk`) while its instructions are taken, withdrawn or made anew.
//!
//! A monitor is linked to its subscriber first and to its target then, which arms it: who finds it
//! before cannot claim it. It is unlinked by the one that wins its claim, from its target first and
//! from its subscriber then, which frees its slot.

use crate::monitors::claim::Removal;
use crate::monitors::dispatch::{Dispatch, DispatchCounts, Due};
use crate::monitors::nodes::{Node, Nodes};
use crate::monitors::share::Share;
use crate::monitors::slot::{Reference, Slot};
use crate::monitors::subscribers::{Counts, Holding, Subscribers, Taken};
use crate::monitors::targets::{Cursor, Expired, Instruction, Key, Targets};
use crate::structures::arena::Arena;
use crate::structures::held::HELD;
use crate::structures::limits::Full;
use crate::structures::list::NIL;
use crate::structures::sync::{Backoff, SegQueue};

mod batch;
mod grace;
mod sets;

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

/// How much each table and queue of a [`MonitorTable`] holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Monitors that are found by their reference.
    pub references: usize,
    /// Members of sets.
    pub members: usize,
    /// Records of subscribers, which sets are, too.
    pub subscribers: usize,
    /// Targets, dead ones included.
    pub targets: usize,
    /// Reasons of dead targets.
    pub reasons: usize,
    /// Numbers of the subscriptions of names.
    pub numbers: usize,
    /// Targets in the outboxes of nodes, those of open chunks included.
    pub outboxes: usize,
    /// What is due and not expanded.
    pub backlog: usize,
    /// Subscribers that have a queue.
    pub ring: usize,
    /// Departed subscribers that are not swept.
    pub departed: usize,
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
            self.dispatch.backlog.push(Due::Target(target));
        }
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
        self.dispatch.backlog.push(Due::Session {
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

    /// Moves up to about `limit` due monitors to the queues of their subscribers. `true` when the
    /// backlog was emptied.
    pub fn expand(&self, limit: usize) -> bool {
        let mut steps = 0;
        let mut monitors = Vec::new();
        while steps < limit {
            match self.dispatch.backlog.pop() {
                None => return true,
                Some(Due::Target(target)) => {
                    steps += 1 + self.expand_target(target, limit - steps, &mut monitors);
                }
                Some(Due::Session {
                    session,
                    node,
                    mut shard,
                }) => {
                    while steps < limit && shard < Targets::<R>::SHARDS {
                        monitors.clear();
                        let (seen, found) = self.targets.unlist_expired(
                            &self.slots,
                            (shard, session),
                            &self.nodes.get(node).stay,
                            HELD.min(limit - steps),
                            &mut monitors,
                        );
                        self.enqueue(&monitors);
                        steps += 1 + seen + monitors.len();
                        match found {
                            Expired::Nothing => shard += 1,
                            Expired::More => {}
                            Expired::Target(target) => {
                                self.dispatch.backlog.push(Due::Target(target));
                            }
                        }
                    }
                    if shard < Targets::<R>::SHARDS {
                        self.dispatch.backlog.push(Due::Session {
                            session,
                            node,
                            shard,
                        });
                    }
                }
            }
        }
        self.dispatch.backlog.is_empty()
    }

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
    fn next(
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

    /// Whether a process has ever placed a monitor, and is not known to be dead.
    pub fn is_subscriber(&self, pid: u64) -> bool {
        self.subscribers.find(pid).is_some()
    }

    /// The references under which `pid` monitors a target that is not due. It takes as long as the
    /// target has monitors, but never holds a lock for long.
    pub fn monitors(&self, node: &Node<X>, pid: u64, target: [u32; 3]) -> Vec<Reference> {
        let key = Key {
            node: node.id(),
            id: target,
        };
        let Some(subscriber) = self.subscribers.find(pid) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        let mut last = None;
        loop {
            let Some(listed) = self.targets.listed(&self.slots, key, last, HELD) else {
                // The place was lost with a monitor that is gone: begin again.
                found.clear();
                last = None;
                continue;
            };
            let own = |id: &&u32| self.slots.get(**id).subscriber() == subscriber;
            found.extend(
                listed
                    .iter()
                    .filter(own)
                    .map(|&id| self.slots.get(id).reference()),
            );
            last = listed.last().copied();
            if last.is_none() {
                return found;
            }
        }
    }

    /// Shows what every subscriber has to `visit`, until that answers `false`. Tells whether all were
    /// seen.
    pub fn survey(&self, visit: impl FnMut(Holding) -> bool) -> bool {
        self.subscribers.survey(visit)
    }

    /// What a process has, and some of its monitors with what they are of.
    pub fn held(&self, pid: u64) -> (Holding, Vec<(Reference, Key)>) {
        let (holding, held) = self.subscribers.held(&self.slots, pid, HELD);
        let keys = self
            .targets
            .describe(held.iter().map(|(_, target)| *target));
        let held = held.into_iter().zip(keys);
        let held = held.map(|((reference, _), (key, _))| (reference, key));
        (holding, held.collect())
    }

    /// How many monitors a target has that is not due, and some of the processes that placed them.
    pub fn watchers(&self, node: &Node<X>, target: [u32; 3]) -> (u32, Vec<u64>) {
        let key = Key {
            node: node.id(),
            id: target,
        };
        let (count, slots) = self.targets.watchers(&self.slots, key, HELD);
        let pid = |slot| self.subscribers.pid(self.slots.get(slot).subscriber());
        (count, slots.into_iter().map(pid).collect())
    }

    /// Every node with its targets, the monitors of those that it watches, and those that are held.
    pub fn survey_nodes(&self) -> Vec<(&Node<X>, u64, u64, u64)> {
        let sessions = self.targets.sessions();
        let counted = self.nodes.iter().map(|node| {
            let of = |session| sessions.get(&session).copied().unwrap_or_default();
            let (mut targets, monitors) = of(node.stay.session());
            let mut held = 0;
            for session in node.held_sessions() {
                let (more, monitors) = of(session);
                targets += more;
                held += monitors;
            }
            (node, targets, monitors, held)
        });
        counted.collect()
    }

    /// Whether no departed subscriber has monitors left.
    pub fn is_swept(&self) -> bool {
        self.departed.is_empty()
    }

    /// Whether nothing waits to be expanded.
    pub fn is_expanded(&self) -> bool {
        self.dispatch.backlog.is_empty()
    }

    /// Whether no subscriber has a queue.
    pub fn is_idle(&self) -> bool {
        self.dispatch.ring.is_empty()
    }

    /// The counters of the monitors.
    pub fn counts(&self) -> Counts {
        self.subscribers.counts()
    }

    /// How many targets were put into outboxes for monitors that were placed or ended.
    pub fn instructed(&self) -> u64 {
        self.targets.instructed()
    }

    /// The counters of the dispatch queue.
    pub fn dispatch_counts(&self) -> DispatchCounts {
        self.dispatch.counts()
    }

    /// How much each table and queue holds.
    pub fn sizes(&self) -> Sizes {
        let (targets, reasons, numbers) = self.targets.counts();
        Sizes {
            references: self.subscribers.references(),
            members: self.subscribers.members(),
            subscribers: self.subscribers.records(),
            targets,
            reasons,
            numbers,
            outboxes: self.nodes.iter().map(Node::pending).sum(),
            backlog: self.dispatch.backlog.len(),
            ring: self.dispatch.ring.len(),
            departed: self.departed.len(),
        }
    }

    /// In how many shards the present session of a node has targets: as it is kept, and counted.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn shards_in_use(&self, node: &Node<X>) -> (u32, u32) {
        let counted = self.targets.shards_of(node.stay.session());
        (node.stay.shards(), counted)
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

    fn fail_target(&self, node: &Node<X>, target: u32) -> bool {
        let Some(monitors) = self.targets.fail(target, &node.stay) else {
            return false;
        };
        self.dispatch.add_waiting(u64::from(monitors));
        self.dispatch.backlog.push(Due::Target(target));
        true
    }

    fn enqueue(&self, monitors: &[u32]) {
        self.subscribers
            .enqueue(&self.slots, monitors, |subscriber| {
                self.dispatch.ring.push(subscriber);
            });
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
        self.dispatch.backlog.push(Due::Target(target));
        steps
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
