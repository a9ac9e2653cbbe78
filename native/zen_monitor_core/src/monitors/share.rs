//! How many `:DOWN`s one subscriber may be given at a time.
//!
//! The budget bounds what all subscribers get together. If all of it went to one of them at once, its own work
//! would wait until it has read the whole budget. So each subscriber has a share: a burst after a rest, and
//! from then on as many as flow if the budget is spread evenly. A single subscriber still gets the whole budget
//! of every interval, but spread over the interval.
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
/// let share = |now| Share::new(ms(now), Duration::from_micros(100), 100);
/// let mut ahead = 0;
/// assert_eq!(share(5).room(ahead), 100);
/// ahead = share(5).give(ahead, 100);
/// assert_eq!(share(5).room(ahead), 0);
/// assert_eq!(share(7).room(ahead), 20);
/// assert_eq!(share(99).room(ahead), 100);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// Nanoseconds since a beginning that is the same for all subscribers.
    now: u64,
    /// Nanoseconds from one message to the next in a steady flow. 0 means no limit.
    each: u64,
    burst: u32,
    last: bool,
}

impl Share {
    /// The share at the time `now`: up to `burst` at once, and one more every `each`.
    pub fn new(now: Duration, each: Duration, burst: u32) -> Self {
        Share {
            now: now.as_nanos() as u64,
            each: each.as_nanos().max(1) as u64,
            burst,
            last: false,
        }
    }

    /// A share without a limit.
    pub const fn all() -> Self {
        Share {
            now: 0,
            each: 0,
            burst: u32::MAX,
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

    /// How many messages a subscriber may get now. `ahead` is 0 at first, and afterwards what [`Share::give`] has
    /// returned.
    #[inline]
    pub fn room(&self, ahead: u64) -> usize {
        if self.each == 0 {
            return usize::MAX;
        }
        let given = ahead.saturating_sub(self.now).div_ceil(self.each);
        u64::from(self.burst).saturating_sub(given) as usize
    }

    /// Notes that a subscriber gets so many messages. Returns its next `ahead`.
    #[inline]
    pub fn give(&self, ahead: u64, amount: usize) -> u64 {
        ahead.max(self.now) + self.each * amount as u64
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whoever takes all there is at any times gets a burst and what flows, and no more; and who comes
        /// often enough gets no less.
        #[test]
        fn gives_a_burst_and_then_a_steady_flow(
            each in 1..1_000u64,
            burst in 2..500u32,
            steps in prop::collection::vec(0..100_000u64, 1..100),
        ) {
            let (mut now, mut ahead, mut given) = (0, 0, 0);
            for step in std::iter::once(0).chain(steps) {
                // So that none of the flow is lost to a full share.
                now += step.min(each * u64::from(burst) / 2);
                let share = Share::new(
                    Duration::from_nanos(now),
                    Duration::from_nanos(each),
                    burst,
                );
                let room = share.room(ahead);
                prop_assert!(room <= burst as usize);
                ahead = share.give(ahead, room);
                prop_assert_eq!(share.room(ahead), 0);
                given += room as u64;
                let flow = now / each;
                prop_assert!(given <= u64::from(burst) + flow);
                prop_assert!(given + 1 >= u64::from(burst) + flow);
            }
        }
    }

    #[test]
    fn all_is_without_limit() {
        let share = Share::all();
        assert_eq!(share.room(share.give(7, 1_000_000)), usize::MAX);
    }
}
