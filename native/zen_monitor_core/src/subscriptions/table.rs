//! Which connectors watch which destinations of this node.
//!
//! Invariants:
//!
//! - A row stands in the list of its target and in one of the two lists of its connector: that of the
//!   living, or that of the dead.
//! - A target that lives has a row, or stands in `vacant` until it is released or gets a row again.
//! - A target is made before its ERTS monitor and dies or is removed together with it. So there is one
//!   monitor to a target, and every `:DOWN` belongs to the one target of its destination that lives.
//! - A dead target has a row for each connector that could not be told. It is removed with the last. The
//!   destination, if it is a name, may have a living target beside it.
//! - A connector has at most one row for a destination, dead or alive.
//! - A connector has an outbox until it is detached, and stands in `departed` from then until its
//!   last row is gone.
//!
//! The rows of the dead are what bounds the certificates that wait: beyond the bound a subscriber is not
//! sent one, but keeps the row that it has anyway, and [`SubscriptionTable::collect`] makes up for it.
//!
//! No call takes longer than the number of connectors, or the budget it is given. A subscription is
//! found by walking its target's rows, of which there is one per connected node.

use crate::structures::hash;
use crate::structures::index::Index;
use crate::structures::limits::Full;
use crate::structures::numbers::Numbers;
use crate::structures::slab::Slab;
use crate::structures::sync::SegQueue;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

/// No id: the end of a list.
const NIL: u32 = u32::MAX;
/// Even the empty table that an index of ten million entries grows into takes milliseconds to
/// prepare, so there are many small ones.
const SHARDS: usize = 256;

/// A local pid, a local name, or a name with the node it was asked for under, as immediate words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    /// The word of the pid or of the name.
    pub word: u64,
    /// The word of the node that a name came with, or 0.
    pub node: u64,
}

impl Destination {
    #[inline]
    fn hash(self) -> u64 {
        // The low bits of a word are its type tag; above them pids count up.
        let sequence = self.word >> 4;
        hash::hash(self.node ^ (sequence >> 32), sequence as u32)
    }
}

/// The numbers of an ERTS reference.
pub type MonitorRef = [u32; 3];

/// Names a connector, of this or of any other table, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectorId {
    slot: u32,
    serial: u64,
}

/// The subscription table. `O` is where the death certificates of one connector go, and `R` is the
/// reason that is kept with a destination whose subscribers could not all be told.
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
/// table.certify(pid, || "killed", |outbox, _number| { informed.push(*outbox); true });
/// assert_eq!(informed, ["outbox"]);
/// assert!(table.is_empty());
/// ```
pub struct SubscriptionTable<O, R> {
    targets: Slab<Target<R>>,
    shards: Box<[Index]>,
    rows: Slab<Row>,
    /// The numbers of rows, where a subscription came with one.
    numbers: Numbers<SHARDS>,
    len: usize,
    connectors: Vec<Connector<O>>,
    free_connectors: Vec<u32>,
    departed: VecDeque<u32>,
    /// The rows of departed connectors.
    left_behind: usize,
    /// May name a target twice, or one that is gone or has rows again: `release` looks at each.
    vacant: SegQueue<u32>,
}

struct Target<R> {
    destination: Destination,
    monitor: Monitor<R>,
    rows: u32,
}

impl<R> Target<R> {
    fn is_dead(&self) -> bool {
        matches!(self.monitor, Monitor::Fired(_))
    }
}

enum Monitor<R> {
    /// The place is free.
    Gone,
    /// Nobody has been told yet that a monitor is needed.
    Unasked,
    /// Between `begin_monitor` and `set_monitor`.
    Asked,
    Set(MonitorRef),
    /// The target is dead, and some connectors have yet to be told why.
    Fired(R),
}

#[derive(Clone, Copy)]
struct Row {
    target: u32,
    connector: u32,
    /// The neighbours in the target's list.
    of_target: Links,
    /// The neighbours in the list of the connector that it stands in.
    of_connector: Links,
}

