//! The targets: who monitors each one, and what the remote node has been told about it.
//!
//! Invariants:
//!
//! - The index holds at most one target of a key: the one that new monitors join.
//! - A target has a session, the stay of its node during which it was (or will be) subscribed. It
//!   is linked into that session's list until it is dead.
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

use crate::monitors::sessions::{Session, Sessions};
use crate::monitors::slot::{Place, Slot};
use crate::monitors::stay::Stay;
use crate::structures::arena::Arena;
use crate::structures::beside::Beside;
use crate::structures::hash::{hash, shard};
use crate::structures::held::{HELD, Held};
use crate::structures::ids;
use crate::structures::index::Index;
use crate::structures::limits::Full;
use crate::structures::list::{self, Links, NIL};
use crate::structures::slab::Slab;
use crate::structures::sync::{Mutex, MutexGuard, shards};
use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

mod batch;

const SHARDS: usize = shards(1024);
type Ids = ids::Ids<SHARDS>;

/// What is monitored: a node's id, and what tells the target apart on that node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The id of the node.
    pub node: u32,
    /// The target on that node.
    pub id: [u32; 3],
}

/// The last word of the id of a target that has a name, and so may be another process each time.
pub const NAMED: u32 = u32::MAX;

/// Marks the number of a subscription that nobody wanted any more for a while: its certificate is not for
/// those who came since, but tells that the subscription is over.
const STALE: u32 = 1 << 31;

/// What a remote node is to be told about a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// Send a certificate when this dies.
    Subscribe(Key),
    /// The same of a name, with the number of the subscription, which ends a former one if there is any.
    SubscribeName(Key, u32),
    /// Never mind.
    Unsubscribe(Key),
}

impl Instruction {
    /// The target.
    pub fn key(self) -> Key {
        match self {
            Instruction::Subscribe(key)
            | Instruction::SubscribeName(key, _)
            | Instruction::Unsubscribe(key) => key,
        }
    }
}

/// All targets. `R` is an exit reason.
pub struct Targets<R> {
    shards: Box<[Mutex<Shard<R>>]>,
}

struct Shard<R> {
    index: Index,
    targets: Slab<Target>,
    sessions: Sessions,
    /// The reasons of the dead; a target that is missing here died with its node.
    reasons: HashMap<u32, R, FxBuildHasher>,
    /// The numbers of the subscriptions of names, and the last that was given out.
    numbers: Beside<u32, u32, 1>,
    numbered: u32,
    /// How often monitors that came and went have called for an instruction.
    instructed: u64,
}

/// A target: 32 bytes.
struct Target {
    id: [u32; 3],
    /// Its listed monitors.
    head: u32,
    /// How many monitors it has, in units of [`MONITOR`], and its flags below them.
    state: u32,
    /// The place of its session, which knows its node; once it is dead, its node itself.
    session: u32,
    links: Links,
}

/// In the outbox of its node.
const QUEUED: u32 = 1;
/// The remote node watches it for us.
const SUBSCRIBED: u32 = 2;
/// Its monitors are due; new ones need a new target.
const DEAD: u32 = 4;
/// In the backlog.
const BACKLOG: u32 = 8;
/// Found by the index.
const INDEXED: u32 = 16;
/// One monitor.
const MONITOR: u32 = 32;
/// How many monitors a target may have; few enough in tests to be reached.
pub(crate) const MOST_MONITORS: u32 = if cfg!(test) {
    50_000
} else {
    u32::MAX / MONITOR
};

impl Target {
    #[inline]
    fn is(&self, flag: u32) -> bool {
        self.state & flag != 0
    }

    #[inline]
    fn monitors(&self) -> u32 {
        self.state / MONITOR
    }

    #[inline]
    fn key(&self, sessions: &Sessions) -> Key {
        let node = match self.is(DEAD) {
            true => self.session,
            false => sessions[self.session].node,
        };
        Key { node, id: self.id }
    }
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

/// Where a walk through an expired session has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// This target, which has more monitors, is for the backlog.
    Target(u32),
    /// There may be more in this shard.
    More,
    /// This shard is done.
    Nothing,
}

/// How far [`Targets::resubscribe`] has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursor {
    /// The shard it is in.
    pub shard: usize,
    /// The targets of that shard that are still to be seen, once it has been entered.
    pub left: Option<u32>,
}

impl<R> Default for Targets<R> {
    fn default() -> Self {
        Targets::with_most(Ids::MOST)
    }
}

