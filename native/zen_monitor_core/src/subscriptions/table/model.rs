use super::tests::{ALL, Owner, kept, pid};
use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Nodes, each with a connector at most. An outbox bears the number of its node.
const NODES: usize = 12;
const DESTINATIONS: u64 = 24;

/// A pid or, every fourth, a name: bare, or for one of two nodes.
fn destination(number: u64) -> Destination {
    match number % 4 {
        3 => Destination {
            word: (number / 12) << 6 | 0b1011,
            node: number / 4 % 3,
        },
        // Neighbours, and others far away.
        _ => pid(number * number),
    }
}

#[derive(Clone, Debug)]
enum Op {
    Attach(usize),
    Detach(usize),
    Subscribe(usize, u64),
    Number(usize, u64),
    Unsubscribe(usize, u64),
    Message(usize, Vec<(bool, u64)>),
    Exit(u64),
    Full(usize, bool),
    Collect(usize, usize, usize),
    Sweep(usize, usize),
    Release(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let (node, number) = (0..NODES, 0..DESTINATIONS);
    let message = prop::collection::vec((any::<bool>(), number.clone()), 0..8);
    let looks = prop_oneof![0..12usize, Just(ALL)];
    prop_oneof![
        3 => node.clone().prop_map(Op::Attach),
        2 => node.clone().prop_map(Op::Detach),
        16 => (node.clone(), number.clone()).prop_map(|(n, d)| Op::Subscribe(n, d)),
        4 => (node.clone(), number.clone()).prop_map(|(n, d)| Op::Number(n, d)),
        8 => (node.clone(), number.clone()).prop_map(|(n, d)| Op::Unsubscribe(n, d)),
        6 => (node.clone(), message).prop_map(|(n, m)| Op::Message(n, m)),
        8 => number.prop_map(Op::Exit),
        4 => (node.clone(), any::<bool>()).prop_map(|(n, full)| Op::Full(n, full)),
        4 => (node, 0..6usize, looks.clone()).prop_map(|(n, budget, looks)| Op::Collect(n, budget, looks)),
        4 => (0..6usize, looks).prop_map(|(budget, looks)| Op::Sweep(budget, looks)),
        4 => (0..6usize).prop_map(Op::Release),
    ]
}

/// What a connector has of a destination.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Subscription {
    number: Option<u32>,
    /// The exit that it has yet to be told of.
    untold: Option<u32>,
}

/// The table with a plain map beside it.
#[derive(Default)]
struct World {
    owner: Owner,
    connectors: HashMap<usize, ConnectorId>,
    /// By node and number of the destination. What a departed connector left is nobody's business.
    model: BTreeMap<(usize, u64), Subscription>,
    numbers: u32,
}

impl World {
    /// One whose connectors have numbers with gaps between them, so that some are beyond what a set has
    /// room for.
    fn new(gaps: &[usize]) -> World {
        let mut world = World::default();
        for (node, &gap) in gaps.iter().enumerate() {
            world.attach(node);
            for _ in 0..gap {
                world.owner.table.attach(|_| usize::MAX);
            }
        }
        world
    }

