//! How many `:DOWN`s one subscriber may be given at a time.
//!
//! The budget bounds what all subscribers get together. If all of it went to one of them at once, its own work
//! would wait until it has read the whole budget. So each subscriber has a share: a burst after a rest, and
//! from then on as many as flow if the budget is spread evenly. If more than two bursts wait, most of it must come
//! later anyway, so there is no burst then. A single subscriber still gets the whole budget of every interval, but
//! spread over the interval.
//!
//! This is the generic cell rate algorithm. It keeps one point in time for each subscriber.

use std::time::Duration;

/// The share of each subscriber at a certain time.
///
/// ```
/// use std::time::Duration;
/// use zen_monitor_core::monitors::share::Share;
///
/// let ms = Duration::from_millis;
/// let share = |now| Share::new(ms(now), Duration::from_micros(100), 100, 20);
/// let mut ahead = 0;
/// assert_eq!(share(5).room(ahead), 100);
/// ahead = share(5).give(ahead, 100);
/// assert_eq!(share(5).room(ahead), 0);
/// assert_eq!(share(7).room(ahead), 20);
/// assert_eq!(share(99).room(ahead), 100);
/// assert_eq!(share(99).without_burst(ahead, 200), None);
/// ahead = share(99).without_burst(ahead, 201).unwrap();
/// assert_eq!(share(99).room(ahead), 20);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// Nanoseconds since a beginning that is the same for all subscribers.
    now: u64,
    /// Nanoseconds from one message to the next in a steady flow. 0 means no limit.
    each: u64,
    burst: u32,
    /// How much of a burst is left for who has more than two waiting.
    flow: u32,
    last: bool,
}

impl Share {
    /// The share at the time `now`: up to `burst` at once, and one more every `each`. Of more than two bursts, only `flow`
    /// at once: what flows until the next go.
    pub fn new(now: Duration, each: Duration, burst: u32, flow: u32) -> Self {
        Share {
            now: now.as_nanos() as u64,
            each: each.as_nanos().max(1) as u64,
            burst,
            flow,
            last: false,
        }
    }

    /// A share without a limit.
    pub const fn all() -> Self {
        Share {
            now: 0,
            each: 0,
            burst: u32::MAX,
            flow: u32::MAX,
            last: false,
        }
    }

    /// The same share for a subscriber whose messages may take long to build: after one of them, nothing more is taken in
    /// the same go.
    pub fn last(self) -> Self {
        Share { last: true, ..self }
    }

    /// Whether nothing more is taken in the same go.
    #[inline]
    pub fn is_last(&self) -> bool {
        self.last
    }

    /// The next `ahead` of a subscriber with more than two bursts waiting, which loses what is left of its burst. `None`
    /// if fewer wait.
    #[inline]
    pub fn without_burst(&self, ahead: u64, waiting: u32) -> Option<u64> {
        let is_long = waiting > self.burst.saturating_mul(2);
        is_long.then(|| ahead.max(self.after(self.burst.saturating_sub(self.flow))))
    }

    /// How many messages a subscriber may get now. `ahead` is 0 at first, and afterwards what the last call for this
    /// subscriber has returned.
    #[inline]
    pub fn room(&self, ahead: u64) -> usize {
        if self.each == 0 {
            return usize::MAX;
        }
        let given = ahead.saturating_sub(self.now).div_ceil(self.each);
        u64::from(self.burst).saturating_sub(given) as usize
    }

    /// Notes that a subscriber gets so many messages, or none. Returns its next `ahead`. After a change of the settings, a
    /// subscriber may be further ahead than a burst takes. It need not wait for that.
    #[inline]
    pub fn give(&self, ahead: u64, amount: usize) -> u64 {
        let begin = ahead.clamp(self.now, self.after(self.burst));
        begin.saturating_add(self.each.saturating_mul(amount as u64))
    }

    /// The time by which so many messages flow. An interval may be set to any number of years.
    #[inline]
    fn after(&self, amount: u32) -> u64 {
        let takes = self.each.saturating_mul(u64::from(amount));
        self.now.saturating_add(takes)
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whoever takes all there is at any times gets a burst, unless much waits, and what flows, and no more; and
        /// who comes often enough gets no less.
        #[test]
        fn gives_a_burst_and_then_a_steady_flow(
            each in 1..1_000u64,
            burst in 2..500u32,
            is_long: bool,
            steps in prop::collection::vec(0..100_000u64, 1..100),
        ) {
            let (mut now, mut ahead, mut given) = (0, 0, 0);
            let mut is_first = is_long;
            let first = if is_long { 1 } else { burst };
            for step in std::iter::once(0).chain(steps) {
                // So that none of the flow is lost to a full share.
                now += step.min(each * u64::from(burst) / 2);
                let share = Share::new(
                    Duration::from_nanos(now),
                    Duration::from_nanos(each),
                    burst,
                    1,
                );
                if std::mem::take(&mut is_first) {
                    ahead = share.without_burst(ahead, u32::MAX).unwrap();
                }
                let room = share.room(ahead);
                prop_assert!(room <= burst as usize);
                ahead = share.give(ahead, room);
                prop_assert_eq!(share.room(ahead), 0);
                given += room as u64;
                let flow = now / each;
                prop_assert!(given <= u64::from(first) + flow);
                prop_assert!(given + 1 >= u64::from(first) + flow);
            }
        }
    }

    #[test]
    fn who_has_more_than_two_bursts_waiting_gets_what_flows() {
        let (each, burst, flow) = (Duration::from_nanos(10), 100, 20);
        let share = |now| Share::new(Duration::from_nanos(now), each, burst, flow);
        for ahead in [0, 5_000] {
            assert_eq!(share(5_000).without_burst(ahead, 200), None);
            let ahead = share(5_000).without_burst(ahead, 201).unwrap();
            assert_eq!(share(5_000).room(ahead), 20);
            assert_eq!(share(5_300).room(ahead), 50);
        }
        // It never gets more for that.
        assert_eq!(share(5_000).without_burst(5_950, 201), Some(5_950));
    }

    #[test]
    fn who_was_slow_under_former_settings_is_not_any_more() {
        let share = |now, each| Share::new(Duration::from_millis(now), each, 100, 1);
        let (slow, fast) = (Duration::from_secs(1), Duration::from_millis(1));
        let ahead = share(0, slow).give(0, 100);
        assert_eq!(share(5, fast).room(ahead), 0);
        let ahead = share(5, fast).give(ahead, 0);
        assert_eq!(share(25, fast).room(ahead), 20);
    }

    #[test]
    fn an_interval_of_any_length_is_taken() {
        let share = Share::new(
            Duration::from_secs(9),
            Duration::from_nanos(u64::MAX),
            100,
            1,
        );
        let ahead = share.without_burst(0, 1_000).unwrap();
        assert_eq!(share.give(ahead, 7), u64::MAX);
    }

    #[test]
    fn all_is_without_limit() {
        let share = Share::all();
        assert_eq!(share.without_burst(7, u32::MAX), None);
        assert_eq!(share.room(share.give(7, 1_000_000)), usize::MAX);
    }
}
