//! What a remote node is told about its targets: out of its outbox, and back into it.

use super::belonging::Look;
use super::key::{Key, NAMED};
use super::shard::Shard;
use super::target::{BACKLOG, DEAD, QUEUED, SUBSCRIBED};
use super::{Ids, SHARDS, Targets};
use crate::monitors::stay::Stay;
use crate::structures::held::{HELD, Held};

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

/// How far [`Targets::resubscribe`] has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursor {
    /// The shard it is in.
    pub shard: usize,
    /// Up to which place the targets of that shard have been looked for.
    pub seen: u32,
}

impl<R: Clone> Targets<R> {
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
        let monitors = shard.bury(local, stay);
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

    /// Withdraws the subscriptions of a session, with up to `limit` looks for them at a call: their receiver is gone
    /// and another must make them anew. The targets that must be put into the outbox again are
    /// added to `queued`; `true` means that the whole session was seen.
    pub fn resubscribe(
        &self,
        session: u64,
        cursor: &mut Cursor,
        limit: usize,
        queued: &mut Vec<u32>,
    ) -> bool {
        let mut looks = 0;
        while cursor.shard < SHARDS && looks < limit {
            let shard = &mut *self.shards[cursor.shard].lock();
            let place = shard.sessions.find(session);
            for _ in 0..HELD.min(limit - looks) {
                looks += 1;
                match place.map_or(Look::End, |place| shard.look(place, cursor.seen)) {
                    Look::Found(local) => {
                        if shard.withdraw(local) {
                            queued.push(Ids::of(cursor.shard, local));
                        }
                        cursor.seen = local + 1;
                    }
                    Look::Further(from) => cursor.seen = from,
                    Look::End => {
                        cursor.shard += 1;
                        cursor.seen = 0;
                        break;
                    }
                }
            }
        }
        cursor.shard == SHARDS
    }
}

impl<R> Shard<R> {
    /// Notes that a target is out of its outbox; `None` when it is dead and has no more to say.
    pub(super) fn unqueue(&mut self, local: u32) -> Option<()> {
        let target = &mut self.targets[local];
        target.state &= !QUEUED;
        if target.is(DEAD) {
            self.reap(local);
            return None;
        }
        Some(())
    }

    #[inline]
    pub(super) fn emit(&mut self, local: u32, numbered: bool, stay: &Stay) -> Option<Instruction> {
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
                self.bury(local, stay);
                self.reap(local);
                watched.then_some(Instruction::Unsubscribe(key))
            }
        }
    }

    pub(super) fn withdraw(&mut self, local: u32) -> bool {
        self.is_watched(local) && self.unsubscribe(local)
    }

    /// Has a target wait for its subscription again. Returns whether it must be put into the outbox.
    pub(super) fn unsubscribe(&mut self, local: u32) -> bool {
        let target = &self.targets[local];
        if !target.is(SUBSCRIBED) {
            return false;
        }
        self.close(local);
        let target = &self.targets[local];
        let (session, monitors) = (target.session, target.monitors());
        self.sessions[session].monitors -= monitors;
        let target = &mut self.targets[local];
        let queue = !target.is(QUEUED);
        target.state = (target.state | QUEUED) & !SUBSCRIBED;
        queue
    }
}
