//! What a node is told.

use super::*;

/// Monitors targets of another node until one of them has the place of a former one.
fn heir(table: &Table, former: u32) -> u32 {
    (100..)
        .find(|&number| {
            on_node(table, 1, |node| {
                table
                    .monitor(node, 48, reference(number), [number, 0, 0])
                    .unwrap()
            });
            let held = table.subscribers.held(&table.slots, 48, usize::MAX).1;
            held.last().unwrap().1 == former
        })
        .unwrap()
}

#[test]
fn who_takes_a_chunk_back_leaves_the_targets_of_other_nodes_alone() {
    let table = Table::default();
    place(&table, 16, 0, 7);
    let former = table.subscribers.held(&table.slots, 16, 1).1[0].1;
    subscribe_all(&table);
    // The target goes while its chunk is open, and its place is taken.
    on_node(&table, 0, |node| table.certify(node, [7, 0, 0], None, 1));
    assert!(table.expand(10));
    assert_eq!(deliver_some(&table), (1, 1));
    let heir = heir(&table, former);
    on_node(&table, 1, |node| while !table.take(node, 99, 99).1 {});

    assert!(on_node(&table, 0, |node| table.withdraw(node, 9)));
    assert!(on_node(&table, 0, |node| node.is_outbox_empty()));
    on_node(&table, 1, |node| table.certify(node, [heir, 0, 0], None, 2));
    assert!(table.expand(10));
    assert_eq!(deliver_some(&table), (1, 1));
}

#[test]
fn what_died_while_its_chunk_was_open_is_not_taken_back() {
    let table = Table::default();
    // The last of many nodes has a larger number than any shard has sessions.
    for node in 0..9 {
        on_node(&table, node, |_| ());
    }
    on_node(&table, 8, |node| {
        table.monitor(node, 16, reference(0), [7, 0, 0]).unwrap();
        assert_eq!(table.take(node, 9, 9).0.len(), 1);
        table.certify(node, [7, 0, 0], None, 1);
        assert!(table.withdraw(node, 9));
        assert!(node.is_outbox_empty());
    });
}

#[test]
fn a_node_is_used_while_it_has_a_target_or_an_instruction() {
    let table = Table::default();
    let is_unused = || on_node(&table, 0, |node| table.is_unused(node));
    assert!(is_unused());
    place(&table, 16, 1, 1);
    assert!(!is_unused());
    subscribe_all(&table);
    assert!(!is_unused());
    assert!(table.demonitor(16, reference(1), |_| ()));
    assert!(!is_unused(), "the node must be told");
    subscribe_all(&table);
    assert!(is_unused());
    place(&table, 16, 2, 2);
    subscribe_all(&table);
    on_node(&table, 0, |node| table.certify(node, [2, 0, 0], None, 0));
    assert!(is_unused(), "what is due does not concern the node");
    place(&table, 16, 3, 3);
    subscribe_all(&table);
    on_node(&table, 0, |node| table.expire(node));
    assert!(is_unused(), "nor does what an old connection left");
}

#[test]
fn what_was_cancelled_is_passed_over_in_steps() {
    let table = Table::default();
    for number in 0..10 {
        place(&table, 16, number, number);
    }
    for number in 0..9 {
        assert!(table.demonitor(16, reference(number), |_| ()));
    }
    let take = || on_node(&table, 0, |node| table.take(node, 5, 4));
    assert_eq!(take(), (vec![], false));
    assert_eq!(take(), (vec![], false));
    let (taken, emptied) = take();
    assert_eq!((taken.len(), emptied), (1, true));
}

#[test]
fn a_subscribe_and_an_unsubscribe_cancel_out() {
    let table = Table::default();
    place(&table, 16, 1, 1);
    place(&table, 16, 2, 2);
    assert!(table.demonitor(16, reference(1), |_| ()));
    let (taken, _) = on_node(&table, 0, |node| table.take(node, 10, 10));
    let key = |id| Key {
        node: 0,
        id: [id, 0, 0],
    };
    assert_eq!(taken, [Instruction::Subscribe(key(2))]);
    // The other way round, too: the remote goes on watching.
    assert!(table.demonitor(16, reference(2), |_| ()));
    place(&table, 16, 3, 2);
    assert!(
        on_node(&table, 0, |node| table.take(node, 10, 10))
            .0
            .is_empty()
    );
    assert!(table.demonitor(16, reference(3), |_| ()));
    let (taken, _) = on_node(&table, 0, |node| table.take(node, 10, 10));
    assert_eq!(taken, [Instruction::Unsubscribe(key(2))]);
}

