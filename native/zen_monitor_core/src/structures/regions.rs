//! Where the members of a group lie in a slab, roughly.
//!
//! A list of the members would take two links for each. This takes two words for all of them, and who looks for the
//! members passes over the parts of the slab where none has ever been. To note a place takes a few instructions.

/// How large a region is at first, as a power of two. It is twice as large whenever 64 regions are not enough.
const SMALLEST: u8 = 6;

/// Up to 64 regions of a slab, and in which of them a member was ever noted.
///
/// ```
/// use zen_monitor_core::structures::regions::Regions;
///
/// let mut regions = Regions::default();
/// assert_eq!(regions.next(0), None);
/// regions.note(200);
/// assert_eq!(regions.next(0), Some(192));
/// assert_eq!(regions.next(201), Some(201));
/// assert_eq!(regions.next(256), None);
/// ```
pub struct Regions {
    /// Two halves, so that nothing is left between these fields and those that they are put among.
    noted: [u32; 2],
    /// How large a region is, as a power of two.
    size: u8,
}

impl Default for Regions {
    fn default() -> Self {
        Regions {
            noted: [0; 2],
            size: SMALLEST,
        }
    }
}

impl Regions {
    /// Notes that there is a member at a place.
    #[inline]
    pub fn note(&mut self, place: u32) {
        while place >> self.size >= u64::BITS {
            let [low, high] = self.noted.map(halved);
            self.noted = [high << 16 | low, 0];
            self.size += 1;
        }
        let region = place >> self.size;
        self.noted[region as usize / 32] |= 1 << (region % 32);
    }

    /// The first place from `from` on where there may be a member.
    #[inline]
    pub fn next(&self, from: u32) -> Option<u32> {
        let passed = from >> self.size;
        let noted = u64::from(self.noted[1]) << 32 | u64::from(self.noted[0]);
        let ahead = noted & u64::MAX.checked_shl(passed)?;
        let first = (ahead != 0).then(|| ahead.trailing_zeros() << self.size)?;
        Some(first.max(from))
    }
}

/// One bit for every two.
#[cold]
fn halved(bits: u32) -> u32 {
    (0..16).fold(0, |halved, pair| {
        let is_noted = bits >> (2 * pair) & 0b11 != 0;
        halved | u32::from(is_noted) << pair
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// Walking from place to place finds every member, and few regions without one.
        #[test]
        fn no_member_is_passed_over(members in prop::collection::btree_set(
            prop_oneof![0..500u32, 0..100_000u32, 0..u32::MAX], 0..100,
        )) {
            let mut regions = Regions::default();
            members.iter().for_each(|&place| regions.note(place));
            let size = 1u64 << regions.size;
            let region = |place: u32| u64::from(place) / size;
            let mut found = BTreeSet::new();
            let mut from = Some(0);
            while let Some(place) = from.and_then(|from| regions.next(from)) {
                found.insert(region(place));
                from = u32::try_from((region(place) + 1) * size).ok();
            }
            let expected: BTreeSet<u64> = members.iter().map(|&place| region(place)).collect();
            prop_assert_eq!(found, expected);
            let places = members.last().map_or(0, |&place| u64::from(place) + 1);
            prop_assert!(regions.size == SMALLEST || places > size * 32);
        }
    }
}
