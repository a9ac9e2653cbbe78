use super::*;
use proptest::prelude::*;

type Item = (Kind, Numbers, u32);

fn read(bytes: &[u8]) -> (Vec<Item>, bool) {
    let mut decoder = Decoder::new(bytes);
    let mut items = Vec::new();
    for run in &mut decoder {
        let pids = run.pids().iter();
        items.extend(pids.map(|&pid| (run.kind, pid, run.creation)));
    }
    (items, decoder.is_malformed())
}

fn write(items: &[Item]) -> Vec<u8> {
    let mut encoder = Encoder::default();
    for &(kind, pid, creation) in items {
        encoder.push(kind, pid, creation);
    }
    encoder.finish()
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        3 => Just(Kind::Subscribe),
        1 => Just(Kind::Unsubscribe),
        3 => (0..3_u8).prop_map(Kind::Dead),
        1 => any::<u8>().prop_map(Kind::Dead),
    ]
}

/// Stretches of pids of one kind, some of them neighbours, as nodes send them.
fn items() -> impl Strategy<Value = Vec<Item>> {
    let pids = prop_oneof![
        (0..200_u32, 0..3_u32).prop_map(|(id, serial)| [id, serial]),
        any::<Numbers>(),
    ];
    let stretch = (kinds(), 0..3_u32, prop::collection::vec(pids, 0..150));
    prop::collection::vec(stretch, 0..8).prop_map(|stretches| {
        let items = |(kind, creation, pids): (Kind, u32, Vec<Numbers>)| {
            pids.into_iter().map(move |pid| (kind, pid, creation))
        };
        stretches.into_iter().flat_map(items).collect()
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(items in items()) {
        prop_assert_eq!(read(&write(&items)), (items, false));
    }

    /// Wherever a sender cuts between runs, the receiver reads the same.
    #[test]
    fn any_split_says_the_same(items in items(), at in any::<prop::sample::Index>()) {
        let (first, second) = items.split_at(at.index(items.len() + 1));
        let parts = [write(first), write(second)];
        prop_assert_eq!(read(&parts.concat()), (items.clone(), false));

        let whole = write(&items);
        let (mut rest, mut found) = (&whole[..], Vec::new());
        while !rest.is_empty() {
            let mut decoder = Decoder::new(rest);
            decoder.next();
            let length = rest.len() - decoder.rest().len();
            found.extend(read(&rest[..length]).0);
            rest = decoder.rest();
        }
        prop_assert_eq!(found, items);
    }

    /// A binary that breaks off still has everything before that.
    #[test]
    fn what_is_cut_off_keeps_its_beginning(items in items(), at in any::<prop::sample::Index>()) {
        let bytes = write(&items);
        let (found, malformed) = read(&bytes[..at.index(bytes.len() + 1)]);
        prop_assert_eq!(&found, &items[..found.len()]);
        prop_assert!(malformed || write(&found) == bytes[..write(&found).len()]);
        prop_assert!(malformed || found.len() < items.len() || found == items);
    }

    /// Whatever the bytes are, reading allocates nothing and yields no more pids than there are bytes.
    #[test]
    fn any_bytes_are_bounded(bytes in hostile()) {
        let mut pids = 0;
        let allocated = allocation_counter::measure(|| {
            for run in Decoder::new(&bytes) {
                pids += run.pids().len();
            }
        });
        prop_assert_eq!(allocated.count_total, 0);
        prop_assert!(pids <= bytes.len());
    }

    /// What makes no sense takes nothing from what was good before it, and is known for what it is.
    #[test]
    fn any_bytes_leave_what_is_before_them(items in items(), bytes in hostile()) {
        let (found, malformed) = read(&bytes);
        let (all, is_malformed) = read(&[write(&items), bytes].concat());
        prop_assert_eq!(all, [items, found].concat());
        prop_assert_eq!(is_malformed, malformed);
    }

    /// A receiver goes on with the rest, run by run, and finds the same.
    #[test]
    fn any_bytes_say_the_same_run_by_run(bytes in hostile()) {
        let (mut rest, mut found, mut malformed) = (&bytes[..], Vec::new(), false);
        while !rest.is_empty() {
            let mut decoder = Decoder::new(rest);
            let run = decoder.next();
            prop_assert!(decoder.rest().len() < rest.len());
            prop_assert!(run.is_some() || decoder.is_malformed());
            found.extend(run.iter().flat_map(|run| {
                run.pids().iter().map(|&pid| (run.kind, pid, run.creation))
            }));
            malformed |= decoder.is_malformed();
            rest = decoder.rest();
        }
        prop_assert_eq!((found, malformed), read(&bytes));
    }

    /// Whatever is read from them can be written and read again.
    #[test]
    fn what_is_read_from_any_bytes_is_written_again(bytes in hostile()) {
        let (found, _) = read(&bytes);
        prop_assert_eq!(read(&write(&found)), (found, false));
    }
}

/// Random bytes, such bytes after the head of a run, and well-formed ones of which a few were changed.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    let damaged = (items(), damage).prop_map(|(items, damage)| {
        let mut bytes = write(&items);
        for (at, byte) in damage {
            let at = at.index(bytes.len() + 1);
            match bytes.get_mut(at) {
                Some(damaged) => *damaged = byte,
                None => bytes.push(byte),
            }
        }
        bytes
    });
    let bytes = || prop::collection::vec(any::<u8>(), 0..600);
    // Hardly any bytes at random begin a run, and few of those that do are numbers of no more than they may have.
    let pids = prop::collection::vec(prop_oneof![4 => 0..0x80_u8, 1 => any::<u8>()], 0..200);
    let begun = (kinds(), any::<[u8; 4]>(), 0..80_u8, pids, bytes());
    let begun = begun.prop_map(|(kind, creation, count, pids, bytes)| {
        let mut head = write(&[(kind, [0, 0], 0)]);
        head.truncate(head.len() - 6);
        [&head[..], &creation, &[count], &pids, &bytes].concat()
    });
    prop_oneof![bytes(), begun, damaged]
}

