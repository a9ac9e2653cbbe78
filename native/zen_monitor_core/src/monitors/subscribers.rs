//! The subscribers: which monitors each one holds, and which of its `:DOWN`s wait.
//!
//! Invariants:
//!
//! - A subscriber is found by its pid from its first monitor until it departs. Its record is kept until
//!   nothing refers to it: no monitor, no queue, no place in the ring, no sweep.
//! - A subscriber stands in the dispatcher's ring exactly when its queue is not empty.
//! - A monitor is in the list of its subscriber, and is found by its reference, until it is retired. A member
//!   of a set has no reference, and is found by its target.
//! - Slots are allocated and freed only under the lock of their subscriber's shard. The winner of a slot's
//!   claim frees it, with two exceptions: a queued slot is freed by whoever takes it from the queue, and one in
//!   transit by whoever brings it to the queue.

use crate::monitors::claim::Ticket;
use crate::monitors::references::References;
use crate::monitors::share::Share;
use crate::monitors::slot::{Depot, FreeSlots, Place, Reference, Slot};
use crate::structures::arena::Arena;
use crate::structures::hash::hash;
use crate::structures::held::{HELD, Held};
use crate::structures::ids;
use crate::structures::index::Index;
use crate::structures::limits::Full;
use crate::structures::list::{self, NIL};
use crate::structures::slab::Slab;
use crate::structures::sync::{Mutex, shards};
use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

mod batch;
mod members;

use members::Members;
pub use members::{Cursor, Enlisted, Member};

const SHARDS: usize = shards(256);
type Ids = ids::Ids<SHARDS>;

/// All subscribers, by pid.
pub struct Subscribers {
    shards: Box<[Mutex<Shard>]>,
    depot: Depot,
}

struct Shard {
    index: Index<{ Ids::BITS }, { Ids::BYTES }>,
    subscribers: Slab<Subscriber>,
    references: References,
    /// The members of those subscribers that are sets.
    sets: HashMap<u32, Box<Members>, FxBuildHasher>,
    slots: FreeSlots,
    placed: u64,
    removed: u64,
    standing: u64,
}

struct Subscriber {
    pid: u64,
    /// The list of its monitors.
    head: u32,
    /// The queue of its monitors that are due.
    first: u32,
    last: u32,
    monitors: u32,
    queued: u32,
    /// The point in time that [`Share`] keeps for it.
    ahead: u64,
    ring: Ring,
    departed: bool,
    sweeping: bool,
    is_set: bool,
}

/// How a subscriber stands in the dispatcher's ring.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ring {
    Out,
    In,
    /// With so much in its queue that it has lost its burst. That happens once, or a late turn would give it too little.
    Flowing,
}

/// A monitor taken from the queue of its subscriber, to be claimed and delivered.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// Its slot.
    pub slot: u32,
    /// Its tenancy of that slot.
    pub ticket: Ticket,
    /// The subscriber.
    pub pid: u64,
    /// The words of its reference.
    pub reference: Reference,
    /// The id of its target.
    pub target: u32,
}

/// What a subscriber has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holding {
    /// Monitors in its queue: due, and perhaps removed since.
    pub queued: u32,
    /// Monitors neither delivered nor removed.
    pub monitors: u32,
    /// The subscriber.
    pub pid: u64,
}

/// How many monitors have been placed and removed since the beginning, and how many stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Monitors placed.
    pub placed: u64,
    /// Monitors removed by their owners.
    pub removed: u64,
    /// Monitors neither delivered nor removed.
    pub standing: u64,
}

impl Default for Subscribers {
    fn default() -> Self {
        Subscribers::with_most(Ids::MOST)
    }
}

impl Subscribers {
    /// With at most `most` subscribers in each shard.
    pub(crate) fn with_most(most: u32) -> Self {
        Subscribers {
            shards: (0..SHARDS)
                .map(|_| Mutex::new(Shard::with_most(most)))
                .collect(),
            depot: Depot::default(),
        }
    }

    /// Allocates a monitor of `pid`, which is not armed yet. Also returns whether `pid` is new, and so must be watched
    /// from now on. Refuses when there are 2^30 slots, or 2^24 - 1 subscribers in its shard, and then changes
    /// nothing.
    #[inline]
    pub fn place(
        &self,
        slots: &Arena<Slot>,
        pid: u64,
        reference: Reference,
    ) -> Result<(u32, bool), Full> {
        let (number, hash) = locate(pid);
        let shard = &mut *self.shards[number].lock();
        let found = shard.find(hash, pid);
        if found.is_none() && shard.subscribers.is_full() {
            return Err(Full);
        }
        let slot = shard.slots.take(slots, &self.depot)?;
        let (local, newcomer) = match found {
            Some(local) => (local, false),
            None => (shard.add(hash, pid), true),
        };
        slots.get(slot).occupy(reference, Ids::of(number, local));
        shard.references.insert(slots, slot);
        let subscriber = &mut shard.subscribers[local];
        list::push_back(&mut subscriber.head, slot, |id| {
            &slots.get(id).subscriber_links
        });
        subscriber.monitors += 1;
        shard.placed += 1;
        shard.standing += 1;
        Ok((slot, newcomer))
    }

