//! Which connectors watch which destinations of this node.
//!
//! Invariants:
//!
//! - A target that lives is watched, or stands in `vacant` until it is released or watched again.
//! - A target is made before its ERTS monitor and dies or is removed together with it. So there is one
//!   monitor to a target, and every `:DOWN` belongs to the one target of its destination that lives.
//! - A dead target has the connectors that could not be told. It is removed with the last of them. The
//!   destination, if it is a name, may have a living target beside it.
//! - A connector has at most one target of a destination, dead or alive.
//!
//! The dead are what bounds the certificates that wait: beyond the bound a subscriber is not
//! sent one, but the target that is there anyway stays, and [`SubscriptionTable::collect`] makes up for it.
//!
//! No target is in a list of its connectors. What a detached one leaves, and what one has yet to be told of, is
//! rare, and found by looking at one target after the other.
//!
//! No call takes longer than the number of connectors, or the budget it is given.

use crate::structures::beside::Beside;
use crate::structures::limits::Full;
use crate::structures::sync::SegQueue;
pub use crate::subscriptions::connectors::ConnectorId;
use crate::subscriptions::connectors::{Connector, Connectors};
use crate::subscriptions::reasons::Reasons;
pub use crate::subscriptions::references::MonitorRef;
pub use crate::subscriptions::target::Destination;
use crate::subscriptions::target::Monitor;
use crate::subscriptions::targets::{MAPS, Targets};
use crate::subscriptions::watchers::{Blocks, NOBODY};

/// The subscription table. `O` is where the death certificates of one connector go, and `R` is a
/// reason that is kept with destinations whose subscribers could not all be told.
///
/// ```
/// use zen_monitor_core::subscriptions::table::{Destination, SubscriptionTable};
///
/// let mut table = SubscriptionTable::default();
/// let connector = table.attach(|_id| "outbox");
/// let pid = Destination { word: 0x123, node: 0 };
///
/// // The first subscriber of a destination makes its owner place the one monitor.
/// let target = table.subscribe(connector, pid).unwrap().unwrap();
/// assert_eq!(table.begin_monitor(target, |_| true), Some(pid));
/// assert!(table.set_monitor(target, [1, 2, 3]));
///
/// let mut informed = Vec::new();
/// table.certify(pid, || Some("killed"), |outbox, _number| { informed.push(*outbox); true });
/// assert_eq!(informed, ["outbox"]);
/// assert!(table.is_empty());
/// ```
pub struct SubscriptionTable<O, R> {
    targets: Targets,
    connectors: Connectors<O>,
    /// The sets of connectors that watch the same target.
    blocks: Blocks,
    /// The numbers of subscriptions that came with one, by target and connector.
    numbers: Beside<(u32, u32), u32, MAPS>,
    reasons: Reasons<R>,
    /// Where the sweep goes on.
    swept: u32,
    /// May name a target twice, or one that is gone or is watched again: `release` looks at each.
    vacant: SegQueue<u32>,
}

impl<O, R> Default for SubscriptionTable<O, R> {
    fn default() -> Self {
        SubscriptionTable {
            targets: Targets::default(),
            connectors: Connectors::default(),
            blocks: Blocks::default(),
            numbers: Beside::default(),
            reasons: Reasons::default(),
            swept: 0,
            vacant: SegQueue::new(),
        }
    }
}

impl<O, R: PartialEq> SubscriptionTable<O, R> {
    /// The subscriptions, the deaths that some subscriber has yet to be told of, and what departed
    /// connectors left.
    pub fn len(&self) -> usize {
        self.connectors.targets()
    }

    /// Whether there is none of these.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The deaths that attached connectors have yet to be told of, each counted once for a connector.
    pub fn untold(&self) -> usize {
        self.connectors.iter().map(|connector| connector.dead).sum()
    }

    /// How many subscriptions have a number.
    pub fn numbered(&self) -> usize {
        self.numbers.len()
    }

    /// How many destinations have a monitor, need one, or are dead and not all were told.
    pub fn targets(&self) -> usize {
        self.targets.count()
    }

