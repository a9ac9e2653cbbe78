use super::*;
use std::collections::{HashMap, HashSet};

/// Looks that are enough for any of these tables.
pub const ALL: usize = 1_000_000;

pub fn pid(number: u64) -> Destination {
    Destination {
        word: number << 4 | 3,
        node: 0,
    }
}

/// A table with the owner of its monitors, as the Proxy is. The reason that it keeps with a dead
/// destination is how many exits there have been, unless that is not to be kept.
#[derive(Default)]
pub struct Owner {
    pub table: SubscriptionTable<usize, u32>,
    pub placed: HashMap<MonitorRef, Destination>,
    next: u32,
    /// The outboxes that take nothing in.
    pub full: HashSet<usize>,
    pub exits: u32,
}

impl Owner {
    pub fn subscribe(&mut self, id: ConnectorId, destination: Destination) {
        let made = self.table.subscribe(id, destination).unwrap();
        self.place(made);
    }

    pub fn subscribe_numbered(&mut self, id: ConnectorId, destination: Destination, number: u32) {
        let (released, made) = self.table.subscribe_numbered(id, destination, number);
        if let Some(monitor) = released {
            assert_eq!(self.placed.remove(&monitor), Some(destination));
        }
        self.place(made.unwrap());
    }

    pub fn place(&mut self, made: impl IntoIterator<Item = u32>) {
        for target in made {
            if let Some(destination) = self.table.begin_monitor(target, |_| true) {
                self.next += 1;
                // Not all are as the VM makes them.
                let monitor = match self.next % 4 {
                    0 => [u32::MAX, self.next, 0],
                    1 => [self.next, 0, self.next],
                    _ => [self.next, 0, 0],
                };
                self.placed.insert(monitor, destination);
                assert!(self.table.set_monitor(target, monitor));
            }
        }
    }

    pub fn unsubscribe(&mut self, id: ConnectorId, destination: Destination) {
        if let Some(monitor) = self.table.unsubscribe(id, destination) {
            assert_eq!(self.placed.remove(&monitor), Some(destination));
        }
    }

    pub fn sweep_all(&mut self, budget: usize) {
        while self.table.has_departed() {
            self.table.sweep(budget, ALL);
        }
    }

    pub fn release(&mut self, budget: usize) {
        let placed = &mut self.placed;
        self.table.release(budget, |_, monitor| {
            assert!(placed.remove(&monitor).is_some(), "released twice");
        });
    }

    /// The death of a process: ERTS fires the monitor there is, if there is one. Returns who is told, with the
    /// numbers of the subscriptions.
    pub fn exit_numbered(&mut self, destination: Destination) -> Vec<(usize, Option<u32>)> {
        let mut told = Vec::new();
        let placed = self.placed.len();
        self.placed.retain(|_, of| *of != destination);
        assert!(
            self.placed.len() + 1 >= placed,
            "two monitors of one target"
        );
        if self.placed.len() < placed {
            self.exits += 1;
            let mut untold = 0;
            let deliver = |outbox: &usize, number| {
                if self.full.contains(outbox) {
                    untold += 1;
                    return false;
                }
                told.push((*outbox, number));
                true
            };
            let keep = || kept(self.exits);
            let counted = self.table.certify(destination, keep, deliver);
            assert_eq!(counted, (told.len(), untold));
        }
        told.sort_unstable();
        told
    }

    pub fn exit(&mut self, destination: Destination) -> Vec<usize> {
        let told = self.exit_numbered(destination);
        told.into_iter().map(|(outbox, _)| outbox).collect()
    }

    fn collect(&mut self, id: ConnectorId, budget: usize) -> Vec<(Destination, Option<u32>)> {
        let mut collected = Vec::new();
        let deliver = |destination, _, exit: Option<&u32>| {
            collected.push((destination, exit.copied()));
        };
        self.table.collect(id, budget, ALL, deliver);
        collected
    }
}

/// What is kept of the reason of an exit: nothing of every fifth.
pub fn kept(exit: u32) -> Option<u32> {
    (!exit.is_multiple_of(5)).then_some(exit % 7)
}

