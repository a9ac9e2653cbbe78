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
            // If the sending fails, they are still members.
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

    /// Takes up to [`HELD`] members out of a set, whichever they are, as [`MonitorTable::delete`] does. Returns how many,
    /// and whether the set had none. A former member whose message is being sent counts until it is freed.
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

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use crate::monitors::delivery::Delivery;
    use crate::monitors::share::Share;
    use crate::monitors::targets::{Instruction, MOST_MONITORS};
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    type Table = MonitorTable<u32, ()>;

    #[derive(Clone, Debug)]
    enum Op {
        Put(u64, Vec<(u32, u32)>),
        Delete(u64, Vec<(u32, u32)>),
        Monitor((u32, u32)),
        Take(u32),
        Certify(u32, u32),
        Expire(u32),
        Expand(usize),
        Deliver(usize),
        Close(u64),
        Depart(u64),
        Sweep(usize),
    }

    fn op() -> impl Strategy<Value = Op> {
        let (set, target) = (0..3u64, (0..3u32, 0..40u32));
        let targets = prop::collection::vec(target.clone(), 0..HELD);
        prop_oneof![
            6 => (set.clone(), targets.clone()).prop_map(|(set, targets)| Op::Put(set, targets)),
            3 => (set.clone(), targets).prop_map(|(set, targets)| Op::Delete(set, targets)),
            3 => target.clone().prop_map(Op::Monitor),
            4 => (0..3u32).prop_map(Op::Take),
            6 => target.prop_map(|(node, id)| Op::Certify(node, id)),
            1 => (0..3u32).prop_map(Op::Expire),
            3 => (1..100usize).prop_map(Op::Expand),
            6 => (1..30usize).prop_map(Op::Deliver),
            1 => set.clone().prop_map(Op::Close),
            1 => set.prop_map(Op::Depart),
            2 => (1..50usize).prop_map(Op::Sweep),
        ]
    }

    /// What is in each set, in the order of putting, and which lives the sets have had.
    #[derive(Default)]
    struct Model {
        members: BTreeMap<u64, Vec<Key>>,
        lives: u64,
        words: BTreeMap<u64, u64>,
        monitors: u32,
    }

    /// One whose node is told apart by nothing but itself, as names are.
    fn key((node, id): (u32, u32)) -> Key {
        Key {
            node,
            id: [id, 0, 9],
        }
    }

    fn keys(targets: &[(u32, u32)]) -> Vec<Key> {
        targets.iter().map(|&target| key(target)).collect()
    }

    impl Model {
        fn open(&mut self, table: &Table, set: u64) {
            self.lives += 1;
            let word = self.lives << 4 | 0b1100;
            table.open_set(word).unwrap();
            self.words.insert(set, word);
            self.members.insert(word, Vec::new());
        }

        fn of(&mut self, set: u64) -> (u64, &mut Vec<Key>) {
            let word = self.words[&set];
            (word, self.members.get_mut(&word).unwrap())
        }
    }

    fn deliver(table: &Table, model: &mut Model, limit: usize) -> usize {
        let mut delivery = Delivery::new(table, limit);
        let turns = delivery.take_turns(limit, |_| Share::all());
        for (number, (key, _)) in delivery.describe(0).into_iter().enumerate() {
            assert!(delivery.begin(number));
            let word = delivery.taken(number).pid;
            if let Some(members) = model.members.get_mut(&word) {
                let place = members.iter().position(|member| *member == key);
                members.remove(place.expect("a member is told of once"));
                // It is no member any more, though it is not taken out yet.
                assert!(!table.is_member(word, key));
                assert_eq!(table.members(word), *members);
            }
            delivery.end(number);
            if model.members.contains_key(&word) {
                // Nothing is left that a delete would find.
                assert_eq!(table.delete(word, &[key], |_| ()), 0);
            }
        }
        turns
    }

    fn apply(table: &Table, model: &mut Model, op: Op) {
        match op {
            Op::Put(set, targets) => {
                let (word, members) = model.of(set);
                let before = members.len();
                for key in keys(&targets) {
                    if !members.contains(&key) {
                        members.push(key);
                    }
                }
                let added = members.len() - before;
                let put = table.put(word, &keys(&targets), |_| ());
                assert_eq!(put, (added, Ok(())));
            }
            Op::Delete(set, targets) => {
                let (word, members) = model.of(set);
                let gone: BTreeSet<_> = targets.iter().copied().collect();
                let before = members.len();
                members.retain(|key| !gone.contains(&(key.node, key.id[0])));
                let deleted = before - members.len();
                assert_eq!(table.delete(word, &keys(&targets), |_| ()), deleted);
            }
            Op::Monitor(target) => {
                model.monitors += 1;
                let (node, reference) = (table.nodes.get(target.0), [model.monitors, 0, 0]);
                let placed = table.monitor(node, 16, reference, key(target).id);
                placed.unwrap();
            }
            Op::Take(node) => {
                let node = table.nodes.get(node);
                let (taken, _) = table.take(node, 100, 100);
                let is_of = |instruction: &Instruction| {
                    let key = instruction.key();
                    key.node == node.id()
                };
                assert!(taken.iter().all(is_of));
                table.confirm(node);
            }
            Op::Certify(node, id) => {
                table.certify(table.nodes.get(node), key((node, id)).id, None, id)
            }
            Op::Expire(node) => table.expire(table.nodes.get(node)),
            Op::Expand(limit) => drop(table.expand(limit)),
            Op::Deliver(limit) => drop(deliver(table, model, limit)),
            Op::Close(set) => {
                let (word, members) = model.of(set);
                let mut closed = 0;
                loop {
                    let (some, is_empty) = table.empty(word, |_| ());
                    closed += some;
                    if is_empty {
                        break;
                    }
                }
                assert_eq!(closed, std::mem::take(members).len());
                assert!(!table.depart(word));
                assert_eq!(table.put(word, &keys(&[(0, 0)]), |_| ()), (0, Err(Full)));
                model.open(table, set);
            }
            Op::Depart(set) => {
                let (word, members) = model.of(set);
                members.clear();
                table.depart(word);
                model.open(table, set);
            }
            Op::Sweep(limit) => drop(table.sweep_departed(limit, |_| (), |_, _| ())),
        }
        for &word in model.words.values() {
            let members = &model.members[&word];
            assert_eq!(table.members(word), *members);
            assert!(members.iter().all(|key| table.is_member(word, *key)));
        }
    }

    proptest! {
        #[test]
        fn behaves_as_sets(ops in prop::collection::vec(op(), 0..300)) {
            let (table, mut model) = (Table::default(), Model::default());
            for node in 0..3 {
                table.nodes.find_or_add(node, || ());
            }
            for set in 0..3 {
                model.open(&table, set);
            }
            for op in ops {
                apply(&table, &mut model, op);
            }
            // All that is still in the sets fires, once.
            for node in table.nodes.iter() {
                table.take(node, usize::MAX, usize::MAX);
                table.confirm(node);
                table.expire(node);
            }
            while !table.expand(1_000) {}
            while deliver(&table, &mut model, 50) > 0 {}
            prop_assert!(model.members.values().all(Vec::is_empty));
            for word in model.words.values().chain(&[16]) {
                table.depart(*word);
            }
            while !table.sweep_departed(1_000, |_| (), |_, _| ()) {}
            for node in table.nodes.iter() {
                table.take(node, usize::MAX, usize::MAX);
                table.confirm(node);
            }
            prop_assert_eq!(table.sizes(), Default::default());
            prop_assert_eq!(table.counts().standing, 0);
            prop_assert_eq!(table.dispatch_counts().waiting, 0);
        }
    }

    fn opened(word: u64) -> Table {
        let table = Table::default();
        table.nodes.find_or_add(0, || ());
        table.open_set(word).unwrap();
        table
    }

    #[test]
    fn a_walk_finds_its_place_again_when_what_it_saw_last_is_gone() {
        let table = opened(28);
        let all: Vec<Key> = (0..3 * HELD as u32).map(|id| key((0, id))).collect();
        for some in all.chunks(HELD) {
            assert_eq!(table.put(28, some, |_| ()).0, HELD);
        }
        let (mut cursor, mut seen) = (Cursor::default(), Vec::new());
        let walk = |cursor: &mut Cursor, seen: &mut Vec<Key>| {
            table.subscribers.walk(&table.slots, 28, cursor, HELD, seen)
        };
        assert_eq!(walk(&mut cursor, &mut seen), Some(true));
        // All that it saw but the first, and the first of what comes.
        table.delete(28, &all[1..HELD], |_| ());
        table.delete(28, &all[HELD..HELD + 1], |_| ());
        assert_eq!(walk(&mut cursor, &mut seen), Some(true));
        assert_eq!(seen[HELD..], all[HELD + 1..2 * HELD + 1]);
        // All that it saw; and the places are taken again.
        table.delete(28, &all[HELD + 1..2 * HELD + 1], |_| ());
        assert_eq!(table.put(28, &all[1..HELD], |_| ()).0, HELD - 1);
        assert_eq!(walk(&mut cursor, &mut seen), None);
        let left = [&all[..1], &all[2 * HELD + 1..], &all[1..HELD]].concat();
        assert_eq!(table.members(28), left);
    }

    #[test]
    fn what_is_refused_is_no_member_and_the_others_are() {
        let table = opened(28);
        let node = table.nodes.get(0);
        for number in 0..MOST_MONITORS {
            let reference = [number, 0, 0];
            let placed = table.monitor(node, 16, reference, key((0, 1)).id);
            placed.unwrap();
        }
        let before = table.counts().standing;
        let put = table.put(28, &keys(&[(0, 0), (0, 1), (0, 2)]), |_| ());
        assert_eq!(put, (2, Err(Full)));
        assert_eq!(table.members(28), keys(&[(0, 0), (0, 2)]));
        assert_eq!(table.counts().standing, before + 2);
        let references = [[MOST_MONITORS, 0, 0], [MOST_MONITORS + 1, 0, 0]];
        let both = keys(&[(0, 1), (0, 3)]);
        let placed = table.monitor_each(16, &references, &both, |_| ());
        assert_eq!(placed, (false, Err(Full)));
        assert_eq!(table.demonitor_each(16, &references, |_| ()), [0]);
        assert_eq!(table.counts().standing, before + 2);
    }

    #[test]
    fn a_table_without_a_free_slot_takes_what_there_is_room_for() {
        let table = Table::with_most(1, 9, 1_000);
        table.nodes.find_or_add(0, || ());
        table.open_set(28).unwrap();
        for first in (0..256).step_by(HELD) {
            let some: Vec<Key> = (first..first + 50).map(|id| key((0, id))).collect();
            assert_eq!(table.put(28, &some, |_| ()), (50, Ok(())));
        }
        let more: Vec<Key> = (1_000..1_060).map(|id| key((0, id))).collect();
        assert_eq!(table.put(28, &more, |_| ()), (56, Err(Full)));
        assert_eq!(table.members(28).len(), 256);
        assert_eq!(table.delete(28, &more, |_| ()), 56);
        // No set has more room than a shard has for subscribers.
        let opened = (0..20).filter(|n| table.open_set((n * 256 + 1) << 4 | 12).is_ok());
        assert_eq!(opened.count(), 8);
    }

    #[test]
    fn several_are_placed_and_removed_as_one_by_one() {
        let table = opened(28);
        let all: Vec<Key> = (0..60).map(|id| key((0, id % 50))).collect();
        let references: Vec<_> = (0..60).map(|number| [number, 0, 0]).collect();
        let mut woken = 0;
        let placed = table.monitor_each(16, &references, &all, |_| woken += 1);
        assert_eq!((placed, woken), ((true, Ok(())), 1));
        let node = table.nodes.get(0);
        assert_eq!(table.take(node, 100, 100).0.len(), 50);
        table.certify(node, all[0].id, None, 1);
        table.expand(10);
        deliver(&table, &mut Model::default(), 10);
        // Two were of it.
        let unknown = table.demonitor_each(16, &references, |_| ());
        assert_eq!(unknown, [0, 50]);
        assert_eq!(table.demonitor_each(32, &references, |_| ()).len(), 60);
        assert_eq!(table.counts().standing, 0);
    }
}
