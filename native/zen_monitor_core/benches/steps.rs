//! What each step of a monitor's life costs, from the call to the `:DOWN`.
//!
//! The steps are those of `MonitorTable`, done here one after the other for a batch of monitors,
//! beside a million that stand. None is inlined, so that callgrind counts the instructions of each;
//! `benches/README.md` has the command.

mod support;

use crossbeam_queue::SegQueue;
use std::hint::black_box;
use std::time::Duration;
use support::{PER_PROCESS, each, is_full, pid, reference, scattered, sized, target, timed};
use zen_monitor_core::monitors::claim::{Removal, Ticket};
use zen_monitor_core::monitors::nodes::{Node, Nodes};
use zen_monitor_core::monitors::share::Share;
use zen_monitor_core::monitors::slot::Slot;
use zen_monitor_core::monitors::stay::Stay;
use zen_monitor_core::monitors::subscribers::{Subscribers, Taken};
use zen_monitor_core::monitors::targets::{Key, Targets};
use zen_monitor_core::structures::arena::Arena;
use zen_monitor_core::structures::held::HELD;
use zen_monitor_core::structures::id_queue::IdQueue;

const BATCH: u32 = PER_PROCESS;
const NODE: u64 = 7;

/// What `MonitorTable` is made of.
struct Parts {
    nodes: Nodes<()>,
    /// With the only session.
    stay: Stay,
    slots: Arena<Slot>,
    subscribers: Subscribers,
    targets: Targets<u32>,
    outbox: IdQueue,
    ring: SegQueue<u32>,
}

impl Default for Parts {
    fn default() -> Self {
        Parts {
            nodes: Nodes::default(),
            stay: Stay::new(0),
            slots: Arena::default(),
            subscribers: Subscribers::default(),
            targets: Targets::default(),
            outbox: IdQueue::default(),
            ring: SegQueue::default(),
        }
    }
}

/// One batch on its way through the steps.
#[derive(Default)]
struct Batch {
    /// Its first monitor.
    first: u32,
    numbers: Vec<u32>,
    slots: Vec<u32>,
    outgoing: Vec<u32>,
    listed: Vec<u32>,
    taken: Vec<Taken>,
    found: Vec<(u32, Ticket)>,
}

type Step = (&'static str, fn(&Parts, &mut Batch));

const PLACE: &[Step] = &[
    ("nodes.find", find_node),
    ("subscribers.place", place),
    ("targets.join", join),
    ("outbox push", push_outbox),
];
const SWEEP: &[Step] = &[("outbox pop", pop_outbox), ("targets.emit", emit)];
const FIRE: &[Step] = &[
    ("targets.certify_each", certify),
    ("subscribers.enqueue", enqueue),
    ("subscribers.dequeue", dequeue),
    ("targets.describe", describe),
    ("claim.begin_send", begin_send),
];
const FIND: &[Step] = &[("subscribers.find_monitor", find), ("claim.remove", claim)];
const UNLINK: &[Step] = &[("targets.leave", leave), ("subscribers.retire", retire)];
/// Delivered monitors are freed together, removed ones one by one.
const RELEASE: &[Step] = &[
    ("targets.leave", leave_delivered),
    ("subscribers.retire", retire_delivered),
];

fn key(number: u32) -> Key {
    Key {
        node: 0,
        id: target(number),
    }
}

#[inline(never)]
fn find_node(parts: &Parts, batch: &mut Batch) {
    for _ in &batch.numbers {
        black_box(parts.nodes.find(NODE).map(Node::id));
    }
}

#[inline(never)]
fn place(parts: &Parts, batch: &mut Batch) {
    let owner = pid(batch.first / PER_PROCESS);
    for number in batch.first..batch.first + BATCH {
        let (slot, _) = parts
            .subscribers
            .place(&parts.slots, owner, reference(1, number))
            .unwrap();
        batch.slots.push(slot);
    }
}

#[inline(never)]
fn join(parts: &Parts, batch: &mut Batch) {
    for (&number, &slot) in batch.numbers.iter().zip(&batch.slots) {
        let joined = parts
            .targets
            .join(&parts.slots, key(number), &parts.stay, slot);
        batch.outgoing.extend(joined.expect("there is room"));
    }
}

#[inline(never)]
fn push_outbox(parts: &Parts, batch: &mut Batch) {
    for target in batch.outgoing.drain(..) {
        parts.outbox.push(target);
    }
}

#[inline(never)]
fn pop_outbox(parts: &Parts, batch: &mut Batch) {
    while !parts.outbox.is_empty() {
        parts.outbox.pop_many(HELD, &mut batch.outgoing);
    }
}

#[inline(never)]
fn emit(parts: &Parts, batch: &mut Batch) {
    for targets in batch.outgoing.chunks(HELD) {
        parts
            .targets
            .emit(targets, true, &parts.stay, |_, instruction| {
                black_box(instruction);
            });
    }
    batch.outgoing.clear();
}

#[inline(never)]
fn certify(parts: &Parts, batch: &mut Batch) {
    for numbers in batch.numbers.chunks(HELD) {
        let keys = &mut numbers.iter().map(|&number| key(number));
        let died = (&parts.stay, &1);
        parts.targets.certify_each(
            &parts.slots,
            keys,
            died,
            usize::MAX,
            &mut batch.listed,
            |_| (),
        );
    }
}

#[inline(never)]
fn enqueue(parts: &Parts, batch: &mut Batch) {
    for listed in batch.listed.chunks(HELD) {
        parts.subscribers.enqueue(&parts.slots, listed, |entered| {
            parts.ring.push(entered);
        });
    }
    batch.listed.clear();
}

/// With its turns of the ring.
#[inline(never)]
fn dequeue(parts: &Parts, batch: &mut Batch) {
    while let Some(subscriber) = parts.ring.pop() {
        let (_, more) = parts.subscribers.dequeue(
            &parts.slots,
            subscriber,
            HELD,
            |_| Share::all(),
            |taken| batch.taken.push(taken),
        );
        if more {
            parts.ring.push(subscriber);
        }
    }
}

#[inline(never)]
fn describe(parts: &Parts, batch: &mut Batch) {
    for taken in batch.taken.chunks(HELD) {
        black_box(
            parts
                .targets
                .describe(taken.iter().map(|taken| taken.target)),
        );
    }
}

#[inline(never)]
fn begin_send(parts: &Parts, batch: &mut Batch) {
    for taken in &batch.taken {
        let claim = &parts.slots.get(taken.slot).claim;
        assert!(claim.begin_send(taken.ticket));
        claim.end_send(taken.ticket);
    }
}

#[inline(never)]
fn find(parts: &Parts, batch: &mut Batch) {
    let owner = pid(batch.first / PER_PROCESS);
    for number in batch.first..batch.first + BATCH {
        let reference = reference(1, number);
        let found = parts
            .subscribers
            .find_monitor(&parts.slots, owner, reference);
        batch.found.extend(found);
    }
}

#[inline(never)]
fn claim(parts: &Parts, batch: &mut Batch) {
    for (slot, ticket) in batch.found.drain(..) {
        assert_eq!(parts.slots.get(slot).claim.remove(ticket), Removal::Won);
    }
}

#[inline(never)]
fn leave(parts: &Parts, batch: &mut Batch) {
    for &slot in &batch.slots {
        let target = parts.slots.get(slot).target();
        let left = parts.targets.leave(&parts.slots, slot);
        batch.outgoing.extend(left.outbox.map(|_| target));
    }
}

#[inline(never)]
fn leave_delivered(parts: &Parts, batch: &mut Batch) {
    for slots in batch.slots.chunks(HELD) {
        let slots = slots.iter().copied();
        parts.targets.leave_delivered(&parts.slots, slots);
    }
}

#[inline(never)]
fn retire(parts: &Parts, batch: &mut Batch) {
    for &slot in &batch.slots {
        parts.subscribers.retire(&parts.slots, slot, true, true);
    }
}

#[inline(never)]
fn retire_delivered(parts: &Parts, batch: &mut Batch) {
    for slots in batch.slots.chunks(HELD) {
        let slots = slots.iter().copied();
        parts.subscribers.retire_delivered(&parts.slots, slots);
    }
}

/// A life and the steps in it.
struct Life {
    name: &'static str,
    measured: &'static [&'static [Step]],
    /// What the Connector does afterwards.
    after: &'static [Step],
}