#[test]
fn a_full_table_refuses_and_stays_as_it_is() {
    let mut table: SubscriptionTable<(), ()> = SubscriptionTable {
        targets: Targets::with_most(2),
        blocks: Blocks::with_most(1),
        ..SubscriptionTable::default()
    };
    let connectors: Vec<ConnectorId> = (0..100).map(|_| table.attach(|_| ())).collect();
    let [a, b, far, farther] = [0, 1, 50, 99].map(|number| connectors[number]);
    assert!(table.subscribe(a, pid(1)).unwrap().is_some());
    assert!(table.subscribe(a, pid(2)).unwrap().is_some());
    // No target is left for it.
    assert_eq!(table.subscribe(a, pid(3)), Err(Full));
    assert_eq!((table.len(), table.targets()), (2, 2));
    assert_eq!(table.subscribe(far, pid(1)), Ok(None));
    assert_eq!(table.subscribe(b, pid(1)), Ok(None));
    // And now no block for so many watchers either.
    assert_eq!(table.subscribe(far, pid(2)), Err(Full));
    assert_eq!(table.subscribe(farther, pid(1)), Err(Full));
    assert_eq!(table.subscribe(b, pid(2)), Ok(None));
    assert_eq!((table.len(), table.targets()), (5, 2));
    assert_eq!(table.certify(pid(1), || None, |(), _| true), (3, 0));
    assert!(table.subscribe(far, pid(3)).unwrap().is_some());
    assert_eq!(table.certify(pid(2), || None, |(), _| true), (2, 0));
    assert_eq!(table.certify(pid(3), || None, |(), _| true), (1, 0));
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
    assert_eq!(owner.collect(a, 1), [(pid(0), Some(1))]);
    assert_eq!(owner.collect(a, 9), [(pid(1), Some(2))]);
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
    assert_eq!(owner.collect(a, 9), [(pid(7), Some(2))]);
    assert!(owner.table.is_empty());
}

#[test]
fn a_certificate_returns_the_number_of_its_subscription() {
    let mut owner = Owner::default();
    let [a, b, c] = [1, 2, 3].map(|node| owner.table.attach(|_| node));
    owner.subscribe_numbered(a, pid(7), 10);
    owner.subscribe_numbered(b, pid(7), 20);
    owner.subscribe(c, pid(7));
    // Another begins, with the monitor that is there for the others.
    owner.subscribe_numbered(b, pid(7), 21);
    assert_eq!(owner.placed.len(), 1);
    let expected = [(1, Some(10)), (2, Some(21)), (3, None)];
    assert_eq!(owner.exit_numbered(pid(7)), expected);
    assert!(owner.table.numbers.is_empty() && owner.table.is_empty());
    // A row without one does not inherit that of the former in its place.
    owner.placed.clear();
    for id in [a, b, c] {
        owner.subscribe(id, pid(7));
    }
    assert_eq!(
        owner.exit_numbered(pid(7)),
        [(1, None), (2, None), (3, None)]
    );
}

#[test]
fn who_subscribes_without_a_number_is_told_none() {
    let mut owner = Owner::default();
    let [a, b] = [1, 2].map(|node| owner.table.attach(|_| node));
    owner.subscribe_numbered(a, pid(7), 10);
    owner.subscribe(a, pid(7));
    assert_eq!((owner.placed.len(), owner.table.len()), (1, 1));
    assert_eq!(owner.exit_numbered(pid(7)), [(1, None)]);
    // Neither is one who has yet to be told.
    owner.placed.clear();
    owner.subscribe_numbered(b, pid(7), 20);
    owner.full.insert(2);
    assert_eq!(owner.exit(pid(7)), []);
    owner.subscribe(b, pid(7));
    let mut collected = Vec::new();
    let collect = |_, number, _: Option<&u32>| collected.push(number);
    owner.table.collect(b, 9, ALL, collect);
    assert_eq!(collected, [None]);
}

