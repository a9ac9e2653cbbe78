//! The reasons of the dead that some connector has yet to be told of.
//!
//! Processes that die by the thousands die for few reasons. So each reason is kept once, and a dead target keeps its
//! number, in the place where its monitor was.

use crate::subscriptions::target::Kept;

/// How many there are at most.
pub const MOST: usize = 16;
/// The number of a reason that is not kept.
const UNKNOWN: Kept = MOST as Kept;

/// Reasons, each with how many targets have it.
///
/// ```
/// use zen_monitor_core::subscriptions::reasons::Reasons;
///
/// let mut reasons = Reasons::default();
/// let number = reasons.keep(Some("killed"));
/// assert_eq!(reasons.keep(Some("killed")), number);
/// reasons.release(number);
/// assert_eq!(reasons.get(number), Some(&"killed"));
/// reasons.release(number);
/// assert_eq!(reasons.get(number), None);
/// ```
pub struct Reasons<R>([Option<(R, usize)>; MOST]);

impl<R> Default for Reasons<R> {
    fn default() -> Self {
        Reasons(std::array::from_fn(|_| None))
    }
}

impl<R: PartialEq> Reasons<R> {
    /// The number of a reason for one more target. It is not kept when it is `None`, or too many others are.
    pub fn keep(&mut self, reason: Option<R>) -> Kept {
        let Some(reason) = reason else {
            return UNKNOWN;
        };
        let same = |kept: &Option<(R, usize)>| kept.as_ref().is_some_and(|kept| kept.0 == reason);
        let place = self.0.iter().position(same);
        let Some(place) = place.or_else(|| self.0.iter().position(Option::is_none)) else {
            return UNKNOWN;
        };
        self.0[place].get_or_insert((reason, 0)).1 += 1;
        place as Kept
    }

    /// The reason of a number, if it is kept.
    pub fn get(&self, number: Kept) -> Option<&R> {
        let kept = self.0.get(number as usize)?.as_ref()?;
        Some(&kept.0)
    }

    /// Forgets a reason for one target, and altogether with the last that has it.
    pub fn release(&mut self, number: Kept) {
        let Some(place) = self.0.get_mut(number as usize) else {
            return;
        };
        if let Some((_, targets)) = place {
            *targets -= 1;
            if *targets == 0 {
                *place = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_a_few_are_kept() {
        let mut reasons = Reasons::default();
        let numbers: Vec<Kept> = (0..MOST + 2)
            .map(|reason| reasons.keep(Some(reason)))
            .collect();
        assert_eq!(reasons.get(numbers[MOST - 1]), Some(&(MOST - 1)));
        assert_eq!(
            [MOST, MOST + 1].map(|late| reasons.get(numbers[late])),
            [None, None]
        );
        reasons.release(numbers[MOST]);
        assert_eq!(reasons.keep(None), UNKNOWN);
        // One that is free again is taken by the next.
        reasons.release(numbers[3]);
        assert_eq!(reasons.keep(Some(99)), numbers[3]);
        assert_eq!(reasons.get(numbers[3]), Some(&99));
    }
}
