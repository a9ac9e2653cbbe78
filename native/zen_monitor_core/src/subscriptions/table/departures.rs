//! What connectors that are detached leave behind.

use super::SubscriptionTable;

use crate::subscriptions::references::MonitorRef;
use crate::subscriptions::target::Destination;
use crate::subscriptions::watchers::NOBODY;

impl<O, R: PartialEq> SubscriptionTable<O, R> {
    /// Whether [`SubscriptionTable::sweep`] has something to do.
    pub fn has_departed(&self) -> bool {
        self.connectors.has_departed()
    }

    /// How much [`SubscriptionTable::sweep`] has to remove: subscriptions, and deaths that nobody is told of any more.
    pub fn left_behind(&self) -> usize {
        self.connectors.left_behind()
    }

    /// Takes detached connectors away from up to `targets` targets. A look is at one target or at one of its watchers,
    /// and there are up to `looks` of them. Targets that are left without a subscriber wait for
    /// [`SubscriptionTable::release`].
    pub fn sweep(&mut self, targets: usize, looks: usize) {
        let (mut swept, mut looked) = (0, 0);
        while swept < targets && looked < looks && self.has_departed() {
            let target = self.targets.next(&mut self.swept);
            let (watchers, left) = target.map_or((0, 0), |target| self.sweep_target(target));
            looked += 1 + watchers;
            swept += usize::from(left > 0);
        }
    }

    /// Takes the detached connectors away from a target. Returns how many watched it, and how many of them were
    /// detached.
    #[inline]
    fn sweep_target(&mut self, target: u32) -> (usize, usize) {
        let found = &self.targets[target];
        let (dead, numbered) = (found.is_dead(), found.is_numbered());
        let (connectors, numbers) = (&mut self.connectors, &mut self.numbers);
        let (mut watching, mut left) = (0, 0);
        let watchers = self.blocks.retain(found.watchers(), |connector| {
            watching += 1;
            if connectors.get(connector).outbox().is_some() {
                return true;
            }
            if numbered {
                numbers.remove((target, connector));
            }
            connectors.leave(connector, dead);
            left += 1;
            false
        });
        if left > 0 {
            self.targets[target].set_watchers(watchers);
            if dead {
                self.remove_dead(target);
            } else if watchers == NOBODY {
                self.vacant.push(target);
            }
        }
        (watching, left)
    }

    /// Whether [`SubscriptionTable::release`] has something to look at.
    pub fn has_vacant(&self) -> bool {
        !self.vacant.is_empty()
    }

    /// Removes up to `budget` targets that nobody watches any more, and gives out their monitors.
    pub fn release(&mut self, budget: usize, mut released: impl FnMut(Destination, MonitorRef)) {
        for _ in 0..budget {
            let Some(target) = self.vacant.pop() else {
                return;
            };
            let destination = self.targets.destination(target);
            if let Some(monitor) = self.release_target(target) {
                released(destination, monitor);
            }
        }
    }
}
