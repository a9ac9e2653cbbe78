//! What falls due, and whose turn it is.

use super::*;

/// One process with four monitors that are due, and another with one.
fn four_due_and_one() -> Table {
    let table = Table::default();
    for number in 0..4 {
        place(&table, 16, number, number);
    }
    place(&table, 32, 4, 4);
    subscribe_all(&table);
    for id in 0..5 {
        on_node(&table, 0, |node| table.certify(node, [id, 0, 0], None, 0));
    }
    table.expand(100);
    table
}

#[test]
fn one_that_is_to_be_the_last_of_a_call_ends_it_and_changes_no_order() {
    let share = |of| {
        move |pid| match pid == of {
            true => Share::all().last(),
            false => Share::all(),
        }
    };
    let table = four_due_and_one();
    for expected in [vec![0], vec![4, 1], vec![2], vec![3]] {
        let mut taken = Vec::new();
        let turns = table.next_turns(3, share(16), |one| taken.push(one));
        assert_eq!(turns, expected.len());
        let numbers = taken.iter().map(|taken| taken.reference[0]);
        assert!(numbers.eq(expected));
    }

    // Where nobody is, all are taken together.
    let (table, mut taken) = (four_due_and_one(), Vec::new());
    let turns = table.next_turns(5, share(48), |one| taken.push(one));
    assert_eq!(turns, 5);
}

#[test]
fn subscribers_take_turns_and_each_keeps_its_order() {
    let table = four_due_and_one();
    assert_eq!(turns(&table), [(16, 0), (32, 4), (16, 1), (16, 2), (16, 3)]);
}

#[test]
fn who_waits_alone_gets_several_turns_at_once() {
    assert_eq!(take_turns(&four_due_and_one()).1, [1, 1, 3]);
}

#[test]
fn a_departed_subscriber_gets_nothing_more_even_before_it_is_swept() {
    let table = four_due_and_one();
    assert!(table.depart(16));
    let (taken, calls) = take_turns(&table);
    assert_eq!((taken.len(), taken[0].pid), (1, 32));
    assert_eq!(calls.iter().sum::<usize>(), 5);
    while !table.sweep_departed(2, |_| (), |_, _| ()) {}
    assert_eq!(table.counts().standing, 1);
}

#[test]
fn the_monitors_of_one_target_fire_in_the_order_of_their_placing() {
    let table = Table::default();
    for number in 0..5 {
        place(&table, 16, number, 0);
    }
    subscribe_all(&table);
    on_node(&table, 0, |node| table.certify(node, [0, 0, 0], None, 0));
    while !table.expand(2) {}
    let order: Vec<u32> = turns(&table).into_iter().map(|turn| turn.1).collect();
    assert_eq!(order, [0, 1, 2, 3, 4]);
}

#[test]
fn what_is_certified_together_comes_behind_what_fell_due_before() {
    let certify_each = |table: &Table, ids: [u32; 2], limit| {
        let targets = ids.into_iter().map(|id| [id, 0, 0]);
        on_node(table, 0, |node| {
            table.certify_each(node, targets, &0, limit)
        })
    };
    let table = Table::default();
    for number in 0..8 {
        place(&table, 16, number, number / 2);
    }
    subscribe_all(&table);
    // Nothing waits, so they need not be expanded, up to the limit.
    assert_eq!(certify_each(&table, [3, 2], 3), 3);
    assert_eq!(turns(&table), [(16, 6), (16, 7), (16, 4)]);
    // From then on something waits.
    assert_eq!(certify_each(&table, [1, 0], 9), 0);
    assert_eq!(turns(&table), []);
    assert!(table.expand(100));
    let order: Vec<u32> = turns(&table).into_iter().map(|turn| turn.1).collect();
    assert_eq!(order, [5, 2, 3, 0, 1]);
}

