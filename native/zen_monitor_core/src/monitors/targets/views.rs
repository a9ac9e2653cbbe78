//! What observers see of the targets.

use super::herd::is_in_lane;
use super::key::{Key, hash_of};
use super::{Ids, SHARDS, Targets};
use crate::monitors::slot::{Place, Slot};
use crate::structures::arena::Arena;
use crate::structures::hash::shard;
use crate::structures::list::NIL;
use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

impl<R: Clone> Targets<R> {
    /// How many targets there are, dead ones included, how many reasons are kept for those, and how many
    /// numbers of subscriptions for the others.
    pub fn counts(&self) -> (usize, usize, usize) {
        let mut counts = (0, 0, 0);
        for shard in &self.shards {
            let shard = shard.lock();
            counts.0 += shard.targets.count();
            counts.1 += shard.reasons.len();
            counts.2 += shard.numbers.len();
        }
        counts
    }

    /// How often monitors have called for an instruction, by coming to a new target or leaving one that
    /// nobody else monitors.
    pub fn instructed(&self) -> u64 {
        self.shards
            .iter()
            .map(|shard| shard.lock().instructed)
            .sum()
    }

    /// Up to `limit` monitors of an undead target, those of one subscriber in order, beginning behind `last`, which was
    /// among them when it was returned. `None` when it is not any more.
    pub fn listed(
        &self,
        slots: &Arena<Slot>,
        key: Key,
        last: Option<u32>,
        limit: usize,
    ) -> Option<Vec<u32>> {
        let hash = hash_of(key);
        let number = shard(hash, SHARDS);
        let shard = &mut *self.shards[number].lock();
        let mut found = Vec::new();
        let Some(local) = shard.find(hash, key) else {
            return Some(found);
        };
        let target_id = Ids::of(number, local);
        let head = shard.targets[local].head;
        let last_in_lane = last.filter(|&last| is_in_lane(slots.get(last)));
        let mut id = match last {
            None => head,
            Some(_) if last_in_lane.is_some() => NIL,
            Some(last) => {
                let slot = slots.get(last);
                if slot.target() != target_id || slot.place() != Place::Listed {
                    return None;
                }
                behind(slots, last, head)
            }
        };
        while id != NIL && found.len() < limit {
            found.push(id);
            id = behind(slots, id, head);
        }
        if shard.herded == local {
            let herd = &shard.herd;
            herd.listed(slots, target_id, last_in_lane, limit, &mut found)?;
        } else if last_in_lane.is_some() {
            return None;
        }
        Some(found)
    }

    /// How many monitors an undead target has, and up to `limit` of them.
    pub fn watchers(&self, slots: &Arena<Slot>, key: Key, limit: usize) -> (u32, Vec<u32>) {
        let hash = hash_of(key);
        let count = {
            let shard = self.shards[shard(hash, SHARDS)].lock();
            let monitors = |local| shard.targets[local].monitors() + shard.in_lanes(local);
            shard.find(hash, key).map_or(0, monitors)
        };
        (
            count,
            self.listed(slots, key, None, limit).unwrap_or_default(),
        )
    }

    /// The targets of each session, and the monitors of those among them that are subscribed.
    pub fn sessions(&self) -> HashMap<u64, (u64, u64), FxBuildHasher> {
        let mut sums: HashMap<u64, (u64, u64), FxBuildHasher> = HashMap::default();
        for shard in &self.shards {
            // As many as there are nodes: a map cannot be left and entered again.
            let shard = shard.lock();
            for place in shard.sessions.places() {
                let session = &shard.sessions[place];
                let sum = sums.entry(session.number).or_default();
                sum.0 += u64::from(session.targets);
                sum.1 += shard.subscribed_in(place);
            }
        }
        sums
    }
}

/// The member of a target's list behind another, unless that is the last.
fn behind(slots: &Arena<Slot>, id: u32, head: u32) -> u32 {
    let next = slots.get(id).target_links.next();
    if next == head { NIL } else { next }
}