#[derive(Clone, Copy)]
struct Links {
    prev: u32,
    next: u32,
}

struct Connector<O> {
    serial: u64,
    /// The rows of targets that live.
    living: Rows,
    /// The rows of targets that are dead.
    dead: Rows,
    outbox: Option<O>,
}

impl<O> Connector<O> {
    fn rows(&mut self, dead: bool) -> &mut Rows {
        if dead {
            &mut self.dead
        } else {
            &mut self.living
        }
    }

    fn len(&self) -> usize {
        self.living.len as usize + self.dead.len as usize
    }
}

/// A list of rows, the latest first.
#[derive(Clone, Copy)]
struct Rows {
    first: u32,
    len: u32,
}

impl Rows {
    const NONE: Rows = Rows { first: NIL, len: 0 };
}

impl<O, R> Default for SubscriptionTable<O, R> {
    fn default() -> Self {
        SubscriptionTable {
            targets: Slab::default(),
            shards: (0..SHARDS).map(|_| Index::default()).collect(),
            rows: Slab::default(),
            numbers: Numbers::default(),
            len: 0,
            connectors: Vec::new(),
            free_connectors: Vec::new(),
            departed: VecDeque::new(),
            left_behind: 0,
            vacant: SegQueue::new(),
        }
    }
}

impl<O, R> SubscriptionTable<O, R> {
    /// Rows: the subscriptions, the dead that some subscriber has yet to be told of, and what departed
    /// connectors left.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The dead that attached connectors have yet to be told of, each counted once for a connector.
    pub fn untold(&self) -> usize {
        let attached = self
            .connectors
            .iter()
            .filter(|connector| connector.outbox.is_some());
        attached.map(|connector| connector.dead.len as usize).sum()
    }

    /// How many rows have a number.
    pub fn numbered(&self) -> usize {
        self.numbers.len()
    }

    /// How many destinations have a monitor, need one, or are dead and not all were told.
    pub fn targets(&self) -> usize {
        self.targets.count()
    }

    /// The outboxes of the attached connectors.
    pub fn outboxes(&self) -> impl Iterator<Item = &O> {
        self.connectors
            .iter()
            .filter_map(|connector| connector.outbox.as_ref())
    }

    /// Adds a connector with the outbox that `outbox` makes for its id.
    pub fn attach(&mut self, outbox: impl FnOnce(ConnectorId) -> O) -> ConnectorId {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        // Relaxed: a serial only has to be unique.
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let free = self.free_connectors.pop();
        let slot = free.unwrap_or(self.connectors.len() as u32);
        let id = ConnectorId { slot, serial };
        let connector = Connector {
            serial,
            living: Rows::NONE,
            dead: Rows::NONE,
            outbox: Some(outbox(id)),
        };
        match self.connectors.get_mut(slot as usize) {
            Some(free) => *free = connector,
            None => self.connectors.push(connector),
        }
        id
    }

    /// Detaches a connector, whose rows are left to [`SubscriptionTable::sweep`], and returns its
    /// outbox. `None` when it is not attached.
    pub fn detach(&mut self, id: ConnectorId) -> Option<O> {
        let connector = self.attached(id)?;
        let outbox = connector.outbox.take();
        self.left_behind += connector.len();
        self.departed.push_back(id.slot);
        outbox
    }