impl<R> Targets<R> {
    /// With at most so many targets in each shard.
    pub(crate) fn with_most(most: u32) -> Self {
        Targets {
            shards: (0..SHARDS)
                .map(|_| Mutex::new(Shard::with_most(most)))
                .collect(),
        }
    }
}

impl<R> Shard<R> {
    fn with_most(most: u32) -> Self {
        Shard {
            index: Index::default(),
            targets: Slab::with_most(most),
            sessions: Sessions::default(),
            reasons: HashMap::default(),
            numbers: Beside::default(),
            numbered: 0,
            instructed: 0,
        }
    }
}

impl<R: Clone> Targets<R> {
    /// How many shards an expired session is walked through.
    pub const SHARDS: usize = SHARDS;

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
        let shard = &mut *self.shards[number].lock();
        shard.join(slots, (number, hash), key, stay, slot)
    }

    /// Takes out a monitor whose claim the caller has won.
    #[inline]
    pub fn leave(&self, slots: &Arena<Slot>, slot_id: u32) -> Left {
        self.lock(slots.get(slot_id).target()).leave(slots, slot_id)
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
        let monitors = shard.bury(local, stay, Some(reason));
        shard.targets[local].state |= BACKLOG;
        Some((Ids::of(number, local), monitors))
    }

    /// Decides what the remote node must be told about targets taken from its outbox, and tells
    /// `instruct` of each of which it must be told something. `numbered` says whether the node returns the
    /// numbers of subscriptions.
    #[inline]
    pub fn emit(
        &self,
        target_ids: &[u32],
        numbered: bool,
        stay: &Stay,
        mut instruct: impl FnMut(u32, Instruction),
    ) {
        let mut held = Held::new(&self.shards);
        for &target_id in target_ids {
            let shard = held.lock(Ids::shard(target_id));
            if let Some(instruction) = shard.emit(Ids::local(target_id), numbered, stay) {
                instruct(target_id, instruction);
            }
        }
    }

    /// Takes back a subscription that was emitted for a node but not sent. Returns whether the target
    /// must be put into the node's outbox again. A stale id may give some other target: one of the same
    /// node is merely subscribed once more.
    pub fn withdraw(&self, target_id: u32, node: u32) -> bool {
        let shard = &mut *self.lock(target_id);
        let local = Ids::local(target_id);
        shard.targets[local].key(&shard.sessions).node == node && shard.withdraw(local)
    }

    /// Gives up on a target taken from the outbox of a node that cannot be subscribed to. Returns
    /// how many more monitors wait; the target's id is in the backlog then.
    pub fn fail(&self, target_id: u32, stay: &Stay) -> Option<u32> {
        let shard = &mut *self.lock(target_id);
        let local = Ids::local(target_id);
        shard.unqueue(local)?;
        let target = &shard.targets[local];
        if target.monitors() > 0 && target.is(SUBSCRIBED) {
            shard.keep(local);
            return None;
        }
        let monitors = shard.bury(local, stay, None);
        if monitors == 0 {
            shard.reap(local);
            return None;
        }
        shard.targets[local].state |= BACKLOG;
        Some(monitors)
    }

    /// Whether the node watches a target that is not dead.
    pub fn is_subscribed(&self, target_id: u32) -> bool {
        self.lock(target_id).targets[Ids::local(target_id)].is(SUBSCRIBED)
    }

    /// Expires a session, after its node got another one. Returns how many monitors wait for it
    /// now; their targets are reached with [`Targets::unlist_expired`].
    pub fn expire(&self, session: u64) -> u64 {
        let mut waiting = 0;
        for shard in &self.shards {
            let sessions = &mut shard.lock().sessions;
            if let Some(place) = sessions.find(session) {
                sessions[place].expired = true;
                waiting += u64::from(sessions[place].monitors);
            }
        }
        waiting
    }

    /// Holds a session, after its node got another one: nobody watches its targets any more, and that is
    /// no news to anybody yet. Returns how many monitors that concerns. [`Targets::resume`] or
    /// [`Targets::expire`] ends it.
    pub fn hold(&self, session: u64) -> u64 {
        let mut held = 0;
        for shard in &self.shards {
            let sessions = &mut shard.lock().sessions;
            if let Some(place) = sessions.find(session) {
                sessions[place].held = true;
                held += u64::from(sessions[place].monitors);
            }
        }
        held
    }

    /// Moves targets of a held session to the session of `stay`, up to `limit`. They are not
    /// subscribed any more. Those that must be put into the outbox are added to `queued`. Returns how many
    /// were moved, fewer than `limit` when the shard has no more, and how many monitors were held by them.
    pub fn resume(
        &self,
        (number, session): (usize, u64),
        stay: &Stay,
        limit: usize,
        queued: &mut Vec<u32>,
    ) -> (usize, u64) {
        let shard = &mut *self.shards[number].lock();
        let mut monitors = 0;
        for moved in 0..limit {
            let Some(place) = shard.sessions.find(session) else {
                return (moved, monitors);
            };
            let local = shard.sessions[place].head;
            let had = u64::from(shard.sessions[place].monitors);
            if shard.unsubscribe(local) {
                queued.push(Ids::of(number, local));
            }
            monitors += had - u64::from(shard.sessions[place].monitors);
            shard.restamp(local, stay);
        }
        (limit, monitors)
    }

    /// The monitors in these sessions that are subscribed, or were before they were held.
    pub fn monitors_of(&self, sessions: &[u64]) -> u64 {
        let of_shard = |shard: &Mutex<Shard<R>>| -> u64 {
            let shard = &shard.lock().sessions;
            let places = sessions.iter().filter_map(|&session| shard.find(session));
            places.map(|place| u64::from(shard[place].monitors)).sum()
        };
        self.shards.iter().map(of_shard).sum()
    }

    /// In how many shards a session has a target.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn shards_of(&self, session: u64) -> u32 {
        let has_session = |shard: &&Mutex<Shard<R>>| shard.lock().sessions.find(session).is_some();
        self.shards.iter().filter(has_session).count() as u32
    }

    /// Runs `view` while all locks are held.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn while_locked<T>(&self, view: impl FnOnce() -> T) -> T {
        let _held: Vec<_> = self.shards.iter().map(Mutex::lock).collect();
        view()
    }

    /// Takes targets out of an expired session, and their monitors as [`Targets::unlist`] does, up to
    /// `limit` of either. A target that had not been subscribed yet goes over to the session of
    /// `stay`: the old connection owed it nothing. Returns how many targets were seen, too.
    pub fn unlist_expired(
        &self,
        slots: &Arena<Slot>,
        (number, session): (usize, u64),
        stay: &Stay,
        limit: usize,
        monitors: &mut Vec<u32>,
    ) -> (usize, Expired) {
        let shard = &mut *self.shards[number].lock();
        for seen in 0..limit {
            if monitors.len() >= limit {
                return (seen, Expired::More);
            }
            let Some(place) = shard.sessions.find(session) else {
                return (seen, Expired::Nothing);
            };
            let local = shard.sessions[place].head;
            if !shard.targets[local].is(SUBSCRIBED) {
                shard.restamp(local, stay);
                continue;
            }
            shard.bury(local, stay, None);
            if !shard.unlist(slots, local, limit, monitors) {
                shard.targets[local].state |= BACKLOG;
                return (seen + 1, Expired::Target(Ids::of(number, local)));
            }
            shard.reap(local);
        }
        (limit, Expired::More)
    }

    /// Takes monitors from the list of a target in the backlog until `monitors` holds `limit`, in the
    /// order in which they were placed; they are in transit then. `true` means that none is left and the
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
            let key = shard.targets[local].key(&shard.sessions);
            (key, shard.reasons.get(&local).cloned())
        };
        target_ids.map(describe).collect()
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

    /// Withdraws the subscriptions of a session, up to `limit` at a call: their receiver is gone
    /// and another must make them anew. The targets that must be put into the outbox again are
    /// added to `queued`; `true` means that the whole session was seen.
    pub fn resubscribe(
        &self,
        session: u64,
        cursor: &mut Cursor,
        limit: usize,
        queued: &mut Vec<u32>,
    ) -> bool {
        let mut steps = 0;
        while cursor.shard < SHARDS && steps < limit {
            let shard = &mut *self.shards[cursor.shard].lock();
            let place = shard.sessions.find(session);
            let targets = place.map_or(0, |place| shard.sessions[place].targets);
            // Each target seen goes to the end of the list, so that the head is the next one.
            let mut left = cursor.left.unwrap_or(targets).min(targets);
            for _ in 0..HELD.min(left as usize) {
                let record = &mut shard.sessions[place.expect("it has targets")];
                let local = record.head;
                record.head = shard.targets[local].links.next();
                if shard.withdraw(local) {
                    queued.push(Ids::of(cursor.shard, local));
                }
                left -= 1;
                steps += 1;
            }
            steps += 1;
            cursor.left = (left > 0).then_some(left);
            cursor.shard += usize::from(left == 0);
        }
        cursor.shard == SHARDS
    }

    #[inline]
    fn lock(&self, target_id: u32) -> MutexGuard<'_, Shard<R>> {
        self.shards[Ids::shard(target_id)].lock()
    }
}