    /// Takes back a monitor that was placed and never armed. Its subscriber stays, even if it was new.
    pub fn displace(&self, slots: &Arena<Slot>, id: u32) {
        let shard = &mut *self.lock(slots.get(id).subscriber());
        shard.placed -= 1;
        shard.retire(slots, &self.depot, id, true);
    }

    /// Puts back monitors that were taken from the queue of their subscriber and not delivered. Shows `enter` each
    /// subscriber that must now be put into the ring.
    pub fn give_back<'t>(
        &self,
        slots: &Arena<Slot>,
        undelivered: impl Iterator<Item = &'t Taken>,
        mut enter: impl FnMut(u32),
    ) {
        for taken in undelivered {
            let slot = slots.get(taken.slot);
            let shard = &mut *self.shards[locate(taken.pid).0].lock();
            // Slots of this shard are freed only under its lock, so the ticket tells whether this one was freed.
            if slot.claim.ticket() != taken.ticket {
                continue;
            }
            let subscriber_id = slot.subscriber();
            // The monitors of a departed subscriber are freed by its sweep.
            if !shard.subscribers[Ids::local(subscriber_id)].departed {
                shard.queue(slots, taken.slot, &mut enter);
            }
        }
    }

    /// The id of a subscriber that has not departed.
    #[inline]
    pub fn find(&self, pid: u64) -> Option<u32> {
        let (number, hash) = locate(pid);
        let local = self.shards[number].lock().find(hash, pid)?;
        Some(Ids::of(number, local))
    }

    /// The monitor that `pid` has under a reference, and its present tenancy.
    #[inline]
    pub fn find_monitor(
        &self,
        slots: &Arena<Slot>,
        pid: u64,
        reference: Reference,
    ) -> Option<(u32, Ticket)> {
        let (number, hash) = locate(pid);
        let shard = self.shards[number].lock();
        let subscriber = Ids::of(number, shard.find(hash, pid)?);
        let id = shard.references.find(slots, reference)?;
        let slot = slots.get(id);
        (slot.subscriber() == subscriber).then(|| (id, slot.claim.ticket()))
    }

    /// Ends a monitor whose claim the caller has won, and which it has taken out of all other tables. `listed` tells
    /// whether the caller has found it in its target's list.
    #[inline]
    pub fn retire(&self, slots: &Arena<Slot>, id: u32, listed: bool, by_owner: bool) {
        let shard = &mut *self.lock(slots.get(id).subscriber());
        shard.removed += u64::from(by_owner);
        shard.retire(slots, &self.depot, id, listed);
    }

    /// Ends monitors that were delivered, as [`Subscribers::retire`] does.
    #[inline]
    pub fn retire_delivered(&self, slots: &Arena<Slot>, ids: impl Iterator<Item = u32>) {
        let mut held = Held::new(&self.shards);
        for id in ids {
            let shard = held.lock(Ids::shard(slots.get(id).subscriber()));
            shard.retire(slots, &self.depot, id, false);
        }
    }

    /// Brings monitors in transit to the queues of their subscribers. Shows `enter` each subscriber that must now be
    /// put into the ring.
    #[inline]
    pub fn enqueue(&self, slots: &Arena<Slot>, ids: &[u32], mut enter: impl FnMut(u32)) {
        let mut held = Held::new(&self.shards);
        for &id in ids {
            let slot = slots.get(id);
            let shard = held.lock(Ids::shard(slot.subscriber()));
            if slot.place() == Place::Orphan {
                shard.slots.give(slots, &self.depot, id);
            } else {
                shard.queue(slots, id, &mut enter);
            }
        }
    }

    /// Takes up to `limit` monitors, and no more than its share, from the queue of a subscriber that was taken from the
    /// ring. Returns how many, and whether the subscriber must go back into the ring. `add` is not shown monitors that
    /// were removed, nor any monitor of a departed subscriber.
    #[inline]
    pub fn dequeue(
        &self,
        slots: &Arena<Slot>,
        subscriber_id: u32,
        limit: usize,
        share: impl Fn(u64) -> Share,
        mut add: impl FnMut(Taken),
    ) -> (usize, bool) {
        let shard = &mut *self.lock(subscriber_id);
        let local = Ids::local(subscriber_id);
        let Shard {
            subscribers,
            slots: free,
            ..
        } = shard;
        let subscriber = &mut subscribers[local];
        let share = share(subscriber.pid);
        if subscriber.ring == Ring::In
            && let Some(ahead) = share.without_burst(subscriber.ahead, subscriber.queued)
        {
            subscriber.ring = Ring::Flowing;
            subscriber.ahead = ahead;
        }
        let room = share.room(subscriber.ahead);
        let limit = if share.is_last() { 1 } else { limit };
        let (mut turns, mut given) = (0, 0);
        while turns < limit && subscriber.first != NIL {
            let id = subscriber.first;
            let slot = slots.get(id);
            let is_due = slot.is_owned() && !subscriber.departed;
            if is_due && given == room {
                break;
            }
            subscriber.first = slot.target_links.next();
            turns += 1;
            slot.set_place(Place::Taken);
            if !slot.is_owned() {
                free.give(slots, &self.depot, id);
            } else if is_due {
                given += 1;
                // A removal may just have won the claim: then the delivery's claim fails, and the remover frees
                // the slot. The slots of a departed subscriber are freed by the sweep.
                add(Taken {
                    slot: id,
                    ticket: slot.claim.ticket(),
                    pid: subscriber.pid,
                    reference: slot.reference(),
                    target: slot.target(),
                });
            }
        }
        subscriber.queued -= turns as u32;
        subscriber.ahead = share.give(subscriber.ahead, given);
        let more = subscriber.first != NIL;
        if !more {
            subscriber.last = NIL;
            subscriber.ring = Ring::Out;
        }
        shard.reap(local);
        (turns, more)
    }

    /// Notes the death of a process. Returns its id if it leaves monitors that must be swept.
    pub fn depart(&self, pid: u64) -> Option<u32> {
        let (number, hash) = locate(pid);
        let shard = &mut *self.shards[number].lock();
        let Shard {
            index, subscribers, ..
        } = shard;
        let local = index.remove(
            hash,
            |id| subscribers[id].pid == pid,
            |id| hash_of(subscribers[id].pid),
        )?;
        let subscriber = &mut shard.subscribers[local];
        subscriber.departed = true;
        subscriber.sweeping = subscriber.head != NIL;
        if subscriber.sweeping {
            return Some(Ids::of(number, local));
        }
        shard.reap(local);
        None
    }

    /// The pid of a departed subscriber, and up to `limit` of its monitors, for the sweep to claim. When there are none,
    /// the sweep is over, and the id is not valid any more.
    pub fn left_behind(
        &self,
        slots: &Arena<Slot>,
        subscriber_id: u32,
        limit: usize,
    ) -> (u64, Vec<(u32, Ticket)>) {
        let shard = &mut *self.lock(subscriber_id);
        let local = Ids::local(subscriber_id);
        let subscriber = &mut shard.subscribers[local];
        let pid = subscriber.pid;
        let mut found = Vec::new();
        if subscriber.head == NIL {
            subscriber.sweeping = false;
            shard.reap(local);
            return (pid, found);
        }
        let mut id = subscriber.head;
        while found.len() < limit {
            let slot = slots.get(id);
            found.push((id, slot.claim.ticket()));
            id = slot.subscriber_links.next();
            if id == subscriber.head {
                break;
            }
        }
        (pid, found)
    }

    /// Shows every subscriber to `visit`, until that returns `false`. Returns whether it has seen all.
    pub fn survey(&self, mut visit: impl FnMut(Holding) -> bool) -> bool {
        for shard in &self.shards {
            let mut place = 0;
            loop {
                let shard = shard.lock();
                let end = shard.subscribers.places().min(place + HELD as u32);
                if place == end {
                    break;
                }
                for id in place..end {
                    let subscriber = &shard.subscribers[id];
                    // A free place still holds a subscriber that has departed.
                    if !subscriber.departed && !visit(subscriber.holding()) {
                        return false;
                    }
                }
                place = end;
            }
        }
        true
    }

    /// What a process has, and up to `limit` of its monitors, each with the id of its target.
    pub fn held(
        &self,
        slots: &Arena<Slot>,
        pid: u64,
        limit: usize,
    ) -> (Holding, Vec<(Reference, u32)>) {
        let (number, hash) = locate(pid);
        let shard = self.shards[number].lock();
        let mut held = Vec::new();
        let Some(local) = shard.find(hash, pid) else {
            return (Holding::default(), held);
        };
        let subscriber = &shard.subscribers[local];
        let mut id = subscriber.head;
        while id != NIL && held.len() < limit {
            let slot = slots.get(id);
            if slot.target() != NIL {
                held.push((slot.reference(), slot.target()));
            }
            id = slot.subscriber_links.next();
            if id == subscriber.head {
                break;
            }
        }
        (subscriber.holding(), held)
    }

    /// The pid of a subscriber. For a stale id, the pid of another subscriber, or of one that has departed.
    pub fn pid(&self, subscriber_id: u32) -> u64 {
        self.lock(subscriber_id).subscribers[Ids::local(subscriber_id)].pid
    }

    /// How many records of subscribers there are, including those of departed ones.
    pub fn records(&self) -> usize {
        let records = |shard: &Mutex<Shard>| shard.lock().subscribers.count();
        self.shards.iter().map(records).sum()
    }

    /// How many monitors are found by their reference.
    pub fn references(&self) -> usize {
        let references = |shard: &Mutex<Shard>| shard.lock().references.count();
        self.shards.iter().map(references).sum()
    }

    /// Sums up the shards.
    pub fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        for shard in &self.shards {
            let shard = shard.lock();
            sum.placed += shard.placed;
            sum.removed += shard.removed;
            sum.standing += shard.standing;
        }
        sum
    }

    #[inline]
    fn lock(&self, subscriber_id: u32) -> crate::structures::sync::MutexGuard<'_, Shard> {
        self.shards[Ids::shard(subscriber_id)].lock()
    }
}

