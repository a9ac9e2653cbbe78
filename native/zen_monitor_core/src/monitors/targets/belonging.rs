//! Which session a target belongs to, and which targets belong to a session.
//!
//! A list of these would take two links for each target. So they are looked for in the slab, a few at a time.

use super::shard::Shard;
use super::target::SUBSCRIBED;
use crate::monitors::sessions::Session;
use crate::monitors::stay::Stay;

/// At how many targets one look is at most. When none of them is in a cache, it takes 0.2 µs.
const LOOK: usize = 32;

/// What became of a look for a target of a session.
pub(super) enum Look {
    /// Here is one.
    Found(u32),
    /// None up to here.
    Further(u32),
    /// None up to the last place.
    End,
}

impl<R> Shard<R> {
    pub(super) fn restamp(&mut self, local: u32, stay: &Stay) {
        let former = &self.sessions[self.targets[local].session];
        if former.number != stay.session() {
            let node = former.node;
            self.delist(local, stay);
            self.enlist(local, node, stay);
        }
    }

    pub(super) fn enlist(&mut self, local: u32, node: u32, stay: &Stay) {
        debug_assert!(!self.targets[local].is(SUBSCRIBED));
        let number = stay.session();
        let place = self.sessions.find_or_add(number, || Session {
            number,
            node,
            ..Session::default()
        });
        self.targets[local].session = place;
        let session = &mut self.sessions[place];
        if session.targets == 0 {
            stay.enter(number);
        }
        session.targets += 1;
        session.regions.note(local);
    }

    /// Looks for targets of a session from a place on, among some that lie side by side.
    #[inline]
    pub(super) fn look(&self, session: u32, from: u32) -> Look {
        let Some(from) = self.sessions[session].regions.next(from) else {
            return Look::End;
        };
        let run = self.targets.run(from);
        let targets = &run[..run.len().min(LOOK)];
        if targets.is_empty() {
            return Look::End;
        }
        match targets.iter().position(|target| target.is_in(session)) {
            Some(found) => Look::Found(from + found as u32),
            None => Look::Further(from + targets.len() as u32),
        }
    }

    /// A target of a session, or `None` when more looks are needed. Whoever goes on until the session is not found any more
    /// sees all of its targets: what has joined it behind the place that was reached is seen in the next round.
    #[inline]
    pub(super) fn seek(&mut self, session: u32) -> Option<u32> {
        let (seen, found) = match self.look(session, self.sessions[session].seen) {
            Look::Found(local) => (local, Some(local)),
            Look::Further(from) => (from, None),
            Look::End => (0, None),
        };
        self.sessions[session].seen = seen;
        found
    }

    pub(super) fn delist(&mut self, local: u32, stay: &Stay) {
        let target = &self.targets[local];
        let session = &mut self.sessions[target.session];
        session.targets -= 1;
        if target.is(SUBSCRIBED) {
            session.monitors -= target.monitors();
        }
        if session.targets == 0 {
            stay.leave(session.number);
            self.sessions.remove(target.session);
        }
    }
}
