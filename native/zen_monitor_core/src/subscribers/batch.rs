//! Several monitors of one subscriber at a time, under one lock. Who calls bounds how many by
//! [`HELD`](crate::held::HELD).

use super::{Member, Shard, Subscribers, global, locate, number};
use crate::arena::Arena;
use crate::held::Held;
use crate::list;
use crate::slot::{Reference, Slot};

impl Subscribers {
    /// Allocates monitors as [`Subscribers::place`] does, and adds them to `placed`, in order.
    #[inline]
    pub fn place_each(
        &self,
        slots: &Arena<Slot>,
        pid: u64,
        references: &[Reference],
        placed: &mut Vec<u32>,
    ) -> bool {
        let (number, hash) = locate(pid);
        let shard = &mut *self.shards[number].lock();
        let (local, newcomer) = match shard.find(hash, pid) {
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
        for &reference in references {
            let slot = free.take(slots, &self.depot);
            slots.get(slot).occupy(reference, global(number, local));
            found.insert(slots, slot);
            list::push_back(&mut subscriber.head, slot, |id| {
                &slots.get(id).subscriber_links
            });
            placed.push(slot);
        }
        subscriber.monitors += references.len() as u32;
        shard.placed += references.len() as u64;
        shard.standing += references.len() as u64;
        newcomer
    }

    /// Shows `found` the monitor that `pid` has of each of these references, in order.
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
        let subscriber = shard.find(hash, pid).map(|local| global(number, local));
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
            let shard = held.lock(number(slots.get(id).subscriber()));
            shard.removed += u64::from(by_owner);
            shard.retire(slots, &self.depot, id, listed);
        }
    }
}
