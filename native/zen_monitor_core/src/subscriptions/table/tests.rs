use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

fn pid(number: u64) -> Destination {
    Destination {
        word: number << 4 | 3,
        node: 0,
    }
}

/// A table with the owner of its monitors, as the Proxy is. The reason that it keeps with a dead
/// destination is how many exits there have been.
#[derive(Default)]
struct Owner {
    table: SubscriptionTable<usize, u32>,
    placed: HashMap<MonitorRef, Destination>,
    next: u32,
    /// The outboxes that take nothing in.
    full: HashSet<usize>,
    exits: u32,
}

impl Owner {
    fn subscribe(&mut self, id: ConnectorId, destination: Destination) {
        let made = self.table.subscribe(id, destination).unwrap();
        self.place(made);
    }

    fn subscribe_numbered(&mut self, id: ConnectorId, number: u32) {
        let (released, made) = self.table.subscribe_numbered(id, pid(7), number);
        if let Some(monitor) = released {
            assert_eq!(self.placed.remove(&monitor), Some(pid(7)));
        }
        self.place(made.unwrap());
    }

    /// Whom the exit of that process is told, with the numbers of the subscriptions.
    fn numbers_told(&mut self) -> Vec<(usize, Option<u32>)> {
        let mut told = Vec::new();
        let deliver = |outbox: &usize, number| {
            told.push((*outbox, number));
            true
        };
        self.table.certify(pid(7), || 0, deliver);
        told.sort_unstable();
        told
    }

    fn place(&mut self, made: impl IntoIterator<Item = u32>) {
        for target in made {
            if let Some(destination) = self.table.begin_monitor(target, |_| true) {
                self.next += 1;
                let monitor = [self.next, 0, 0];
                self.placed.insert(monitor, destination);
                assert!(self.table.set_monitor(target, monitor));
            }
        }
    }

    fn unsubscribe(&mut self, id: ConnectorId, destination: Destination) {
        if let Some(monitor) = self.table.unsubscribe(id, destination) {
            assert_eq!(self.placed.remove(&monitor), Some(destination));
        }
    }

    fn sweep_all(&mut self, budget: usize) {
        while self.table.has_departed() {
            self.table.sweep(budget);
        }
    }

    fn release(&mut self, budget: usize) {
        let placed = &mut self.placed;
        self.table.release(budget, |_, monitor| {
            assert!(placed.remove(&monitor).is_some(), "released twice");
        });
    }

    /// The death of a process: ERTS fires the monitor there is, if there is one.
    fn exit(&mut self, destination: Destination) -> Vec<usize> {
        let mut informed = Vec::new();
        let placed = self.placed.len();
        self.placed.retain(|_, of| *of != destination);
        assert!(
            self.placed.len() + 1 >= placed,
            "two monitors of one target"
        );
        if self.placed.len() < placed {
            self.exits += 1;
            let mut untold = 0;
            let deliver = |outbox: &usize, _| {
                if self.full.contains(outbox) {
                    untold += 1;
                    return false;
                }
                informed.push(*outbox);
                true
            };
            let counted = self.table.certify(destination, || self.exits, deliver);
            assert_eq!(counted, (informed.len(), untold));
        }
        informed.sort_unstable();
        informed
    }

    fn collect(&mut self, id: ConnectorId, budget: usize) -> Vec<(Destination, u32)> {
        let mut collected = Vec::new();
        let deliver = |destination, _, exit: &u32| collected.push((destination, *exit));
        self.table.collect(id, budget, deliver);
        collected
    }
}

#[test]
fn a_full_table_refuses_and_stays_as_it_is() {
    let mut table: SubscriptionTable<(), ()> = SubscriptionTable {
        rows: Slab::with_most(3),
        targets: Slab::with_most(2),
        ..SubscriptionTable::default()
    };
    let [a, b] = [(), ()].map(|()| table.attach(|_| ()));
    assert!(table.subscribe(a, pid(1)).unwrap().is_some());
    assert!(table.subscribe(a, pid(2)).unwrap().is_some());
    // No target is left for it.
    assert_eq!(table.subscribe(a, pid(3)), Err(Full));
    assert_eq!((table.len(), table.targets()), (2, 2));
    assert_eq!(table.subscribe(b, pid(1)), Ok(None));
    // And now no row either.
    assert_eq!(table.subscribe(b, pid(2)), Err(Full));
    assert_eq!(table.subscribe(b, pid(1)), Ok(None));
    assert_eq!((table.len(), table.targets()), (3, 2));
    assert_eq!(table.certify(pid(1), || (), |(), _| true), (2, 0));
    assert!(table.subscribe(a, pid(3)).unwrap().is_some());
    assert_eq!(table.certify(pid(2), || (), |(), _| true), (1, 0));
    assert_eq!(table.certify(pid(3), || (), |(), _| true), (1, 0));
    assert_eq!((table.len(), table.targets()), (0, 0));
}

