//! The targets of one shard, and what becomes of one of them under the lock of that.

use super::herd::{Herd, MANY, is_in_lane};
use super::key::{Key, NAMED, hash_of};
use super::reasons::Reasons;
use super::target::{BACKLOG, DEAD, INDEXED, MONITOR, MOST_MONITORS, QUEUED, SUBSCRIBED, Target};
use super::{Ids, Left};
use crate::monitors::sessions::Sessions;
use crate::monitors::slot::{Place, Slot};
use crate::monitors::stay::Stay;
use crate::structures::arena::Arena;
use crate::structures::beside::Beside;
use crate::structures::index::Index;
use crate::structures::limits::Full;
use crate::structures::list::{self, NIL};
use crate::structures::slab::Slab;
use std::sync::Arc;

pub(super) struct Shard<R> {
    pub(super) index: Index<{ Ids::BITS }, { Ids::BYTES }>,
    pub(super) targets: Slab<Target>,
    pub(super) sessions: Sessions,
    /// The reasons of the dead.
    pub(super) reasons: Reasons<R>,
    /// The numbers of the subscriptions of names, and the last that was given out.
    pub(super) numbers: Beside<u32, u32, 1>,
    pub(super) numbered: u32,
    /// How often monitors that came and went have called for an instruction.
    pub(super) instructed: u64,
    /// The lanes, the target that has them, and whether they are open.
    pub(super) herd: Arc<Herd>,
    pub(super) herded: u32,
    is_open: bool,
}

impl<R> Shard<R> {
    pub(super) fn new(most: u32, herd: Arc<Herd>) -> Self {
        Shard {
            index: Index::default(),
            targets: Slab::with_most(most),
            sessions: Sessions::default(),
            reasons: Reasons::default(),
            numbers: Beside::default(),
            numbered: 0,
            instructed: 0,
            herd,
            herded: NIL,
            is_open: false,
        }
    }

    #[inline]
    pub(super) fn join(
        &mut self,
        slots: &Arena<Slot>,
        (number, hash): (usize, u64),
        key: Key,
        stay: &Stay,
        slot: u32,
    ) -> Result<Option<u32>, Full> {
        let found = self
            .find(hash, key)
            .and_then(|local| self.current(local, stay));
        let (local, fresh) = match found {
            Some(local) => (local, false),
            None => (self.add(hash, key, stay)?, true),
        };
        if key.id[2] == NAMED {
            self.outlive(local);
        }
        let is_herded = self.herded == local;
        if is_herded {
            if self.herd.join(slots, key, slot) {
                return Ok(None);
            }
            self.close(local);
        }
        let target = &mut self.targets[local];
        if target.monitors() == MOST_MONITORS {
            return Err(Full);
        }
        self.instructed += u64::from(fresh);
        target.state += MONITOR;
        let id = Ids::of(number, local);
        if is_herded {
            self.herd.list(slots, id, slot);
        } else {
            slots.get(slot).set_target(id);
            slots.get(slot).claim.arm();
            list::push_back(&mut target.head, slot, |id| &slots.get(id).target_links);
        }
        if target.is(SUBSCRIBED) {
            self.sessions[target.session].monitors += 1;
        }
        if target.monitors() >= MANY && (is_herded || self.herded == NIL) {
            self.herded = local;
            self.is_open = (self.herd).open(key, id, MOST_MONITORS - target.monitors());
        }
        Ok(fresh.then_some(id))
    }

    #[inline]
    pub(super) fn find(&self, hash: u64, key: Key) -> Option<u32> {
        let words = key.words();
        self.index.find(hash, |id| {
            self.targets[id].key(&self.sessions).words() == words
        })
    }

    pub(super) fn add(&mut self, hash: u64, key: Key, stay: &Stay) -> Result<u32, Full> {
        let local = self.targets.insert(Target {
            id: key.id,
            head: NIL,
            state: QUEUED | INDEXED,
            session: NIL,
        })?;
        self.enlist(local, key.node, stay);
        let (targets, sessions) = (&self.targets, &self.sessions);
        self.index
            .insert(hash, local, |id| hash_of(targets[id].key(sessions)));
        Ok(local)
    }

    /// The found target if a new monitor may join it; otherwise it leaves the index.
    #[inline]
    pub(super) fn current(&mut self, local: u32, stay: &Stay) -> Option<u32> {
        if !self.has_expired(local) {
            return Some(local);
        }
        if !self.targets[local].is(SUBSCRIBED) {
            self.restamp(local, stay);
            return Some(local);
        }
        self.unindex(local);
        None
    }

    #[inline]
    pub(super) fn has_expired(&self, local: u32) -> bool {
        self.sessions[self.targets[local].session].expired
    }

    /// The target of a key in two words, if the node watches it. It is out of the index then.
    #[inline]
    pub(super) fn take_watched(&mut self, hash: u64, words: [u64; 2]) -> Option<u32> {
        let (targets, sessions) = (&self.targets, &self.sessions);
        let local = self.index.remove(
            hash,
            |id| {
                let target = &targets[id];
                target.key(sessions).words() == words && target.is_watched(sessions)
            },
            |id| hash_of(targets[id].key(sessions)),
        )?;
        self.targets[local].state &= !INDEXED;
        Some(local)
    }

