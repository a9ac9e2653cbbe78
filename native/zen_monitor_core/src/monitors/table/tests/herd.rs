//! Targets that have lanes, which few monitors suffice for in tests.

use super::*;

const TARGET: [u32; 3] = [7, 0, 0];

/// The owner of the `number`th monitor: enough of them for each lane to have several.
fn owner(number: u32) -> u64 {
    16 * (1 + u64::from(number % 5))
}

fn herd(amount: u32) -> Table {
    let table = Table::default();
    (0..amount).for_each(|number| place(&table, owner(number), number, TARGET[0]));
    subscribe_all(&table);
    table
}

fn leave(table: &Table, number: u32) -> bool {
    table.demonitor(owner(number), reference(number), |_| ())
}

fn watchers(table: &Table) -> u32 {
    on_node(table, 0, |node| table.watchers(node, TARGET).0)
}

#[test]
fn each_of_a_herd_fires_once_and_those_of_one_owner_in_order() {
    let table = herd(100);
    // Of those from before there were lanes, and of those in lanes.
    for number in [0, 1, 50, 51, 99] {
        assert!(leave(&table, number));
        assert!(!leave(&table, number));
    }
    assert_eq!(watchers(&table), 95);
    on_node(&table, 0, |node| table.certify(node, TARGET, None, 1));
    assert_eq!(table.dispatch_counts().waiting, 95);
    assert!(leave(&table, 60));
    // Another target by now, which fires when it dies itself.
    place(&table, owner(0), 100, TARGET[0]);
    while !table.expand(7) {}
    assert!(leave(&table, 70));
    let mut fired: Vec<(u64, u32)> = turns(&table);
    assert!(fired.iter().all(|&(pid, number)| owner(number) == pid));
    // The sort is stable.
    fired.sort_by_key(|&(pid, _)| pid);
    assert!(fired.is_sorted());
    let mut numbers: Vec<u32> = fired.into_iter().map(|(_, number)| number).collect();
    numbers.sort_unstable();
    let gone = [0, 1, 50, 51, 60, 70, 99];
    let expected = (0..100).filter(|number| !gone.contains(number));
    assert!(numbers.into_iter().eq(expected));
    assert_eq!(watchers(&table), 1);
}

#[test]
fn the_last_of_a_herd_has_the_node_told_whichever_it_is() {
    let orders: [fn(u32) -> u32; 3] = [|n| n, |n| 19 - n, |n| n * 7 % 20];
    for order in orders {
        let table = herd(20);
        for left in 0..20 {
            assert!(on_node(&table, 0, |node| node.is_outbox_empty()), "{left}");
            assert!(leave(&table, order(left)));
        }
        let told = on_node(&table, 0, |node| table.take(node, 9, 9).0);
        assert!(matches!(told[..], [Instruction::Unsubscribe(_)]));
        assert_eq!(table.sizes().targets, 0);
        // The next one in its place begins anew.
        place(&table, 16, 20, TARGET[0]);
        assert_eq!(watchers(&table), 1);
    }
}

#[test]
fn all_of_a_herd_are_found() {
    let table = herd(1_000);
    let found = on_node(&table, 0, |node| table.monitors(node, owner(3), TARGET));
    let expected = (0..1_000).filter(|&number| owner(number) == owner(3));
    assert!(found.into_iter().eq(expected.map(reference)));
    let nodes = table.survey_nodes();
    assert_eq!((nodes[0].1, nodes[0].2), (1, 1_000));
}

#[test]
fn a_herd_is_held_and_resumed_and_expires_as_a_whole() {
    let table = herd(100);
    let held = on_node(&table, 0, |node| table.hold(node));
    assert_eq!((held, table.monitors_held()), (100, 100));
    // Who joins and leaves meanwhile is counted, too.
    (100..120).for_each(|number| place(&table, owner(number), number, TARGET[0]));
    (95..105).for_each(|number| assert!(leave(&table, number)));
    assert_eq!(table.monitors_held(), 110);
    let mut resumed = 0;
    on_node(&table, 0, |node| {
        while table.monitors_held() > 0 {
            resumed += table.resume(node, 100).monitors;
        }
    });
    assert_eq!((resumed, table.monitors_held()), (110, 0));
    subscribe_all(&table);
    place(&table, 16, 120, TARGET[0]);
    on_node(&table, 0, |node| table.expire(node));
    assert_eq!(table.dispatch_counts().waiting, 111);
    // What comes after the end of the session is none of its business.
    place(&table, 16, 121, TARGET[0]);
    while !table.expand(10) {}
    assert_eq!(turns(&table).len(), 111);
    assert_eq!(watchers(&table), 1);
}