#[test]
fn one_monitor_serves_all_connectors() {
    let mut owner = Owner::default();
    let (a, b) = (owner.table.attach(|_| 1), owner.table.attach(|_| 2));
    owner.subscribe(a, pid(7));
    owner.subscribe(b, pid(7));
    owner.subscribe(b, pid(7));
    assert_eq!((owner.placed.len(), owner.table.len()), (1, 2));
    owner.unsubscribe(a, pid(7));
    assert_eq!(owner.placed.len(), 1);
    owner.unsubscribe(b, pid(7));
    assert_eq!((owner.placed.len(), owner.table.len()), (0, 0));
}

#[test]
fn flavours_of_a_name_are_destinations_of_their_own() {
    let mut owner = Owner::default();
    let connector = owner.table.attach(|_| 1);
    let named = |node| Destination { word: 0x4b, node };
    owner.subscribe(connector, named(0));
    owner.subscribe(connector, named(0x8b));
    assert_eq!(owner.exit(named(0x8b)), [1]);
    assert_eq!(owner.table.len(), 1);
    assert_eq!(owner.exit(named(0)), [1]);
}

#[test]
fn a_target_made_twice_within_one_message_is_monitored_once() {
    let mut owner = Owner::default();
    let connector = owner.table.attach(|_| 1);
    let first = owner.table.subscribe(connector, pid(7)).unwrap();
    assert_eq!(owner.table.unsubscribe(connector, pid(7)), None);
    let second = owner.table.subscribe(connector, pid(8)).unwrap();
    owner.place(first.into_iter().chain(second));
    assert_eq!(owner.placed.len(), 1);
    assert_eq!(owner.exit(pid(8)), [1]);
}

#[test]
fn a_monitor_that_comes_too_late_is_released() {
    let mut owner = Owner::default();
    let connector = owner.table.attach(|_| 1);
    let target = owner.table.subscribe(connector, pid(7)).unwrap().unwrap();
    owner.table.begin_monitor(target, |_| true);
    assert_eq!(owner.table.unsubscribe(connector, pid(7)), None);
    assert!(owner.table.set_monitor(target, [1, 2, 3]));
    let mut released = Vec::new();
    owner.table.release(9, |_, monitor| released.push(monitor));
    assert_eq!(released, [[1, 2, 3]]);
    assert!(!owner.table.set_monitor(target, [1, 2, 3]));
}

#[test]
fn what_comes_after_a_detach_is_not_swept_with_it() {
    let mut owner = Owner::default();
    let before = owner.table.attach(|_| 1);
    owner.subscribe(before, pid(7));
    owner.subscribe(before, pid(8));
    assert_eq!(owner.table.detach(before), Some(1));
    assert_eq!(owner.table.detach(before), None);
    let after = owner.table.attach(|_| 2);
    owner.subscribe(after, pid(7));
    owner.subscribe(before, pid(9));
    owner.sweep_all(1);
    owner.release(usize::MAX);
    assert_eq!((owner.placed.len(), owner.table.len()), (1, 1));
    assert_eq!(owner.exit(pid(7)), [2]);
}

#[test]
fn who_cannot_be_told_keeps_its_row_and_is_told_later() {
    let mut owner = Owner::default();
    let (a, b) = (owner.table.attach(|_| 1), owner.table.attach(|_| 2));
    for number in 0..3 {
        owner.subscribe(a, pid(number));
        owner.subscribe(b, pid(number));
    }
    owner.full.insert(1);
    assert_eq!(owner.exit(pid(0)), [2]);
    assert_eq!(owner.exit(pid(1)), [2]);
    assert!(owner.table.has_untold(a) && !owner.table.has_untold(b));
    assert_eq!((owner.table.untold(), owner.table.len()), (2, 4));
    assert_eq!(owner.collect(b, 9), []);
    assert_eq!(owner.collect(a, 1), [(pid(1), 2)]);
    assert_eq!(owner.collect(a, 9), [(pid(0), 1)]);
    assert_eq!(owner.collect(a, 9), []);
    assert!(!owner.table.has_untold(a) && owner.table.is_subscribed(a));
    assert_eq!((owner.table.targets(), owner.table.len()), (1, 2));
}