    /// Whether the node watches a target over the connection that stands.
    #[inline]
    pub(super) fn is_watched(&self, local: u32) -> bool {
        self.targets[local].is_watched(&self.sessions)
    }

    /// Has a target count all of its monitors itself.
    pub(super) fn close(&mut self, local: u32) {
        if self.herded != local || !self.is_open {
            return;
        }
        self.is_open = false;
        let monitors = self.herd.close();
        let target = &mut self.targets[local];
        target.state += monitors * MONITOR;
        if target.is(SUBSCRIBED) {
            self.sessions[target.session].monitors += monitors;
        }
    }

    /// Has all targets of a session count their monitors themselves.
    pub(super) fn close_in(&mut self, place: u32) {
        // One that is open is not dead, so it has a session.
        if self.is_open && self.targets[self.herded].session == place {
            self.close(self.herded);
        }
    }

    /// How many monitors a target has that its lanes count.
    pub(super) fn in_lanes(&self, local: u32) -> u32 {
        match self.herded == local && self.is_open {
            true => self.herd.monitors(),
            false => 0,
        }
    }

    /// The monitors of a session that are subscribed.
    pub(super) fn subscribed_in(&self, place: u32) -> u64 {
        let is_here = |target: &Target| target.is(SUBSCRIBED) && target.session == place;
        let in_lanes = match self.is_open && is_here(&self.targets[self.herded]) {
            true => self.herd.monitors(),
            false => 0,
        };
        u64::from(self.sessions[place].monitors) + u64::from(in_lanes)
    }

    /// Makes a target dead: out of the index and of its session. Returns how many monitors it has.
    pub(super) fn bury(&mut self, local: u32, stay: &Stay) -> u32 {
        let node = self.targets[local].key(&self.sessions).node;
        self.close(local);
        self.numbers.remove(local);
        self.unindex(local);
        self.delist(local, stay);
        let target = &mut self.targets[local];
        target.state = (target.state | DEAD) & !SUBSCRIBED;
        target.session = node;
        target.monitors()
    }

    #[inline]
    pub(super) fn leave(&mut self, slots: &Arena<Slot>, slot_id: u32) -> Left {
        let slot = slots.get(slot_id);
        let local = Ids::local(slot.target());
        let listed = slot.place() == Place::Listed;
        if is_in_lane(slot) {
            if self.herd.leave(slots, slot_id) {
                return Left::HERD;
            }
            self.herd.unlist(slots, slot_id);
        } else if listed {
            let head = &mut self.targets[local].head;
            list::unlink(head, slot_id, |id| &slots.get(id).target_links);
        }
        if self.targets[local].monitors() == 1 {
            self.close(local);
        }
        let target = &mut self.targets[local];
        target.state -= MONITOR;
        let mut left = Left {
            listed,
            waiting: target.is(DEAD),
            outbox: None,
        };
        if left.waiting {
            self.reap(local);
        } else if target.is(SUBSCRIBED) {
            let session = &mut self.sessions[target.session];
            session.monitors -= 1;
            left.waiting = session.expired;
            if target.monitors() == 0 && !target.is(QUEUED) && !session.expired {
                target.state |= QUEUED;
                left.outbox = Some(session.node);
                self.instructed += 1;
            }
        }
        left
    }

    /// Takes monitors from the list of a target until `monitors` holds `limit`. `true` means that
    /// none is left.
    #[inline]
    pub(super) fn unlist(
        &mut self,
        slots: &Arena<Slot>,
        local: u32,
        limit: usize,
        monitors: &mut Vec<u32>,
    ) -> bool {
        let target = &mut self.targets[local];
        while target.head != NIL && monitors.len() < limit {
            let id = target.head;
            list::unlink(&mut target.head, id, |id| &slots.get(id).target_links);
            slots.get(id).set_place(Place::Transit);
            monitors.push(id);
        }
        target.head == NIL && (self.herded != local || self.herd.take(slots, limit, monitors))
    }

    #[inline]
    pub(super) fn reap(&mut self, local: u32) {
        let target = &self.targets[local];
        if target.monitors() == 0 && target.state & (DEAD | QUEUED | BACKLOG) == DEAD {
            self.reasons.remove(local, target.head);
            if self.herded == local {
                self.herded = NIL;
            }
            self.targets.remove(local);
        }
    }

    pub(super) fn unindex(&mut self, local: u32) {
        let target = &mut self.targets[local];
        if !target.is(INDEXED) {
            return;
        }
        target.state &= !INDEXED;
        let (targets, sessions) = (&self.targets, &self.sessions);
        let hash = |id: u32| hash_of(targets[id].key(sessions));
        self.index.remove(hash(local), |id| id == local, hash);
    }
}
