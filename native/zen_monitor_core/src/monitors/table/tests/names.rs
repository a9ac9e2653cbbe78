//! The numbers of the subscriptions of names.

use super::*;

const NAME: [u32; 3] = [1, 0, NAMED];

fn place_on_name(table: &Table, number: u32) {
    on_node(table, 0, |node| {
        table.monitor(node, 100, reference(number), NAME).unwrap();
    });
}

/// The numbers of the subscriptions that a node is told of, and `None` for an unsubscribe.
fn tell(table: &Table) -> Vec<Option<u32>> {
    let number = |instruction| match instruction {
        Instruction::SubscribeName(key, number) if key.id == NAME => Some(number),
        Instruction::Unsubscribe(key) if key.id == NAME => None,
        other => panic!("told {other:?}"),
    };
    let (taken, _) = on_node(table, 0, |node| table.take_numbered(node, 9, 9));
    taken.into_iter().map(number).collect()
}

/// How many monitors wait after a certificate.
fn certify_name(table: &Table, number: Option<u32>) -> u64 {
    on_node(table, 0, |node| table.certify(node, NAME, number, 1));
    table.dispatch_counts().waiting
}

#[test]
fn a_certificate_of_a_former_subscription_of_a_name_is_ignored() {
    let table = Table::default();
    place_on_name(&table, 1);
    let first = tell(&table)[0];
    assert!(table.demonitor(100, reference(1), |_| ()));
    // Its place is free, and the next target takes it.
    assert_eq!(tell(&table), [None]);
    place_on_name(&table, 2);
    let second = tell(&table)[0];
    assert!(second.is_some() && first != second);
    assert_eq!(certify_name(&table, first), 0);
    // One that was withdrawn is answered by nothing, and comes again with another number.
    while !on_node(&table, 0, |node| table.withdraw(node, 9)) {}
    assert_eq!(certify_name(&table, second), 0);
    let third = tell(&table)[0];
    assert_eq!(certify_name(&table, second), 0);
    assert_eq!(certify_name(&table, third), 1);
    // A certificate without a number is of version 2, and answers whatever stands.
    place_on_name(&table, 3);
    let fourth = tell(&table)[0];
    assert_eq!(certify_name(&table, None), 2);
    assert_eq!(certify_name(&table, fourth), 2);
}

#[test]
fn a_name_that_is_wanted_again_before_its_node_heard_is_subscribed_anew() {
    let table = Table::default();
    place_on_name(&table, 1);
    let first = tell(&table)[0];
    assert!(table.demonitor(100, reference(1), |_| ()));
    place_on_name(&table, 2);
    // Of the process that the first was of.
    assert_eq!(certify_name(&table, first), 0);
    let second = tell(&table)[0];
    assert_eq!(certify_name(&table, first), 0);
    assert_eq!(certify_name(&table, second), 1);

    // A node that returns no numbers is told nothing, and what it has been told before stands.
    place_on_name(&table, 3);
    let third = tell(&table)[0];
    assert!(table.demonitor(100, reference(3), |_| ()));
    place_on_name(&table, 4);
    assert_eq!(on_node(&table, 0, |node| table.take(node, 9, 9)).0, []);
    assert_eq!(certify_name(&table, third), 2);
}

#[test]
fn a_name_whose_former_subscription_is_over_is_subscribed_anew_in_either_form() {
    let table = Table::default();
    let take = || on_node(&table, 0, |node| table.take(node, 9, 9)).0;
    place_on_name(&table, 1);
    let first = tell(&table)[0];
    assert!(table.demonitor(100, reference(1), |_| ()));
    place_on_name(&table, 2);
    assert_eq!(certify_name(&table, first), 0);
    // The node does not watch it any more, so it has to be told, although it returns no numbers by now.
    let key = Key { node: 0, id: NAME };
    assert_eq!(take(), [Instruction::Subscribe(key)]);
    assert_eq!(certify_name(&table, first), 0);
    assert_eq!(certify_name(&table, None), 1);

    // The end of the connection is no affair of who waits to be told.
    place_on_name(&table, 3);
    let second = tell(&table)[0];
    assert!(table.demonitor(100, reference(3), |_| ()));
    place_on_name(&table, 4);
    assert_eq!(certify_name(&table, second), 1);
    on_node(&table, 0, |node| table.expire(node));
    while !table.expand(9) {}
    assert_eq!(table.dispatch_counts().waiting, 1);
    assert_eq!(tell(&table).len(), 1);
}

#[test]
fn a_name_that_stays_subscribed_when_its_node_fails_still_fires() {
    let table = Table::default();
    let fail = || on_node(&table, 0, |node| table.fail(node, 9));
    place_on_name(&table, 1);
    let first = tell(&table)[0];
    assert!(table.demonitor(100, reference(1), |_| ()));
    place_on_name(&table, 2);
    // The subscription stands, and nobody is going to tell of another.
    assert_eq!(fail(), (0, true));
    assert_eq!(certify_name(&table, first), 1);

    // One that is over does not stand.
    place_on_name(&table, 3);
    let second = tell(&table)[0];
    assert!(table.demonitor(100, reference(3), |_| ()));
    place_on_name(&table, 4);
    assert_eq!(certify_name(&table, second), 1);
    assert_eq!(fail(), (1, true));
    assert_eq!(table.dispatch_counts().waiting, 2);
}

#[test]
fn a_name_that_never_was_alone_stays_subscribed() {
    let table = Table::default();
    place_on_name(&table, 1);
    let first = tell(&table)[0];
    place_on_name(&table, 2);
    assert!(table.demonitor(100, reference(1), |_| ()));
    assert_eq!(tell(&table), []);
    assert_eq!(certify_name(&table, first), 1);
}
