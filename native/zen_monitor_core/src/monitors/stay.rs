//! The present session of a node, and in how many shards it has targets.
//!
//! Both are in one word, so that targets that leave a former session do not count for the present one. The word
//! changes when the session gets its first target in a shard, or loses its last one there, under the lock of that
//! shard. So when there are many targets, it hardly ever changes.

use crate::structures::sync::{AtomicU64, Ordering};

/// The bits that count shards. The other 48 bits number the sessions of all nodes.
const SHARDS: u32 = 16;

/// The present session of a node.
///
/// ```
/// use zen_monitor_core::monitors::stay::Stay;
///
/// let stay = Stay::new(7);
/// stay.enter(7);
/// assert!(!stay.is_unused());
/// assert_eq!(stay.renew(8), 7);
/// assert!(stay.is_unused());
/// stay.leave(7);
/// assert_eq!(stay.session(), 8);
/// ```
pub struct Stay(AtomicU64);

impl Stay {
    /// A session that has no target.
    pub fn new(session: u64) -> Self {
        Stay(AtomicU64::new(word(session)))
    }

    /// The session that new subscriptions belong to.
    #[inline]
    pub fn session(&self) -> u64 {
        // Relaxed: it is read under the lock of a target shard. Expiring a session takes each of those locks
        // after the change, so whoever locks one after that reads the new number.
        session(self.0.load(Ordering::Relaxed))
    }

    /// Begins another session and returns the former.
    pub fn renew(&self, number: u64) -> u64 {
        // Relaxed: see `session`.
        session(self.0.swap(word(number), Ordering::Relaxed))
    }

    /// Notes that a session has its first target in a shard, whose lock is held.
    pub fn enter(&self, number: u64) {
        // AcqRel: see `is_unused`.
        self.change(number, Ordering::AcqRel, |word| word + 1);
    }

    /// Notes that a session has lost its last target in a shard, whose lock is held.
    pub fn leave(&self, number: u64) {
        // Relaxed: nothing is decided by this change.
        self.change(number, Ordering::Relaxed, |word| word - 1);
    }

    #[inline]
    fn change(&self, number: u64, success: Ordering, change: impl Fn(u64) -> u64) {
        let changed = |word| (session(word) == number).then(|| change(word));
        // It fails for a former session, whose targets do not count.
        let _ = self.0.fetch_update(success, Ordering::Relaxed, changed);
    }

    /// Whether the session has no target. If another thread adds one that is not seen here, that thread sees what the
    /// caller has done before this call.
    pub fn is_unused(&self) -> bool {
        // A read-modify-write that changes nothing, with AcqRel, as in `enter`. So one of the two comes first:
        // either `enter` is seen here, or it comes second and acquires what was done before. A thread that adds
        // a target in a shard where the session has some already takes the lock of that shard after the thread
        // that has entered.
        shards(self.0.fetch_or(0, Ordering::AcqRel)) == 0
    }

    /// In how many shards the session has targets.
    #[cfg(test)]
    pub(crate) fn shards(&self) -> u32 {
        shards(self.0.load(Ordering::Relaxed))
    }
}

#[inline]
fn word(session: u64) -> u64 {
    session << SHARDS
}

#[inline]
fn session(word: u64) -> u64 {
    word >> SHARDS
}

#[inline]
fn shards(word: u64) -> u32 {
    (word & ((1 << SHARDS) - 1)) as u32
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn the_last_numbers_leave_room_for_all_shards() {
        let last = (1 << (u64::BITS - SHARDS)) - 1;
        let stay = Stay::new(last - 1);
        for _ in 0..1_024 {
            stay.enter(last - 1);
        }
        assert_eq!((stay.session(), stay.shards()), (last - 1, 1_024));
        assert_eq!(stay.renew(last), last - 1);
        stay.enter(last);
        stay.leave(last - 1);
        assert_eq!((stay.session(), stay.shards()), (last, 1));
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use crate::structures::sync::{AtomicBool, Mutex};
    use std::sync::Arc;

    /// A Connector ends its duty while one process places a monitor and removes it, and another places one in
    /// the same shard, which stays.
    #[test]
    fn a_target_is_seen_or_finds_nobody_who_answers() {
        loom::model(|| {
            let stay = Arc::new(Stay::new(7));
            let answered = Arc::new(AtomicBool::new(true));
            let targets = Arc::new(Mutex::new(0));
            let place = {
                let (stay, targets) = (stay.clone(), targets.clone());
                move || {
                    let mut targets = targets.lock();
                    *targets += 1;
                    if *targets == 1 {
                        stay.enter(7);
                    }
                }
            };
            let passing = {
                let (place, stay, targets) = (place.clone(), stay.clone(), targets.clone());
                loom::thread::spawn(move || {
                    place();
                    let mut targets = targets.lock();
                    *targets -= 1;
                    if *targets == 0 {
                        stay.leave(7);
                    }
                })
            };
            let staying = {
                let answered = answered.clone();
                loom::thread::spawn(move || {
                    place();
                    answered.load(Ordering::Acquire)
                })
            };
            answered.swap(false, Ordering::AcqRel);
            let retired = stay.is_unused();
            passing.join().unwrap();
            let is_answered = staying.join().unwrap();
            assert!(!retired || !is_answered, "the target has nobody");
            assert_eq!(stay.shards(), 1);
        });
    }
}
