use super::*;
use crate::monitors::delivery::Delivery;
use crate::monitors::targets::{MOST_MONITORS, NAMED};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};

type Table = MonitorTable<u32, ()>;
type Target = (u64, [u32; 3]);

/// Every monitor in one flat map, and what a faultless remote would know.
#[derive(Default)]
struct Model {
    live: BTreeMap<u32, (u64, Target)>,
    due: HashMap<u32, (u64, Target, Option<u32>)>,
    subscribed: BTreeSet<Target>,
    held: BTreeSet<Target>,
    sent: Vec<Target>,
    references: u32,
}

impl Model {
    fn fall_due(&mut self, reason: Option<u32>, falls: impl Fn(&Target) -> bool) {
        let fallen: Vec<u32> = self
            .live
            .iter()
            .filter(|(_, (_, target))| falls(target))
            .map(|(&reference, _)| reference)
            .collect();
        for reference in fallen {
            let (pid, target) = self.live.remove(&reference).unwrap();
            self.due.insert(reference, (pid, target, reason));
        }
    }

    fn owned(&self, pid: u64, nth: usize) -> Option<u32> {
        let of_due = self.due.iter().map(|(&reference, due)| (reference, due.0));
        let of_live = self
            .live
            .iter()
            .map(|(&reference, live)| (reference, live.0));
        let mut owned: Vec<u32> = of_due
            .chain(of_live)
            .filter(|&(_, owner)| owner == pid)
            .map(|(reference, _)| reference)
            .collect();
        owned.sort_unstable();
        (!owned.is_empty()).then(|| owned[nth % owned.len()])
    }
}

#[test]
fn shows_who_watches_what_and_what_each_node_has() {
    let table = Table::default();
    let node = table.nodes.find_or_add(7, || ());
    for number in 0..3 {
        let pid = 100 + u64::from(number);
        table
            .monitor(node, pid, reference(number), [1, 0, 0])
            .unwrap();
    }
    table.monitor(node, 100, reference(3), [2, 0, 0]).unwrap();
    assert_eq!(table.take(node, 1, 1).0.len(), 1);

    assert_eq!(table.watchers(node, [1, 0, 0]), (3, vec![100, 101, 102]));
    assert_eq!(table.watchers(node, [9, 0, 0]), (0, vec![]));
    let (found, targets, monitors, held) = table.survey_nodes().pop().unwrap();
    assert_eq!((found.id(), targets, monitors, held), (node.id(), 2, 3, 0));
    assert_eq!(found.outbox_len(), 1);
    let mut seen = 0;
    let all = table.survey(|_| {
        seen += 1;
        seen < 2
    });
    assert_eq!((all, seen), (false, 2));
}

/// All that can be seen of a table.
fn seen(table: &Table) -> impl PartialEq + std::fmt::Debug {
    (table.sizes(), table.counts(), table.instructed())
}

#[test]
fn a_target_with_as_many_monitors_as_it_may_have_refuses_more() {
    let table = Table::default();
    let node = table.nodes.find_or_add(7, || ());
    let monitor = |pid, number, id| table.monitor(node, pid, reference(number), [id, 0, 0]);
    for number in 0..MOST_MONITORS {
        monitor(100, number, 1).unwrap();
    }
    monitor(200, MOST_MONITORS, 2).unwrap();
    let before = seen(&table);
    assert_eq!(monitor(200, MOST_MONITORS + 1, 1), Err(Full));
    assert_eq!(seen(&table), before);
    assert!(!table.demonitor(200, reference(MOST_MONITORS + 1), |_| ()));

    // Its subscriber is as any other, and goes without a trace.
    table.depart(200);
    while !table.sweep_departed(64, |_| (), |_, _| ()) {}
    assert_eq!(table.counts().standing, u64::from(MOST_MONITORS));
    // And there is room for another one when one has gone.
    assert!(table.demonitor(100, reference(0), |_| ()));
    monitor(300, MOST_MONITORS + 2, 1).unwrap();
    assert_eq!(table.watchers(node, [1, 0, 0]).0, MOST_MONITORS);
}

#[test]
fn a_table_without_a_free_slot_refuses_more_monitors() {
    let table = Table::with_most(1, 9, 9_999);
    let node = table.nodes.find_or_add(7, || ());
    for number in 0..crate::structures::arena::CHUNK {
        table
            .monitor(node, 100, reference(number), [number, 0, 0])
            .unwrap();
    }
    let before = seen(&table);
    // Neither does a new subscriber get into the tables.
    for pid in [100, 200] {
        let refused = table.monitor(node, pid, reference(999), [999, 0, 0]);
        assert_eq!(refused, Err(Full));
        assert_eq!(seen(&table), before);
    }
    assert!(table.demonitor(100, reference(3), |_| ()));
    let placed = table.monitor(node, 100, reference(999), [999, 0, 0]);
    assert!(placed.unwrap().outbox);
}

