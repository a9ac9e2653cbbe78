//! The watched processes, by number and by destination.

use crate::structures::beside::Beside;
use crate::structures::hash;
use crate::structures::index::Index;
use crate::structures::limits::Full;
use crate::structures::slab::Slab;
use crate::subscriptions::references::{MonitorRef, References};
use crate::subscriptions::target::{Destination, Kept, Monitor, Target};

/// Even the empty table that an index of ten million entries grows into takes milliseconds to
/// prepare, so there are many small ones.
pub const SHARDS: usize = 256;

/// They are all in one slab. With chunks so large, the list of the chunks of 150 million is copied in a tenth of a
/// millisecond.
const CHUNK: usize = 8_192;

/// Targets. Several may have the same destination.
pub struct Targets {
    slab: Slab<Target, CHUNK>,
    shards: Box<[Index<32, 4>]>,
    /// The nodes of names.
    nodes: Beside<u32, u64, SHARDS>,
    references: References<SHARDS>,
}

impl Default for Targets {
    fn default() -> Self {
        Targets::with_most(u32::MAX)
    }
}

impl Targets {
    /// Those of which there are no more than `most`.
    pub fn with_most(most: u32) -> Self {
        Targets {
            slab: Slab::with_most(most),
            shards: (0..SHARDS).map(|_| Index::default()).collect(),
            nodes: Beside::default(),
            references: References::default(),
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.slab.count()
    }

    /// How many places there are, free ones too.
    #[inline]
    pub fn places(&self) -> usize {
        self.slab.places() as usize
    }

    /// The place that `cursor` is at. Moves the cursor to the next place, and from the last to the first. There
    /// must be a place.
    #[inline]
    pub fn next_place(&self, cursor: &mut u32) -> u32 {
        let place = *cursor % self.slab.places();
        *cursor = place + 1;
        place
    }

    /// A target of a destination that `suits`, which is shown each.
    #[inline]
    pub fn find(&self, destination: Destination, suits: impl Fn(&Target) -> bool) -> Option<u32> {
        let hash = hash(destination.word);
        self.shards[hash::shard(hash, SHARDS)].find(hash, |id| {
            let target = &self.slab[id];
            target.word() == destination.word
                && self.node(id, target) == destination.node
                && suits(target)
        })
    }

    /// Adds a target of a destination. [`Full`] when there are as many as there may be.
    #[inline]
    pub fn insert(&mut self, destination: Destination) -> Result<u32, Full> {
        let mut target = Target::new(destination.word);
        if destination.node != 0 {
            target.set_named();
        }
        let id = self.slab.insert(target)?;
        if destination.node != 0 {
            self.nodes.set(id, destination.node);
        }
        let slab = &self.slab;
        let hash = hash(destination.word);
        let rehash = |id| self::hash(slab[id].word());
        self.shards[hash::shard(hash, SHARDS)].insert(hash, id, rehash);
        Ok(id)
    }

    /// Removes a target. Until its place is taken again, nobody watches what is there.
    #[inline]
    pub fn remove(&mut self, id: u32) {
        let slab = &self.slab;
        let target = &slab[id];
        let (named, monitor) = (target.is_named(), target.monitor());
        let hash = hash(target.word());
        let rehash = |id| self::hash(slab[id].word());
        self.shards[hash::shard(hash, SHARDS)].remove(hash, |found| found == id, rehash);
        self.slab[id] = Target::FREE;
        self.slab.remove(id);
        if named {
            self.nodes.remove(id);
        }
        self.forget(id, monitor);
    }

    /// Notes the reference of a target's monitor.
    #[inline]
    pub fn set_monitor(&mut self, id: u32, reference: MonitorRef) {
        let short = self.references.shorten(id, reference);
        self.slab[id].set_monitor(Monitor::Set(short));
    }

    /// The reference of a target's monitor, if it is set.
    #[inline]
    pub fn reference(&self, id: u32) -> Option<MonitorRef> {
        match self.slab[id].monitor() {
            Monitor::Set(short) => Some(self.references.of(id, short)),
            _ => None,
        }
    }

    /// Notes that a target is dead, with the reason that is kept.
    pub fn fire(&mut self, id: u32, reason: Kept) {
        let target = &mut self.slab[id];
        let monitor = target.monitor();
        target.set_monitor(Monitor::Fired(reason));
        self.forget(id, monitor);
    }

    #[inline]
    fn forget(&mut self, id: u32, monitor: Monitor) {
        if let Monitor::Set(short) = monitor {
            self.references.forget(id, short);
        }
    }

    /// The destination of a target.
    #[inline]
    pub fn destination(&self, id: u32) -> Destination {
        let target = &self.slab[id];
        Destination {
            word: target.word(),
            node: self.node(id, target),
        }
    }

    #[inline]
    fn node(&self, id: u32, target: &Target) -> u64 {
        if target.is_named() {
            self.nodes.get(id).unwrap_or(0)
        } else {
            0
        }
    }
}

impl std::ops::Index<u32> for Targets {
    type Output = Target;

    #[inline]
    fn index(&self, id: u32) -> &Target {
        &self.slab[id]
    }
}

impl std::ops::IndexMut<u32> for Targets {
    #[inline]
    fn index_mut(&mut self, id: u32) -> &mut Target {
        &mut self.slab[id]
    }
}

/// The hash of the word alone, since a name comes with few nodes.
#[inline]
fn hash(word: u64) -> u64 {
    // The low bits of a word are its type tag; above them pids count up.
    let sequence = word >> 4;
    hash::hash(sequence >> 32, sequence as u32)
}