#[test]
fn no_subscriber_gets_more_than_its_share_at_a_time() {
    let ms = std::time::Duration::from_millis;
    let share = |now| Share::new(ms(now), ms(1), 100, 5);
    let table = Table::default();
    // One has a thousand monitors that are due, and a hundred have one.
    for number in 0..1_000 {
        place(&table, 16, number, number);
    }
    for number in 1..101 {
        place(&table, 16 + 16 * u64::from(number), 1_000 + number, number);
    }
    subscribe_all(&table);
    on_node(&table, 0, |node| table.expire(node));
    while !table.expand(100) {}

    // A removed one takes no part of a share.
    for number in 0..50 {
        assert!(table.demonitor(16, reference(number), |_| ()));
    }
    let deliver = |now| {
        let mut delivery = Delivery::new(&table, 2_000);
        delivery.take_turns(2_000, |_| share(now));
        let mut sent = HashMap::new();
        for number in 0..delivery.len() {
            assert!(delivery.begin(number));
            delivery.end(number);
            *sent.entry(delivery.taken(number).pid).or_insert(0) += 1;
        }
        (sent.remove(&16).unwrap_or(0), sent.len())
    };
    // More than two bursts wait for it, so it gets what flows.
    assert_eq!(deliver(0), (5, 100));
    assert_eq!(deliver(0), (0, 0));
    assert!(!table.is_idle());
    assert_eq!(deliver(20), (20, 0));
    assert_eq!(deliver(1_000), (100, 0));
    let mut rest = 0;
    while !table.is_idle() {
        let mut delivery = Delivery::new(&table, 64);
        delivery.take_turns(64, |_| Share::all());
        for number in 0..delivery.len() {
            assert!(delivery.begin(number));
            delivery.end(number);
            rest += 1;
        }
    }
    assert_eq!(rest, 950 - 125);

    // After that rest it may have a burst again, or not, as before.
    let fall_due = |numbers: std::ops::Range<u32>| {
        for number in numbers.clone() {
            place(&table, 16, number, number);
        }
        subscribe_all(&table);
        for number in numbers {
            on_node(&table, 0, |node| {
                table.certify(node, [number, 0, 0], None, 1)
            });
        }
        while !table.expand(100) {}
    };
    fall_due(2_000..2_200);
    assert_eq!(deliver(2_000), (100, 0));
    assert_eq!(deliver(2_100), (100, 0));
    assert!(table.is_idle());
    fall_due(3_000..3_201);
    assert_eq!(deliver(3_000), (5, 0));
    assert_eq!(deliver(3_200), (100, 0));
    assert_eq!(deliver(3_300), (96, 0));
    // What is too much may come after its first turn.
    fall_due(4_000..4_100);
    fall_due(5_000..5_001);
    let mut first = Delivery::new(&table, 1);
    first.take_turns(1, |_| share(4_000));
    assert!(first.begin(0));
    first.end(0);
    drop(first);
    fall_due(6_000..6_101);
    assert_eq!(deliver(4_000), (5, 0));
}

#[test]
fn a_dead_node_costs_nothing_up_front() {
    let table = Table::default();
    for number in 0..10_000 {
        place(&table, 16, number, number);
    }
    subscribe_all(&table);
    on_node(&table, 0, |node| table.expire(node));
    assert_eq!(table.sizes().backlog, 1);
    assert_eq!(table.dispatch_counts().waiting, 10_000);
    assert!(table.is_idle());
}

#[test]
fn a_dead_target_does_not_wait_for_an_expired_session() {
    let table = Table::default();
    for number in 0..1_000 {
        place(&table, 16, number, number);
    }
    subscribe_all(&table);
    on_node(&table, 0, |node| table.expire(node));
    let other = table.nodes.find_or_add(1, || ());
    table
        .monitor(other, 32, reference(1_000), [0, 0, 0])
        .unwrap();
    table.take(other, 1, 1);
    // A part of the session is expanded.
    let moved = table.expand_expired(1_000, 100);
    assert!((100..100 + HELD).contains(&moved));
    assert_eq!(turns(&table).len(), moved);
    table.certify(other, [0, 0, 0], None, 1);
    assert!(table.expand_dead(10) < 10);
    assert_eq!(turns(&table), [(32, 1_000)]);
    assert!(table.is_dead_expanded() && !table.is_expanded());
    while !table.is_expanded() {
        assert!(table.expand_expired(50, usize::MAX) <= 50);
    }
    assert_eq!(turns(&table).len(), 1_000 - moved);
}

#[test]
fn a_subscription_over_the_new_connection_survives_the_end_of_the_old_one() {
    let table = Table::default();
    place(&table, 16, 1, 1);
    subscribe_all(&table);
    // Placed, but not sent, when the old connection ends.
    place(&table, 16, 2, 2);
    on_node(&table, 0, |node| table.expire(node));
    // Placed on a target that the old connection has still to fire.
    place(&table, 16, 3, 1);
    subscribe_all(&table);
    while !table.expand(100) {}
    assert_eq!(turns(&table), [(16, 1)]);
}