    /// Subscribes an attached connector to a destination. When it is subscribed already, nothing changes but
    /// that the subscription has no number any more. Returns the target when it has just been made and needs a
    /// monitor. [`Full`] when there are 2^32 - 1 rows or targets; nothing has changed then.
    #[inline]
    pub fn subscribe(
        &mut self,
        id: ConnectorId,
        destination: Destination,
    ) -> Result<Option<u32>, Full> {
        if self.attached(id).is_none() {
            return Ok(None);
        }
        let found = self.find(destination);
        // Who has yet to be told is subscribed still.
        let subscribed = self
            .untold_row(id, destination)
            .or_else(|| self.row(found?, id.slot));
        if let Some(row) = subscribed {
            self.numbers.remove(row);
            return Ok(None);
        }
        if self.rows.is_full() {
            return Err(Full);
        }
        let (target, made) = match found {
            Some(target) => (target, false),
            None => (self.insert_target(destination)?, true),
        };
        let first_of_target = self.targets[target].rows;
        let row = self.rows.insert(Row {
            target,
            connector: id.slot,
            of_target: Links {
                prev: NIL,
                next: first_of_target,
            },
            of_connector: Links {
                prev: NIL,
                next: NIL,
            },
        })?;
        if first_of_target != NIL {
            self.rows[first_of_target].of_target.prev = row;
        }
        self.targets[target].rows = row;
        self.list(row, false);
        self.len += 1;
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
        if let Some(target) = self.find(destination)
            && let Some(row) = self.row(target, id.slot)
        {
            self.numbers.set(row, Some(number));
        }
        (released, made)
    }

    /// Removes a subscription, if there is one. Returns the monitor of the target when that was its
    /// last, and the target is gone.
    #[inline]
    pub fn unsubscribe(&mut self, id: ConnectorId, destination: Destination) -> Option<MonitorRef> {
        self.attached(id)?;
        if let Some(row) = self.untold_row(id, destination) {
            self.remove_row(row);
            return None;
        }
        let target = self.find(destination)?;
        let row = self.row(target, id.slot)?;
        self.remove_row(row);
        if self.targets[target].rows == NIL {
            self.release_target(target)
        } else {
            None
        }
    }

    /// Whether a connector is attached and has a row: a subscription, or a death that it has yet to be
    /// told of.
    pub fn is_subscribed(&mut self, id: ConnectorId) -> bool {
        self.attached(id)
            .is_some_and(|connector| connector.len() > 0)
    }

    /// Whether there are deaths that an attached connector has yet to be told of.
    pub fn has_untold(&mut self, id: ConnectorId) -> bool {
        self.attached(id)
            .is_some_and(|connector| connector.dead.len > 0)
    }

    /// The destination of a target that `subscribe` has returned, once, unless it is gone again, and another
    /// has its place that does not suit.
    /// The caller places a monitor and tells it to [`SubscriptionTable::set_monitor`].
    #[inline]
    pub fn begin_monitor(
        &mut self,
        target: u32,
        suits: impl FnOnce(Destination) -> bool,
    ) -> Option<Destination> {
        let target = &mut self.targets[target];
        if !matches!(target.monitor, Monitor::Unasked) || !suits(target.destination) {
            return None;
        }
        target.monitor = Monitor::Asked;
        Some(target.destination)
    }

    /// Notes the monitor of a target that [`SubscriptionTable::begin_monitor`] was called for.
    /// `false` when none was asked for.
    ///
    /// # Panics
    ///
    /// When `target` never was one.
    #[inline]
    pub fn set_monitor(&mut self, target: u32, monitor: MonitorRef) -> bool {
        let found = &mut self.targets[target];
        if !matches!(found.monitor, Monitor::Asked) {
            return false;
        }
        found.monitor = Monitor::Set(monitor);
        if found.rows == NIL {
            self.vacant.push(target);
        }
        true
    }

    /// Consumes the subscriptions of a destination that is down, and shows `deliver` the outbox of each
    /// attached subscriber and the number of its subscription. One for which that answers `false` could not be told: its row stays until
    /// [`SubscriptionTable::collect`] takes it, and so does what `keep` makes of the reason. Returns how
    /// many were told and how many were not.
    #[inline]
    pub fn certify(
        &mut self,
        destination: Destination,
        keep: impl FnOnce() -> R,
        mut deliver: impl FnMut(&O, Option<u32>) -> bool,
    ) -> (usize, usize) {
        let Some(target) = self.find(destination) else {
            return (0, 0);
        };
        let (mut told, mut untold) = (0, 0);
        let mut next = self.targets[target].rows;
        while next != NIL {
            let row = self.rows[next];
            match &self.connectors[row.connector as usize].outbox {
                Some(outbox) if !deliver(outbox, self.numbers.get(next)) => {
                    self.unlist(next, false);
                    self.list(next, true);
                    untold += 1;
                }
                outbox => {
                    told += usize::from(outbox.is_some());
                    self.unlink(next);
                }
            }
            next = row.of_target.next;
        }
        if untold == 0 {
            self.remove_target(target);
        } else {
            self.targets[target].monitor = Monitor::Fired(keep());
        }
        (told, untold)
    }

