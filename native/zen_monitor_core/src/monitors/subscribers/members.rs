//! Those subscribers that are sets. Their monitors have no references, and a target has at most one of them.
//!
//! Invariants:
//!
//! - A set is a subscriber that begins without a monitor. It ends as every subscriber does: it departs.
//! - A member is a monitor of a set. Where others have their reference, it has its target, by which it is found
//!   until it is retired.
//! - If a set has several monitors on one target, all but one are consumed, and will be retired soon.

use super::{Ids, Shard, Subscribers, locate};
use crate::monitors::claim::{Stage, Ticket};
use crate::monitors::references::{References, hash_of};
use crate::monitors::slot::{Reference, Slot};
use crate::monitors::targets::Key;
use crate::structures::arena::Arena;
use crate::structures::limits::Full;
use crate::structures::list::{self, NIL};
use crate::structures::sync::Mutex;
use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

/// What a set has beside its monitors.
#[derive(Default)]
pub(super) struct Members {
    /// Its members, by target.
    found: References,
    /// Pairs of a node and the last word of an id on that node. For pids, such a pair is one life of the node.
    lives: Vec<(u32, u32)>,
    places: HashMap<(u32, u32), u32, FxBuildHasher>,
    /// The pair that was looked for last, which is mostly looked for again.
    recent: u32,
}

/// A monitor of a set, found by its target.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Its slot.
    pub slot: u32,
    /// Its tenancy of that slot.
    pub ticket: Ticket,
}

/// What [`Subscribers::enlist`] has done.
#[derive(Default)]
pub struct Enlisted {
    /// The monitors placed, each with its key.
    pub placed: Vec<(Key, u32)>,
    /// The keys to be tried again, each with the monitor whose message is being sent.
    pub sending: Vec<(Key, Member)>,
}

/// How far a walk through a set has come: the monitors that it has seen last. Several, so that one of them is still
/// there when the walk goes on.
#[derive(Default)]
pub struct Cursor(Vec<Member>);

impl Members {
    /// The members of a subscriber that is a set.
    #[inline]
    pub(super) fn of(
        sets: &mut HashMap<u32, Box<Members>, FxBuildHasher>,
        local: u32,
    ) -> &mut Members {
        sets.get_mut(&local).expect("a set has members")
    }

    /// Takes a monitor out.
    #[inline]
    pub(super) fn remove(&mut self, slots: &Arena<Slot>, slot: u32) {
        self.found.remove(slots, slot);
    }

    /// What stands in a slot in place of a reference. `None` if the set never had a member of this life of the node.
    #[inline]
    fn words(&self, key: Key) -> Option<Reference> {
        let life = (key.node, key.id[2]);
        let place = match self.lives.get(self.recent as usize) {
            Some(recent) if *recent == life => self.recent,
            _ => *self.places.get(&life)?,
        };
        Some([key.id[0], key.id[1], place])
    }

    #[inline]
    fn words_or_add(&mut self, key: Key) -> Reference {
        if let Some(words) = self.words(key) {
            self.recent = words[2];
            return words;
        }
        let life = (key.node, key.id[2]);
        self.recent = self.lives.len() as u32;
        self.lives.push(life);
        self.places.insert(life, self.recent);
        [key.id[0], key.id[1], self.recent]
    }

    fn key(&self, [first, second, place]: Reference) -> Key {
        let (node, last) = self.lives[place as usize];
        Key {
            node,
            id: [first, second, last],
        }
    }

    /// The standing monitor with these words. Shows `sending` one whose message is being sent.
    #[inline]
    fn find(
        &self,
        slots: &Arena<Slot>,
        (hash, words): (u64, Reference),
        mut sending: impl FnMut(u32),
    ) -> Option<u32> {
        self.found.find_where(slots, hash, words, |id| {
            let stage = slots.get(id).claim.stage();
            if stage == Stage::Sending {
                sending(id);
            }
            stage == Stage::Standing
        })
    }
}

impl Subscribers {
    /// Adds a set under a word that no subscriber has had before. Refuses when there are 2^24 - 1
    /// subscribers in its shard.
    pub fn open(&self, set: u64) -> Result<(), Full> {
        let (number, hash) = locate(set);
        let shard = &mut *self.shards[number].lock();
        if shard.subscribers.is_full() {
            return Err(Full);
        }
        let local = shard.add(hash, set);
        shard.subscribers[local].is_set = true;
        shard.sets.insert(local, Box::default());
        Ok(())
    }

