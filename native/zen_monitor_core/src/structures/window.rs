//! How much may go out so that no window of one interval ever sees more than one budget.
//!
//! What was sent is kept as entries: when the first and the last items of an entry were sent, and how many
//! there were. All of them count until one interval after the last. What is sent soon after an entry was
//! begun joins it, so that there are few; items that thereby count for longer are on the safe side.
//!
//! Sending may take time. So ask for room before you send, and enter what was sent afterwards. In between, nobody
//! else may send. The window does not see to that: its callers do. [`Quota`] is for those who send
//! in the place of another.

use crate::structures::sync::Mutex;
use std::collections::VecDeque;

/// An interval of steady sending has about so many entries at most. With a quarter of them, sweeps that come a
/// little early would join the one before, and a steady flow would lose 2 % of its budget by that.
const ENTRIES: i64 = 200;

/// What was sent of late. Times are of any one unit.
///
/// ```
/// use zen_monitor_core::structures::window::Window;
///
/// let window = Window::default();
/// let (interval, budget) = (100, 10);
/// assert_eq!(window.room(5, interval, budget), (10, 5));
/// window.enter(5, interval, 10);
/// assert_eq!(window.room(104, interval, budget), (0, 105));
/// assert_eq!(window.room(105, interval, budget), (10, 105));
/// assert_eq!(window.since(5), 10);
/// assert_eq!(window.since(6), 0);
/// ```
#[derive(Default)]
pub struct Window {
    /// The oldest first.
    entries: Mutex<VecDeque<Entry>>,
}

#[derive(Clone, Copy)]
struct Entry {
    first: i64,
    last: i64,
    amount: u64,
}

impl Entry {
    fn counts(&self, now: i64, interval: i64) -> bool {
        now < self.last.saturating_add(interval)
    }
}

impl Window {
    /// How many items may be sent at `now`, and the first time from then on at which there is room.
    pub fn room(&self, now: i64, interval: i64, budget: u64) -> (u64, i64) {
        room(&self.entries.lock(), now, interval, budget)
    }

    /// How many items were sent from `time` on, or a little more.
    pub fn since(&self, time: i64) -> u64 {
        since(&self.entries.lock(), time)
    }

    /// Enters items that were sent until `now`, and forgets what does not count any more.
    pub fn enter(&self, now: i64, interval: i64, amount: u64) {
        if amount == 0 {
            return;
        }
        let mut entries = self.entries.lock();
        while entries.front().is_some_and(|e| !e.counts(now, interval)) {
            entries.pop_front();
        }
        match entries.back_mut() {
            Some(entry) if now.saturating_sub(entry.first).saturating_mul(ENTRIES) < interval => {
                entry.last = now.max(entry.last);
                entry.amount = entry.amount.saturating_add(amount);
            }
            _ => entries.push_back(Entry {
                first: now,
                last: now,
                amount,
            }),
        }
    }
}

fn room(entries: &VecDeque<Entry>, now: i64, interval: i64, budget: u64) -> (u64, i64) {
    let mut left = budget;
    for entry in entries.iter().rev() {
        if !entry.counts(now, interval) {
            break;
        }
        if entry.amount >= left {
            return (0, entry.last.saturating_add(interval));
        }
        left -= entry.amount;
    }
    (left, now)
}

fn since(entries: &VecDeque<Entry>, time: i64) -> u64 {
    let recent = entries.iter().rev().take_while(|entry| entry.last >= time);
    recent.fold(0, |sum, entry| sum.saturating_add(entry.amount))
}

/// What may be sent in place of a stage that sleeps.
///
/// ```
/// use zen_monitor_core::structures::window::{Quota, Window};
///
/// let (window, now) = (Window::default(), 100);
/// let quota = Quota { now, interval: 50, budget: 10, since: 98, few: 3 };
/// assert_eq!(quota.stand_in(&window, || true), Some(10));
/// window.enter(now, 50, 2);
/// assert_eq!(quota.stand_in(&window, || true), Some(8));
/// window.enter(now, 50, 1);
/// assert_eq!(quota.stand_in(&window, || true), Some(0));
/// assert_eq!(quota.stand_in(&window, || false), None);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    /// The time.
    pub now: i64,
    /// How long what is sent counts.
    pub interval: i64,
    /// How much may be sent in an interval.
    pub budget: u64,
    /// If `few` or more were sent from this time on, nothing may be sent.
    pub since: i64,
    /// How many are too many to have been sent of late.
    pub few: u64,
}