    /// The outboxes of the attached connectors.
    pub fn outboxes(&self) -> impl Iterator<Item = &O> {
        self.connectors.iter().filter_map(Connector::outbox)
    }

    /// Adds a connector with the outbox that `outbox` makes for its id.
    pub fn attach(&mut self, outbox: impl FnOnce(ConnectorId) -> O) -> ConnectorId {
        self.connectors.attach(outbox)
    }

    /// Detaches a connector, whose targets are left to [`SubscriptionTable::sweep`], and returns its
    /// outbox. `None` when it is not attached.
    pub fn detach(&mut self, id: ConnectorId) -> Option<O> {
        self.connectors.detach(id)
    }

    /// Subscribes an attached connector to a destination. When it is subscribed already, nothing changes but
    /// that the subscription has no number any more. Returns the target when it has just been made and needs a
    /// monitor. [`Full`] when there are too many targets, which 2^31 never are, or too many have more than a few
    /// watchers; nothing has changed then.
    #[inline]
    pub fn subscribe(
        &mut self,
        id: ConnectorId,
        destination: Destination,
    ) -> Result<Option<u32>, Full> {
        if self.connectors.attached(id).is_none() {
            return Ok(None);
        }
        // Who has yet to be told is subscribed still.
        if let Some(dead) = self.untold_target(id, destination) {
            self.forget_number(dead, id.number());
            return Ok(None);
        }
        let (target, made) = match self.find(destination) {
            Some(target) => (target, false),
            None => (self.targets.insert(destination)?, true),
        };
        let before = self.targets[target].watchers();
        if !made && self.blocks.contains(before, id.number()) {
            self.forget_number(target, id.number());
            return Ok(None);
        }
        match self.blocks.insert(before, id.number()) {
            Ok(watchers) => self.targets[target].set_watchers(watchers),
            Err(Full) => {
                if made {
                    self.targets.remove(target);
                }
                return Err(Full);
            }
        }
        self.connectors.get_mut(id.number()).targets += 1;
        Ok(made.then_some(target))
    }

    /// Ends the subscription of a connector to a destination, if there is one, and begins another with a
    /// number that comes back with its certificate. Returns what [`SubscriptionTable::unsubscribe`] and
    /// [`SubscriptionTable::subscribe`] do.
    pub fn subscribe_numbered(
        &mut self,
        id: ConnectorId,
        destination: Destination,
        number: u32,
    ) -> (Option<MonitorRef>, Result<Option<u32>, Full>) {
        let released = self.unsubscribe(id, destination);
        let made = self.subscribe(id, destination);
        if self.connectors.attached(id).is_some()
            && let Some(target) = self.subscription(id, destination)
        {
            self.targets[target].set_numbered();
            self.numbers.set((target, id.number()), number);
        }
        (released, made)
    }

    /// Removes a subscription, if there is one. Returns the monitor of the target when that was its
    /// last, and the target is gone.
    #[inline]
    pub fn unsubscribe(&mut self, id: ConnectorId, destination: Destination) -> Option<MonitorRef> {
        self.connectors.attached(id)?;
        if let Some(dead) = self.untold_target(id, destination) {
            self.leave(dead, id.number());
            return None;
        }
        let target = self.subscription(id, destination)?;
        self.leave(target, id.number());
        self.release_target(target)
    }

    /// Whether a connector is attached and has a subscription, or a death that it has yet to be
    /// told of.
    pub fn is_subscribed(&mut self, id: ConnectorId) -> bool {
        self.connectors
            .attached(id)
            .is_some_and(|connector| connector.targets > 0)
    }

    /// Whether there are deaths that an attached connector has yet to be told of.
    pub fn has_untold(&mut self, id: ConnectorId) -> bool {
        self.connectors
            .attached(id)
            .is_some_and(|connector| connector.dead > 0)
    }

    /// The destination of a target that `subscribe` has returned, but only once. `None` when the target is gone
    /// again, or when its place has another that does not suit. The caller places a monitor and notes it with
    /// [`SubscriptionTable::set_monitor`].
    #[inline]
    pub fn begin_monitor(
        &mut self,
        target: u32,
        suits: impl FnOnce(Destination) -> bool,
    ) -> Option<Destination> {
        if self.targets[target].monitor() != Monitor::Unasked {
            return None;
        }
        let destination = self.targets.destination(target);
        if !suits(destination) {
            return None;
        }
        self.targets[target].set_monitor(Monitor::Asked);
        Some(destination)
    }

