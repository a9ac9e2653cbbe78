//! The connectors that watch something here.
//!
//! Invariants:
//!
//! - A connector counts the targets that it watches or has yet to be told of.
//! - It has an outbox until it is detached. A detached one stands in `departed` until it counts none, and
//!   then its number is free.
//! - A new connector gets the lowest free number, because sets of low numbers are the shortest
//!   ([`watchers`](crate::subscriptions::watchers)).

use crate::subscriptions::watchers::MOST;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Names a connector, of this or of any other table, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectorId {
    number: u32,
    serial: u64,
}

impl ConnectorId {
    /// Its number among the connectors of its table. Another may have it later.
    #[inline]
    pub fn number(self) -> u32 {
        self.number
    }
}

/// A connector. `O` is where its death certificates go.
pub struct Connector<O> {
    serial: u64,
    outbox: Option<O>,
    /// The targets that it watches, and the dead that it has yet to be told of.
    pub targets: usize,
    /// How many of them are dead.
    pub dead: usize,
    /// Where in the table to look for the next dead one.
    pub cursor: u32,
}

impl<O> Connector<O> {
    /// Where its certificates go, unless it is detached.
    #[inline]
    pub fn outbox(&self) -> Option<&O> {
        self.outbox.as_ref()
    }
}

/// All connectors, by number.
pub struct Connectors<O> {
    all: Vec<Connector<O>>,
    free: BinaryHeap<Reverse<u32>>,
    departed: Vec<u32>,
}

impl<O> Default for Connectors<O> {
    fn default() -> Self {
        Connectors {
            all: Vec::new(),
            free: BinaryHeap::new(),
            departed: Vec::new(),
        }
    }
}

impl<O> Connectors<O> {
    /// Adds a connector with the outbox that `outbox` makes for its id.
    ///
    /// # Panics
    ///
    /// When there are [`MOST`].
    pub fn attach(&mut self, outbox: impl FnOnce(ConnectorId) -> O) -> ConnectorId {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        // Relaxed: a serial only has to be unique.
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let free = self.free.pop().map(|Reverse(number)| number);
        let number = free.unwrap_or(self.all.len() as u32);
        assert!(number < MOST, "no more connectors can be attached");
        let id = ConnectorId { number, serial };
        let connector = Connector {
            serial,
            outbox: Some(outbox(id)),
            targets: 0,
            dead: 0,
            cursor: 0,
        };
        match self.all.get_mut(number as usize) {
            Some(free) => *free = connector,
            None => self.all.push(connector),
        }
        id
    }

    /// Detaches a connector and returns its outbox. `None` when it is not attached.
    pub fn detach(&mut self, id: ConnectorId) -> Option<O> {
        let connector = self.attached(id)?;
        let outbox = connector.outbox.take();
        if connector.targets == 0 {
            self.free.push(Reverse(id.number));
        } else {
            self.departed.push(id.number);
        }
        outbox
    }

    /// A connector, as long as it is attached.
    #[inline]
    pub fn attached(&mut self, id: ConnectorId) -> Option<&mut Connector<O>> {
        let connector = self.all.get_mut(id.number as usize)?;
        (connector.serial == id.serial && connector.outbox.is_some()).then_some(connector)
    }

    /// The connector of a number that is taken, attached or not.
    #[inline]
    pub fn get(&self, number: u32) -> &Connector<O> {
        &self.all[number as usize]
    }

    /// The same, to be changed.
    #[inline]
    pub fn get_mut(&mut self, number: u32) -> &mut Connector<O> {
        &mut self.all[number as usize]
    }

    /// Notes that a connector has one target less, which was dead or not.
    #[inline]
    pub fn leave(&mut self, number: u32, dead: bool) {
        let connector = self.get_mut(number);
        connector.targets -= 1;
        connector.dead -= usize::from(dead);
        if connector.targets == 0 && connector.outbox.is_none() {
            self.departed.retain(|&departed| departed != number);
            self.free.push(Reverse(number));
        }
    }

    /// Whether a detached connector still counts a target.
    #[inline]
    pub fn has_departed(&self) -> bool {
        !self.departed.is_empty()
    }

    /// How many targets the detached ones count.
    pub fn left_behind(&self) -> usize {
        let departed = self.departed.iter();
        departed.map(|&number| self.get(number).targets).sum()
    }

    /// Those that are attached.
    pub fn iter(&self) -> impl Iterator<Item = &Connector<O>> {
        self.all
            .iter()
            .filter(|connector| connector.outbox.is_some())
    }

    /// How many targets all count, detached or not.
    pub fn targets(&self) -> usize {
        self.all.iter().map(|connector| connector.targets).sum()
    }
}
