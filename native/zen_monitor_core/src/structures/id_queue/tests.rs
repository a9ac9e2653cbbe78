use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

proptest! {
    #[test]
    fn behaves_as_a_queue(ops in prop::collection::vec((0..4u8, 1..700u32), 1..20)) {
        let (queue, mut model) = (IdQueue::default(), VecDeque::new());
        let mut next = 0;
        for (op, count) in ops {
            match op {
                0 => {
                    (next..next + count).for_each(|id| queue.push(id));
                    model.extend(next..next + count);
                    next += count;
                }
                1 => {
                    let ids: Vec<u32> = (next..next + count).collect();
                    queue.push_many(&ids);
                    model.extend(ids);
                    next += count;
                }
                2 => {
                    let mut taken = Vec::from_iter(queue.pop());
                    queue.pop_many(count as usize - taken.len(), &mut taken);
                    let expected = model.len().min(count as usize);
                    prop_assert_eq!(taken, model.drain(..expected).collect::<Vec<_>>());
                }
                _ => {
                    queue.give_back();
                    prop_assert_eq!(queue.is_given_back(), model.is_empty());
                }
            }
            prop_assert_eq!(queue.len(), model.len());
            prop_assert_eq!(queue.is_empty(), model.is_empty());
        }
    }
}

#[test]
fn keeps_the_order_of_each_producer() {
    const PRODUCERS: u32 = 4;
    const EACH: u32 = 50_000;
    let queue = IdQueue::default();
    let mut seen = [0; PRODUCERS as usize];
    std::thread::scope(|scope| {
        for producer in 0..PRODUCERS {
            let queue = &queue;
            let id = move |n| n * PRODUCERS + producer;
            scope.spawn(move || match producer % 2 {
                0 => (0..EACH).for_each(|n| queue.push(id(n))),
                _ => (0..EACH / 50).for_each(|n| {
                    let some: Vec<u32> = (n * 50..(n + 1) * 50).map(id).collect();
                    queue.push_many(&some);
                }),
            });
        }
        let mut left = PRODUCERS * EACH;
        while left > 0 {
            let Some(id) = queue.pop() else {
                queue.give_back();
                std::thread::yield_now();
                continue;
            };
            let producer = (id % PRODUCERS) as usize;
            assert_eq!(id / PRODUCERS, seen[producer], "of producer {producer}");
            seen[producer] += 1;
            left -= 1;
        }
    });
    assert!(queue.is_empty());
}

#[test]
fn counts_what_is_behind_a_tail_that_is_not_moved_yet() {
    let queue = IdQueue::default();
    (0..BLOCK).for_each(|id| queue.push(id));
    assert!(queue.tail.load_full().unwrap().next().push(BLOCK));
    for id in 0..=BLOCK {
        assert_eq!(queue.len(), (BLOCK + 1 - id) as usize);
        assert_eq!(queue.pop(), Some(id));
    }
    assert!(queue.is_empty());
}

#[test]
fn gives_back_what_it_holds_nothing_in() {
    let queue = IdQueue::default();
    for amount in [0, 1, BLOCK / 2, BLOCK / 2 + 1, BLOCK, BLOCK + 1] {
        assert!(queue.is_given_back());
        (0..amount).for_each(|id| queue.push(id));
        for id in 0..amount {
            queue.give_back();
            assert_eq!(
                (queue.len(), queue.pop()),
                ((amount - id) as usize, Some(id))
            );
        }
        queue.give_back();
    }
}

#[test]
fn a_long_queue_is_dropped_on_a_small_stack() {
    let queue = IdQueue::default();
    (0..BLOCK * 20_000).for_each(|id| queue.push(id));
    let small = std::thread::Builder::new().stack_size(64 * 1024);
    small.spawn(move || drop(queue)).unwrap().join().unwrap();
}