#[test]
fn a_shard_with_as_many_subscribers_as_it_may_have_refuses_more() {
    let table = Table::with_most(9, 2, 9);
    let node = table.nodes.find_or_add(7, || ());
    // All of them are in one shard.
    let pids = [16, 16 + 16 * 256, 16 + 2 * 16 * 256];
    for (number, pid) in pids[..2].iter().enumerate() {
        table
            .monitor(node, *pid, reference(number as u32), [1, 0, 0])
            .unwrap();
    }
    let before = seen(&table);
    assert_eq!(
        table.monitor(node, pids[2], reference(2), [1, 0, 0]),
        Err(Full)
    );
    assert_eq!(seen(&table), before);
    // Those that are there go on.
    table
        .monitor(node, pids[0], reference(3), [1, 0, 0])
        .unwrap();
    table.depart(pids[1]);
    while !table.sweep_departed(64, |_| (), |_, _| ()) {}
    let placed = table.monitor(node, pids[2], reference(2), [1, 0, 0]);
    assert!(placed.unwrap().newcomer);
}

#[test]
fn a_shard_with_as_many_targets_as_it_may_have_refuses_more() {
    let table = Table::with_most(9, 9, 3);
    let node = table.nodes.find_or_add(7, || ());
    // Neighbours are in one shard.
    for id in 0..3 {
        table.monitor(node, 16, reference(id), [id, 0, 0]).unwrap();
    }
    let before = seen(&table);
    assert_eq!(table.monitor(node, 16, reference(3), [3, 0, 0]), Err(Full));
    assert_eq!(seen(&table), before);
    table.monitor(node, 16, reference(4), [2, 0, 0]).unwrap();
    assert!(table.demonitor(16, reference(0), |_| ()));
    assert_eq!(table.take(node, 10, 10).0.len(), 2);
    table.monitor(node, 16, reference(5), [3, 0, 0]).unwrap();
}

#[test]
fn a_monitor_that_is_never_armed_was_never_placed() {
    let table = Table::default();
    let node = table.nodes.find_or_add(7, || ());
    table.monitor(node, 16, reference(1), [1, 0, 0]).unwrap();
    let before = seen(&table);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let (slot, _) = table
            .subscribers
            .place(&table.slots, 16, reference(2))
            .unwrap();
        let _unarmed = Unarmed {
            table: &table,
            slot,
        };
        panic!("before it has a target");
    }));
    assert!(panicked.is_err());
    assert_eq!(seen(&table), before);
    assert!(!table.demonitor(16, reference(2), |_| ()));
    table.depart(16);
    while !table.sweep_departed(64, |_| (), |_, _| ()) {}
    assert_eq!(table.counts().standing, 0);
}

