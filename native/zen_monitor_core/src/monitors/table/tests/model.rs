//! The table against one flat map.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

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

#[derive(Clone, Debug)]
enum Op {
    Monitor(u64, u64, u32),
    Demonitor(u64, usize),
    DemonitorForeign(u64, usize),
    Take(u64, usize),
    TakeAndWithdraw(u64, usize),
    Certify(u64, u32, u32),
    CertifyEach(u64, Vec<u32>, u32, usize),
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
    let several = prop::collection::vec(target.clone(), 0..6);
    prop_oneof![
        8 => (pid.clone(), node.clone(), target.clone()).prop_map(|(p, n, t)| Op::Monitor(p, n, t)),
        4 => (pid.clone(), any::<usize>()).prop_map(|(p, nth)| Op::Demonitor(p, nth)),
        1 => (pid.clone(), any::<usize>()).prop_map(|(p, nth)| Op::DemonitorForeign(p, nth)),
        4 => (node.clone(), 1..8usize).prop_map(|(n, limit)| Op::Take(n, limit)),
        1 => (node.clone(), 1..8usize).prop_map(|(n, limit)| Op::TakeAndWithdraw(n, limit)),
        3 => (node.clone(), target, 0..3u32).prop_map(|(n, t, r)| Op::Certify(n, t, r)),
        3 => (node.clone(), several, 0..3u32, 0..5usize)
            .prop_map(|(n, ids, r, limit)| Op::CertifyEach(n, ids, r, limit)),
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
        Op::CertifyEach(node, ids, reason, limit) => {
            let targets = ids.iter().map(|&id| [id, 0, 0]);
            let moved = on_node(table, node, |node| {
                table.certify_each(node, targets.clone(), &reason, limit)
            });
            assert!(moved <= limit);
            for target in targets.map(|id| (node, id)) {
                if model.subscribed.remove(&target) {
                    model.fall_due(Some(reason), |found| *found == target);
                }
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
