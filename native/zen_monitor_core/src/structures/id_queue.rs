//! A queue of ids that producers need no lock for, in blocks of four bytes an id.
//!
//! Queues for any kind of value keep a state beside each one, which is four times as much for an id, in
//! blocks of half a kilobyte. What waits while a million monitors are placed would leave so many such
//! holes between the tables that grow at the same time that a tenth of their memory were lost for good.
//!
//! Invariants:
//!
//! - Places are given out in order, each to one producer, who fills it at once. A place is [`EMPTY`]
//!   until then.
//! - `next` leads from the head and from the tail to the last block. The tail may be behind the head, and
//!   behind the last block that ids were pushed to: who comes late to a full block moves it less far than
//!   others did, or not at all.
//! - A block is let go of when all of it was taken, so it is full, and nobody fills it any more.

use crate::structures::sync::{ArcSwap, AtomicU32, Mutex, OnceLock, Ordering};
use std::sync::Arc;

/// Places in a block, of which a model needs but a few.
const BLOCK: u32 = if cfg!(any(loom, shuttle)) { 2 } else { 512 };
/// No id is as large as this.
const EMPTY: u32 = u32::MAX;

/// A queue of ids with many producers; consumers take turns.
///
/// ```
/// use zen_monitor_core::structures::id_queue::IdQueue;
///
/// let queue = IdQueue::default();
/// queue.push(7);
/// queue.push(8);
/// assert_eq!((queue.len(), queue.pop(), queue.pop(), queue.pop()), (2, Some(7), Some(8), None));
/// ```
pub struct IdQueue {
    head: Mutex<Head>,
    tail: ArcSwap<Block>,
}

struct Head {
    block: Arc<Block>,
    /// The next place of it to be taken.
    place: u32,
}

struct Block {
    /// How many ids were pushed before those in this block.
    before: u64,
    /// Places given out, and now and then a few more than there are.
    given: AtomicU32,
    ids: [AtomicU32; BLOCK as usize],
    next: OnceLock<Arc<Block>>,
}

impl Default for IdQueue {
    fn default() -> Self {
        let block = Arc::new(Block::behind(0));
        IdQueue {
            tail: ArcSwap::new(block.clone()),
            head: Mutex::new(Head { block, place: 0 }),
        }
    }
}

impl IdQueue {
    /// Adds an id at the end.
    #[inline]
    pub fn push(&self, id: u32) {
        debug_assert_ne!(id, EMPTY);
        let block = self.tail.load();
        if !block.push(id) {
            self.push_behind(&block, id);
        }
    }

    /// Adds an id behind a full block.
    #[cold]
    fn push_behind(&self, full: &Arc<Block>, id: u32) {
        let mut block = full.next();
        while !block.push(id) {
            block = block.next();
        }
        // Whoever comes next need not walk so far. Nothing else depends on it.
        self.tail.compare_and_swap(full, block);
    }

    /// Takes the first id. `None` as well if that is just being pushed.
    #[inline]
    pub fn pop(&self) -> Option<u32> {
        self.head.lock().pop()
    }

    /// Takes up to `limit` ids from the front and adds them to `ids`. Fewer when there are no more, or
    /// the next one is just being pushed.
    #[inline]
    pub fn pop_many(&self, limit: usize, ids: &mut Vec<u32>) {
        let head = &mut *self.head.lock();
        ids.extend(std::iter::from_fn(|| head.pop()).take(limit));
    }

    /// How many ids it holds, those included that are just being pushed.
    pub fn len(&self) -> usize {
        // The head first: what was taken had been pushed before.
        let taken = {
            let head = self.head.lock();
            head.block.before + u64::from(head.place)
        };
        let mut block = Arc::clone(&self.tail.load());
        loop {
            // Relaxed: whoever must not overlook a push has met its producer at a bell.
            let given = block.given.load(Ordering::Relaxed).min(BLOCK);
            // The tail may stand at a full block, and ids be behind it.
            match block.next.get() {
                Some(next) if given == BLOCK => block = next.clone(),
                _ => return (block.before + u64::from(given)).saturating_sub(taken) as usize,
            }
        }
    }