impl Subscriber {
    fn holding(&self) -> Holding {
        Holding {
            queued: self.queued,
            monitors: self.monitors,
            pid: self.pid,
        }
    }
}

impl Shard {
    fn with_most(most: u32) -> Self {
        Shard {
            index: Index::default(),
            subscribers: Slab::with_most(most),
            references: References::default(),
            sets: HashMap::default(),
            slots: FreeSlots::default(),
            placed: 0,
            removed: 0,
            standing: 0,
        }
    }

    #[inline]
    fn find(&self, hash: u64, pid: u64) -> Option<u32> {
        self.index.find(hash, |id| self.subscribers[id].pid == pid)
    }

    fn add(&mut self, hash: u64, pid: u64) -> u32 {
        let subscriber = Subscriber {
            pid,
            head: NIL,
            first: NIL,
            last: NIL,
            monitors: 0,
            queued: 0,
            ahead: 0,
            ring: Ring::Out,
            departed: false,
            sweeping: false,
            is_set: false,
        };
        let local = self
            .subscribers
            .insert(subscriber)
            .expect("the caller has looked");
        let subscribers = &self.subscribers;
        self.index
            .insert(hash, local, |id| hash_of(subscribers[id].pid));
        local
    }

    /// Puts a monitor at the end of its subscriber's queue.
    #[inline]
    fn queue(&mut self, slots: &Arena<Slot>, id: u32, enter: &mut impl FnMut(u32)) {
        let slot = slots.get(id);
        let subscriber = &mut self.subscribers[Ids::local(slot.subscriber())];
        slot.set_place(Place::Queued);
        slot.target_links.set_next(NIL);
        if subscriber.last == NIL {
            subscriber.first = id;
        } else {
            slots.get(subscriber.last).target_links.set_next(id);
        }
        subscriber.last = id;
        subscriber.queued += 1;
        if subscriber.ring == Ring::Out {
            subscriber.ring = Ring::In;
            enter(slot.subscriber());
        }
    }