#[test]
fn an_outbox_is_taken_up_to_a_limit_and_no_further() {
    for amount in [1, 63, 64, 65, 128, 200] {
        for limit in [1, 64, 100, 128, 1_000] {
            let table = Table::default();
            (0..amount).for_each(|number| place(&table, 16, number, number));
            let (taken, emptied) = on_node(&table, 0, |node| table.take(node, limit, 1_000));
            let number = |instruction: &Instruction| match instruction {
                Instruction::Subscribe(key) => key.id[0],
                _ => unreachable!("nothing is subscribed, and nothing has a name"),
            };
            let numbers: Vec<u32> = taken.iter().map(number).collect();
            let expected = amount.min(limit as u32);
            assert_eq!(numbers, (0..expected).collect::<Vec<_>>());
            assert_eq!(emptied, limit > amount as usize, "{amount} up to {limit}");
        }
    }
}

#[test]
fn counts_what_monitors_call_for_in_whatever_way_they_end() {
    let table = Table::default();
    for number in 0..4 {
        place(&table, 16, number, number / 2);
    }
    assert_eq!(table.instructed(), 2);
    subscribe_all(&table);
    assert!(table.demonitor(16, reference(0), |_| ()));
    assert_eq!(table.instructed(), 2);
    assert!(table.demonitor(16, reference(1), |_| ()));
    assert_eq!(table.instructed(), 3);
    assert!(table.depart(16));
    while !table.sweep_departed(10, |_| (), |_, _| ()) {}
    assert_eq!(table.instructed(), 4);
}

#[test]
fn what_is_too_much_for_an_outbox_falls_due() {
    let table = Table::default();
    place(&table, 16, 0, 0);
    subscribe_all(&table);
    for number in 1..=10 {
        place(&table, 16, number, number);
    }
    // The node is still to be told that nobody monitors the first any more.
    assert!(table.demonitor(16, reference(0), |_| ()));
    on_node(&table, 0, |node| {
        table.confirm(node);
        assert_eq!(table.shed(node, 2), 2);
        assert_eq!(table.shed(node, 5), 5);
        assert_eq!(node.outbox_len(), 4);
    });
    table.expand(100);
    let due: Vec<u32> = turns(&table).into_iter().map(|turn| turn.1).collect();
    assert_eq!(due, [1, 2, 3, 4, 5, 6, 7]);
    let key = |id| Key {
        node: 0,
        id: [id, 0, 0],
    };
    let mut expected = [8, 9, 10]
        .map(|id| Instruction::Subscribe(key(id)))
        .to_vec();
    expected.push(Instruction::Unsubscribe(key(0)));
    assert_eq!(
        on_node(&table, 0, |node| table.take(node, 10, 10).0),
        expected
    );
    assert!(table.demonitor(16, reference(8), |_| ()));
    on_node(&table, 0, |node| {
        table.confirm(node);
        assert_eq!((table.shed(node, 5), node.outbox_len()), (0, 1));
    });
}

#[test]
fn whether_a_node_is_unused_is_seen_without_the_locks_of_the_targets() {
    let table = Table::default();
    place(&table, 16, 1, 1);
    let (answer, answered) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        table.targets.while_locked(|| {
            scope.spawn(|| answer.send(on_node(&table, 0, |node| table.is_unused(node))));
            let within = std::time::Duration::from_secs(10);
            assert_eq!(answered.recv_timeout(within), Ok(false));
        });
    });
}

#[test]
fn a_node_that_gives_back_keeps_the_chunk_that_it_has_open() {
    let table = Table::default();
    place(&table, 16, 1, 1);
    place(&table, 16, 2, 2);
    on_node(&table, 0, |node| {
        assert_eq!(table.take(node, 1, 1).0.len(), 1);
        node.give_back();
        assert_eq!(node.pending(), 2);
        assert!(table.withdraw(node, 9));
        node.give_back();
        assert_eq!((node.pending(), node.outbox_len()), (2, 2));
    });
}
