//! The subscriptions of names, each of which has a number where the node returns it.

use super::instructions::Instruction;
use super::key::{Key, NAMED};
use super::shard::Shard;

/// Marks the number of a subscription that nobody wanted any more for a while: its certificate is not for
/// those who came since, but tells that the subscription is over.
pub(super) const STALE: u32 = 1 << 31;

impl<R> Shard<R> {
    #[inline]
    pub(super) fn subscribe(&mut self, local: u32, key: Key, numbered: bool) -> Instruction {
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
    pub(super) fn renew(&mut self, local: u32, key: Key, numbered: bool) -> Option<Instruction> {
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
    pub(super) fn keep(&mut self, local: u32) {
        if let Some(number) = self.numbers.get(local) {
            self.numbers.set(local, number & !STALE);
        }
    }

    /// Notes that a name is wanted again, if nobody wanted it any more and its node has yet to be told so. Its
    /// process may be another one by now.
    pub(super) fn outlive(&mut self, local: u32) {
        let target = &self.targets[local];
        if target.monitors() == 0
            && let Some(number) = self.numbers.get(local)
        {
            self.numbers.set(local, number | STALE);
        }
    }
}
