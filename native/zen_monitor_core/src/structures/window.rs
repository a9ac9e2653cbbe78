//! How much may go out so that no window of one interval ever sees more than one budget.
//!
//! What was sent is kept as entries: when the first and the last items of an entry were sent, and how many
//! there were. All of them count until one interval after the last. What is sent soon after an entry was
//! begun joins it, so that there are few; items that thereby count for longer are on the safe side.
//!
//! Sending may take time. So ask for room before you send, and enter what was sent afterwards. In between, nobody
//! else may send. The window does not see to that: its callers do.

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
/// assert_eq!(window.room(5, interval, budget), 10);
/// window.enter(5, interval, 10);
/// assert_eq!(window.room(104, interval, budget), 0);
/// assert_eq!(window.opens(104, interval, budget), 105);
/// assert_eq!(window.room(105, interval, budget), 10);
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
    /// How many items may be sent at `now`.
    pub fn room(&self, now: i64, interval: i64, budget: u64) -> u64 {
        let entries = self.entries.lock();
        let counted = entries.iter().rev();
        let counted = counted.take_while(|entry| entry.counts(now, interval));
        budget.saturating_sub(counted.fold(0, |sum: u64, entry| sum.saturating_add(entry.amount)))
    }

    /// The first time from `now` on at which there is room.
    pub fn opens(&self, now: i64, interval: i64, budget: u64) -> i64 {
        let mut left = budget;
        for entry in self.entries.lock().iter().rev() {
            if !entry.counts(now, interval) {
                break;
            }
            if entry.amount >= left {
                return entry.last.saturating_add(interval);
            }
            left -= entry.amount;
        }
        now
    }

    /// How many items were sent from `time` on, or a little more.
    pub fn since(&self, time: i64) -> u64 {
        let entries = self.entries.lock();
        let recent = entries.iter().rev().take_while(|entry| entry.last >= time);
        recent.fold(0, |sum, entry| sum.saturating_add(entry.amount))
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
                let amount = wanted.min(window.room(now, interval, budget));
                let opens = window.opens(now, interval, budget);
                prop_assert_eq!(opens > now, window.room(now, interval, budget) == 0);
                prop_assert!(window.room(opens, interval, budget) > 0);
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
            let amount = window.room(now, interval, budget).min(1);
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
        assert_eq!(window.room(9_999, 1_000, 1_000), 0);
        assert!(window.room(9_999, 1_000, 1_100) > 0);
        assert!((2..=22).contains(&window.since(9_998)));
    }
}