    /// Takes up to `budget` deaths that an attached connector has yet to be told of, and shows `deliver`
    /// each with the number of its subscription and its reason.
    pub fn collect(
        &mut self,
        id: ConnectorId,
        budget: usize,
        mut deliver: impl FnMut(Destination, Option<u32>, &R),
    ) {
        for _ in 0..budget {
            let Some(row) = self.attached(id).map(|connector| connector.dead.first) else {
                return;
            };
            if row == NIL {
                return;
            }
            let target = &self.targets[self.rows[row].target];
            if let Monitor::Fired(reason) = &target.monitor {
                deliver(target.destination, self.numbers.get(row), reason);
            }
            self.remove_row(row);
        }
    }

    /// Whether [`SubscriptionTable::sweep`] has something to do.
    pub fn has_departed(&self) -> bool {
        !self.departed.is_empty()
    }

    /// How many rows [`SubscriptionTable::sweep`] has to remove.
    pub fn left_behind(&self) -> usize {
        self.left_behind
    }

    /// Removes up to `budget` rows of detached connectors. What this leaves without a subscriber
    /// waits for [`SubscriptionTable::release`].
    pub fn sweep(&mut self, budget: usize) {
        for _ in 0..budget {
            let Some(&slot) = self.departed.front() else {
                return;
            };
            let connector = &self.connectors[slot as usize];
            let row = match connector.living.first {
                NIL => connector.dead.first,
                row => row,
            };
            if row == NIL {
                self.departed.pop_front();
                self.free_connectors.push(slot);
            } else {
                let target = self.rows[row].target;
                let lives = !self.targets[target].is_dead();
                self.remove_row(row);
                if lives && self.targets[target].rows == NIL {
                    self.vacant.push(target);
                }
            }
        }
    }