    #[inline]
    fn retire(&mut self, slots: &Arena<Slot>, depot: &Depot, id: u32, listed: bool) {
        let slot = slots.get(id);
        let local = Ids::local(slot.subscriber());
        let subscriber = &mut self.subscribers[local];
        match subscriber.is_set {
            true => Members::of(&mut self.sets, local).remove(slots, id),
            false => self.references.remove(slots, id),
        }
        list::unlink(&mut subscriber.head, id, |id| {
            &slots.get(id).subscriber_links
        });
        subscriber.monitors -= 1;
        self.standing -= 1;
        match slot.place() {
            _ if listed => self.slots.give(slots, depot, id),
            Place::Taken => self.slots.give(slots, depot, id),
            Place::Transit => slot.set_place(Place::Orphan),
            Place::Queued => {}
            place => unreachable!("a slot that leaves its subscriber while {place:?}"),
        }
        self.reap(local);
    }

    #[inline]
    fn reap(&mut self, local: u32) {
        let subscriber = &self.subscribers[local];
        if subscriber.departed
            && !subscriber.sweeping
            && subscriber.ring == Ring::Out
            && subscriber.head == NIL
        {
            if subscriber.is_set {
                self.sets.remove(&local);
            }
            self.subscribers.remove(local);
        }
    }
}

#[inline]
fn hash_of(pid: u64) -> u64 {
    locate(pid).1
}

/// The shard of a pid, and its hash in there.
///
/// Processes that were spawned one after the other often monitor at the same time, so they are dealt out to
/// the shards in turn. Within a shard, those that follow on each other lie side by side.
#[inline]
fn locate(pid: u64) -> (usize, u64) {
    // The lowest four bits of the word of a local pid are its type. The number is above them.
    let number = pid >> 4;
    let turn = number / SHARDS as u64;
    let shard = (number % SHARDS as u64) as usize;
    (shard, hash(turn >> 32, turn as u32))
}