#[derive(Clone, Debug)]
enum Op {
    Monitor(u64, u64, u32),
    Demonitor(u64, usize),
    DemonitorForeign(u64, usize),
    Take(u64, usize),
    TakeAndWithdraw(u64, usize),
    Certify(u64, u32, u32),
    Expire(u64),
    Hold(u64),
    Resume(u64, usize),
    Fail(u64),
    Resubscribe(u64, usize),
    Depart(u64),
    Sweep(usize),
    Expand(usize),
    Deliver(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let (pid, node, target) = (0..4u64, 0..3u64, 0..6u32);
    prop_oneof![
        8 => (pid.clone(), node.clone(), target.clone()).prop_map(|(p, n, t)| Op::Monitor(p, n, t)),
        4 => (pid.clone(), any::<usize>()).prop_map(|(p, nth)| Op::Demonitor(p, nth)),
        1 => (pid.clone(), any::<usize>()).prop_map(|(p, nth)| Op::DemonitorForeign(p, nth)),
        4 => (node.clone(), 1..8usize).prop_map(|(n, limit)| Op::Take(n, limit)),
        1 => (node.clone(), 1..8usize).prop_map(|(n, limit)| Op::TakeAndWithdraw(n, limit)),
        4 => (node.clone(), target, 0..3u32).prop_map(|(n, t, r)| Op::Certify(n, t, r)),
        1 => node.clone().prop_map(Op::Expire),
        1 => node.clone().prop_map(Op::Hold),
        1 => (node.clone(), 1..2_000usize).prop_map(|(n, limit)| Op::Resume(n, limit)),
        1 => node.clone().prop_map(Op::Fail),
        1 => (node, 1..4usize).prop_map(|(n, limit)| Op::Resubscribe(n, limit)),
        1 => pid.prop_map(Op::Depart),
        2 => (1..5usize).prop_map(Op::Sweep),
        3 => (1..2_000usize).prop_map(Op::Expand),
        3 => (1..5usize).prop_map(Op::Deliver),
    ]
}

fn reference(number: u32) -> Reference {
    [number, 7, 9]
}

fn on_node<T>(table: &Table, node: u64, view: impl FnOnce(&Node<()>) -> T) -> T {
    view(table.nodes.find_or_add(node, || ()))
}

fn take(table: &Table, model: &mut Model, node: u64, limit: usize) -> usize {
    on_node(table, node, |node| table.confirm(node));
    let (taken, _) = on_node(table, node, |node| table.take(node, limit, usize::MAX));
    model.sent.clear();
    for instruction in &taken {
        match *instruction {
            Instruction::Subscribe(key) => {
                assert!(model.subscribed.insert((node, key.id)), "subscribed twice");
                model.sent.push((node, key.id));
            }
            Instruction::Unsubscribe(key) => {
                assert!(
                    model.subscribed.remove(&(node, key.id)),
                    "was not subscribed"
                );
            }
            Instruction::SubscribeName(..) => unreachable!("nothing has a name"),
        }
    }
    assert!(taken.len() <= limit);
    taken.len()
}

fn deliver(table: &Table, model: &mut Model) -> bool {
    let mut delivery = Delivery::new(table, 3);
    let turns = delivery.take_turns(3, |_| Share::all());
    for (number, (key, reason)) in delivery.describe(0).into_iter().enumerate() {
        assert!(delivery.begin(number));
        delivery.end(number);
        let taken = delivery.taken(number);
        let (pid, (_, id), expected) = model
            .due
            .remove(&taken.reference[0])
            .expect("delivered once, when it is due");
        assert_eq!((taken.pid, key.id, reason), (pid, id, expected));
    }
    // By then it is over for whoever else has a claim.
    for number in 0..delivery.len() {
        let taken = delivery.taken(number);
        assert!(!table.demonitor(taken.pid, taken.reference, |_| ()));
    }
    turns > 0
}

fn apply(table: &Table, model: &mut Model, op: Op) {
    match op {
        Op::Monitor(pid, node, id) => {
            model.references += 1;
            let number = model.references;
            let placed = on_node(table, node, |node| {
                table
                    .monitor(node, pid, reference(number), [id, 0, 0])
                    .unwrap()
            });
            let target = (node, [id, 0, 0]);
            model.live.insert(number, (pid, target));
            // What was held and not monitored any more may have gone without an instruction.
            if placed.outbox {
                model.held.remove(&target);
            }
        }
        Op::Demonitor(pid, nth) => {
            if let Some(number) = model.owned(pid, nth) {
                assert!(table.demonitor(pid, reference(number), |_| ()));
                model.live.remove(&number);
                model.due.remove(&number);
                assert!(!table.demonitor(pid, reference(number), |_| ()));
            }
        }
        Op::DemonitorForeign(pid, nth) => {
            if let Some(number) = model.owned(pid, nth) {
                assert!(!table.demonitor(pid + 1, reference(number), |_| ()));
            }
        }
        Op::Take(node, limit) => {
            take(table, model, node, limit);
        }
        Op::TakeAndWithdraw(node, limit) => {
            take(table, model, node, limit);
            while !on_node(table, node, |node| table.withdraw(node, 3)) {}
            for target in model.sent.drain(..) {
                model.subscribed.remove(&target);
            }
        }
        Op::Certify(node, id, reason) => {
            let target = (node, [id, 0, 0]);
            on_node(table, node, |node| {
                table.certify(node, target.1, None, reason)
            });
            if model.subscribed.remove(&target) {
                model.fall_due(Some(reason), |found| *found == target);
            }
        }
        Op::Expire(node) => {
            on_node(table, node, |node| table.expire(node));
            let (subscribed, held) = (model.subscribed.clone(), model.held.clone());
            let watched = |found: &Target| subscribed.contains(found) || held.contains(found);
            model.fall_due(None, |found| found.0 == node && watched(found));
            model.subscribed.retain(|target| target.0 != node);
            model.held.retain(|target| target.0 != node);
        }
        Op::Hold(node) => {
            // All shards are looked at for this, so it is not done for every operation.
            let held = |live: &&(u64, Target)| model.held.contains(&live.1);
            let held = model.live.values().filter(held).count();
            assert_eq!(table.monitors_held(), held as u64);
            on_node(table, node, |node| table.hold(node));
            let lost = model.subscribed.iter().filter(|target| target.0 == node);
            model.held.extend(lost.copied().collect::<Vec<_>>());
            model.subscribed.retain(|target| target.0 != node);
        }
        Op::Resume(node, limit) => {
            while !on_node(table, node, |node| table.resume(node, limit)).done {}
            model.held.retain(|target| target.0 != node);
        }
        Op::Fail(node) => {
            while !on_node(table, node, |node| table.fail(node, 3).1) {}
            let (subscribed, held) = (model.subscribed.clone(), model.held.clone());
            let watched = |found: &Target| subscribed.contains(found) || held.contains(found);
            model.fall_due(None, |found| found.0 == node && !watched(found));
            // A target that nobody monitors any more is dropped with the rest.
            let live: BTreeSet<Target> = model.live.values().map(|live| live.1).collect();
            model.subscribed.retain(|t| t.0 != node || live.contains(t));
        }
        Op::Resubscribe(node, limit) => {
            on_node(table, node, |node| table.begin_resubscribing(node));
            while !on_node(table, node, |node| table.resubscribe(node, limit)) {}
            model.subscribed.retain(|target| target.0 != node);
        }
        Op::Depart(pid) => {
            table.depart(pid);
            while !table.sweep_departed(3, |_| (), |_, _| ()) {}
            model.live.retain(|_, live| live.0 != pid);
            model.due.retain(|_, due| due.0 != pid);
        }
        Op::Sweep(limit) => {
            table.sweep_departed(limit, |_| (), |_, _| ());
        }
        Op::Expand(limit) => {
            table.expand(limit);
        }
        Op::Deliver(turns) => {
            for _ in 0..turns {
                deliver(table, model);
            }
        }
    }
    assert_eq!(table.dispatch_counts().waiting, model.due.len() as u64);
    agree_on_holdings(table, model);
    agree_on_shards(table);
}

fn agree_on_holdings(table: &Table, model: &Model) {
    let mut owned: BTreeMap<u64, usize> = BTreeMap::new();
    let due = model.due.values().map(|due| due.0);
    for pid in model.live.values().map(|live| live.0).chain(due) {
        *owned.entry(pid).or_default() += 1;
    }
    let mut surveyed = BTreeMap::new();
    assert!(table.survey(|holding| {
        if holding.monitors > 0 {
            surveyed.insert(holding.pid, holding.monitors as usize);
        }
        true
    }));
    assert_eq!(surveyed, owned);
    for (pid, monitors) in owned {
        let (holding, held) = table.held(pid);
        assert_eq!((holding.pid, holding.monitors as usize), (pid, monitors));
        assert_eq!(held.len(), monitors.min(HELD));
    }
}

fn agree_on_shards(table: &Table) {
    for node in table.nodes.iter() {
        let (kept, counted) = table.shards_in_use(node);
        assert_eq!(kept, counted);
    }
}

fn settle(table: &Table, model: &mut Model) {
    for node in 0..3 {
        apply(table, model, Op::Resume(node, 1_000));
    }
    while !table.expand(100) {}
    while deliver(table, model) {}
    for node in 0..3 {
        while take(table, model, node, 100) > 0 {}
    }
    assert!(model.due.is_empty(), "never delivered: {:?}", model.due);
    let live: BTreeSet<Target> = model.live.values().map(|live| live.1).collect();
    assert_eq!(model.subscribed, live);
    assert_eq!(table.counts().standing, model.live.len() as u64);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_monitor_fires_once_or_is_removed(ops in prop::collection::vec(op(), 0..150)) {
        let table = Table::default();
        let mut model = Model::default();
        for op in ops {
            apply(&table, &mut model, op);
        }
        settle(&table, &mut model);
    }
}

fn place(table: &Table, pid: u64, number: u32, id: u32) {
    on_node(table, 0, |node| {
        table
            .monitor(node, pid, reference(number), [id, 0, 0])
            .unwrap()
    });
}

const NAME: [u32; 3] = [1, 0, NAMED];

fn place_on_name(table: &Table, number: u32) {
    on_node(table, 0, |node| {
        table.monitor(node, 100, reference(number), NAME).unwrap();
    });
}

/// The numbers of the subscriptions that a node is told of, and `None` for an unsubscribe.
fn tell(table: &Table) -> Vec<Option<u32>> {
    let number = |instruction| match instruction {
        Instruction::SubscribeName(key, number) if key.id == NAME => Some(number),
        Instruction::Unsubscribe(key) if key.id == NAME => None,
        other => panic!("told {other:?}"),
    };
    let (taken, _) = on_node(table, 0, |node| table.take_numbered(node, 9, 9));
    taken.into_iter().map(number).collect()
}

/// How many monitors wait after a certificate.
fn certify_name(table: &Table, number: Option<u32>) -> u64 {
    on_node(table, 0, |node| table.certify(node, NAME, number, 1));
    table.dispatch_counts().waiting
}

#[test]
fn a_certificate_of_a_former_subscription_of_a_name_is_ignored() {
    let table = Table::default();
    place_on_name(&table, 1);
    let first = tell(&table)[0];
    assert!(table.demonitor(100, reference(1), |_| ()));
    // Its place is free, and the next target takes it.
    assert_eq!(tell(&table), [None]);
    place_on_name(&table, 2);
    let second = tell(&table)[0];
    assert!(second.is_some() && first != second);
    assert_eq!(certify_name(&table, first), 0);
    // One that was withdrawn is answered by nothing, and comes again with another number.
    while !on_node(&table, 0, |node| table.withdraw(node, 9)) {}
    assert_eq!(certify_name(&table, second), 0);
    let third = tell(&table)[0];
    assert_eq!(certify_name(&table, second), 0);
    assert_eq!(certify_name(&table, third), 1);
    // A certificate without a number is of version 2, and answers whatever stands.
    place_on_name(&table, 3);
    let fourth = tell(&table)[0];
    assert_eq!(certify_name(&table, None), 2);
    assert_eq!(certify_name(&table, fourth), 2);
}

#[test]
fn a_name_that_is_wanted_again_before_its_node_heard_is_subscribed_anew() {
    let table = Table::default();
    place_on_name(&table, 1);
    let first = tell(&table)[0];
    assert!(table.demonitor(100, reference(1), |_| ()));
    place_on_name(&table, 2);
    // Of the process that the first was of.
    assert_eq!(certify_name(&table, first), 0);
    let second = tell(&table)[0];
    assert_eq!(certify_name(&table, first), 0);
    assert_eq!(certify_name(&table, second), 1);

    // A node that returns no numbers is told nothing, and what it has been told before stands.
    place_on_name(&table, 3);
    let third = tell(&table)[0];
    assert!(table.demonitor(100, reference(3), |_| ()));
    place_on_name(&table, 4);
    assert_eq!(on_node(&table, 0, |node| table.take(node, 9, 9)).0, []);
    assert_eq!(certify_name(&table, third), 2);
}

#[test]
fn a_name_whose_former_subscription_is_over_is_subscribed_anew_in_either_form() {
    let table = Table::default();
    let take = || on_node(&table, 0, |node| table.take(node, 9, 9)).0;
    place_on_name(&table, 1);
    let first = tell(&table)[0];
    assert!(table.demonitor(100, reference(1), |_| ()));
    place_on_name(&table, 2);
    assert_eq!(certify_name(&table, first), 0);
    // The node does not watch it any more, so it has to be told, although it returns no numbers by now.
    let key = Key { node: 0, id: NAME };
    assert_eq!(take(), [Instruction::Subscribe(key)]);
    assert_eq!(certify_name(&table, first), 0);
    assert_eq!(certify_name(&table, None), 1);

    // The end of the connection is no affair of who waits to be told.
    place_on_name(&table, 3);
    let second = tell(&table)[0];
    assert!(table.demonitor(100, reference(3), |_| ()));
    place_on_name(&table, 4);
    assert_eq!(certify_name(&table, second), 1);
    on_node(&table, 0, |node| table.expire(node));
    while !table.expand(9) {}
    assert_eq!(table.dispatch_counts().waiting, 1);
    assert_eq!(tell(&table).len(), 1);
}

#[test]
fn a_name_that_stays_subscribed_when_its_node_fails_still_fires() {
    let table = Table::default();
    let fail = || on_node(&table, 0, |node| table.fail(node, 9));
    place_on_name(&table, 1);
    let first = tell(&table)[0];
    assert!(table.demonitor(100, reference(1), |_| ()));
    place_on_name(&table, 2);
    // The subscription stands, and nobody is going to tell of another.
    assert_eq!(fail(), (0, true));
    assert_eq!(certify_name(&table, first), 1);

    // One that is over does not stand.
    place_on_name(&table, 3);
    let second = tell(&table)[0];
    assert!(table.demonitor(100, reference(3), |_| ()));
    place_on_name(&table, 4);
    assert_eq!(certify_name(&table, second), 1);
    assert_eq!(fail(), (1, true));
    assert_eq!(table.dispatch_counts().waiting, 2);
}

#[test]
fn a_name_that_never_was_alone_stays_subscribed() {
    let table = Table::default();
    place_on_name(&table, 1);
    let first = tell(&table)[0];
    place_on_name(&table, 2);
    assert!(table.demonitor(100, reference(1), |_| ()));
    assert_eq!(tell(&table), []);
    assert_eq!(certify_name(&table, first), 1);
}

fn subscribe_all(table: &Table) {
    on_node(table, 0, |node| while !table.take(node, 9, 9).1 {});
}

/// Monitors targets of another node until one of them has the place of a former one.
fn heir(table: &Table, former: u32) -> u32 {
    (100..)
        .find(|&number| {
            on_node(table, 1, |node| {
                table
                    .monitor(node, 48, reference(number), [number, 0, 0])
                    .unwrap()
            });
            let held = table.subscribers.held(&table.slots, 48, usize::MAX).1;
            held.last().unwrap().1 == former
        })
        .unwrap()
}

#[test]
fn who_takes_a_chunk_back_leaves_the_targets_of_other_nodes_alone() {
    let table = Table::default();
    place(&table, 16, 0, 7);
    let former = table.subscribers.held(&table.slots, 16, 1).1[0].1;
    subscribe_all(&table);
    // The target goes while its chunk is open, and its place is taken.
    on_node(&table, 0, |node| table.certify(node, [7, 0, 0], None, 1));
    assert!(table.expand(10));
    assert_eq!(deliver_some(&table), (1, 1));
    let heir = heir(&table, former);
    on_node(&table, 1, |node| while !table.take(node, 99, 99).1 {});

    assert!(on_node(&table, 0, |node| table.withdraw(node, 9)));
    assert!(on_node(&table, 0, |node| node.is_outbox_empty()));
    on_node(&table, 1, |node| table.certify(node, [heir, 0, 0], None, 2));
    assert!(table.expand(10));
    assert_eq!(deliver_some(&table), (1, 1));
}

#[test]
fn what_died_while_its_chunk_was_open_is_not_taken_back() {
    let table = Table::default();
    // The last of many nodes has a larger number than any shard has sessions.
    for node in 0..9 {
        on_node(&table, node, |_| ());
    }
    on_node(&table, 8, |node| {
        table.monitor(node, 16, reference(0), [7, 0, 0]).unwrap();
        assert_eq!(table.take(node, 9, 9).0.len(), 1);
        table.certify(node, [7, 0, 0], None, 1);
        assert!(table.withdraw(node, 9));
        assert!(node.is_outbox_empty());
    });
}

#[test]
fn a_monitor_that_is_being_placed_is_not_shown() {
    let table = Table::default();
    table
        .subscribers
        .place(&table.slots, 16, reference(0))
        .unwrap();
    let (holding, held) = table.held(16);
    assert_eq!((holding.monitors, held), (1, vec![]));
}

/// All turns, and how many each call took.
fn take_turns(table: &Table) -> (Vec<Taken>, Vec<usize>) {
    let mut taken = Vec::new();
    let calls = std::iter::from_fn(|| table.next(3, |_| Share::all(), |one| taken.push(one)));
    let calls = calls.collect();
    (taken, calls)
}

fn turns(table: &Table) -> Vec<(u64, u32)> {
    let taken = take_turns(table).0.into_iter();
    taken.map(|taken| (taken.pid, taken.reference[0])).collect()
}

/// One process with four monitors that are due, and another with one.
fn four_due_and_one() -> Table {
    let table = Table::default();
    for number in 0..4 {
        place(&table, 16, number, number);
    }
    place(&table, 32, 4, 4);
    subscribe_all(&table);
    for id in 0..5 {
        on_node(&table, 0, |node| table.certify(node, [id, 0, 0], None, 0));
    }
    table.expand(100);
    table
}

#[test]
fn one_that_is_to_be_the_last_of_a_call_ends_it_and_changes_no_order() {
    let share = |of| {
        move |pid| match pid == of {
            true => Share::all().last(),
            false => Share::all(),
        }
    };
    let table = four_due_and_one();
    for expected in [vec![0], vec![4, 1], vec![2], vec![3]] {
        let mut taken = Vec::new();
        let turns = table.next_turns(3, share(16), |one| taken.push(one));
        assert_eq!(turns, expected.len());
        let numbers = taken.iter().map(|taken| taken.reference[0]);
        assert!(numbers.eq(expected));
    }

    // Where nobody is, all are taken together.
    let (table, mut taken) = (four_due_and_one(), Vec::new());
    let turns = table.next_turns(5, share(48), |one| taken.push(one));
    assert_eq!(turns, 5);
}

#[test]
fn subscribers_take_turns_and_each_keeps_its_order() {
    let table = four_due_and_one();
    assert_eq!(turns(&table), [(16, 0), (32, 4), (16, 1), (16, 2), (16, 3)]);
}

#[test]
fn who_waits_alone_gets_several_turns_at_once() {
    assert_eq!(take_turns(&four_due_and_one()).1, [1, 1, 3]);
}

#[test]
fn a_departed_subscriber_gets_nothing_more_even_before_it_is_swept() {
    let table = four_due_and_one();
    assert!(table.depart(16));
    let (taken, calls) = take_turns(&table);
    assert_eq!((taken.len(), taken[0].pid), (1, 32));
    assert_eq!(calls.iter().sum::<usize>(), 5);
    while !table.sweep_departed(2, |_| (), |_, _| ()) {}
    assert_eq!(table.counts().standing, 1);
}

#[test]
fn a_node_is_used_while_it_has_a_target_or_an_instruction() {
    let table = Table::default();
    let is_unused = || on_node(&table, 0, |node| table.is_unused(node));
    assert!(is_unused());
    place(&table, 16, 1, 1);
    assert!(!is_unused());
    subscribe_all(&table);
    assert!(!is_unused());
    assert!(table.demonitor(16, reference(1), |_| ()));
    assert!(!is_unused(), "the node must be told");
    subscribe_all(&table);
    assert!(is_unused());
    place(&table, 16, 2, 2);
    subscribe_all(&table);
    on_node(&table, 0, |node| table.certify(node, [2, 0, 0], None, 0));
    assert!(is_unused(), "what is due does not concern the node");
    place(&table, 16, 3, 3);
    subscribe_all(&table);
    on_node(&table, 0, |node| table.expire(node));
    assert!(is_unused(), "nor does what an old connection left");
}

#[test]
fn what_was_cancelled_is_passed_over_in_steps() {
    let table = Table::default();
    for number in 0..10 {
        place(&table, 16, number, number);
    }
    for number in 0..9 {
        assert!(table.demonitor(16, reference(number), |_| ()));
    }
    let take = || on_node(&table, 0, |node| table.take(node, 5, 4));
    assert_eq!(take(), (vec![], false));
    assert_eq!(take(), (vec![], false));
    let (taken, emptied) = take();
    assert_eq!((taken.len(), emptied), (1, true));
}

#[test]
fn the_monitors_of_one_target_fire_in_the_order_of_their_placing() {
    let table = Table::default();
    for number in 0..5 {
        place(&table, 16, number, 0);
    }
    subscribe_all(&table);
    on_node(&table, 0, |node| table.certify(node, [0, 0, 0], None, 0));
    while !table.expand(2) {}
    let order: Vec<u32> = turns(&table).into_iter().map(|turn| turn.1).collect();
    assert_eq!(order, [0, 1, 2, 3, 4]);
}

#[test]
fn a_subscribe_and_an_unsubscribe_cancel_out() {
    let table = Table::default();
    place(&table, 16, 1, 1);
    place(&table, 16, 2, 2);
    assert!(table.demonitor(16, reference(1), |_| ()));
    let (taken, _) = on_node(&table, 0, |node| table.take(node, 10, 10));
    let key = |id| Key {
        node: 0,
        id: [id, 0, 0],
    };
    assert_eq!(taken, [Instruction::Subscribe(key(2))]);
    // The other way round, too: the remote goes on watching.
    assert!(table.demonitor(16, reference(2), |_| ()));
    place(&table, 16, 3, 2);
    assert!(
        on_node(&table, 0, |node| table.take(node, 10, 10))
            .0
            .is_empty()
    );
    assert!(table.demonitor(16, reference(3), |_| ()));
    let (taken, _) = on_node(&table, 0, |node| table.take(node, 10, 10));
    assert_eq!(taken, [Instruction::Unsubscribe(key(2))]);
}

#[test]
fn an_outbox_is_taken_up_to_a_limit_and_no_further() {
    for amount in [1, 63, 64, 65, 128, 200] {
        for limit in [1, 64, 100, 128, 1_000] {
            let table = Table::default();
            (0..amount).for_each(|number| place(&table, 16, number, number));
            let (taken, emptied) = on_node(&table, 0, |node| table.take(node, limit, 1_000));
            let number = |instruction: &Instruction| match instruction {
                Instruction::Subscribe(key) => key.id[0],
                _ => unreachable!("nothing is subscribed, and nothing has a name"),
            };
            let numbers: Vec<u32> = taken.iter().map(number).collect();
            let expected = amount.min(limit as u32);
            assert_eq!(numbers, (0..expected).collect::<Vec<_>>());
            assert_eq!(emptied, limit > amount as usize, "{amount} up to {limit}");
        }
    }
}

#[test]
fn counts_what_monitors_call_for_in_whatever_way_they_end() {
    let table = Table::default();
    for number in 0..4 {
        place(&table, 16, number, number / 2);
    }
    assert_eq!(table.instructed(), 2);
    subscribe_all(&table);
    assert!(table.demonitor(16, reference(0), |_| ()));
    assert_eq!(table.instructed(), 2);
    assert!(table.demonitor(16, reference(1), |_| ()));
    assert_eq!(table.instructed(), 3);
    assert!(table.depart(16));
    while !table.sweep_departed(10, |_| (), |_, _| ()) {}
    assert_eq!(table.instructed(), 4);
}

#[test]
fn what_is_too_much_for_an_outbox_falls_due() {
    let table = Table::default();
    place(&table, 16, 0, 0);
    subscribe_all(&table);
    for number in 1..=10 {
        place(&table, 16, number, number);
    }
    // The node is still to be told that nobody monitors the first any more.
    assert!(table.demonitor(16, reference(0), |_| ()));
    on_node(&table, 0, |node| {
        table.confirm(node);
        assert_eq!(table.shed(node, 2), 2);
        assert_eq!(table.shed(node, 5), 5);
        assert_eq!(node.outbox_len(), 4);
    });
    table.expand(100);
    let due: Vec<u32> = turns(&table).into_iter().map(|turn| turn.1).collect();
    assert_eq!(due, [1, 2, 3, 4, 5, 6, 7]);
    let key = |id| Key {
        node: 0,
        id: [id, 0, 0],
    };
    let mut expected = [8, 9, 10]
        .map(|id| Instruction::Subscribe(key(id)))
        .to_vec();
    expected.push(Instruction::Unsubscribe(key(0)));
    assert_eq!(
        on_node(&table, 0, |node| table.take(node, 10, 10).0),
        expected
    );
    assert!(table.demonitor(16, reference(8), |_| ()));
    on_node(&table, 0, |node| {
        table.confirm(node);
        assert_eq!((table.shed(node, 5), node.outbox_len()), (0, 1));
    });
}

#[test]
fn no_subscriber_gets_more_than_its_share_at_a_time() {
    let ms = std::time::Duration::from_millis;
    let share = |now| Share::new(ms(now), ms(1), 100);
    let table = Table::default();
    // One has a thousand monitors that are due, and a hundred have one.
    for number in 0..1_000 {
        place(&table, 16, number, number);
    }
    for number in 1..101 {
        place(&table, 16 + 16 * u64::from(number), 1_000 + number, number);
    }
    subscribe_all(&table);
    on_node(&table, 0, |node| table.expire(node));
    while !table.expand(100) {}

    // A removed one takes no part of a share.
    for number in 0..50 {
        assert!(table.demonitor(16, reference(number), |_| ()));
    }
    let deliver = |now| {
        let mut delivery = Delivery::new(&table, 2_000);
        delivery.take_turns(2_000, |_| share(now));
        let mut sent = HashMap::new();
        for number in 0..delivery.len() {
            assert!(delivery.begin(number));
            delivery.end(number);
            *sent.entry(delivery.taken(number).pid).or_insert(0) += 1;
        }
        (sent.remove(&16).unwrap_or(0), sent.len())
    };
    assert_eq!(deliver(0), (100, 100));
    assert_eq!(deliver(0), (0, 0));
    assert!(!table.is_idle());
    assert_eq!(deliver(20), (20, 0));
    assert_eq!(deliver(1_000), (100, 0));
    let mut rest = 0;
    while !table.is_idle() {
        let mut delivery = Delivery::new(&table, 64);
        delivery.take_turns(64, |_| Share::all());
        for number in 0..delivery.len() {
            assert!(delivery.begin(number));
            delivery.end(number);
            rest += 1;
        }
    }
    assert_eq!(rest, 950 - 220);
}

#[test]
fn a_dead_node_costs_nothing_up_front() {
    let table = Table::default();
    for number in 0..10_000 {
        place(&table, 16, number, number);
    }
    subscribe_all(&table);
    on_node(&table, 0, |node| table.expire(node));
    assert_eq!(table.dispatch.backlog.len(), 1);
    assert_eq!(table.dispatch_counts().waiting, 10_000);
    assert!(table.is_idle());
}

#[test]
fn a_subscription_over_the_new_connection_survives_the_end_of_the_old_one() {
    let table = Table::default();
    place(&table, 16, 1, 1);
    subscribe_all(&table);
    // Placed, but not sent, when the old connection ends.
    place(&table, 16, 2, 2);
    on_node(&table, 0, |node| table.expire(node));
    // Placed on a target that the old connection has still to fire.
    place(&table, 16, 3, 1);
    subscribe_all(&table);
    while !table.expand(100) {}
    assert_eq!(turns(&table), [(16, 1)]);
}

#[test]
fn whether_a_node_is_unused_is_seen_without_the_locks_of_the_targets() {
    let table = Table::default();
    place(&table, 16, 1, 1);
    let (answer, answered) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        table.targets.while_locked(|| {
            scope.spawn(|| answer.send(on_node(&table, 0, |node| table.is_unused(node))));
            let within = std::time::Duration::from_secs(10);
            assert_eq!(answered.recv_timeout(within), Ok(false));
        });
    });
}