#[test]
fn a_name_that_is_taken_again_lives_beside_the_dead() {
    let mut owner = Owner::default();
    let (a, b) = (owner.table.attach(|_| 1), owner.table.attach(|_| 2));
    owner.subscribe(a, pid(7));
    owner.full.insert(1);
    assert_eq!(owner.exit(pid(7)), []);
    // The next process of that name, for another connector.
    owner.subscribe(b, pid(7));
    assert_eq!((owner.placed.len(), owner.table.targets()), (1, 2));
    // The first has yet to be told, and is subscribed no second time.
    owner.subscribe(a, pid(7));
    assert_eq!(owner.table.len(), 2);
    // It no longer wants to know, and subscribes to the next.
    owner.unsubscribe(a, pid(7));
    assert_eq!((owner.table.untold(), owner.table.targets()), (0, 1));
    owner.subscribe(a, pid(7));
    assert_eq!(owner.exit(pid(7)), [2]);
    assert_eq!(owner.collect(a, 9), [(pid(7), 2)]);
    assert!(owner.table.is_empty());
}

#[test]
fn a_certificate_returns_the_number_of_its_subscription() {
    let mut owner = Owner::default();
    let [a, b, c] = [1, 2, 3].map(|node| owner.table.attach(|_| node));
    owner.subscribe_numbered(a, 10);
    owner.subscribe_numbered(b, 20);
    owner.subscribe(c, pid(7));
    // Another begins, with the monitor that is there for the others.
    owner.subscribe_numbered(b, 21);
    assert_eq!(owner.placed.len(), 1);
    let expected = [(1, Some(10)), (2, Some(21)), (3, None)];
    assert_eq!(owner.numbers_told(), expected);
    assert!(owner.table.numbers.is_empty() && owner.table.is_empty());
    // A row without one does not inherit that of the former in its place.
    owner.placed.clear();
    for id in [a, b, c] {
        owner.subscribe(id, pid(7));
    }
    assert_eq!(owner.numbers_told(), [(1, None), (2, None), (3, None)]);
}

#[test]
fn who_subscribes_without_a_number_is_told_none() {
    let mut owner = Owner::default();
    let [a, b] = [1, 2].map(|node| owner.table.attach(|_| node));
    owner.subscribe_numbered(a, 10);
    owner.subscribe(a, pid(7));
    assert_eq!((owner.placed.len(), owner.table.len()), (1, 1));
    assert_eq!(owner.numbers_told(), [(1, None)]);
    // Neither is one who has yet to be told.
    owner.placed.clear();
    owner.subscribe_numbered(b, 20);
    owner.full.insert(2);
    assert_eq!(owner.exit(pid(7)), []);
    owner.subscribe(b, pid(7));
    let mut collected = Vec::new();
    let collect = |_, number, _: &u32| collected.push(number);
    owner.table.collect(b, 9, collect);
    assert_eq!(collected, [None]);
}

#[test]
fn another_subscription_is_owed_nothing_of_the_former() {
    let mut owner = Owner::default();
    let a = owner.table.attach(|_| 1);
    owner.subscribe_numbered(a, 10);
    owner.full.insert(1);
    assert_eq!(owner.exit(pid(7)), []);
    assert!(owner.table.has_untold(a));
    owner.subscribe_numbered(a, 11);
    assert!(!owner.table.has_untold(a));
    assert_eq!((owner.placed.len(), owner.table.targets()), (1, 1));
    // One that nobody else shares takes its monitor with it: that may be of another process.
    let before: Vec<_> = owner.placed.keys().copied().collect();
    owner.subscribe_numbered(a, 12);
    let after: Vec<_> = owner.placed.keys().copied().collect();
    assert_ne!(before, after);
    // Who is told late is told the number, too.
    assert_eq!(owner.exit(pid(7)), []);
    let mut collected = Vec::new();
    owner
        .table
        .collect(a, 9, |_, number, _| collected.push(number));
    assert_eq!(collected, [Some(12)]);
    assert!(owner.table.numbers.is_empty());
}

