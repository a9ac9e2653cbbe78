//! What a watched process costs the subscription table, and the bytes that it takes there.
//!
//! The pids follow on each other, as those of processes that were spawned together do; and with each pid in a place of
//! its own. Each is watched by one connector, or by several. The bytes are also counted where some processes are not
//! watched.
//!
//! `WATCHED_MAX` sets the number of processes, a million unless given.

mod support;

use allocation_counter::measure;
use std::time::Duration;
use support::{each, is_full, pid, reference, scattered, sized, timed};
use zen_monitor_core::subscriptions::table::{ConnectorId, Destination, SubscriptionTable};

/// Rounds, of which the fastest counts: noise only ever adds.
const ROUNDS: usize = 5;
/// Instructions of one slice.
const SLICE: u32 = 64;

type Table = SubscriptionTable<(), u32>;
/// The `n`th process.
type Order = fn(u32) -> u32;

const ORDERS: [(&str, Order); 2] = [("in sequence", |n| n), ("scattered", scattered)];

fn main() {
    let size = std::env::var("WATCHED_MAX")
        .map(|max| max.parse().expect("WATCHED_MAX is a whole number"))
        .unwrap_or(sized(1_000_000, 10_000));
    if is_full() {
        println!("ns of CPU for each of {size} watched processes\n");
        println!(
            "| order | watching nodes | subscribe | subscribe the next | exit | unsubscribe |"
        );
        println!("|---|---:|---:|---:|---:|---:|");
    }
    for (name, order) in ORDERS {
        for nodes in [1, 3] {
            let rounds = (0..sized(ROUNDS, 1)).map(|_| life(order, nodes, size));
            let best = rounds.reduce(|best, round| {
                let mut least = best;
                for (least, spent) in least.iter_mut().zip(round) {
                    *least = (*least).min(spent);
                }
                least
            });
            let [subscribe, next, exit, unsubscribe] = best.unwrap_or_default();
            if is_full() {
                let next = if nodes == 1 {
                    0.0
                } else {
                    each(next, size * (nodes - 1))
                };
                println!(
                    "| {name} | {nodes} | {:.0} | {next:.0} | {:.0} | {:.0} |",
                    each(subscribe, size),
                    each(exit, size),
                    each(unsubscribe, size * nodes),
                );
            }
        }
    }
    if is_full() {
        println!(
            "\nBytes for each, with between {} and {size} watched\n",
            size / 4
        );
        println!("| watched is one of | least | most |");
        println!("|---:|---:|---:|");
    }
    for stride in [1, 3, 10, 64] {
        let (least, most) = bytes(size, stride);
        if is_full() {
            println!("| {stride} | {least:.1} | {most:.1} |");
        }
    }
}

fn destination(number: u32) -> Destination {
    Destination {
        word: pid(number),
        node: 0,
    }
}

fn subscribe(table: &mut Table, connector: ConnectorId, numbers: impl Iterator<Item = u32>) {
    let mut made = Vec::with_capacity(SLICE as usize);
    for number in numbers {
        let target = table.subscribe(connector, destination(number)).unwrap();
        made.extend(target.map(|target| (target, number)));
    }
    for (target, number) in made {
        table.begin_monitor(target, |_| true);
        table.set_monitor(target, reference(1, number));
    }
}

/// Subscribes, has all exit, subscribes again, and unsubscribes.
fn life(order: Order, nodes: u32, size: u32) -> [Duration; 4] {
    let mut table = Table::default();
    let connectors: Vec<ConnectorId> = (0..nodes).map(|_| table.attach(|_| ())).collect();
    let [mut first, mut next, mut exit, mut unsubscribe] = [Duration::ZERO; 4];
    let slices = || (0..size).step_by(SLICE as usize);
    let slice = |from: u32| (from..size.min(from + SLICE)).map(order);
    timed(&mut first, || {
        for from in slices() {
            subscribe(&mut table, connectors[0], slice(from));
        }
    });
    timed(&mut next, || {
        for &connector in &connectors[1..] {
            for from in slices() {
                subscribe(&mut table, connector, slice(from));
            }
        }
    });
    let mut told = 0;
    timed(&mut exit, || {
        for number in (0..size).map(order) {
            let deliver = |_: &(), _| true;
            told += table.certify(destination(number), || None, deliver).0;
        }
    });
    assert_eq!(told, (size * nodes) as usize);
    for &connector in &connectors {
        for from in slices() {
            subscribe(&mut table, connector, slice(from));
        }
    }
    let mut released = 0;
    timed(&mut unsubscribe, || {
        for &connector in &connectors {
            for number in (0..size).map(order) {
                released += u32::from(table.unsubscribe(connector, destination(number)).is_some());
            }
        }
    });
    assert_eq!(released, size);
    [first, next, exit, unsubscribe]
}

/// The least and the most that a watched process takes while the table grows, if of so many neighbours one is watched.
fn bytes(size: u32, stride: u32) -> (f64, f64) {
    let mut table = Table::default();
    let connector = table.attach(|_| ());
    let (mut least, mut most) = (f64::INFINITY, 0.0f64);
    let mut taken = 0;
    for from in (0..size).step_by(1_000) {
        let end = size.min(from + 1_000);
        let allocated = measure(|| {
            let numbers = (from..end).map(|number| number * stride);
            subscribe(&mut table, connector, numbers)
        });
        taken += allocated.bytes_current;
        if from >= size / 4 {
            let each = taken as f64 / f64::from(end);
            (least, most) = (least.min(each), most.max(each));
        }
    }
    (least, most)
}
