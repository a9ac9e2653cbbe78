//! The targets: who monitors each one, and what the remote node has been told about it.
//!
//! Invariants:
//!
//! - The index holds at most one target of a key: the one that new monitors join.
//! - A target has a session, the stay of its node during which it was (or will be) subscribed, until it is
//!   dead. The session knows in which regions of the shard's slab its targets are.
//! - The node's [`Stay`] counts the shards in which its present session has a target. It is changed under
//!   the shard's lock.
//! - An undead target is subscribed, or queued in its node's outbox, or both. Those of a held session count as
//!   subscribed, though nobody watches them.
//! - `monitors` counts the monitors that name the target; those of an undead one are all listed.
//! - A target is freed when it is dead, no monitor names it, and neither an outbox nor the backlog
//!   holds its id.
//! - A target whose number is stale is queued.
//! - A monitor is *waiting* once its `:DOWN` is due: its target is dead, or its session expired
//!   and the target was subscribed in it.
//!
//! What is done under the lock of one shard is in `shard.rs`.

use crate::monitors::slot::Slot;
use crate::monitors::stay::Stay;
use crate::structures::arena::Arena;
use crate::structures::hash::shard;
use crate::structures::held::Held;
use crate::structures::ids;
use crate::structures::limits::Full;
use crate::structures::sync::{Mutex, MutexGuard, shards};

mod batch;
mod belonging;
mod connections;
mod herd;
mod instructions;
mod key;
mod names;
mod reasons;
mod shard;
mod target;
mod views;

pub use connections::Expired;
pub use instructions::{Cursor, Instruction};
pub use key::{Key, NAMED};
pub use reasons::Alike;
#[cfg(all(test, not(loom)))]
pub(crate) use target::MOST_MONITORS;

use herd::{Herd, is_in_lane};
use key::hash_of;
use names::STALE;
use shard::Shard;
use std::sync::Arc;
use target::BACKLOG;

const SHARDS: usize = shards(1024);
type Ids = ids::Ids<SHARDS>;

/// All targets. `R` is an exit reason.
pub struct Targets<R> {
    shards: Box<[Mutex<Shard<R>>]>,
    /// The lanes of each shard, which are used without its lock.
    herds: Box<[Arc<Herd>]>,
}

/// What became of a target when a monitor left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// The monitor was still in the target's list.
    pub listed: bool,
    /// Its `:DOWN` was due.
    pub waiting: bool,
    /// The node whose outbox must be given the target: nobody monitors it any more.
    pub outbox: Option<u32>,
}

impl Left {
    /// One of a herd, which goes on.
    const HERD: Left = Left {
        listed: true,
        waiting: false,
        outbox: None,
    };
}

impl<R> Default for Targets<R> {
    fn default() -> Self {
        Targets::with_most(Ids::MOST)
    }
}

impl<R> Targets<R> {
    /// With at most so many targets in each shard.
    pub(crate) fn with_most(most: u32) -> Self {
        let herds: Box<[Arc<Herd>]> = (0..SHARDS).map(|_| Arc::default()).collect();
        let shard = |herd: &Arc<Herd>| Mutex::new(Shard::new(most, herd.clone()));
        Targets {
            shards: herds.iter().map(shard).collect(),
            herds,
        }
    }
}

impl<R: Clone> Targets<R> {
    /// How many shards an expired session is walked through.
    pub const SHARDS: usize = SHARDS;

    /// Arms a monitor and lists it under the target of `key`. Returns the target's id when it must be put into
    /// its node's outbox. `stay` is the node's; its session is read under the lock, so that one that has
    /// expired before is never joined.
    ///
    /// Refuses when the target has 2^27 - 1 monitors already, or when its shard has 2^22 - 1 targets; the
    /// monitor has no target then.
    #[inline]
    pub fn join(
        &self,
        slots: &Arena<Slot>,
        key: Key,
        stay: &Stay,
        slot: u32,
    ) -> Result<Option<u32>, Full> {
        let hash = hash_of(key);
        let number = shard(hash, SHARDS);
        if self.herds[number].join(slots, key, slot) {
            return Ok(None);
        }
        let shard = &mut *self.shards[number].lock();
        shard.join(slots, (number, hash), key, stay, slot)
    }

