//! What several threads expand at once.

use super::*;
use shuttle::{sync::Arc, thread};

/// A Connector certifies one process after the other, as `certify` does it, while `ZenMonitor.Local` expands.
fn exits_of_one_node_stay_in_order(certify: fn(&Table, u32)) {
    let model = move || {
        let table = Arc::new(Table::default());
        for number in 0..3 {
            place(&table, 16, number, number);
        }
        subscribe_all(&table);
        let local = {
            let table = table.clone();
            thread::spawn(move || table.expand(9))
        };
        for id in 0..3 {
            certify(&table, id);
        }
        local.join().unwrap();
        while !table.expand(9) {}
        assert_eq!(turns(&table), [(16, 0), (16, 1), (16, 2)]);
    };
    shuttle::check_random(model, 20_000);
}

fn certify_alone(table: &Table, id: u32) {
    on_node(table, 0, |node| table.certify(node, [id, 0, 0], None, 0));
}

#[test]
fn when_the_connector_expands_as_well() {
    exits_of_one_node_stay_in_order(|table, id| {
        certify_alone(table, id);
        table.expand(9);
    });
}

#[test]
fn when_the_connector_moves_what_it_certifies() {
    exits_of_one_node_stay_in_order(|table, id| match id {
        0 => certify_alone(table, id),
        _ => on_node(table, 0, |node| {
            table.certify_each(node, [[id, 0, 0]].into_iter(), &0, 9);
        }),
    });
}