#[test]
fn the_format_is_as_the_guide_has_it() {
    let items = [
        (Kind::Subscribe, [0x7e, 0], 0x0102_0304),
        (Kind::Subscribe, [0x7f, 0], 0x0102_0304),
        (Kind::Subscribe, [0x02, 1], 0x0102_0304),
        (Kind::Unsubscribe, [0x40, 0], 0x0102_0304),
        (Kind::Dead(5), [0x7e, 0], 0x0102_0304),
    ];
    let bytes = [
        // Two neighbours, and a pid of the next serial: -125 becomes 249, and 499 with the flag.
        &[0x10, 1, 2, 3, 4, 2, 0xf8, 0x03, 0x04, 0xf3, 0x03, 0x02][..],
        &[0x11, 1, 2, 3, 4, 0, 0x80, 0x02],
        &[0x12, 5, 1, 2, 3, 4, 0, 0xf8, 0x03],
    ];
    assert_eq!(write(&items), bytes.concat());
}

#[test]
fn a_version_to_come_is_left_alone() {
    let mut bytes = write(&[(Kind::Subscribe, [1, 0], 1)]);
    bytes[0] += 0x10;
    assert_eq!(read(&bytes), (vec![], true));
}

#[test]
fn neighbours_take_hardly_more_than_a_byte_and_strangers_at_most_ten() {
    let neighbours: Vec<Item> = (0..5_000)
        .map(|id| (Kind::Dead(0), [id, 3], 0x5eed_5eed))
        .collect();
    assert!(write(&neighbours).len() < neighbours.len() * 5 / 4);

    let strangers: Vec<Item> = (0..5_000_u32)
        .map(|n| {
            let scattered = n.wrapping_mul(0x9e37_79b9);
            (
                Kind::Subscribe,
                [scattered, scattered.rotate_left(16)],
                u32::MAX,
            )
        })
        .collect();
    assert!(write(&strangers).len() <= strangers.len() * 41 / 4);
}
