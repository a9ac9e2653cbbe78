//! What each entry of a list costs the tables: put into a set and deleted, or monitored and removed with a
//! reference for each, with what the Connector takes of either.
//!
//! All of it grows from an empty table and is emptied again. The first round is not counted: it makes the memory.

mod support;

use std::hint::black_box;
use std::time::Duration;
use support::{SLICE, World, each, is_full, pid, reference, scattered, sized, target, timed};
use zen_monitor_core::monitors::slot::Reference;
use zen_monitor_core::monitors::targets::Key;
use zen_monitor_core::structures::held::HELD;

const OWNER: u32 = 5;
const SET: u64 = 28;

const STEPS: [&str; 8] = [
    "put",
    "taken",
    "delete",
    "taken",
    "monitor_each",
    "taken",
    "demonitor_each",
    "taken",
];

fn main() {
    let size = sized(300_000, 3_000);
    let rounds = sized(10, 1);
    for (order, number) in [
        ("in sequence", (|n| n) as fn(u32) -> u32),
        ("scattered", scattered),
    ] {
        let keys: Vec<Key> = (0..size)
            .map(|n| Key {
                node: 0,
                id: target(number(n)),
            })
            .collect();
        let references: Vec<Reference> = (0..size).map(|n| reference(1, n)).collect();
        let world = World::default();
        world.table.open_set(SET).expect("there is room");
        round(&world, &keys, &references);
        let mut spent = [Duration::ZERO; STEPS.len()];
        for _ in 0..rounds {
            for (sum, more) in spent.iter_mut().zip(round(&world, &keys, &references)) {
                *sum += more;
            }
        }
        if is_full() {
            println!("\nA list of {size}, {order}\n\n| step | ns |\n|---|---:|");
            for (step, spent) in STEPS.iter().zip(spent) {
                println!("| {step} | {:.1} |", each(spent, size * rounds));
            }
        }
    }
}

fn round(world: &World, keys: &[Key], references: &[Reference]) -> [Duration; STEPS.len()] {
    let mut spent = [Duration::ZERO; STEPS.len()];
    let table = &world.table;
    let mut steps = spent.iter_mut();
    let mut step = |work: &dyn Fn() -> usize| {
        let done = timed(steps.next().expect("it is named"), work);
        assert_eq!(done, keys.len());
    };
    let take = || {
        let mut taken = 0;
        loop {
            let (instructions, emptied) = table.take_numbered(world.node(), SLICE, 128);
            table.confirm(world.node());
            taken += black_box(instructions).len();
            if emptied {
                return taken;
            }
        }
    };
    step(&|| {
        let put = |keys| table.put(SET, keys, |_| ()).0;
        keys.chunks(HELD).map(put).sum()
    });
    step(&take);
    step(&|| {
        let delete = |keys| table.delete(SET, keys, |_| ());
        keys.chunks(HELD).map(delete).sum()
    });
    step(&take);
    let both = || references.chunks(HELD).zip(keys.chunks(HELD));
    step(&|| {
        for (references, keys) in both() {
            let (_, placed) = table.monitor_each(pid(OWNER), references, keys, |_| ());
            placed.expect("there is room");
        }
        keys.len()
    });
    step(&take);
    step(&|| {
        for (references, _) in both() {
            assert!(
                table
                    .demonitor_each(pid(OWNER), references, |_| ())
                    .is_empty()
            );
        }
        keys.len()
    });
    step(&take);
    spent
}