impl<R> Shard<R> {
    #[inline]
    fn join(
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
        let target = &mut self.targets[local];
        if target.monitors() == MOST_MONITORS {
            return Err(Full);
        }
        self.instructed += u64::from(fresh);
        target.state += MONITOR;
        slots.get(slot).set_target(Ids::of(number, local));
        slots.get(slot).claim.arm();
        list::push_back(&mut target.head, slot, |id| &slots.get(id).target_links);
        if target.is(SUBSCRIBED) {
            self.sessions[target.session].monitors += 1;
        }
        Ok(fresh.then(|| Ids::of(number, local)))
    }

    #[inline]
    fn find(&self, hash: u64, key: Key) -> Option<u32> {
        self.index.find(hash, |id| {
            let target = &self.targets[id];
            target.id == key.id && target.key(&self.sessions) == key
        })
    }

    fn add(&mut self, hash: u64, key: Key, stay: &Stay) -> Result<u32, Full> {
        let local = self.targets.insert(Target {
            id: key.id,
            head: NIL,
            state: QUEUED | INDEXED,
            session: NIL,
            links: Links::default(),
        })?;
        self.enlist(local, key.node, stay);
        let (targets, sessions) = (&self.targets, &self.sessions);
        self.index
            .insert(hash, local, |id| hash_of(targets[id].key(sessions)));
        Ok(local)
    }