#[test]
fn a_node_that_gives_back_keeps_the_chunk_that_it_has_open() {
    let table = Table::default();
    place(&table, 16, 1, 1);
    place(&table, 16, 2, 2);
    on_node(&table, 0, |node| {
        assert_eq!(table.take(node, 1, 1).0.len(), 1);
        node.give_back();
        assert_eq!(node.pending(), 2);
        assert!(table.withdraw(node, 9));
        node.give_back();
        assert_eq!((node.pending(), node.outbox_len()), (2, 2));
    });
}

/// A thread that waits to add a node must not stop one that expands what is due.
#[test]
fn nodes_come_while_others_go() {
    let table = Table::default();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for node in 1..2_000 {
                on_node(&table, node, |_| ());
            }
        });
        for _ in 0..200 {
            on_node(&table, 0, |node| {
                table.expire(node);
                table.expand(2_000);
            });
        }
    });
}

#[test]
fn places_are_used_again() {
    let table = Table::default();
    for round in 0..5 {
        for number in 0..5_000 {
            place(&table, 16, round * 5_000 + number, number);
        }
        subscribe_all(&table);
        for number in 0..5_000 {
            assert!(table.demonitor(16, reference(round * 5_000 + number), |_| ()));
        }
        subscribe_all(&table);
    }
    assert!(table.slots.grow().unwrap() <= 5_120 + 2 * crate::structures::arena::CHUNK);
}