    fn attach(&mut self, node: usize) {
        let table = &mut self.owner.table;
        let connectors = &mut self.connectors;
        connectors
            .entry(node)
            .or_insert_with(|| table.attach(|_| node));
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Attach(node) => self.attach(node),
            Op::Detach(node) => {
                if let Some(id) = self.connectors.remove(&node) {
                    assert_eq!(self.owner.table.detach(id), Some(node));
                    self.model.retain(|&(of, _), _| of != node);
                }
            }
            Op::Subscribe(node, number) => self.message(node, &[(true, number)]),
            Op::Unsubscribe(node, number) => self.message(node, &[(false, number)]),
            Op::Message(node, instructions) => self.message(node, &instructions),
            Op::Number(node, number) => self.subscribe_numbered(node, number),
            Op::Exit(number) => self.exit(number),
            Op::Full(node, true) => {
                self.owner.full.insert(node);
            }
            Op::Full(node, false) => {
                self.owner.full.remove(&node);
            }
            Op::Collect(node, budget, looks) => self.collect(node, budget, looks),
            Op::Sweep(budget, looks) => {
                let left = self.owner.table.left_behind();
                self.owner.table.sweep(budget, looks);
                if budget > 0 && looks == ALL && left > 0 {
                    assert!(self.owner.table.left_behind() < left);
                }
            }
            Op::Release(budget) => self.owner.release(budget),
        }
    }

    /// Instructions of one message, whose monitors are placed when all are carried out.
    fn message(&mut self, node: usize, instructions: &[(bool, u64)]) {
        let Some(&id) = self.connectors.get(&node) else {
            return;
        };
        let mut made = Vec::new();
        for &(subscribe, number) in instructions {
            if subscribe {
                let table = &mut self.owner.table;
                made.extend(table.subscribe(id, destination(number)).unwrap());
                self.model.entry((node, number)).or_default().number = None;
            } else {
                self.owner.unsubscribe(id, destination(number));
                self.model.remove(&(node, number));
            }
        }
        self.owner.place(made);
    }

    fn subscribe_numbered(&mut self, node: usize, number: u64) {
        if let Some(&id) = self.connectors.get(&node) {
            self.numbers += 1;
            let owner = &mut self.owner;
            owner.subscribe_numbered(id, destination(number), self.numbers);
            let subscription = Subscription {
                number: Some(self.numbers),
                untold: None,
            };
            self.model.insert((node, number), subscription);
        }
    }

    fn exit(&mut self, number: u64) {
        let told = self.owner.exit_numbered(destination(number));
        let mut expected = Vec::new();
        for node in 0..NODES {
            let Some(subscription) = self.model.get_mut(&(node, number)) else {
                continue;
            };
            if subscription.untold.is_some() {
                continue;
            }
            if self.owner.full.contains(&node) {
                subscription.untold = Some(self.owner.exits);
            } else {
                expected.push((node, subscription.number));
                self.model.remove(&(node, number));
            }
        }
        assert_eq!(told, expected);
    }

    fn collect(&mut self, node: usize, budget: usize, looks: usize) {
        let Some(&id) = self.connectors.get(&node) else {
            return;
        };
        let waiting = self.untold(node);
        let mut collected = Vec::new();
        let deliver = |destination, number, reason: Option<&u32>| {
            collected.push((destination, number, reason.copied()));
        };
        self.owner.table.collect(id, budget, looks, deliver);
        assert!(collected.len() <= budget.min(waiting).min(looks));
        assert!(looks < ALL || collected.len() == budget.min(waiting));
        for (found, number, reason) in collected {
            let of = (0..DESTINATIONS).find(|&number| destination(number) == found);
            let subscription = self.model.remove(&(node, of.unwrap())).unwrap();
            assert_eq!(subscription.number, number);
            assert_eq!(subscription.untold.and_then(kept), reason);
        }
    }

    fn untold(&self, node: usize) -> usize {
        let of_node = self.model.range((node, 0)..(node, DESTINATIONS));
        of_node.filter(|(_, has)| has.untold.is_some()).count()
    }

    fn watched(&self) -> HashSet<Destination> {
        let living = self.model.iter().filter(|(_, has)| has.untold.is_none());
        living
            .map(|(&(_, number), _)| destination(number))
            .collect()
    }

    fn check(&mut self) {
        let monitored: HashSet<_> = self.owner.placed.values().copied().collect();
        assert_eq!(monitored.len(), self.owner.placed.len());
        assert!(self.watched().is_subset(&monitored));
        let table = &mut self.owner.table;
        assert_eq!(table.len(), self.model.len() + table.left_behind());
        assert_eq!(table.has_departed(), table.left_behind() > 0);
        for node in 0..NODES {
            let Some(&id) = self.connectors.get(&node) else {
                continue;
            };
            let untold = self.untold(node);
            let table = &mut self.owner.table;
            assert_eq!(table.has_untold(id), untold > 0);
            let of_node = self.model.range((node, 0)..(node, DESTINATIONS));
            assert_eq!(table.is_subscribed(id), of_node.count() > 0);
        }
        for number in 0..DESTINATIONS {
            let mut watching = Vec::new();
            let watches = |outbox: &usize| watching.push(*outbox);
            self.owner.table.watchers(destination(number), watches);
            watching.sort_unstable();
            let watches = |node: &usize| {
                let subscription = self.model.get(&(*node, number));
                subscription.is_some_and(|has| has.untold.is_none())
            };
            assert_eq!(watching, (0..NODES).filter(watches).collect::<Vec<usize>>());
        }
    }

    /// Sweeps and releases what is left, so that nothing but the model is.
    fn settle(&mut self) {
        self.owner.sweep_all(1);
        self.owner.release(usize::MAX);
        self.check();
        let monitored: HashSet<_> = self.owner.placed.values().copied().collect();
        assert_eq!(self.watched(), monitored);
        let table = &self.owner.table;
        assert_eq!(table.len(), self.model.len());
        let numbered = self.model.values().filter(|has| has.number.is_some());
        assert_eq!(table.numbered(), numbered.count());
        let untold = self.model.values().filter(|has| has.untold.is_some());
        assert_eq!(table.untold(), untold.count());
        assert!(table.targets() >= self.watched().len());
    }

    /// Everything dies, and everybody is told.
    fn end(&mut self) {
        self.owner.full.clear();
        for number in 0..DESTINATIONS {
            self.exit(number);
        }
        for node in 0..NODES {
            self.collect(node, ALL, ALL);
        }
        assert!(self.model.is_empty() && self.owner.table.is_empty());
        assert_eq!(self.owner.table.targets(), 0);
        assert!(self.owner.table.blocks.is_empty() && self.owner.table.numbers.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn agrees_with_a_map(
        gaps in prop::collection::vec(prop_oneof![3 => Just(0usize), 1 => 1..50usize], NODES),
        ops in prop::collection::vec(op(), 0..300),
    ) {
        let mut world = World::new(&gaps);
        for op in ops {
            world.apply(op);
            world.check();
        }
        world.settle();
        world.end();
    }
}