    /// The found target if a new monitor may join it; otherwise it leaves the index.
    #[inline]
    fn current(&mut self, local: u32, stay: &Stay) -> Option<u32> {
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
    fn has_expired(&self, local: u32) -> bool {
        self.sessions[self.targets[local].session].expired
    }

    /// Whether the node watches a target over the connection that stands.
    #[inline]
    fn is_watched(&self, local: u32) -> bool {
        let target = &self.targets[local];
        // A dead target has no session, and is not subscribed.
        target.is(SUBSCRIBED) && {
            let session = &self.sessions[target.session];
            !session.expired && !session.held
        }
    }

    /// Makes a target dead: out of the index and of its session. Returns how many monitors it has.
    fn bury(&mut self, local: u32, stay: &Stay, reason: Option<R>) -> u32 {
        let node = self.targets[local].key(&self.sessions).node;
        self.numbers.remove(local);
        self.unindex(local);
        self.delist(local, stay);
        let target = &mut self.targets[local];
        target.state = (target.state | DEAD) & !SUBSCRIBED;
        target.session = node;
        let monitors = target.monitors();
        if let Some(reason) = reason {
            self.reasons.insert(local, reason);
        }
        monitors
    }

    #[inline]
    fn leave(&mut self, slots: &Arena<Slot>, slot_id: u32) -> Left {
        let slot = slots.get(slot_id);
        let local = Ids::local(slot.target());
        let target = &mut self.targets[local];
        let listed = slot.place() == Place::Listed;
        if listed {
            list::unlink(&mut target.head, slot_id, |id| &slots.get(id).target_links);
        }
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
    fn unlist(
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
        target.head == NIL
    }

    #[inline]
    fn reap(&mut self, local: u32) {
        let target = &self.targets[local];
        if target.monitors() == 0 && target.state & (DEAD | QUEUED | BACKLOG) == DEAD {
            // Most targets die without a reason of their own, and a lookup is not free.
            if !self.reasons.is_empty() {
                self.reasons.remove(&local);
            }
            self.targets.remove(local);
        }
    }

    /// Notes that a target is out of its outbox; `None` when it is dead and has no more to say.
    fn unqueue(&mut self, local: u32) -> Option<()> {
        let target = &mut self.targets[local];
        target.state &= !QUEUED;
        if target.is(DEAD) {
            self.reap(local);
            return None;
        }
        Some(())
    }

    #[inline]
    fn emit(&mut self, local: u32, numbered: bool, stay: &Stay) -> Option<Instruction> {
        self.unqueue(local)?;
        let target = &self.targets[local];
        let (key, monitors) = (target.key(&self.sessions), target.monitors());
        match (monitors > 0, target.is(SUBSCRIBED)) {
            (true, false) => {
                self.restamp(local, stay);
                let target = &mut self.targets[local];
                target.state |= SUBSCRIBED;
                self.sessions[target.session].monitors += monitors;
                Some(self.subscribe(local, key, numbered))
            }
            (true, true) if key.id[2] == NAMED => self.renew(local, key, numbered),
            (true, true) => None,
            (false, _) => {
                let watched = self.is_watched(local);
                self.bury(local, stay, None);
                self.reap(local);
                watched.then_some(Instruction::Unsubscribe(key))
            }
        }
    }

    #[inline]
    fn subscribe(&mut self, local: u32, key: Key, numbered: bool) -> Instruction {
        if key.id[2] != NAMED {
            return Instruction::Subscribe(key);
        }
        if !numbered {
            self.numbers.remove(local);
            return Instruction::Subscribe(key);
        }
        // One that comes round again is two billion subscriptions old.
        self.numbered = (self.numbered + 1) % STALE;
        self.numbers.set(local, self.numbered);
        Instruction::SubscribeName(key, self.numbered)
    }

    /// What is told of a name that is subscribed to, and was not wanted for a while.
    fn renew(&mut self, local: u32, key: Key, numbered: bool) -> Option<Instruction> {
        self.numbers
            .get(local)
            .filter(|number| number & STALE != 0)?;
        if numbered && self.is_watched(local) {
            return Some(self.subscribe(local, key, numbered));
        }
        self.keep(local);
        None
    }

    /// Has the standing subscription of a target, if it is of a name, be that of those who came since, too.
    fn keep(&mut self, local: u32) {
        if let Some(number) = self.numbers.get(local) {
            self.numbers.set(local, number & !STALE);
        }
    }

    /// Notes that a name is wanted again, if nobody wanted it any more and its node has yet to be told so. Its
    /// process may be another one by now.
    fn outlive(&mut self, local: u32) {
        let target = &self.targets[local];
        if target.monitors() == 0
            && let Some(number) = self.numbers.get(local)
        {
            self.numbers.set(local, number | STALE);
        }
    }

    fn withdraw(&mut self, local: u32) -> bool {
        self.is_watched(local) && self.unsubscribe(local)
    }

    /// Has a target wait for its subscription again. Returns whether it must be put into the outbox.
    fn unsubscribe(&mut self, local: u32) -> bool {
        let target = &self.targets[local];
        if !target.is(SUBSCRIBED) {
            return false;
        }
        let (session, monitors) = (target.session, target.monitors());
        self.sessions[session].monitors -= monitors;
        let target = &mut self.targets[local];
        let queue = !target.is(QUEUED);
        target.state = (target.state | QUEUED) & !SUBSCRIBED;
        queue
    }

    fn restamp(&mut self, local: u32, stay: &Stay) {
        let former = &self.sessions[self.targets[local].session];
        if former.number != stay.session() {
            let node = former.node;
            self.delist(local, stay);
            self.enlist(local, node, stay);
        }
    }

    fn enlist(&mut self, local: u32, node: u32, stay: &Stay) {
        debug_assert!(!self.targets[local].is(SUBSCRIBED));
        let number = stay.session();
        let place = self.sessions.find_or_add(number, || Session {
            number,
            node,
            head: NIL,
            ..Session::default()
        });
        self.targets[local].session = place;
        let session = &mut self.sessions[place];
        if session.targets == 0 {
            stay.enter(number);
        }
        session.targets += 1;
        list::push_back(&mut session.head, local, |id| &self.targets[id].links);
    }

    fn delist(&mut self, local: u32, stay: &Stay) {
        let target = &self.targets[local];
        let session = &mut self.sessions[target.session];
        session.targets -= 1;
        if target.is(SUBSCRIBED) {
            session.monitors -= target.monitors();
        }
        list::unlink(&mut session.head, local, |id| &self.targets[id].links);
        if session.targets == 0 {
            stay.leave(session.number);
            self.sessions.remove(target.session);
        }
    }

    fn unindex(&mut self, local: u32) {
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

#[inline]
fn hash_of(key: Key) -> u64 {
    let rest = u64::from(key.id[1]) << 32 | u64::from(key.id[2]);
    hash(rest.rotate_left(16) ^ u64::from(key.node), key.id[0])
}