impl Quota {
    /// Has the caller stand in for the stage, and tells how many items it may send then. `stands_in` returns whether it
    /// does, and from then on it is the only one to send; `None` if it does not.
    ///
    /// What another has sent until the caller stands in is entered by then. So the window is asked afterwards: what it
    /// has told before might be sent by both.
    pub fn stand_in(&self, window: &Window, stands_in: impl FnOnce() -> bool) -> Option<u64> {
        if !stands_in() {
            return None;
        }
        let entries = window.entries.lock();
        if since(&entries, self.since) >= self.few {
            return Some(0);
        }
        Some(room(&entries, self.now, self.interval, self.budget).0)
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whoever sends whenever there is room, and as much, keeps the budget in every window of one interval,
        /// and is let send again an interval later.
        #[test]
        fn no_window_of_one_interval_sees_more_than_one_budget(
            interval in 1..1_000i64,
            budget in 1..100u64,
            steps in prop::collection::vec((0..1_500i64, 0..3i64, 0..120u64), 1..100),
        ) {
            let window = Window::default();
            let (mut now, mut sent): (i64, Vec<(i64, u64)>) = (0, Vec::new());
            for (step, takes, wanted) in steps {
                now += step;
                let (room, opens) = window.room(now, interval, budget);
                let amount = wanted.min(room);
                prop_assert_eq!(opens > now, room == 0);
                prop_assert!(window.room(opens, interval, budget).0 > 0);
                prop_assert!(opens <= now + interval);
                // Some of it when the sending begins, and some when it ends.
                sent.push((now, amount / 2));
                now += takes;
                sent.push((now, amount - amount / 2));
                window.enter(now, interval, amount);
                prop_assert!(window.since(now) >= amount);
                prop_assert!(window.entries.lock().len() <= ENTRIES as usize + 1);
            }
            for &(end, _) in &sent {
                let within = sent.iter().filter(|(at, _)| *at <= end && *at > end - interval);
                prop_assert!(within.map(|(_, amount)| amount).sum::<u64>() <= budget);
            }
        }
    }

    #[test]
    fn a_flow_that_is_not_quite_even_loses_next_to_nothing_of_the_budget() {
        let (interval, budget) = (1_000, 50);
        let window = Window::default();
        let (mut now, mut sent) = (0, 0);
        // A fiftieth of the interval from one to the next, and a little less or more.
        for step in 0..5_000 {
            now += if step % 2 == 0 { 19 } else { 21 };
            let amount = window.room(now, interval, budget).0.min(1);
            window.enter(now, interval, amount);
            sent += amount;
        }
        assert!(sent >= 4_950, "{sent} of 5,000");
    }

    #[test]
    fn a_steady_flow_is_kept_in_few_entries() {
        let window = Window::default();
        for now in 0..10_000 {
            window.enter(now, 1_000, 1);
        }
        assert!(window.entries.lock().len() <= ENTRIES as usize + 1);
        assert_eq!(window.room(9_999, 1_000, 1_000).0, 0);
        assert!(window.room(9_999, 1_000, 1_100).0 > 0);
        assert!((2..=22).contains(&window.since(9_998)));
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use crate::structures::bell::Bell;
    use crate::structures::sync::{AtomicU64, Ordering};
    use loom::sync::Arc;

    const INTERVAL: i64 = 100;

    /// Room and the time at which there is some belong together, whatever others enter meanwhile.
    #[test]
    fn there_is_room_now_or_later() {
        loom::model(|| {
            let window = Arc::new(Window::default());
            let sender = {
                let window = window.clone();
                loom::thread::spawn(move || {
                    window.enter(10, INTERVAL, 1);
                    window.enter(20, INTERVAL, 1);
                })
            };
            let (room, opens) = window.room(20, INTERVAL, 2);
            assert_eq!(opens, if room == 0 { 10 + INTERVAL } else { 20 });
            sender.join().unwrap();
        });
    }

    /// Two stand in for an owner that sleeps, one after the other or only one of them, and both ask at the same time.
    #[test]
    fn who_stands_in_keeps_the_budget() {
        loom::model(|| {
            let stage = Arc::new((Window::default(), Bell::default(), AtomicU64::new(0)));
            let senders: Vec<_> = (10..12)
                .map(|now| {
                    let stage = stage.clone();
                    loom::thread::spawn(move || stand_in(&stage, now))
                })
                .collect();
            for sender in senders {
                sender.join().unwrap();
            }
            // Relaxed: all have ended.
            assert_eq!(stage.2.load(Ordering::Relaxed), 1);
        });
    }

    /// Sends all that there is room for, which is one.
    fn stand_in((window, bell, sent): &(Window, Bell, AtomicU64), now: i64) {
        let quota = Quota {
            now,
            interval: INTERVAL,
            budget: 1,
            since: now,
            few: 8,
        };
        if let Some(room) = quota.stand_in(window, || bell.ring()) {
            // Relaxed, since nothing is decided by it.
            sent.fetch_add(room, Ordering::Relaxed);
            window.enter(now, INTERVAL, room);
            bell.rest();
        }
    }
}
