//! What becomes of the targets of a session whose connection is lost: they are held and resumed, or expire.

use super::shard::Shard;
use super::target::{BACKLOG, SUBSCRIBED};
use super::{Ids, Targets};
use crate::monitors::sessions::Session;
use crate::monitors::slot::Slot;
use crate::monitors::stay::Stay;
use crate::structures::arena::Arena;
use crate::structures::sync::Mutex;

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

impl<R: Clone> Targets<R> {
    /// Expires a session, after its node got another one. Returns how many monitors wait for it
    /// now; their targets are reached with [`Targets::unlist_expired`].
    pub fn expire(&self, session: u64) -> u64 {
        self.mark(session, |session| session.expired = true)
    }

    /// Holds a session, after its node got another one: nobody watches its targets any more, and that is
    /// no news to anybody yet. Returns how many monitors that concerns. [`Targets::resume`] or
    /// [`Targets::expire`] ends it.
    pub fn hold(&self, session: u64) -> u64 {
        self.mark(session, |session| session.held = true)
    }

    /// Marks a session in all shards. Returns how many monitors it has there.
    fn mark(&self, session: u64, mark: impl Fn(&mut Session)) -> u64 {
        let mut monitors = 0;
        for shard in &self.shards {
            let shard = &mut *shard.lock();
            if let Some(place) = shard.sessions.find(session) {
                shard.close_in(place);
                mark(&mut shard.sessions[place]);
                monitors += u64::from(shard.sessions[place].monitors);
            }
        }
        monitors
    }

    /// Moves targets of a held session to the session of `stay`, with up to `limit` looks for them. They are not
    /// subscribed any more. Those that must be put into the outbox are added to `queued`. Returns how many looks it took,
    /// fewer than `limit` when the shard has no more, and how many monitors were held by the targets.
    pub fn resume(
        &self,
        (number, session): (usize, u64),
        stay: &Stay,
        limit: usize,
        queued: &mut Vec<u32>,
    ) -> (usize, u64) {
        let shard = &mut *self.shards[number].lock();
        let mut monitors = 0;
        for looks in 0..limit {
            let Some(place) = shard.sessions.find(session) else {
                return (looks, monitors);
            };
            let Some(local) = shard.seek(place) else {
                continue;
            };
            shard.close(local);
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
            let shard = shard.lock();
            let place = |session: &u64| shard.sessions.find(*session);
            let places = sessions.iter().filter_map(place);
            places.map(|place| shard.subscribed_in(place)).sum()
        };
        self.shards.iter().map(of_shard).sum()
    }

    /// Takes targets out of an expired session, and their monitors as [`Targets::unlist`] does, up to
    /// `limit` of either. A target that had not been subscribed yet goes over to the session of
    /// `stay`: the old connection owed it nothing. Returns how many looks for targets it took, too.
    pub fn unlist_expired(
        &self,
        slots: &Arena<Slot>,
        (number, session): (usize, u64),
        stay: &Stay,
        limit: usize,
        monitors: &mut Vec<u32>,
    ) -> (usize, Expired) {
        let shard = &mut *self.shards[number].lock();
        for looks in 0..limit {
            if monitors.len() >= limit {
                return (looks, Expired::More);
            }
            let Some(place) = shard.sessions.find(session) else {
                return (looks, Expired::Nothing);
            };
            let Some(local) = shard.seek(place) else {
                continue;
            };
            if !shard.targets[local].is(SUBSCRIBED) {
                shard.restamp(local, stay);
                continue;
            }
            shard.bury(local, stay);
            if !shard.unlist(slots, local, limit, monitors) {
                shard.targets[local].state |= BACKLOG;
                return (looks + 1, Expired::Target(Ids::of(number, local)));
            }
            shard.reap(local);
        }
        (limit, Expired::More)
    }

    /// In how many shards a session has a target.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn shards_of(&self, session: u64) -> u32 {
        let has_session = |shard: &&Mutex<Shard<R>>| shard.lock().sessions.find(session).is_some();
        self.shards.iter().filter(has_session).count() as u32
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::super::key::{Key, hash_of};
    use super::*;
    use crate::monitors::targets::SHARDS;
    use crate::structures::arena::CHUNK;
    use crate::structures::hash::{BLOCK, shard};

    #[test]
    fn few_among_many_of_another_node_are_found_in_few_looks() {
        const MANY: usize = 20_000;
        let (targets, slots) = (Targets::<u32>::default(), Arena::<Slot>::default());
        let stays = [Stay::new(0), Stay::new(1)];
        let mut free = Vec::new();
        let mut subscribe = |node: u32, number: u32| {
            let key = Key {
                node,
                id: [number, 0, 0],
            };
            if free.is_empty() {
                let first = slots.grow().unwrap();
                free.extend(first..first + CHUNK);
            }
            let (stay, slot) = (&stays[node as usize], free.pop().unwrap());
            slots.get(slot).occupy([number, 0, 0], 0);
            let id = targets.join(&slots, key, stay, slot).unwrap().unwrap();
            targets.emit(&[id], false, stay, |_, _| ());
        };
        // All in one shard.
        let in_shard = |node| {
            let is_here = move |&number: &u32| {
                let id = [number, 0, 0];
                shard(hash_of(Key { node, id }), SHARDS) == 7
            };
            let blocks = (0..u32::MAX).step_by(BLOCK as usize).filter(is_here);
            blocks.flat_map(|first| first..first + BLOCK)
        };
        let mut few = in_shard(1);
        for (n, number) in in_shard(0).take(MANY).enumerate() {
            if n % (MANY / 3) == MANY / 6 {
                subscribe(1, few.next().unwrap());
            }
            subscribe(0, number);
        }

        let (next, mut looks, mut monitors) = (Stay::new(2), 0, Vec::new());
        assert_eq!(targets.expire(1), 3);
        loop {
            let place = (7, 1);
            let (more, found) = targets.unlist_expired(&slots, place, &next, 64, &mut monitors);
            assert!(more <= 64);
            looks += more;
            if found == Expired::Nothing {
                break;
            }
        }
        assert_eq!(monitors.len(), 3);
        // It would take some 600, if it was not known in which regions they are.
        assert!(looks < 100, "{looks} looks");
    }
}
