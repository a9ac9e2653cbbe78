//! What observers see of the targets.

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

    /// Up to `limit` monitors of an undead target, in order, beginning behind `last`, which was
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
        let head = shard.targets[local].head;
        let mut id = match last {
            None => head,
            Some(last) => {
                let slot = slots.get(last);
                if slot.target() != Ids::of(number, local) || slot.place() != Place::Listed {
                    return None;
                }
                slot.target_links.next()
            }
        };
        // The list is circular: back at its head it has been seen.
        while id != NIL && (id != head || last.is_none() && found.is_empty()) && found.len() < limit
        {
            found.push(id);
            id = slots.get(id).target_links.next();
        }
        Some(found)
    }

    /// How many monitors an undead target has, and up to `limit` of them.
    pub fn watchers(&self, slots: &Arena<Slot>, key: Key, limit: usize) -> (u32, Vec<u32>) {
        let hash = hash_of(key);
        let count = {
            let shard = self.shards[shard(hash, SHARDS)].lock();
            shard
                .find(hash, key)
                .map_or(0, |local| shard.targets[local].monitors())
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
            for session in shard.lock().sessions.iter() {
                let sum = sums.entry(session.number).or_default();
                sum.0 += u64::from(session.targets);
                sum.1 += u64::from(session.monitors);
            }
        }
        sums
    }
}