#[test]
fn a_detached_connector_leaves_its_dead_to_the_sweep() {
    let mut owner = Owner::default();
    let a = owner.table.attach(|_| 1);
    owner.full.insert(1);
    for number in 0..5 {
        owner.subscribe(a, pid(number));
    }
    for number in 0..3 {
        assert_eq!(owner.exit(pid(number)), []);
    }
    owner.table.detach(a);
    assert_eq!((owner.table.untold(), owner.table.left_behind()), (0, 5));
    assert_eq!(owner.collect(a, 9), []);
    owner.sweep_all(1);
    owner.release(usize::MAX);
    assert_eq!((owner.table.targets(), owner.placed.len()), (0, 0));
}

#[test]
fn the_reason_of_the_dead_lies_where_the_monitor_lay() {
    use std::sync::Arc;
    let size = size_of::<Target<()>>();
    assert_eq!(size_of::<Target<Option<Arc<()>>>>(), size);
    // And it is dropped when the target is removed, not when its place is taken again.
    let reason = Arc::new(());
    let mut table = SubscriptionTable::default();
    let connector = table.attach(|_| ());
    let target = table.subscribe(connector, pid(7)).unwrap().unwrap();
    table.begin_monitor(target, |_| true);
    table.set_monitor(target, [1, 2, 3]);
    table.certify(pid(7), || reason.clone(), |(), _| false);
    assert_eq!(Arc::strong_count(&reason), 2);
    table.collect(connector, 1, |_, _, _| ());
    assert_eq!(Arc::strong_count(&reason), 1);
}

#[test]
fn ids_of_another_table_are_nobody() {
    let mut other = SubscriptionTable::<_, ()>::default();
    let stranger = other.attach(|_| ());
    let mut table = SubscriptionTable::<_, ()>::default();
    assert_eq!(table.subscribe(stranger, pid(7)), Ok(None));
    table.attach(|_| ());
    assert_eq!(table.subscribe(stranger, pid(7)), Ok(None));
    assert_eq!(table.unsubscribe(stranger, pid(7)), None);
    assert!(table.detach(stranger).is_none() && table.is_empty());
}

#[test]
fn memory_is_taken_again() {
    let mut owner = Owner::default();
    for _ in 0..3 {
        let connector = owner.table.attach(|_| 1);
        for number in 0..10_000 {
            owner.subscribe(connector, pid(number));
            let place = owner.table.connectors[connector.slot as usize].living.first;
            assert!(connector.slot == 0 && place < 10_000);
        }
        owner.table.detach(connector);
        owner.sweep_all(100);
        owner.release(usize::MAX);
        assert!(owner.placed.is_empty() && !owner.table.has_vacant());
    }
}

