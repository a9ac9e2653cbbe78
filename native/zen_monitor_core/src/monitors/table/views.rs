//! What observers see of the table.

use super::MonitorTable;
use crate::monitors::dispatch::DispatchCounts;
use crate::monitors::nodes::Node;
use crate::monitors::slot::Reference;
use crate::monitors::subscribers::{Counts, Holding};
use crate::monitors::targets::Key;
use crate::structures::held::HELD;

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

impl<R: Clone, X> MonitorTable<R, X> {
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
        self.is_dead_expanded() && self.is_expired_expanded()
    }

    /// Whether no expired session waits to be expanded.
    pub fn is_expired_expanded(&self) -> bool {
        self.dispatch.expired.is_empty()
    }

    /// Whether no dead target waits to be expanded.
    pub fn is_dead_expanded(&self) -> bool {
        self.dispatch.dead.is_empty()
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
            backlog: self.dispatch.dead.len() + self.dispatch.expired.len(),
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
}