    /// Whether it holds no id, not even one that is just being pushed.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Head {
    #[inline]
    fn pop(&mut self) -> Option<u32> {
        if self.place == BLOCK {
            let next = self.block.next.get()?.clone();
            *self = Head {
                block: next,
                place: 0,
            };
        }
        // Acquire: pairs with the release in `push`.
        let id = self.block.ids[self.place as usize].load(Ordering::Acquire);
        if id == EMPTY {
            return None;
        }
        self.place += 1;
        Some(id)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // One block after the other: if each dropped the next, a long chain would exhaust the stack.
        let mut next = self.next.take();
        while let Some(mut block) = next.and_then(Arc::into_inner) {
            next = block.next.take();
        }
    }
}

impl Block {
    /// Adds an id, unless the block is full.
    #[inline]
    fn push(&self, id: u32) -> bool {
        // Relaxed: it only has to be one place for each.
        let place = self.given.fetch_add(1, Ordering::Relaxed);
        let Some(free) = self.ids.get(place as usize) else {
            return false;
        };
        // Release: who takes the id sees what was done before it was pushed.
        free.store(id, Ordering::Release);
        if place == BLOCK / 2 {
            self.next();
        }
        true
    }

    /// The next block. It is made when half of this one is full, by one producer, so that hardly ever
    /// anybody waits for that.
    fn next(&self) -> Arc<Block> {
        let make = || Arc::new(Block::behind(self.before + u64::from(BLOCK)));
        self.next.get_or_init(make).clone()
    }

    fn behind(before: u64) -> Self {
        Block {
            before,
            given: AtomicU32::new(0),
            ids: std::array::from_fn(|_| AtomicU32::new(EMPTY)),
            next: OnceLock::new(),
        }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    proptest! {
        #[test]
        fn behaves_as_a_queue(ops in prop::collection::vec((any::<bool>(), 1..700u32), 1..20)) {
            let (queue, mut model) = (IdQueue::default(), VecDeque::new());
            let mut next = 0;
            for (push, count) in ops {
                if push {
                    (next..next + count).for_each(|id| queue.push(id));
                    model.extend(next..next + count);
                    next += count;
                } else {
                    let mut taken = Vec::from_iter(queue.pop());
                    queue.pop_many(count as usize - taken.len(), &mut taken);
                    let expected = model.len().min(count as usize);
                    prop_assert_eq!(taken, model.drain(..expected).collect::<Vec<_>>());
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
                scope.spawn(move || (0..EACH).for_each(|n| queue.push(n * PRODUCERS + producer)));
            }
            let mut left = PRODUCERS * EACH;
            while left > 0 {
                let Some(id) = queue.pop() else {
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
        assert!(queue.tail.load().next().push(BLOCK));
        for id in 0..=BLOCK {
            assert_eq!(queue.len(), (BLOCK + 1 - id) as usize);
            assert_eq!(queue.pop(), Some(id));
        }
        assert!(queue.is_empty());
    }

    #[test]
    fn a_long_queue_is_dropped_on_a_small_stack() {
        let queue = IdQueue::default();
        (0..BLOCK * 20_000).for_each(|id| queue.push(id));
        let small = std::thread::Builder::new().stack_size(64 * 1024);
        small.spawn(move || drop(queue)).unwrap().join().unwrap();
    }
}

#[cfg(all(test, loom))]
mod models {
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
                loom::thread::spawn(move || ids.iter().for_each(|&id| queue.push(id)))
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

    /// A consumer that finds the queue empty, and so goes to rest, is woken for what it has not found.
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

    /// All schedules with so many switches of threads that nobody asked for: without a bound it takes hours.
    fn explore(model: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(model);
    }
}
