//! A test of monitors of names, with the table of the watching node and that of the watched node together. No
//! monitor is lost, whichever form the instructions and the certificates have, and however often that changes.

use crate::monitors::delivery::Delivery;
use crate::monitors::nodes::Node;
use crate::monitors::share::Share;
use crate::monitors::table::MonitorTable;
use crate::monitors::targets::{Instruction, NAMED};
use crate::subscriptions::table::{ConnectorId, Destination, MonitorRef, SubscriptionTable};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap, VecDeque};

const NAMES: u32 = 2;
const PID: u64 = 0x73;
const NOPROC: u32 = 0;

/// What a Proxy finds in its mailbox.
enum Message {
    Instructions(Vec<Instruction>),
    Down(MonitorRef, u32, u32),
}

/// A Proxy with its mailbox and the ERTS monitors that it has placed.
struct Proxy {
    table: SubscriptionTable<(), u32>,
    connector: ConnectorId,
    placed: HashMap<MonitorRef, u32>,
    mailbox: VecDeque<Message>,
    /// The certificates that are on their way to the Connector.
    certificates: VecDeque<(u32, Option<u32>, u32)>,
}

impl Default for Proxy {
    fn default() -> Self {
        let mut table = SubscriptionTable::default();
        let connector = table.attach(|_| ());
        Proxy {
            table,
            connector,
            placed: HashMap::new(),
            mailbox: VecDeque::new(),
            certificates: VecDeque::new(),
        }
    }
}

#[derive(Default)]
struct World {
    monitors: MonitorTable<u32, ()>,
    proxy: Proxy,
    /// The process that has a name. Each process is a number, which no other process has.
    registered: HashMap<u32, u32>,
    spawned: u32,
    references: u32,
    /// The monitors that have yet to fire, by reference.
    standing: BTreeMap<u32, u32>,
}

#[derive(Clone, Debug)]
enum Op {
    Monitor(u32),
    Demonitor(usize),
    /// All monitors of a name are removed, and one is placed anew.
    Again(u32),
    Register(u32),
    Exit(u32),
    /// The Connector sends its instructions, with numbers or not.
    Tell(bool),
    /// The Proxy handles a message.
    Hear,
    /// A certificate arrives, with its number or not.
    Arrive(bool),
    Deliver,
    /// The Proxy is killed and replaced. The Connector hears of that later.
    Replace,
    Disconnect,
    /// The Connector is killed and replaced.
    Succeed,
}

fn op() -> impl Strategy<Value = Op> {
    let name = 0..NAMES;
    prop_oneof![
        4 => name.clone().prop_map(Op::Monitor),
        2 => any::<usize>().prop_map(Op::Demonitor),
        4 => name.clone().prop_map(Op::Again),
        3 => name.clone().prop_map(Op::Register),
        3 => name.prop_map(Op::Exit),
        6 => any::<bool>().prop_map(Op::Tell),
        8 => Just(Op::Hear),
        5 => any::<bool>().prop_map(Op::Arrive),
        2 => Just(Op::Deliver),
        1 => Just(Op::Replace),
        1 => Just(Op::Disconnect),
        1 => Just(Op::Succeed),
    ]
}

fn id(name: u32) -> [u32; 3] {
    [name, 0, NAMED]
}

fn destination(name: u32) -> Destination {
    Destination {
        word: u64::from(name) << 6 | 0b1011,
        node: 0,
    }
}

