//! What a full table refuses.

use super::*;
use crate::monitors::targets::MOST_MONITORS;

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