#[test]
fn another_subscription_is_owed_nothing_of_the_former() {
    let mut owner = Owner::default();
    let a = owner.table.attach(|_| 1);
    owner.subscribe_numbered(a, pid(7), 10);
    owner.full.insert(1);
    assert_eq!(owner.exit(pid(7)), []);
    assert!(owner.table.has_untold(a));
    owner.subscribe_numbered(a, pid(7), 11);
    assert!(!owner.table.has_untold(a));
    assert_eq!((owner.placed.len(), owner.table.targets()), (1, 1));
    // One that nobody else shares takes its monitor with it: that may be of another process.
    let before: Vec<_> = owner.placed.keys().copied().collect();
    owner.subscribe_numbered(a, pid(7), 12);
    let after: Vec<_> = owner.placed.keys().copied().collect();
    assert_ne!(before, after);
    // Who is told late is told the number, too.
    assert_eq!(owner.exit(pid(7)), []);
    let mut collected = Vec::new();
    owner
        .table
        .collect(a, 9, ALL, |_, number, _| collected.push(number));
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
fn the_reason_of_the_dead_is_dropped_with_the_last_of_them() {
    use std::sync::Arc;
    let reason = Arc::new(());
    let mut table = SubscriptionTable::default();
    let [a, b] = [0, 1].map(|_| table.attach(|_| ()));
    for id in [a, b] {
        for number in 0..3 {
            table.subscribe(id, pid(number)).unwrap();
        }
    }
    for number in 0..3 {
        table.certify(pid(number), || Some(reason.clone()), |(), _| false);
    }
    assert_eq!(Arc::strong_count(&reason), 2);
    table.collect(a, 3, ALL, |_, _, _| ());
    table.unsubscribe(b, pid(0));
    table.collect(b, 1, ALL, |_, _, _| ());
    assert_eq!(Arc::strong_count(&reason), 2);
    table.detach(b);
    table.sweep(1, ALL);
    assert_eq!(Arc::strong_count(&reason), 1);
    assert!(table.is_empty() && table.targets() == 0);
}

#[test]
fn who_looks_for_little_goes_on_where_it_stopped() {
    let mut owner = Owner::default();
    let [a, b] = [1, 2].map(|node| owner.table.attach(|_| node));
    for number in 0..100 {
        owner.subscribe(a, pid(number));
        owner.subscribe(b, pid(number));
    }
    owner.full.extend([1, 2]);
    owner.exit(pid(60));
    let mut found = 0;
    for slice in 1..=7 {
        owner.table.collect(a, 9, 10, |_, _, _| found += 1);
        assert_eq!(found, usize::from(slice == 7), "in slice {slice}");
    }
    // Each place takes a look, and so does each of the two that watch it.
    owner.table.detach(a);
    for slice in 1..=6 {
        owner.table.sweep(ALL, 30);
        assert_eq!(owner.table.left_behind(), 99 - 10 * slice);
    }
    owner.sweep_all(7);
    assert!(!owner.table.has_departed());
}

#[test]
fn the_number_of_a_subscription_is_not_that_of_who_has_its_connectors_number() {
    let mut owner = Owner::default();
    let former = owner.table.attach(|_| 1);
    owner.table.detach(former);
    let next = owner.table.attach(|_| 2);
    assert_eq!(former.number(), next.number());
    owner.subscribe(next, pid(7));
    owner.subscribe_numbered(former, pid(7), 9);
    assert_eq!(owner.exit_numbered(pid(7)), [(2, None)]);
}

#[test]
fn a_watched_process_takes_little() {
    const LEAST: u64 = 100_000;
    let mut table: SubscriptionTable<(), ()> = SubscriptionTable::default();
    let connector = table.attach(|_| ());
    let mut taken = 0;
    let mut most = 0;
    // Long enough for its indexes to grow.
    for number in 0..4 * LEAST {
        let allocated = allocation_counter::measure(|| {
            let target = table.subscribe(connector, pid(number)).unwrap().unwrap();
            table.begin_monitor(target, |_| true);
            table.set_monitor(
                target,
                [number as u32 % (1 << 18), number as u32 >> 18 << 18, 2],
            );
        });
        taken += allocated.bytes_current;
        if number >= LEAST {
            most = most.max(taken / (number as i64 + 1));
        }
    }
    assert!((12..16).contains(&most), "{most} bytes");
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
        let connectors: Vec<ConnectorId> =
            (0..40).map(|node| owner.table.attach(|_| node)).collect();
        for number in 0..10_000 {
            owner.subscribe(connectors[0], pid(number));
            owner.subscribe(connectors[number as usize % 40], pid(number));
        }
        assert!(owner.table.targets.round() <= 10_200 && !owner.table.blocks.is_empty());
        for id in connectors {
            assert!(id.number() < 40);
            owner.table.detach(id);
        }
        owner.sweep_all(100);
        owner.release(usize::MAX);
        assert!(owner.placed.is_empty() && !owner.table.has_vacant());
        assert!(owner.table.blocks.is_empty() && owner.table.numbers.is_empty());
    }
}