impl World {
    fn node(&self) -> &Node<()> {
        self.monitors.nodes.find_or_add(7, || ())
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Monitor(name) => self.monitor(name),
            Op::Demonitor(nth) => {
                let nth = nth % self.standing.len().max(1);
                if let Some(&reference) = self.standing.keys().nth(nth) {
                    self.demonitor(reference);
                }
            }
            Op::Again(name) => {
                let of_name = self.standing.iter().filter(|(_, of)| **of == name);
                let references: Vec<u32> = of_name.map(|(&reference, _)| reference).collect();
                for reference in references {
                    self.demonitor(reference);
                }
                self.monitor(name);
            }
            Op::Register(name) => {
                self.spawned += 1;
                self.registered.entry(name).or_insert(self.spawned);
            }
            Op::Exit(name) => self.exit(name),
            Op::Tell(numbered) => {
                self.tell(numbered);
            }
            Op::Hear => {
                self.hear();
            }
            Op::Arrive(numbered) => {
                self.arrive(numbered);
            }
            Op::Deliver => self.deliver(),
            Op::Replace => {
                let former = std::mem::take(&mut self.proxy);
                self.proxy.certificates = former.certificates;
                // The Connector goes on sending until it hears of it.
                self.tell(true);
                self.hear();
                self.monitors.expire(self.node());
            }
            Op::Disconnect => {
                self.monitors.expire(self.node());
                self.detach();
            }
            Op::Succeed => {
                self.monitors.begin_resubscribing(self.node());
                while !self.monitors.resubscribe(self.node(), 2) {}
                self.detach();
            }
        }
    }

    fn monitor(&mut self, name: u32) {
        self.references += 1;
        let reference = [self.references, 0, 0];
        let (table, node) = (&self.monitors, self.node());
        table.monitor(node, PID, reference, id(name)).unwrap();
        self.standing.insert(self.references, name);
    }

    fn demonitor(&mut self, reference: u32) {
        assert!(self.monitors.demonitor(PID, [reference, 0, 0], |_| ()));
        self.standing.remove(&reference);
    }

    /// Whatever the former Connector has sent, or was sent, is lost.
    fn detach(&mut self) {
        let proxy = &mut self.proxy;
        proxy.table.detach(proxy.connector);
        proxy.connector = proxy.table.attach(|_| ());
        proxy.certificates.clear();
        proxy
            .mailbox
            .retain(|message| matches!(message, Message::Down(..)));
        while proxy.table.has_departed() {
            proxy.table.sweep(9, 99);
        }
        let mut released = Vec::new();
        proxy.table.release(99, |_, monitor| released.push(monitor));
        self.demonitor_all(&released);
    }

    fn exit(&mut self, name: u32) {
        let Some(process) = self.registered.remove(&name) else {
            return;
        };
        let proxy = &mut self.proxy;
        let mailbox = &mut proxy.mailbox;
        proxy.placed.retain(|&monitor, &mut monitored| {
            if monitored == name {
                mailbox.push_back(Message::Down(monitor, name, process));
            }
            monitored != name
        });
    }

    fn tell(&mut self, numbered: bool) -> bool {
        let take = match numbered {
            true => MonitorTable::take_numbered,
            false => MonitorTable::take,
        };
        let (instructions, _) = take(&self.monitors, self.node(), 99, 99);
        self.monitors.confirm(self.node());
        let told = !instructions.is_empty();
        if told {
            let message = Message::Instructions(instructions);
            self.proxy.mailbox.push_back(message);
        }
        told
    }

    fn hear(&mut self) -> bool {
        let proxy = &mut self.proxy;
        let (mut made, mut released) = (Vec::new(), Vec::new());
        match proxy.mailbox.pop_front() {
            None => return false,
            Some(Message::Down(_, name, process)) => {
                let certificates = &mut proxy.certificates;
                let deliver = |(): &(), number| {
                    certificates.push_back((name, number, process));
                    true
                };
                let keep = || Some(process);
                proxy.table.certify(destination(name), keep, deliver);
            }
            Some(Message::Instructions(instructions)) => {
                let (table, connector) = (&mut proxy.table, proxy.connector);
                for instruction in instructions {
                    let name = destination(instruction.key().id[0]);
                    match instruction {
                        Instruction::Subscribe(_) => {
                            made.extend(table.subscribe(connector, name).unwrap());
                        }
                        Instruction::SubscribeName(_, number) => {
                            let (former, next) = table.subscribe_numbered(connector, name, number);
                            released.extend(former);
                            made.extend(next.unwrap());
                        }
                        Instruction::Unsubscribe(_) => {
                            released.extend(table.unsubscribe(connector, name));
                        }
                    }
                }
            }
        }
        self.demonitor_all(&released);
        for target in made {
            self.place(target);
        }
        true
    }

    fn place(&mut self, target: u32) {
        let proxy = &mut self.proxy;
        let Some(destination) = proxy.table.begin_monitor(target, |_| true) else {
            return;
        };
        self.references += 1;
        let monitor = [self.references, 0, 0];
        let name = (destination.word >> 6) as u32;
        proxy.table.set_monitor(target, monitor);
        if self.registered.contains_key(&name) {
            proxy.placed.insert(monitor, name);
        } else {
            let down = Message::Down(monitor, name, NOPROC);
            proxy.mailbox.push_back(down);
        }
    }

    /// Flushes: takes their `:DOWN`s out of the mailbox, too.
    fn demonitor_all(&mut self, monitors: &[MonitorRef]) {
        let proxy = &mut self.proxy;
        proxy.placed.retain(|placed, _| !monitors.contains(placed));
        proxy.mailbox.retain(|message| match message {
            Message::Down(monitor, ..) => !monitors.contains(monitor),
            Message::Instructions(_) => true,
        });
    }

    fn arrive(&mut self, numbered: bool) -> bool {
        let Some((name, number, process)) = self.proxy.certificates.pop_front() else {
            return false;
        };
        let number = number.filter(|_| numbered);
        let node = self.node();
        self.monitors.certify(node, id(name), number, process);
        true
    }

    fn deliver(&mut self) {
        while !self.monitors.expand(99) {}
        let mut delivery = Delivery::new(&self.monitors, 99);
        while delivery.take_turns(99, |_| Share::all()) > 0 {}
        for number in 0..delivery.len() {
            assert!(delivery.begin(number));
            delivery.end(number);
            let reference = delivery.taken(number).reference[0];
            assert!(self.standing.remove(&reference).is_some(), "fired twice");
        }
    }

    /// All processes die, and everything that is under way arrives.
    fn settle(&mut self, numbered: bool) {
        for name in 0..NAMES {
            self.exit(name);
        }
        while self.tell(numbered) | self.hear() | self.arrive(numbered) {}
        self.deliver();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_monitor_of_a_name_is_lost(
        ops in prop::collection::vec(op(), 0..80),
        numbered in any::<bool>(),
    ) {
        let mut world = World::default();
        for op in ops {
            world.apply(op);
        }
        world.settle(numbered);
        prop_assert!(world.standing.is_empty(), "never fired: {:?}", world.standing);
        prop_assert!(world.proxy.placed.is_empty());
    }
}
