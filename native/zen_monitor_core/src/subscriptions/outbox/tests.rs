use super::*;
use proptest::prelude::*;

fn push(outbox: &Outbox<u32>, certificate: u32) -> Pushed {
    outbox.push(|| certificate)
}

fn take(outbox: &Outbox<u32>, reader: u64, limit: usize) -> Vec<u32> {
    let mut taken = Vec::new();
    outbox.take(reader, limit, |certificate| {
        taken.push(*certificate);
        true
    });
    taken
}

proptest! {
    #[test]
    fn every_certificate_goes_out_at_least_once_and_in_order(
        ops in prop::collection::vec((0..7u8, 0..5usize), 0..200)
    ) {
        let outbox = Outbox::default();
        let mut reader = 1;
        outbox.reclaim(reader);
        let (mut pushed, mut sent) = (0u32, 0u32);
        let mut taken: Vec<u32> = Vec::new();
        let mut passed: Vec<u32> = Vec::new();
        for (op, amount) in ops {
            match op {
                0 => for _ in 0..amount {
                    prop_assert_eq!(push(&outbox, pushed), Pushed::Waiting);
                    pushed += 1;
                },
                1 => taken.extend(take(&outbox, reader, amount)),
                2 => {
                    outbox.sent(reader);
                    sent += taken.drain(..).len() as u32;
                }
                3 => {
                    reader += 1;
                    outbox.reclaim(reader);
                    taken.clear();
                }
                4 if passed.is_empty() => {
                    let waits = (pushed - sent) as usize;
                    let may = outbox.pass_on(amount, |certificate| {
                        passed.push(*certificate);
                        true
                    });
                    prop_assert!(!may || waits <= amount && taken.is_empty());
                    if !may {
                        passed.clear();
                    }
                }
                4 => {
                    prop_assert!(!outbox.pass_on(amount, |_| true));
                    prop_assert_eq!(outbox.passed_on(), passed.len());
                    sent += passed.drain(..).len() as u32;
                }
                5 => {
                    outbox.take_back();
                    passed.clear();
                }
                // What a former reader had still under way.
                _ => {
                    prop_assert_eq!(take(&outbox, reader - 1, amount), []);
                    prop_assert_eq!(outbox.sent(reader - 1), 0);
                }
            }
            let away = if passed.is_empty() { &taken } else { &passed };
            let expected: Vec<u32> = (sent..sent + away.len() as u32).collect();
            prop_assert_eq!(away, &expected);
            prop_assert!(taken.is_empty() || passed.is_empty());
            prop_assert_eq!(outbox.is_empty(), sent == pushed);
            prop_assert_eq!(outbox.len(), (pushed - sent) as usize);
        }
    }
}

#[test]
fn what_is_not_accepted_stays_in_its_place() {
    let outbox = Outbox::default();
    for certificate in 0..5 {
        push(&outbox, certificate);
    }
    outbox.reclaim(1);
    assert!(outbox.take(1, 5, |&certificate| certificate < 3));
    outbox.reclaim(2);
    assert!(outbox.take(2, 5, |&certificate| certificate < 1));
    assert_eq!(outbox.sent(2), 1);
    assert_eq!(take(&outbox, 2, 5), [1, 2, 3, 4]);
}

#[test]
fn a_former_reader_takes_nothing_that_its_successor_would_forget() {
    let outbox = Outbox::default();
    push(&outbox, 1);
    outbox.reclaim(1);
    outbox.reclaim(2);
    assert_eq!(take(&outbox, 1, 5), []);
    assert_eq!(outbox.sent(2), 0);
    assert_eq!(take(&outbox, 2, 5), [1]);
    assert_eq!(outbox.sent(1), 0);
    assert_eq!(outbox.sent(2), 1);
}

#[test]
fn what_waits_for_the_budget_is_not_limited() {
    let outbox = Outbox::default();
    outbox.reclaim(1);
    for certificate in 0..100 {
        assert_eq!(push(&outbox, certificate), Pushed::Waiting);
    }
    // The connection refuses a message of ten, which is all that the budget has let go unused.
    take(&outbox, 1, 10);
    outbox.withhold(10, 12);
    let pushed = [100, 101, 102, 103].map(|certificate| push(&outbox, certificate));
    let (waiting, refused) = (Pushed::Waiting, Pushed::Refused);
    assert_eq!(pushed, [waiting, waiting, refused, refused]);
    assert!(outbox.is_withheld() && outbox.len() == 102);
    // Of those that waited before, the others come to wait for the connection, too.
    outbox.withhold(1_000, 101);
    assert_eq!(push(&outbox, 104), refused);
    outbox.withhold(0, 103);
    assert_eq!(push(&outbox, 105), waiting);
    assert_eq!(push(&outbox, 106), refused);
    outbox.force(107);
    assert_eq!(outbox.len(), 104);
}

#[test]
fn a_connection_that_takes_a_message_now_and_then_is_no_way_round_the_limit() {
    let outbox = Outbox::default();
    outbox.reclaim(1);
    let mut refused = 0;
    for _ in 0..100 {
        take(&outbox, 1, 1);
        outbox.withhold(1, 50);
        refused += (0..10)
            .filter(|&certificate| push(&outbox, certificate) == Pushed::Refused)
            .count();
        assert!(outbox.len() <= 52);
        outbox.sent(1);
    }
    assert!(refused > 800);
    // All was sent: what comes then has no past.
    take(&outbox, 1, 100);
    outbox.sent(1);
    assert!(outbox.is_empty() && outbox.is_drained() && !outbox.is_withheld());
    outbox.withhold(0, 1);
    assert_eq!(
        [1, 2].map(|c| push(&outbox, c)),
        [Pushed::Waiting, Pushed::Refused]
    );
}

#[test]
fn a_closed_outbox_takes_nothing_in() {
    let outbox = Outbox::default();
    push(&outbox, 1);
    push(&outbox, 2);
    outbox.close();
    push(&outbox, 3);
    assert!(outbox.discard(1));
    assert!(!outbox.discard(9));
    assert!(outbox.is_empty());
}
