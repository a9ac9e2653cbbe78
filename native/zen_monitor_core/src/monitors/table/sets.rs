//! Sets: subscribers whose monitors need no references.

use super::MonitorTable;
use crate::monitors::nodes::Node;
use crate::monitors::subscribers::{Cursor, Enlisted};
use crate::monitors::targets::Key;
use crate::structures::held::HELD;
use crate::structures::limits::Full;

impl<R: Clone, X> MonitorTable<R, X> {
    /// Adds an empty set under a word that no subscriber has had before, if there is room for it.
    pub fn open_set(&self, set: u64) -> Result<(), Full> {
        self.subscribers.open(set)
    }

    /// Puts up to [`HELD`] targets into a set, and returns how many are new. Those that are members stay what
    /// they are. [`Full`] when there is no room for some; others are put. Only the owner of the set may
    /// call this. `wake` is called for a node whose outbox was given a target.
    pub fn put(
        &self,
        set: u64,
        keys: &[Key],
        mut wake: impl FnMut(&Node<X>),
    ) -> (usize, Result<(), Full>) {
        debug_assert!(keys.len() <= HELD);
        let (mut added, mut outcome) = (0, Ok(()));
        let mut again: Vec<Key>;
        let mut keys = keys;
        loop {
            let mut enlisted = Enlisted::default();
            enlisted.placed.reserve(keys.len());
            let placed = (self.subscribers).enlist(&self.slots, set, keys, &mut enlisted);
            let (joined, all) = self.join_each(&enlisted.placed, &mut wake);
            added += joined;
            outcome = outcome.and(placed).and(all);
            if enlisted.sending.is_empty() {
                return (added, outcome);
            }
            // If that fails, they are members still.
            for (_, member) in &enlisted.sending {
                self.await_sent(member);
            }
            again = enlisted.sending.into_iter().map(|(key, _)| key).collect();
            keys = &again;
        }
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