const LIVES: [Life; 2] = [
    Life {
        name: "monitor to :DOWN",
        measured: &[PLACE, SWEEP, FIRE, RELEASE],
        after: &[],
    },
    Life {
        name: "monitor to demonitor",
        measured: &[PLACE, SWEEP, FIND, UNLINK],
        after: SWEEP_UNSUBSCRIBES,
    },
];

const SWEEP_UNSUBSCRIBES: &[Step] = &[("outbox push", push_outbox), SWEEP[0], SWEEP[1]];

fn main() {
    let standing = sized(1_000_000, 10_000);
    let batches = std::env::var("STEPS_BATCHES")
        .map(|batches| batches.parse().expect("STEPS_BATCHES is a whole number"))
        .unwrap_or(sized(1_000, 3));
    for (order, number) in [
        ("in sequence", (|n| n) as fn(u32) -> u32),
        ("scattered", scattered),
    ] {
        let parts = Parts::default();
        parts.nodes.find_or_add(NODE, || ());
        let stand = |first| {
            let mut batch = Batch::of(first, number);
            for (_, step) in [PLACE, SWEEP].into_iter().flatten() {
                step(&parts, &mut batch);
            }
        };
        (0..standing / BATCH).for_each(|n| stand(n * BATCH));
        for life in &LIVES {
            run(life, order, &parts, standing, batches, number);
            assert_eq!(parts.subscribers.counts().standing, u64::from(standing));
        }
    }
}

impl Batch {
    fn of(first: u32, number: fn(u32) -> u32) -> Batch {
        Batch {
            first,
            numbers: (first..first + BATCH).map(number).collect(),
            ..Batch::default()
        }
    }
}

/// Not inlined, so that callgrind can be told to count nothing else.
#[inline(never)]
fn run(
    life: &Life,
    order: &str,
    parts: &Parts,
    standing: u32,
    batches: u32,
    number: fn(u32) -> u32,
) {
    let steps: Vec<Step> = life.measured.iter().copied().flatten().copied().collect();
    let mut spent = vec![Duration::ZERO; steps.len()];
    for n in 0..batches {
        let mut batch = Batch::of(standing + n * BATCH, number);
        for ((_, step), spent) in steps.iter().zip(&mut spent) {
            timed(spent, || step(parts, &mut batch));
        }
        for (_, step) in life.after {
            step(parts, &mut batch);
        }
    }
    if !is_full() {
        return;
    }
    println!("\n{}, {order}, beside {standing} standing\n", life.name);
    println!("| step | ns |\n|---|---:|");
    let count = batches * BATCH;
    for ((name, _), spent) in steps.iter().zip(&spent) {
        println!("| {name} | {:.1} |", each(*spent, count));
    }
    println!("| all | {:.1} |", each(spent.iter().sum(), count));
}