    /// Notes the monitor of a target that [`SubscriptionTable::begin_monitor`] was called for.
    /// `false` when none was asked for.
    ///
    /// # Panics
    ///
    /// When `target` never was one.
    #[inline]
    pub fn set_monitor(&mut self, target: u32, monitor: MonitorRef) -> bool {
        if self.targets[target].monitor() != Monitor::Asked {
            return false;
        }
        self.targets.set_monitor(target, monitor);
        if self.targets[target].watchers() == NOBODY {
            self.vacant.push(target);
        }
        true
    }

    /// Shows the outboxes of the connectors that watch a destination.
    pub fn watchers(&self, destination: Destination, mut visit: impl FnMut(&O)) {
        let Some(target) = self.find(destination) else {
            return;
        };
        self.blocks
            .for_each(self.targets[target].watchers(), |connector| {
                if let Some(outbox) = self.connectors.get(connector).outbox() {
                    visit(outbox);
                }
            });
    }

    /// The target of a destination that lives.
    #[inline]
    fn find(&self, destination: Destination) -> Option<u32> {
        self.targets.find(destination, |target| !target.is_dead())
    }

    /// The target of a destination that lives, if an attached connector watches it.
    #[inline]
    fn subscription(&self, id: ConnectorId, destination: Destination) -> Option<u32> {
        self.targets.find(destination, |target| {
            !target.is_dead() && self.blocks.contains(target.watchers(), id.number())
        })
    }

    /// The dead target of a destination that an attached connector has yet to be told of.
    #[inline]
    fn untold_target(&self, id: ConnectorId, destination: Destination) -> Option<u32> {
        // Nearly always there is none.
        if self.connectors.get(id.number()).dead == 0 {
            return None;
        }
        self.targets.find(destination, |target| {
            target.is_dead() && self.blocks.contains(target.watchers(), id.number())
        })
    }

    /// The number of a subscription.
    #[inline]
    fn number(&self, target: u32, connector: u32) -> Option<u32> {
        if self.targets[target].is_numbered() {
            self.numbers.get((target, connector))
        } else {
            None
        }
    }

    #[inline]
    fn forget_number(&mut self, target: u32, connector: u32) {
        if self.targets[target].is_numbered() {
            self.numbers.remove((target, connector));
        }
    }

    /// Ends a subscription, or what a connector has yet to be told of. Removes the target if it is dead and this was
    /// the last.
    #[inline]
    fn leave(&mut self, target: u32, connector: u32) {
        let found = &mut self.targets[target];
        if found.is_numbered() {
            self.numbers.remove((target, connector));
        }
        let watchers = self.blocks.remove(found.watchers(), connector);
        found.set_watchers(watchers);
        let dead = found.is_dead();
        self.connectors.leave(connector, dead);
        if dead {
            self.remove_dead(target);
        }
    }

    /// Removes a target that is dead, if all have been told.
    #[inline]
    fn remove_dead(&mut self, target: u32) {
        let found = &self.targets[target];
        if let Monitor::Fired(reason) = found.monitor()
            && found.watchers() == NOBODY
        {
            self.reasons.release(reason);
            self.targets.remove(target);
        }
    }

    /// Removes a target that nobody watches and returns its monitor, unless that is just being placed:
    /// then it stays until `set_monitor`.
    #[inline]
    fn release_target(&mut self, target: u32) -> Option<MonitorRef> {
        let found = &self.targets[target];
        let is_removed = match found.monitor() {
            // A dead one goes with its last watcher.
            Monitor::Gone | Monitor::Asked | Monitor::Fired(_) => false,
            Monitor::Unasked | Monitor::Set(_) => found.watchers() == NOBODY,
        };
        is_removed.then(|| self.targets.remove(target)).flatten()
    }
}

mod deaths;
mod departures;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
