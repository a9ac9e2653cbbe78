//! Several monitors of one subscriber at a time, under one lock. The caller bounds how many by
//! [`HELD`](crate::structures::held::HELD).

use super::{Ids, Member, Shard, Subscribers, locate};
use crate::monitors::references::hash_of;
use crate::monitors::slot::{Reference, Slot};
use crate::structures::arena::Arena;
use crate::structures::held::Held;
use crate::structures::limits::Full;
use crate::structures::list;

impl Subscribers {
    /// Allocates monitors as [`Subscribers::place`] does, and adds them to `placed`, in order. When it refuses one,
    /// those before it are placed.
    #[inline]
    pub fn place_each(
        &self,
        slots: &Arena<Slot>,
        pid: u64,
        references: &[Reference],
        placed: &mut Vec<u32>,
    ) -> (bool, Result<(), Full>) {
        let (number, hash) = locate(pid);
        let shard = &mut *self.shards[number].lock();
        let found = shard.find(hash, pid);
        if found.is_none() && shard.subscribers.is_full() {
            return (false, Err(Full));
        }
        let (local, newcomer) = match found {
            Some(local) => (local, false),
            None => (shard.add(hash, pid), true),
        };
        let Shard {
            subscribers,
            references: found,
            slots: free,
            ..
        } = shard;
        let subscriber = &mut subscribers[local];
        let mut outcome = Ok(());
        for &reference in references {
            let Ok(slot) = free.take(slots, &self.depot) else {
                outcome = Err(Full);
                break;
            };
            slots.get(slot).occupy(reference, Ids::of(number, local));
            found.insert_at(slots, hash_of(reference), slot);
            list::push_back(&mut subscriber.head, slot, |id| {
                &slots.get(id).subscriber_links
            });
            placed.push(slot);
        }
        subscriber.monitors += placed.len() as u32;
        shard.placed += placed.len() as u64;
        shard.standing += placed.len() as u64;
        (newcomer, outcome)
    }

    /// Shows `found` the monitor that `pid` has under each of these references, in order.
    #[inline]
    pub fn find_each(
        &self,
        slots: &Arena<Slot>,
        pid: u64,
        references: &[Reference],
        mut found: impl FnMut(Option<Member>),
    ) {
        let (number, hash) = locate(pid);
        let shard = self.shards[number].lock();
        let subscriber = shard.find(hash, pid).map(|local| Ids::of(number, local));
        for &reference in references {
            let own = |slot: &u32| subscriber == Some(slots.get(*slot).subscriber());
            let slot = shard.references.find(slots, reference).filter(own);
            found(slot.map(|slot| Member {
                slot,
                ticket: slots.get(slot).claim.ticket(),
            }));
        }
    }

    /// Ends monitors as [`Subscribers::retire`] does, each with whether it was listed.
    #[inline]
    pub fn retire_each(
        &self,
        slots: &Arena<Slot>,
        ids: impl Iterator<Item = (u32, bool)>,
        by_owner: bool,
    ) {
        let mut held = Held::new(&self.shards);
        for (id, listed) in ids {
            let shard = held.lock(Ids::shard(slots.get(id).subscriber()));
            shard.removed += u64::from(by_owner);
            shard.retire(slots, &self.depot, id, listed);
        }
    }
}
