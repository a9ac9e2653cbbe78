//! Targets that are neighbours, in groups.
//!
//! Processes have numbers that count up, and most of those that are watched were spawned beside others that are. So 64
//! neighbours share one key and one entry of the index, and are told apart by their places. Where all are watched, a
//! target takes little more than what is known of it. One that stands alone takes several times as much, but then
//! there are few.

use crate::structures::hash;
use crate::structures::packed::{PLACES, Packed};
use crate::structures::sharded::Sharded;
use crate::structures::slab::Slab;
use crate::subscriptions::target::Target;

/// Bits of the number of a group, so that the ids of its targets have 31.
const BITS: u32 = 31 - PLACES.ilog2();
/// The most groups.
const MOST: u32 = 1 << BITS;

/// Groups that are allocated at a time.
const CHUNK: usize = 512;

/// The low bits of a word are its type tag; above them pids count up.
const TAG: u32 = 4;

/// The bits of a word that tell neighbours apart.
const PLACE: u64 = (PLACES as u64 - 1) << TAG;

/// Targets by word, one for each. The id of a target tells its group and its place in there.
pub struct Groups {
    slab: Slab<Group, CHUNK>,
    index: Sharded<BITS>,
}

struct Group {
    /// The words of its targets, without the bits that tell them apart.
    key: u64,
    targets: Packed<Target>,
}

impl Default for Groups {
    fn default() -> Self {
        Groups::with_most(MOST)
    }
}

impl Groups {
    /// No more than `most` of them.
    pub fn with_most(most: u32) -> Self {
        Groups {
            slab: Slab::with_most(most.min(MOST)),
            index: Sharded::default(),
        }
    }

    /// The id of the target of a word, if it has one that `suits`.
    #[inline]
    pub fn find(&self, word: u64, suits: impl Fn(&Target) -> bool) -> Option<u32> {
        let id = id(self.group(word & !PLACE)?, place(word));
        self.get(id).is_some_and(suits).then_some(id)
    }

    /// Adds a target of a word, and returns its id. `None` when the word has one, or when there are as many groups as
    /// there may be.
    #[inline]
    pub fn insert(&mut self, word: u64, target: Target) -> Option<u32> {
        let key = word & !PLACE;
        let group = self.group(key).or_else(|| self.add(key))?;
        let id = id(group, place(word));
        if self.get(id).is_some() {
            return None;
        }
        self.slab[group].targets.insert(place(word), target);
        Some(id)
    }

    /// Removes a target and returns it, unless it is gone.
    #[inline]
    pub fn remove(&mut self, id: u32) -> Option<Target> {
        let group = &mut self.slab[id / PLACES];
        let removed = group.targets.remove(id % PLACES)?;
        if group.targets.is_empty() {
            self.discard(id / PLACES);
        }
        Some(removed)
    }

    /// A target, unless it is gone.
    #[inline]
    pub fn get(&self, id: u32) -> Option<&Target> {
        self.slab[id / PLACES].targets.get(id % PLACES)
    }

    /// The same, to be changed.
    #[inline]
    pub fn get_mut(&mut self, id: u32) -> Option<&mut Target> {
        self.slab[id / PLACES].targets.get_mut(id % PLACES)
    }

    /// The word of a target.
    #[inline]
    pub fn word(&self, id: u32) -> u64 {
        self.slab[id / PLACES].key | u64::from(id % PLACES) << TAG
    }

    /// The first target of a group from an id on.
    #[inline]
    pub fn next(&self, from: u32) -> Option<u32> {
        let place = self.slab[from / PLACES].targets.next(from % PLACES)?;
        Some(id(from / PLACES, place))
    }

    /// The number of groups, with those whose places are free. All ids are below [`PLACES`] times as many.
    #[inline]
    pub fn groups(&self) -> u32 {
        self.slab.places()
    }

    #[inline]
    fn group(&self, key: u64) -> Option<u32> {
        let hash = hash(key);
        self.index.find(hash, |group| self.slab[group].key == key)
    }

    fn add(&mut self, key: u64) -> Option<u32> {
        let targets = Packed::default();
        let group = self.slab.insert(Group { key, targets }).ok()?;
        let slab = &self.slab;
        let rehash = |group| self::hash(slab[group].key);
        let hash = hash(key);
        self.index.insert(hash, group, rehash);
        Some(group)
    }

    /// Removes a group without targets.
    fn discard(&mut self, group: u32) {
        let slab = &self.slab;
        let rehash = |group| self::hash(slab[group].key);
        let hash = hash(slab[group].key);
        self.index.remove(hash, group, rehash);
        self.slab.remove(group);
    }
}

#[inline]
fn id(group: u32, place: u32) -> u32 {
    group * PLACES + place
}

#[inline]
fn place(word: u64) -> u32 {
    (word >> TAG) as u32 % PLACES
}

/// The hash of the key of a group. Those of neighbours follow on each other.
#[inline]
fn hash(key: u64) -> u64 {
    let sequence = key >> PLACES.ilog2() >> TAG;
    hash::hash(sequence >> 32, sequence as u32)
}