    /// Shows the outboxes of the connectors that watch a destination.
    pub fn watchers(&self, destination: Destination, mut visit: impl FnMut(&O)) {
        let Some(target) = self.find(destination) else {
            return;
        };
        let mut row = self.targets[target].rows;
        while row != NIL {
            let connector = &self.connectors[self.rows[row].connector as usize];
            if let Some(outbox) = &connector.outbox {
                visit(outbox);
            }
            row = self.rows[row].of_target.next;
        }
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
            let destination = self.targets[target].destination;
            if self.targets[target].rows == NIL
                && let Some(monitor) = self.release_target(target)
            {
                released(destination, monitor);
            }
        }
    }

    #[inline]
    fn attached(&mut self, id: ConnectorId) -> Option<&mut Connector<O>> {
        let connector = self.connectors.get_mut(id.slot as usize)?;
        (connector.serial == id.serial && connector.outbox.is_some()).then_some(connector)
    }

    /// The target of a destination that lives.
    #[inline]
    fn find(&self, destination: Destination) -> Option<u32> {
        self.find_target(destination, |_, target| !target.is_dead())
    }

    #[inline]
    fn find_target(
        &self,
        destination: Destination,
        suits: impl Fn(u32, &Target<R>) -> bool,
    ) -> Option<u32> {
        let hash = destination.hash();
        let same = |id| {
            let target = &self.targets[id];
            target.destination == destination && suits(id, target)
        };
        self.shards[hash::shard(hash, SHARDS)].find(hash, same)
    }

    /// The row by which an attached connector has yet to be told of the death of a destination.
    #[inline]
    fn untold_row(&self, id: ConnectorId, destination: Destination) -> Option<u32> {
        // Nearly always there is none.
        if self.connectors[id.slot as usize].dead.len == 0 {
            return None;
        }
        let suits =
            |target: u32, found: &Target<R>| found.is_dead() && self.row(target, id.slot).is_some();
        let target = self.find_target(destination, suits)?;
        self.row(target, id.slot)
    }

    #[inline]
    fn row(&self, target: u32, connector: u32) -> Option<u32> {
        let mut row = self.targets[target].rows;
        while row != NIL {
            if self.rows[row].connector == connector {
                return Some(row);
            }
            row = self.rows[row].of_target.next;
        }
        None
    }

    #[inline]
    fn insert_target(&mut self, destination: Destination) -> Result<u32, Full> {
        let id = self.targets.insert(Target {
            destination,
            monitor: Monitor::Unasked,
            rows: NIL,
        })?;
        let targets = &self.targets;
        let rehash = |id| targets[id].destination.hash();
        let hash = destination.hash();
        self.shards[hash::shard(hash, SHARDS)].insert(hash, id, rehash);
        Ok(id)
    }

    /// Removes a target without rows and returns its monitor, unless that is just being placed:
    /// then it stays until `set_monitor`.
    #[inline]
    fn release_target(&mut self, target: u32) -> Option<MonitorRef> {
        match self.targets[target].monitor {
            // A dead one goes with its last row.
            Monitor::Gone | Monitor::Asked | Monitor::Fired(_) => None,
            Monitor::Unasked => {
                self.remove_target(target);
                None
            }
            Monitor::Set(monitor) => {
                self.remove_target(target);
                Some(monitor)
            }
        }
    }

    #[inline]
    fn remove_target(&mut self, id: u32) {
        let targets = &self.targets;
        let hash = targets[id].destination.hash();
        let rehash = |id| targets[id].destination.hash();
        self.shards[hash::shard(hash, SHARDS)].remove(hash, |found| found == id, rehash);
        self.targets[id].monitor = Monitor::Gone;
        self.targets.remove(id);
    }

    /// Removes a row, and with it a target that is dead and has no other.
    #[inline]
    fn remove_row(&mut self, id: u32) {
        let target = self.rows[id].target;
        self.unlink(id);
        if self.targets[target].is_dead() && self.targets[target].rows == NIL {
            self.remove_target(target);
        }
    }

    #[inline]
    fn unlink(&mut self, id: u32) {
        let row = self.rows[id];
        match row.of_target {
            Links { prev: NIL, next } => self.targets[row.target].rows = next,
            Links { prev, next } => self.rows[prev].of_target.next = next,
        }
        if row.of_target.next != NIL {
            self.rows[row.of_target.next].of_target.prev = row.of_target.prev;
        }
        self.unlist(id, self.targets[row.target].is_dead());
        let departed = self.connectors[row.connector as usize].outbox.is_none();
        self.left_behind -= usize::from(departed);
        self.numbers.remove(id);
        self.rows.remove(id);
        self.len -= 1;
    }

    /// Puts a row at the head of one list of its connector.
    #[inline]
    fn list(&mut self, id: u32, dead: bool) {
        let connector = self.rows[id].connector as usize;
        let rows = self.connectors[connector].rows(dead);
        let next = std::mem::replace(&mut rows.first, id);
        rows.len += 1;
        self.rows[id].of_connector = Links { prev: NIL, next };
        if next != NIL {
            self.rows[next].of_connector.prev = id;
        }
    }

    /// Takes a row out of the list of its connector that it stands in.
    #[inline]
    fn unlist(&mut self, id: u32, dead: bool) {
        let row = self.rows[id];
        let rows = self.connectors[row.connector as usize].rows(dead);
        rows.len -= 1;
        match row.of_connector {
            Links { prev: NIL, next } => rows.first = next,
            Links { prev, next } => self.rows[prev].of_connector.next = next,
        }
        if row.of_connector.next != NIL {
            self.rows[row.of_connector.next].of_connector.prev = row.of_connector.prev;
        }
    }
}

#[cfg(test)]
mod tests;