    /// Allocates a monitor, which is not armed yet, for each key that has no member. A key whose member has its message
    /// sent at this moment must be tried again. Refuses further keys when there are 2^30 slots, and all keys when
    /// there is no such set. Only one thread at a time may do this for a set.
    #[inline]
    pub fn enlist(
        &self,
        slots: &Arena<Slot>,
        set: u64,
        keys: &[Key],
        enlisted: &mut Enlisted,
    ) -> Result<(), Full> {
        let (number, hash) = locate(set);
        let shard = &mut *self.shards[number].lock();
        let local = shard.find(hash, set).ok_or(Full)?;
        let Shard {
            subscribers,
            sets,
            slots: free,
            ..
        } = shard;
        let (members, subscriber) = (Members::of(sets, local), &mut subscribers[local]);
        let mut outcome = Ok(());
        for key in keys {
            let words = members.words_or_add(*key);
            let (hash, mut sent) = (hash_of(words), None);
            let standing = members.find(slots, (hash, words), |id| sent = Some(id));
            if standing.is_some() {
                continue;
            }
            if let Some(slot) = sent {
                let ticket = slots.get(slot).claim.ticket();
                enlisted.sending.push((*key, Member { slot, ticket }));
                continue;
            }
            let Ok(slot) = free.take(slots, &self.depot) else {
                outcome = Err(Full);
                break;
            };
            slots.get(slot).occupy(words, Ids::of(number, local));
            members.found.insert_at(slots, hash, slot);
            list::push_back(&mut subscriber.head, slot, |id| {
                &slots.get(id).subscriber_links
            });
            enlisted.placed.push((*key, slot));
        }
        let amount = enlisted.placed.len();
        subscriber.monitors += amount as u32;
        shard.placed += amount as u64;
        shard.standing += amount as u64;
        outcome
    }

    /// Adds to `found` all monitors that a set has for each key: the member, and former members whose message may not
    /// be sent yet.
    #[inline]
    pub fn find_members(
        &self,
        slots: &Arena<Slot>,
        set: u64,
        keys: &[Key],
        found: &mut Vec<Member>,
    ) {
        let (number, hash) = locate(set);
        let shard = &mut *self.shards[number].lock();
        let Some(local) = shard.find(hash, set) else {
            return;
        };
        let members = Members::of(&mut shard.sets, local);
        for &key in keys {
            let Some(words) = members.words(key) else {
                continue;
            };
            members.recent = words[2];
            let mut add = |slot| {
                let ticket = slots.get(slot).claim.ticket();
                found.push(Member { slot, ticket });
            };
            // Consumed monitors may lie behind the member, too, so the search goes on.
            members
                .found
                .find_where(slots, hash_of(words), words, |slot| {
                    add(slot);
                    false
                });
        }
    }

    /// Whether a set has a member.
    pub fn is_member(&self, slots: &Arena<Slot>, set: u64, key: Key) -> bool {
        let (number, hash) = locate(set);
        let shard = self.shards[number].lock();
        let members = shard.find(hash, set).map(|local| &shard.sets[&local]);
        members.is_some_and(|members| {
            let words = members.words(key);
            let found = |words| members.find(slots, (hash_of(words), words), |_| ());
            words.and_then(found).is_some()
        })
    }

    /// Up to `limit` monitors of a set, in the order of their placing.
    pub fn first_members(&self, slots: &Arena<Slot>, set: u64, limit: usize) -> Vec<Member> {
        let (mut cursor, mut seen) = (Cursor::default(), Vec::new());
        self.walk(slots, set, &mut cursor, limit, &mut seen);
        cursor.0
    }

    /// Looks at the next monitors of a set, up to `limit`, and adds the targets of its members to `seen`. Returns whether
    /// there may be more. `None` when the place is lost, and the walk has to begin again.
    pub fn walk(
        &self,
        slots: &Arena<Slot>,
        set: u64,
        cursor: &mut Cursor,
        limit: usize,
        seen: &mut Vec<Key>,
    ) -> Option<bool> {
        let (number, hash) = locate(set);
        let shard = self.shards[number].lock();
        let Some(local) = shard.find(hash, set) else {
            return Some(false);
        };
        let head = shard.subscribers[local].head;
        if head == NIL {
            return Some(false);
        }
        let mut id = head;
        if !cursor.0.is_empty() {
            let is_there = |member: &&Member| {
                let slot = slots.get(member.slot);
                slot.subscriber() == Ids::of(number, local)
                    && slot.claim.ticket() == member.ticket
                    && slot.is_owned()
            };
            let last = cursor.0.iter().rev().find(is_there)?.slot;
            id = slots.get(last).subscriber_links.next();
            if id == head {
                return Some(false);
            }
        }
        cursor.0.clear();
        let members = &shard.sets[&local];
        while cursor.0.len() < limit {
            let slot = slots.get(id);
            let ticket = slot.claim.ticket();
            cursor.0.push(Member { slot: id, ticket });
            if slot.claim.stage() == Stage::Standing {
                seen.push(members.key(slot.reference()));
            }
            id = slot.subscriber_links.next();
            if id == head {
                return Some(false);
            }
        }
        Some(true)
    }

    /// How many monitors of a set wait in its queue.
    pub fn queued(&self, set: u64) -> u32 {
        let (number, hash) = locate(set);
        let shard = self.shards[number].lock();
        let queued = |local| shard.subscribers[local].queued;
        shard.find(hash, set).map_or(0, queued)
    }

    /// How many members all sets have.
    pub fn members(&self) -> usize {
        let members = |shard: &Mutex<Shard>| {
            let shard = shard.lock();
            let found = shard.sets.values().map(|members| members.found.count());
            found.sum::<usize>()
        };
        self.shards.iter().map(members).sum()
    }
}
