//! The few targets that are in no group.
//!
//! These are names that came with a node, and what has a destination that another target has as well: of a process that
//! is dead, and that somebody has yet to be told of, others may ask again.

use crate::structures::hash;
use crate::structures::limits::Full;
use crate::structures::sharded::Sharded;
use crate::structures::slab::Slab;
use crate::subscriptions::target::{Destination, Target};

/// Bits of their ids.
const BITS: u32 = 31;
/// The most of them.
const MOST: u32 = (1 << BITS) - 1;
/// As many are allocated at a time.
const CHUNK: usize = 512;

/// Targets by destination. Several may have the same.
pub struct Others {
    slab: Slab<(Destination, Target), CHUNK>,
    index: Sharded<BITS>,
}

impl Default for Others {
    fn default() -> Self {
        Others {
            slab: Slab::with_most(MOST),
            index: Sharded::default(),
        }
    }
}

impl Others {
    /// A target of a destination that `suits`, which is shown each.
    #[inline]
    pub fn find(&self, destination: Destination, suits: impl Fn(&Target) -> bool) -> Option<u32> {
        // Nearly always there is none.
        if self.slab.count() == 0 {
            return None;
        }
        let hash = hash(destination);
        self.index.find(hash, |id| {
            let (of, target) = &self.slab[id];
            *of == destination && suits(target)
        })
    }

    /// Adds a target of a destination. [`Full`] when there are as many as there may be.
    pub fn insert(&mut self, destination: Destination, target: Target) -> Result<u32, Full> {
        let id = self.slab.insert((destination, target))?;
        let slab = &self.slab;
        let rehash = |id| self::hash(slab[id].0);
        let hash = hash(destination);
        self.index.insert(hash, id, rehash);
        Ok(id)
    }

    /// Removes a target and returns it. Until its place is taken again, nobody watches what is there.
    pub fn remove(&mut self, id: u32) -> Target {
        let slab = &self.slab;
        let rehash = |id| self::hash(slab[id].0);
        let hash = hash(slab[id].0);
        self.index.remove(hash, id, rehash);
        let removed = std::mem::replace(&mut self.slab[id].1, Target::FREE);
        self.slab.remove(id);
        removed
    }

    /// The target in a place, which may be free.
    #[inline]
    pub fn get(&self, id: u32) -> &Target {
        &self.slab[id].1
    }

    /// The same, to be changed.
    #[inline]
    pub fn get_mut(&mut self, id: u32) -> &mut Target {
        &mut self.slab[id].1
    }

    /// The destination of a target.
    #[inline]
    pub fn destination(&self, id: u32) -> Destination {
        self.slab[id].0
    }

    /// How many places there are, free ones too. All ids are below it.
    #[inline]
    pub fn places(&self) -> u32 {
        self.slab.places()
    }
}

/// The hash of the word alone, since a name comes with few nodes.
#[inline]
fn hash(destination: Destination) -> u64 {
    // The low bits are the type tag.
    let sequence = destination.word >> 4;
    hash::hash(sequence >> 32, sequence as u32)
}
