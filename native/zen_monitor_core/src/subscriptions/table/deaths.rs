//! What has died: who is told, and who has yet to be.

use super::SubscriptionTable;
use crate::subscriptions::connectors::ConnectorId;
use crate::subscriptions::target::{Destination, Monitor};

impl<O, R: PartialEq> SubscriptionTable<O, R> {
    /// Consumes the subscriptions of a destination that is down, and shows `deliver` the outbox of each
    /// attached subscriber and the number of its subscription. If `deliver` answers `false`, the subscriber could not
    /// be told. Then its subscription stays until [`SubscriptionTable::collect`] takes it, and so does what `keep` makes
    /// of the reason, if there is room for one more. Returns how many were told and how many were not.
    #[inline]
    pub fn certify(
        &mut self,
        destination: Destination,
        keep: impl FnOnce() -> Option<R>,
        mut deliver: impl FnMut(&O, Option<u32>) -> bool,
    ) -> (usize, usize) {
        let Some(target) = self.find(destination) else {
            return (0, 0);
        };
        let (mut told, mut untold) = (0, 0);
        let (connectors, numbers) = (&mut self.connectors, &mut self.numbers);
        let found = &self.targets[target];
        let numbered = found.is_numbered();
        let watchers = self.blocks.retain(found.watchers(), |connector| {
            let number = match numbered {
                true => numbers.get((target, connector)),
                false => None,
            };
            match connectors.get(connector).outbox() {
                Some(outbox) if !deliver(outbox, number) => {
                    connectors.get_mut(connector).dead += 1;
                    untold += 1;
                    return true;
                }
                outbox => told += usize::from(outbox.is_some()),
            }
            if number.is_some() {
                numbers.remove((target, connector));
            }
            connectors.leave(connector, false);
            false
        });
        if untold == 0 {
            self.targets.remove(target);
        } else {
            let reason = self.reasons.keep(keep());
            self.targets[target].set_watchers(watchers);
            self.targets.fire(target, reason);
        }
        (told, untold)
    }

    /// Looks up to `looks` times into the table for deaths that an attached connector has yet to be told of, and takes
    /// up to `deaths` of them. `deliver` is shown each with the number of its subscription and its reason, if that was
    /// kept.
    pub fn collect(
        &mut self,
        id: ConnectorId,
        deaths: usize,
        looks: usize,
        mut deliver: impl FnMut(Destination, Option<u32>, Option<&R>),
    ) {
        let mut collected = 0;
        for _ in 0..looks.min(self.targets.round()) {
            let Some(connector) = self.connectors.attached(id) else {
                return;
            };
            if connector.dead == 0 || collected == deaths {
                return;
            }
            let Some(target) = self.targets.next(&mut connector.cursor) else {
                continue;
            };
            let found = &self.targets[target];
            if let Monitor::Fired(reason) = found.monitor()
                && self.blocks.contains(found.watchers(), id.number())
            {
                let destination = self.targets.destination(target);
                let number = self.number(target, id.number());
                deliver(destination, number, self.reasons.get(reason));
                self.leave(target, id.number());
                collected += 1;
            }
        }
    }
}