#[derive(Clone, Debug)]
enum Op {
    Attach(usize),
    Detach(usize),
    Subscribe(usize, u64),
    Unsubscribe(usize, u64),
    Message(usize, Vec<(bool, u64)>),
    Exit(u64),
    Full(usize, bool),
    Collect(usize, usize),
    Sweep(usize),
    Release(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let (node, number) = (0..4usize, 0..24u64);
    let message = prop::collection::vec((any::<bool>(), number.clone()), 0..8);
    prop_oneof![
        1 => node.clone().prop_map(Op::Attach),
        1 => node.clone().prop_map(Op::Detach),
        8 => (node.clone(), number.clone()).prop_map(|(n, p)| Op::Subscribe(n, p)),
        4 => (node.clone(), number.clone()).prop_map(|(n, p)| Op::Unsubscribe(n, p)),
        3 => (node.clone(), message).prop_map(|(n, m)| Op::Message(n, m)),
        4 => number.prop_map(Op::Exit),
        2 => (node.clone(), any::<bool>()).prop_map(|(n, full)| Op::Full(n, full)),
        2 => (node, 0..6usize).prop_map(|(n, budget)| Op::Collect(n, budget)),
        2 => (0..6usize).prop_map(Op::Sweep),
        2 => (0..6usize).prop_map(Op::Release),
    ]
}

proptest! {
    #[test]
    fn agrees_with_a_set_of_pairs(ops in prop::collection::vec(op(), 0..200)) {
        let mut owner = Owner::default();
        // The connector of each node, and what it is subscribed to. An outbox bears the number
        // of its node; what a departed connector left is nobody's business.
        let mut connectors: HashMap<usize, ConnectorId> = HashMap::new();
        let mut model: BTreeSet<(usize, u64)> = BTreeSet::new();
        // Who has yet to be told of what, with the reason.
        let mut untold: BTreeMap<(usize, u64), u32> = BTreeMap::new();
        for op in ops {
            match op {
                Op::Attach(node) => {
                    connectors.entry(node).or_insert_with(|| owner.table.attach(|_| node));
                }
                Op::Detach(node) => {
                    if let Some(id) = connectors.remove(&node) {
                        prop_assert_eq!(owner.table.detach(id), Some(node));
                        model.retain(|&(of, _)| of != node);
                        untold.retain(|&(of, _), _| of != node);
                    }
                }
                Op::Subscribe(node, number) => {
                    if let Some(&id) = connectors.get(&node) {
                        owner.subscribe(id, pid(number));
                        if !untold.contains_key(&(node, number)) {
                            model.insert((node, number));
                        }
                    }
                }
                Op::Unsubscribe(node, number) => {
                    if let Some(&id) = connectors.get(&node) {
                        owner.unsubscribe(id, pid(number));
                        model.remove(&(node, number));
                        untold.remove(&(node, number));
                    }
                }
                Op::Message(node, instructions) => {
                    if let Some(&id) = connectors.get(&node) {
                        let mut made = Vec::new();
                        for (subscribe, number) in instructions {
                            if subscribe {
                                made.extend(owner.table.subscribe(id, pid(number)).unwrap());
                                if !untold.contains_key(&(node, number)) {
                                    model.insert((node, number));
                                }
                            } else {
                                owner.unsubscribe(id, pid(number));
                                model.remove(&(node, number));
                                untold.remove(&(node, number));
                            }
                        }
                        owner.place(made);
                    }
                }
                Op::Exit(number) => {
                    let informed = owner.exit(pid(number));
                    let watching = (0..4).filter(|&node| model.remove(&(node, number)));
                    let (full, expected): (Vec<usize>, _) =
                        watching.partition(|node| owner.full.contains(node));
                    prop_assert_eq!(informed, expected);
                    untold.extend(full.into_iter().map(|node| ((node, number), owner.exits)));
                }
                Op::Full(node, true) => {
                    owner.full.insert(node);
                }
                Op::Full(node, false) => {
                    owner.full.remove(&node);
                }
                Op::Collect(node, budget) => {
                    if let Some(&id) = connectors.get(&node) {
                        let waiting = untold.keys().filter(|&&(of, _)| of == node).count();
                        let collected = owner.collect(id, budget);
                        prop_assert_eq!(collected.len(), budget.min(waiting));
                        for (destination, reason) in collected {
                            let number = destination.word >> 4;
                            prop_assert_eq!(untold.remove(&(node, number)), Some(reason));
                        }
                    }
                }
                Op::Sweep(budget) => owner.table.sweep(budget),
                Op::Release(budget) => owner.release(budget),
            }
            let watched: HashSet<u64> = model.iter().map(|&(_, number)| number).collect();
            let monitored: HashSet<_> = owner.placed.values().copied().collect();
            prop_assert_eq!(monitored.len(), owner.placed.len());
            prop_assert!(watched.into_iter().all(|number| monitored.contains(&pid(number))));
            let rows = model.len() + untold.len() + owner.table.left_behind();
            prop_assert_eq!(owner.table.len(), rows);
            prop_assert_eq!(owner.table.untold(), untold.len());
            for (&node, &id) in &connectors {
                let has_untold = untold.keys().any(|&(of, _)| of == node);
                prop_assert_eq!(owner.table.has_untold(id), has_untold);
                let is_subscribed = has_untold || model.iter().any(|&(of, _)| of == node);
                prop_assert_eq!(owner.table.is_subscribed(id), is_subscribed);
            }
        }
        owner.sweep_all(1);
        owner.release(usize::MAX);
        prop_assert_eq!(owner.table.len(), model.len() + untold.len());
        let dead: HashSet<_> = untold.iter().map(|(&(_, number), _)| number).collect();
        prop_assert!(owner.table.targets() >= dead.len());
        let watched: HashSet<_> = model.iter().map(|&(_, number)| pid(number)).collect();
        prop_assert_eq!(watched, owner.placed.values().copied().collect::<HashSet<_>>());
    }
}
