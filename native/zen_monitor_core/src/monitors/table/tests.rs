//! The table as a whole. Beside it: one concept after the other.

use super::*;
use crate::monitors::delivery::Delivery;
use crate::monitors::share::Share;
use crate::monitors::subscribers::Taken;
use crate::monitors::targets::{Instruction, NAMED};
use std::collections::HashMap;

mod herd;
mod limits;
mod model;
#[cfg(shuttle)]
mod models;
mod names;
mod outbox;
mod turns;

type Table = MonitorTable<u32, ()>;

fn reference(number: u32) -> Reference {
    [number, 7, 9]
}

fn on_node<T>(table: &Table, node: u64, view: impl FnOnce(&Node<()>) -> T) -> T {
    view(table.nodes.find_or_add(node, || ()))
}

fn place(table: &Table, pid: u64, number: u32, id: u32) {
    on_node(table, 0, |node| {
        table
            .monitor(node, pid, reference(number), [id, 0, 0])
            .unwrap()
    });
}

fn subscribe_all(table: &Table) {
    on_node(table, 0, |node| while !table.take(node, 9, 9).1 {});
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

fn agree_on_shards(table: &Table) {
    for node in table.nodes.iter() {
        let (kept, counted) = table.shards_in_use(node);
        assert_eq!(kept, counted);
    }
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
