use super::*;
use crate::structures::bell::Bell;

/// Producers meet at the ends of blocks, and a consumer is under way.
#[test]
fn every_id_is_taken_once() {
    explore(|| {
        let queue = Arc::new(IdQueue::default());
        (0..2).for_each(|id| queue.push(id));
        let producers = [&[2][..], &[3, 4]].map(|ids| {
            let queue = queue.clone();
            loom::thread::spawn(move || queue.push_many(ids))
        });
        let mut taken = Vec::from_iter(queue.pop());
        producers
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        assert_eq!(queue.len(), 5 - taken.len());
        while let Some(id) = queue.pop() {
            taken.push(id);
        }
        assert_eq!(taken[0], 0);
        taken.sort_unstable();
        assert_eq!(taken, [0, 1, 2, 3, 4]);
        assert!(queue.is_empty());
    });
}

/// The consumer gives back the block that producers are about to push to. Some ids have been in it.
#[test]
fn no_id_is_lost_in_what_is_given_back() {
    for (before, together) in (0..=BLOCK).flat_map(|n| [(n, false), (n, true)]) {
        explore(move || {
            let queue = Arc::new(IdQueue::default());
            (0..before).for_each(|id| queue.push(id));
            (0..before).for_each(|id| assert_eq!(queue.pop(), Some(id)));
            let producers = [&[10][..], &[20, 21]].map(|ids| {
                let queue = queue.clone();
                loom::thread::spawn(move || match together {
                    true => queue.push_many(ids),
                    false => ids.iter().for_each(|&id| queue.push(id)),
                })
            });
            queue.give_back();
            let mut taken = Vec::from_iter(queue.pop());
            queue.give_back();
            producers
                .into_iter()
                .for_each(|thread| thread.join().unwrap());
            assert_eq!(queue.len(), 3 - taken.len());
            while let Some(id) = queue.pop() {
                taken.push(id);
            }
            let of_second: Vec<u32> = taken.iter().copied().filter(|&id| id >= 20).collect();
            assert_eq!(of_second, [20, 21]);
            assert!(taken.len() == 3 && taken.contains(&10));
            queue.give_back();
            assert!(queue.is_given_back());
        });
    }
}

/// A consumer that finds the queue empty and goes to rest is woken for an id that it did not see.
#[test]
fn no_id_is_left_without_a_wake() {
    explore(|| {
        let (queue, bell) = (Arc::new(IdQueue::default()), Arc::new(Bell::default()));
        (0..2).for_each(|id| queue.push(id));
        bell.ring();
        let producers = [&[2][..], &[3, 4]].map(|ids| {
            let (queue, bell) = (queue.clone(), bell.clone());
            loom::thread::spawn(move || {
                ids.iter().fold(false, |woken, &id| {
                    queue.push(id);
                    bell.ring() || woken
                })
            })
        });
        while queue.pop().is_some() {}
        let mut asleep = queue.is_empty();
        if asleep {
            bell.rest();
            asleep = queue.is_empty() || !bell.ring();
        }
        let woken = producers
            .into_iter()
            .fold(false, |woken, thread| thread.join().unwrap() || woken);
        assert!(!asleep || woken || queue.pop().is_none());
    });
}

/// All schedules with up to three forced switches of threads: without that bound, it takes hours.
fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}
