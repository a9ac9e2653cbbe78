//! A queue of ids. Producers take no lock. An id takes four bytes, in blocks of 512 ids.
//!
//! A queue for any kind of value keeps a state beside each value. For an id that is four times the memory,
//! in blocks of half a kilobyte. Such blocks lie between the tables, which grow while ids wait, and leave
//! holes there when they are freed: a tenth of the tables' memory, which nothing uses again.
//!
//! Invariants:
//!
//! - Places are given out in order. Each goes to one producer, who fills it at once. A place is [`EMPTY`]
//!   until then.
//! - From the head and from the tail, `next` leads to the last block. The tail may lag behind the head and
//!   behind the last block that has ids: a producer that comes late to a full block may move the tail less
//!   far than others did, or not at all.
//! - A block is dropped when all of its ids were taken. By then it is full or closed, so nobody fills it.
//! - A block is closed under the lock of the head, when as many ids were taken from it as were pushed to
//!   it. It is the last block then, so the queue is empty. Head and tail have no block from then on, until
//!   a producer gives them one, under the same lock.

use crate::structures::sync::{ArcSwapOption, AtomicU32, Mutex, OnceLock, Ordering};
use std::sync::Arc;

/// Places in a block. A few are enough for a model.
const BLOCK: u32 = if cfg!(any(loom, shuttle)) { 2 } else { 512 };
/// No id is as large as this.
const EMPTY: u32 = u32::MAX;
/// More than the count of places ever reaches in a full block.
const CLOSED: u32 = 1 << 31;

/// A queue of ids with many producers; consumers take turns. It has no block before the first push.
///
/// ```
/// use zen_monitor_core::structures::id_queue::IdQueue;
///
/// let queue = IdQueue::default();
/// queue.push(7);
/// queue.push(8);
/// assert_eq!((queue.len(), queue.pop(), queue.pop(), queue.pop()), (2, Some(7), Some(8), None));
/// queue.give_back();
/// queue.push(9);
/// assert_eq!(queue.pop(), Some(9));
/// ```
pub struct IdQueue {
    head: Mutex<Head>,
    tail: ArcSwapOption<Block>,
}

#[derive(Default)]
struct Head {
    block: Option<Arc<Block>>,
    /// The next place of it to be taken.
    place: u32,
}

struct Block {
    /// How many ids the blocks before this one have had, since the queue last had none.
    before: u64,
    /// How many places producers have asked for, which may be a few more than there are. [`CLOSED`] or more
    /// once the block is closed.
    given: AtomicU32,
    ids: [AtomicU32; BLOCK as usize],
    next: OnceLock<Arc<Block>>,
}

impl Default for IdQueue {
    fn default() -> Self {
        IdQueue {
            tail: ArcSwapOption::empty(),
            head: Mutex::default(),
        }
    }
}

impl IdQueue {
    /// Adds an id at the end.
    #[inline]
    pub fn push(&self, id: u32) {
        debug_assert_ne!(id, EMPTY);
        if !self.tail.load().as_ref().is_some_and(|tail| tail.push(id)) {
            self.push_behind(id);
        }
    }

    /// Adds ids at the end, in order. Others may come in between.
    #[inline]
    pub fn push_many(&self, mut ids: &[u32]) {
        debug_assert!(!ids.contains(&EMPTY));
        while let Some(&first) = ids.first() {
            let tail = self.tail.load();
            let mut pushed = tail.as_ref().map_or(0, |tail| tail.push_many(ids));
            drop(tail);
            if pushed == 0 {
                self.push_behind(first);
                pushed = 1;
            }
            ids = &ids[pushed..];
        }
    }

    /// Adds an id when the tail is full or closed, or there is none.
    #[cold]
    fn push_behind(&self, id: u32) {
        while !self.append(id) {
            self.open();
        }
    }

    /// Adds an id at the tail or behind it, unless the queue has no block.
    fn append(&self, id: u32) -> bool {
        let tail = self.tail.load();
        let Some(tail) = tail.as_ref() else {
            return false;
        };
        let mut block = tail.clone();
        while !block.push(id) {
            if block.is_closed() {
                return false;
            }
            block = block.next();
        }
        // The next producer then has a shorter way; nothing else depends on this. `tail` keeps its block
        // alive, so no other block can have its address.
        self.tail.compare_and_swap(Arc::as_ptr(tail), Some(block));
        true
    }

