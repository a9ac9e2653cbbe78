//! Many monitors by reference, placed or removed in one call, [`HELD`] under one lock.

use super::{MonitorTable, Unarmed};
use crate::monitors::claim::Removal;
use crate::monitors::nodes::Node;
use crate::monitors::slot::Reference;
use crate::monitors::subscribers::Member;
use crate::monitors::targets::Key;
use crate::structures::held::HELD;
use crate::structures::limits::Full;
use crate::structures::sync::Backoff;

/// Monitors on their way into the lists of their targets. Those that do not get there, because they are refused or
/// because of a panic, are taken back.
struct Joined<'t, R: Clone, X> {
    table: &'t MonitorTable<R, X>,
    monitors: &'t [(Key, u32)],
    /// For each that was tried: whether it was refused, and the target if that must go into its outbox.
    targets: Vec<Result<Option<u32>, Full>>,
}

impl<R: Clone, X> Drop for Joined<'_, R, X> {
    fn drop(&mut self) {
        let tried = self.targets.iter().map(Result::is_ok);
        let is_joined = tried.chain(std::iter::repeat(false));
        for ((_, slot), is_joined) in self.monitors.iter().zip(is_joined) {
            if !is_joined {
                // One that has a target may be in its list, if a panic kept this from being noted.
                drop(Unarmed {
                    table: self.table,
                    slot: *slot,
                });
            }
        }
    }
}

impl<R: Clone, X> MonitorTable<R, X> {
    /// Places up to [`HELD`] monitors as [`MonitorTable::monitor`] does, each under a fresh reference.
    /// Tells whether the subscriber is new. When it refuses, some of the others are placed. `wake` is called for
    /// a node whose outbox was given a target.
    pub fn monitor_each(
        &self,
        pid: u64,
        references: &[Reference],
        keys: &[Key],
        wake: impl FnMut(&Node<X>),
    ) -> (bool, Result<(), Full>) {
        debug_assert!(references.len() == keys.len() && keys.len() <= HELD);
        let mut slots = Vec::with_capacity(keys.len());
        let (newcomer, placed) =
            self.subscribers
                .place_each(&self.slots, pid, references, &mut slots);
        let monitors: Vec<_> = keys.iter().copied().zip(slots).collect();
        let joined = self.join_each(&monitors, wake);
        (newcomer, placed.and(joined.1))
    }

    /// Removes up to [`HELD`] monitors of the process `pid`, which calls this itself, as
    /// [`MonitorTable::demonitor`] does. Returns the places of those references, in order, of which it has no
    /// such monitor, any more or ever.
    pub fn demonitor_each(
        &self,
        pid: u64,
        references: &[Reference],
        wake: impl FnMut(&Node<X>),
    ) -> Vec<usize> {
        let (mut found, mut places) = (Vec::with_capacity(references.len()), Vec::new());
        let (mut unknown, mut place) = (Vec::new(), 0..);
        self.subscribers
            .find_each(&self.slots, pid, references, |monitor| {
                let list = match monitor {
                    Some(monitor) => {
                        found.push(monitor);
                        &mut places
                    }
                    None => &mut unknown,
                };
                list.extend(place.next());
            });
        self.remove_each(&found, wake, |lost| unknown.push(places[lost]));
        unknown.sort_unstable();
        unknown
    }

    /// Joins monitors that were just allocated to their targets. Returns how many, and whether that was all: the
    /// others are taken back.
    pub(super) fn join_each(
        &self,
        monitors: &[(Key, u32)],
        wake: impl FnMut(&Node<X>),
    ) -> (usize, Result<(), Full>) {
        let mut joined = Joined {
            table: self,
            monitors,
            targets: Vec::with_capacity(monitors.len()),
        };
        // Neighbours are of one node, mostly.
        let mut last: Option<&Node<X>> = None;
        let stay = |node| match last {
            Some(last) if last.id() == node => &last.stay,
            _ => &last.insert(self.nodes.get(node)).stay,
        };
        self.targets
            .join_each(&self.slots, monitors.iter().copied(), stay, |target| {
                joined.targets.push(target);
            });
        let queued = monitors.iter().zip(&joined.targets);
        let queued = queued.filter_map(|((key, _), target)| Some((key.node, (*target).ok()??)));
        self.push_each(queued, wake);
        let refused = joined.targets.iter().filter(|target| target.is_err());
        let refused = refused.count();
        let outcome = if refused == 0 { Ok(()) } else { Err(Full) };
        (monitors.len() - refused, outcome)
    }

    /// Claims monitors for their owner, and takes them out. Returns how many it has won; by the time that it
    /// does, the `:DOWN`s of the others have been sent. `lost` is told the places of those.
    pub(super) fn remove_each(
        &self,
        monitors: &[Member],
        wake: impl FnMut(&Node<X>),
        mut lost: impl FnMut(usize),
    ) -> usize {
        let mut won = Vec::with_capacity(monitors.len());
        for (place, member) in monitors.iter().enumerate() {
            let claim = &self.slots.get(member.slot).claim;
            loop {
                match claim.remove(member.ticket) {
                    Removal::Won => won.push(member.slot),
                    // A delivery that fails gives the monitor up, so it is tried again afterwards.
                    Removal::Sending => {
                        self.await_sent(member);
                        continue;
                    }
                    Removal::Lost => lost(place),
                }
                break;
            }
        }
        let mut left = Vec::with_capacity(won.len());
        let ids = || won.iter().copied();
        self.targets
            .leave_each(&self.slots, ids(), |what| left.push(what));
        // Read before the slots are freed.
        let targets: Vec<u32> = ids().map(|id| self.slots.get(id).target()).collect();
        let listed = left.iter().map(|left| left.listed);
        self.subscribers
            .retire_each(&self.slots, ids().zip(listed), true);
        let queued = targets.into_iter().zip(left).filter_map(|(target, left)| {
            if left.waiting {
                self.dispatch.drop_waiting();
            }
            Some((left.outbox?, target))
        });
        self.push_each(queued, wake);
        won.len()
    }

    /// Waits until the message of a monitor is sent, or is not.
    pub(super) fn await_sent(&self, member: &Member) {
        let claim = &self.slots.get(member.slot).claim;
        let backoff = Backoff::new();
        while claim.is_sending(member.ticket) {
            backoff.snooze();
        }
    }

    /// Puts targets into the outboxes of their nodes, each with the id of its node.
    fn push_each(&self, targets: impl Iterator<Item = (u32, u32)>, mut wake: impl FnMut(&Node<X>)) {
        let mut targets = targets.peekable();
        let mut neighbours = Vec::with_capacity(HELD);
        // What follows on each other and is of one node goes into its outbox together, and wakes it once.
        while let Some((node, target)) = targets.next() {
            neighbours.push(target);
            if targets.peek().is_some_and(|(next, _)| *next == node) {
                continue;
            }
            let node = self.nodes.get(node);
            node.outbox.push_many(&neighbours);
            neighbours.clear();
            wake(node);
        }
    }
}