    /// Takes out a monitor whose claim the caller has won.
    #[inline]
    pub fn leave(&self, slots: &Arena<Slot>, slot_id: u32) -> Left {
        let slot = slots.get(slot_id);
        let number = Ids::shard(slot.target());
        if is_in_lane(slot) && self.herds[number].leave(slots, slot_id) {
            return Left::HERD;
        }
        self.shards[number].lock().leave(slots, slot_id)
    }

    /// Takes out monitors that were delivered, as [`Targets::leave`] does.
    #[inline]
    pub fn leave_delivered(&self, slots: &Arena<Slot>, slot_ids: impl Iterator<Item = u32>) {
        let mut held = Held::new(&self.shards);
        for slot_id in slot_ids {
            let shard = held.lock(Ids::shard(slots.get(slot_id).target()));
            shard.leave(slots, slot_id);
        }
    }

    /// Notes the death of a subscribed target. Returns its id, which is in the backlog now, and
    /// how many more monitors are waiting. A certificate that answers no subscription is ignored, and so
    /// is one with the number of a former subscription. One with a number that is stale consumes the
    /// subscription: the target, which is in its outbox, is to be subscribed anew.
    pub fn certify(
        &self,
        key: Key,
        stay: &Stay,
        subscription: Option<u32>,
        reason: R,
    ) -> Option<(u32, u32)> {
        let hash = hash_of(key);
        let number = shard(hash, SHARDS);
        let shard = &mut *self.shards[number].lock();
        let local = shard.find(hash, key)?;
        if !shard.is_watched(local) {
            return None;
        }
        let standing = shard.numbers.get(local);
        if subscription.is_some() && standing != subscription {
            if subscription.map(|number| number | STALE) == standing {
                let unqueued = shard.withdraw(local);
                debug_assert!(!unqueued);
            }
            return None;
        }
        let monitors = shard.bury(local, stay);
        shard.reasons.set(local, reason);
        shard.targets[local].state |= BACKLOG;
        Some((Ids::of(number, local), monitors))
    }

    /// Takes monitors from the list of a target in the backlog until `monitors` holds `limit`, those of
    /// one subscriber in the order in which they were placed; they are in transit then. `true` means that none is left and the
    /// target is out of the backlog.
    pub fn unlist(
        &self,
        slots: &Arena<Slot>,
        target_id: u32,
        limit: usize,
        monitors: &mut Vec<u32>,
    ) -> bool {
        let shard = &mut *self.lock(target_id);
        let local = Ids::local(target_id);
        let done = shard.unlist(slots, local, limit, monitors);
        if done {
            shard.targets[local].state &= !BACKLOG;
            shard.reap(local);
        }
        done
    }

    /// What the `:DOWN`s of monitors say, in order: the key of the target and the reason, `None` when
    /// the node is down. A stale id gives some other target; the claim on the monitor tells.
    #[inline]
    pub fn describe(&self, target_ids: impl Iterator<Item = u32>) -> Vec<(Key, Option<R>)> {
        let mut held = Held::new(&self.shards);
        let describe = |target_id| {
            let shard = held.lock(Ids::shard(target_id));
            let local = Ids::local(target_id);
            let target = &shard.targets[local];
            let reason = shard.reasons.get(local, target.head);
            (target.key(&shard.sessions), reason.cloned())
        };
        target_ids.map(describe).collect()
    }

    /// Runs `view` while all locks are held.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn while_locked<T>(&self, view: impl FnOnce() -> T) -> T {
        let _held: Vec<_> = self.shards.iter().map(Mutex::lock).collect();
        view()
    }

    #[inline]
    fn lock(&self, target_id: u32) -> MutexGuard<'_, Shard<R>> {
        self.shards[Ids::shard(target_id)].lock()
    }
}