    /// Gives the queue its first block, unless it has one.
    fn open(&self) {
        // Whoever closed a block held this lock until the block was out of the queue.
        let head = &mut *self.head.lock();
        if head.block.is_none() {
            *head = Head::at(Arc::new(Block::behind(0)));
            self.tail.store(head.block.clone());
        }
    }

    /// Gives the memory back, unless the queue holds an id or one is just being pushed.
    pub fn give_back(&self) {
        let head = &mut *self.head.lock();
        let Some(block) = &head.block else {
            return;
        };
        if head.place == BLOCK {
            *head = Head::at(block.next());
        }
        let block = head.block.as_ref().expect("it had one, or the next");
        if block.close(head.place) {
            self.tail.store(None);
            *head = Head::default();
        }
    }

    /// Takes the first id. `None` if there is none, or if the first is just being pushed.
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
        // The lock is held to the end, so that no block is given back meanwhile. The head is read first: what
        // was taken by then had been pushed before.
        let head = self.head.lock();
        let Some(first) = &head.block else {
            return 0;
        };
        let taken = first.before + u64::from(head.place);
        let mut block = self.tail.load_full().unwrap_or_else(|| first.clone());
        loop {
            // Relaxed: a caller that must see a push has met its producer at a bell.
            let given = block.given.load(Ordering::Relaxed).min(BLOCK);
            // The tail may lag at a full block that has more ids behind it.
            match block.next.get() {
                Some(next) if given == BLOCK => block = next.clone(),
                _ => return (block.before + u64::from(given)).saturating_sub(taken) as usize,
            }
        }
    }

    /// Whether the queue holds no id, and none is just being pushed.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it has no block.
    #[cfg(all(test, not(shuttle)))]
    fn is_given_back(&self) -> bool {
        self.head.lock().block.is_none() && self.tail.load().is_none()
    }
}

impl Head {
    fn at(block: Arc<Block>) -> Self {
        Head {
            block: Some(block),
            place: 0,
        }
    }

    #[inline]
    fn pop(&mut self) -> Option<u32> {
        if self.place == BLOCK {
            *self = Head::at(self.block.as_ref()?.next.get()?.clone());
        }
        // Acquire: pairs with the release in `push`.
        let id = self.block.as_ref()?.ids[self.place as usize].load(Ordering::Acquire);
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
    /// Adds an id, unless the block is full or closed.
    #[inline]
    fn push(&self, id: u32) -> bool {
        self.push_many(&[id]) == 1
    }

    /// Adds as many of some ids as there is room for, which is for none once the block is full or closed. Returns
    /// how many.
    #[inline]
    fn push_many(&self, ids: &[u32]) -> usize {
        // Relaxed: all that matters is that each producer gets places of its own.
        let place = self.given.fetch_add(ids.len() as u32, Ordering::Relaxed);
        let Some(free) = self.ids.get(place as usize..) else {
            return 0;
        };
        for (free, &id) in free.iter().zip(ids) {
            // Release: who takes the id sees what was done before it was pushed.
            free.store(id, Ordering::Release);
        }
        let pushed = free.len().min(ids.len());
        let middle = (BLOCK / 2) as usize;
        if (place as usize..place as usize + pushed).contains(&middle) {
            self.next();
        }
        pushed
    }

    /// Closes the block, if exactly so many of its places were given out.
    fn close(&self, given: u32) -> bool {
        // Both relaxed: this only has to come before or after each `push`. A producer that comes after it
        // takes the lock of the head next, and that orders all else.
        self.given
            .compare_exchange(given, CLOSED, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// Why a block has refused an id: it is closed, or else full. A full block is never closed.
    fn is_closed(&self) -> bool {
        // Relaxed: the same thread has read the word in `push`, so it reads that value or a newer one.
        self.given.load(Ordering::Relaxed) >= CLOSED
    }

    /// The next block. One producer makes it when this one is half full, so that hardly anybody ever
    /// waits for it.
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
mod tests;

#[cfg(all(test, loom))]
mod models;
