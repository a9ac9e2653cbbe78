//! Several monitors at a time: neighbours share a shard, and so its lock. Who calls bounds how many by
//! [`HELD`](crate::structures::held::HELD).

use super::herd::is_in_lane;
use super::key::{Key, hash_of};
use super::reasons::Alike;
use super::target::BACKLOG;
use super::{Ids, Left, SHARDS, Targets};
use crate::monitors::slot::Slot;
use crate::monitors::stay::Stay;
use crate::structures::arena::Arena;
use crate::structures::hash::shard;
use crate::structures::held::Held;
use crate::structures::limits::Full;

impl<R: Clone> Targets<R> {
    /// Arms and lists monitors as [`Targets::join`] does. `stay` gives that of a node, and `joined` is
    /// told what has become of each, in order; both under a lock.
    #[inline]
    pub fn join_each<'n>(
        &self,
        slots: &Arena<Slot>,
        monitors: impl Iterator<Item = (Key, u32)>,
        mut stay: impl FnMut(u32) -> &'n Stay,
        mut joined: impl FnMut(Result<Option<u32>, Full>),
    ) {
        let mut held = Held::new(&self.shards);
        for (key, slot) in monitors {
            let hash = hash_of(key);
            let number = shard(hash, SHARDS);
            // The lock of a lane may be taken under that of a shard.
            if self.herds[number].join(slots, key, slot) {
                joined(Ok(None));
                continue;
            }
            let shard = held.lock(number);
            joined(shard.join(slots, (number, hash), key, stay(key.node), slot));
        }
    }

    /// Takes out monitors whose claims the caller has won, as [`Targets::leave`] does. `left` is told what
    /// has become of each target, in order, under a lock.
    #[inline]
    pub fn leave_each(
        &self,
        slots: &Arena<Slot>,
        ids: impl Iterator<Item = u32>,
        mut left: impl FnMut(Left),
    ) {
        let mut held = Held::new(&self.shards);
        for id in ids {
            let slot = slots.get(id);
            let number = Ids::shard(slot.target());
            if is_in_lane(slot) && self.herds[number].leave(slots, id) {
                left(Left::HERD);
                continue;
            }
            let shard = held.lock(number);
            left(shard.leave(slots, id));
        }
    }

    /// Notes the deaths of targets of one node, as [`Targets::certify`] does, and takes their monitors out as
    /// [`Targets::unlist`] does, until `monitors` holds `limit`. A target that has more of them is in the backlog then, and
    /// `listed` is shown its id, under a lock. Stops when `monitors` is full, unless it may hold none. Returns how many
    /// more monitors are waiting, and whether that was the end of `keys`.
    #[inline]
    pub fn certify_each(
        &self,
        slots: &Arena<Slot>,
        keys: &mut impl Iterator<Item = Key>,
        (stay, reason): (&Stay, &R),
        limit: usize,
        monitors: &mut Vec<u32>,
        mut listed: impl FnMut(u32),
    ) -> (u64, bool)
    where
        R: Alike,
    {
        let mut held = Held::new(&self.shards);
        let mut waiting = 0;
        for key in keys {
            let hash = hash_of(key);
            let number = shard(hash, SHARDS);
            let shard = held.lock(number);
            let Some(local) = shard.take_watched(hash, key.words()) else {
                continue;
            };
            waiting += u64::from(shard.bury(local, stay));
            if shard.unlist(slots, local, limit, monitors) {
                shard.targets[local].head = shard.reasons.share(local, reason);
                shard.reap(local);
            } else {
                shard.reasons.set(local, reason.clone());
                shard.targets[local].state |= BACKLOG;
                listed(Ids::of(number, local));
            }
            if limit > 0 && monitors.len() == limit {
                return (waiting, false);
            }
        }
        (waiting, true)
    }
}
