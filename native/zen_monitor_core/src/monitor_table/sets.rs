//! Sets: subscribers whose monitors need no references.

use super::MonitorTable;
use crate::held::HELD;
use crate::nodes::Node;
use crate::subscribers::Cursor;
use crate::targets::Key;

/// What putting into a set has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Put {
    /// How many members are new.
    pub added: usize,
    /// How many targets have as many monitors as they may.
    pub refused: usize,
}

impl<R: Clone, X> MonitorTable<R, X> {
    /// Adds an empty set under a word that no subscriber has had before.
    pub fn open_set(&self, set: u64) {
        self.subscribers.open(set);
    }

    /// Puts up to [`HELD`] targets into a set. Those that are members stay what they are. `None` when there is
    /// no such set. Only the owner of the set may call this. `wake` is called for a node whose outbox
    /// was given a target.
    pub fn put(&self, set: u64, keys: &[Key], wake: impl FnMut(&Node<X>)) -> Option<Put> {
        debug_assert!(keys.len() <= HELD);
        let mut placed = Vec::with_capacity(keys.len());
        if !self.subscribers.enlist(&self.slots, set, keys, &mut placed) {
            return None;
        }
        let monitors = placed.iter().map(|&(slot, place)| (keys[place], slot));
        let refused = self.join_each(monitors, wake);
        let added = placed.len() - refused;
        Some(Put { added, refused })
    }

    /// Takes up to [`HELD`] targets out of a set, and returns how many were members. By then, nothing
    /// is sent for them any more. Only the owner of the set may call this.
    pub fn delete(&self, set: u64, keys: &[Key], wake: impl FnMut(&Node<X>)) -> usize {
        debug_assert!(keys.len() <= HELD);
        let mut found = Vec::with_capacity(keys.len());
        self.subscribers
            .find_members(&self.slots, set, keys, &mut found);
        self.remove_each(&found, wake, |_| ())
    }

    /// Takes up to [`HELD`] members out of a set, whichever they are, as [`MonitorTable::delete`] does. Returns
    /// how many, and whether the set was empty: others may still be about to be freed by who has sent for them.
    pub fn empty(&self, set: u64, wake: impl FnMut(&Node<X>)) -> (usize, bool) {
        let found = self.subscribers.first_members(&self.slots, set, HELD);
        (self.remove_each(&found, wake, |_| ()), found.is_empty())
    }

    /// Whether a target is in a set, and nothing has been sent for it.
    pub fn is_member(&self, set: u64, key: Key) -> bool {
        self.subscribers.is_member(&self.slots, set, key)
    }

    /// The members of a set, in the order in which they were put. It takes as long as there are members, but
    /// never holds a lock for long.
    pub fn members(&self, set: u64) -> Vec<Key> {
        let mut members = Vec::new();
        let mut cursor = Cursor::default();
        loop {
            match self
                .subscribers
                .walk(&self.slots, set, &mut cursor, HELD, &mut members)
            {
                Some(true) => {}
                Some(false) => return members,
                None => {
                    members.clear();
                    cursor = Cursor::default();
                }
            }
        }
    }

    /// How many monitors of a set wait in its queue, those removed included.
    pub fn queued(&self, set: u64) -> u32 {
        self.subscribers.queued(set)
    }
}
