//! Many monitors by reference, placed or removed in one call, [`HELD`] under one lock.

use super::MonitorTable;
use crate::claim::Removal;
use crate::held::HELD;
use crate::nodes::Node;
use crate::slot::Reference;
use crate::subscribers::Member;
use crate::sync::Backoff;
use crate::targets::Key;

impl<R: Clone, X> MonitorTable<R, X> {
    /// Places up to [`HELD`] monitors as [`MonitorTable::monitor`] does, each under a fresh reference.
    /// Tells whether the subscriber is new, and how many were refused. `wake` is called for a node whose
    /// outbox was given a target.
    pub fn monitor_each(
        &self,
        pid: u64,
        references: &[Reference],
        keys: &[Key],
        wake: impl FnMut(&Node<X>),
    ) -> (bool, usize) {
        debug_assert!(references.len() == keys.len() && keys.len() <= HELD);
        let mut slots = Vec::with_capacity(keys.len());
        let newcomer = self
            .subscribers
            .place_each(&self.slots, pid, references, &mut slots);
        let refused = self.join_each(keys.iter().copied().zip(slots), wake);
        (newcomer, refused)
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

    /// Joins monitors that were just allocated to their targets. Returns how many were refused.
    pub(super) fn join_each(
        &self,
        monitors: impl Iterator<Item = (Key, u32)> + Clone,
        wake: impl FnMut(&Node<X>),
    ) -> usize {
        let mut joined = Vec::with_capacity(HELD);
        let session = |node| self.nodes.get(node).session();
        self.targets
            .join_each(&self.slots, monitors.clone(), session, |target| {
                joined.push(target);
            });
        let mut refused = 0;
        let queued = monitors.zip(joined).filter_map(|((key, slot), target)| {
            if target.is_err() {
                // It was never armed, so nobody else can have claimed it.
                self.subscribers.retire(&self.slots, slot, true, true);
                refused += 1;
            }
            target.ok()?.map(|target| (key.node, target))
        });
        self.push_each(queued, wake);
        refused
    }

    /// Claims monitors for their owner, and takes them out. Returns how many it has won; by the time that it
    /// does, the `:DOWN`s of the others have been sent. `lost` is told the places of those.
    pub(super) fn remove_each(
        &self,
        monitors: &[Member],
        wake: impl FnMut(&Node<X>),
        mut lost: impl FnMut(usize),
    ) -> usize {
        let (mut won, mut sending) = (Vec::with_capacity(monitors.len()), Vec::new());
        for (place, member) in monitors.iter().enumerate() {
            match self.slots.get(member.slot).claim.remove(member.ticket) {
                Removal::Won => won.push(member.slot),
                Removal::Sending => {
                    lost(place);
                    sending.push(member);
                }
                Removal::Lost => lost(place),
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
        let backoff = Backoff::new();
        for member in sending {
            let claim = &self.slots.get(member.slot).claim;
            while claim.is_sending(member.ticket) {
                backoff.snooze();
            }
        }
        won.len()
    }

    /// Puts targets into the outboxes of their nodes, each with the id of its node.
    fn push_each(&self, targets: impl Iterator<Item = (u32, u32)>, mut wake: impl FnMut(&Node<X>)) {
        // Neighbours are of one node, mostly: it is woken once.
        let mut last: Option<&Node<X>> = None;
        for (node, target) in targets {
            let node = self.nodes.get(node);
            if let Some(former) = last.replace(node)
                && former.id() != node.id()
            {
                wake(former);
            }
            node.outbox.push(target);
        }
        if let Some(last) = last {
            wake(last);
        }
    }
}