#[test]
fn places_are_used_again_by_other_subscribers() {
    let table = Table::default();
    for pid in 0..200 {
        for number in 0..2_000 {
            place(&table, pid * 16 * 64, number, number);
        }
        table.depart(pid * 16 * 64);
        while !table.sweep_departed(1_000, |_| (), |_, _| ()) {}
        subscribe_all(&table);
    }
    // Each shard of the subscribers may keep two magazines of its own.
    assert!(table.slots.grow().unwrap() <= 2_000 + 256 * 2 * crate::monitors::slot::MAGAZINE);
}

/// Takes some turns and delivers. Returns how many turns, and how many were delivered.
fn deliver_some(table: &Table) -> (usize, u64) {
    let mut delivery = Delivery::new(table, 10);
    let turns = delivery.take_turns(10, |_| Share::all());
    for number in 0..delivery.len() {
        if delivery.begin(number) {
            delivery.end(number);
        }
    }
    (turns, delivery.sent() as u64)
}

/// Owners place, demonitor and die while one thread delivers and another fells the targets.
#[test]
fn threads_agree_on_who_consumes_each_monitor() {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    const OWNERS: u64 = 4;
    const ROUNDS: u32 = 20_000;
    let table = Table::default();
    on_node(&table, 0, |_| ());
    let (sent, removed) = (AtomicU64::new(0), AtomicU64::new(0));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let owners: Vec<_> = (0..OWNERS)
            .map(|owner| {
                let (table, removed) = (&table, &removed);
                scope.spawn(move || {
                    let pid = 16 * (owner + 1);
                    for round in 0..ROUNDS {
                        let reference = [round, owner as u32, 0];
                        on_node(table, 0, |node| {
                            table
                                .monitor(node, pid, reference, [round % 50, 0, 0])
                                .unwrap();
                        });
                        if round % 2 == 0 && table.demonitor(pid, reference, |_| ()) {
                            removed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            let mut id = 0;
            while !done.load(Ordering::Acquire) {
                on_node(&table, 0, |node| {
                    table.take(node, 20, 20);
                    table.certify(node, [id % 50, 0, 0], None, 1);
                    if id % 1_000 == 0 {
                        table.expire(node);
                    }
                });
                id += 1;
            }
        });
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                table.expand(50);
                sent.fetch_add(deliver_some(&table).1, Ordering::Relaxed);
            }
        });
        for owner in owners {
            owner.join().unwrap();
        }
        done.store(true, Ordering::Release);
    });
    let mut model = Model::default();
    let standing = table.counts().standing;
    let total = sent.load(Ordering::Relaxed) + removed.load(Ordering::Relaxed) + standing;
    assert!(total >= OWNERS * u64::from(ROUNDS), "{total}");
    agree_on_shards(&table);
    // What is left is whole: it can be felled, expanded and delivered to the last one.
    on_node(&table, 0, |node| {
        table.take(node, usize::MAX, usize::MAX);
        table.expire(node);
    });
    while !table.expand(1_000) {}
    model.references = 0;
    let mut rest = 0;
    loop {
        let (turns, delivered) = deliver_some(&table);
        rest += delivered;
        if turns == 0 {
            break;
        }
    }
    let sum = sent.load(Ordering::Relaxed) + removed.load(Ordering::Relaxed) + rest;
    assert_eq!(sum, OWNERS * u64::from(ROUNDS));
    assert_eq!(table.counts().standing, 0);
    assert_eq!(table.dispatch_counts().waiting, 0);
}
