//! The references of ERTS monitors, in two words instead of three.
//!
//! The VM counts references up. The first word has 18 bits of the number, and the third hardly ever changes. So the third
//! words that were seen are kept in a list, and the place in that list goes into the free bits of the first word.
//! Correctness does not rely on it: a reference that is not like that is kept whole, beside the table.

use crate::structures::beside::Beside;

/// The numbers of an ERTS reference.
pub type MonitorRef = [u32; 3];
/// What is kept of it with its target.
pub type Short = [u32; 2];

/// Bits of the first word.
const BITS: u32 = 18;
/// The place that stands for what lies beside the table, and so how many third words there may be.
const WHOLE: u32 = u32::MAX >> BITS;

/// The third words of references, and those references that are not like the others.
#[derive(Default)]
pub struct References<const MAPS: usize> {
    thirds: Vec<u32>,
    whole: Beside<u32, MonitorRef, MAPS>,
}

impl<const MAPS: usize> References<MAPS> {
    /// Notes the reference of a target, and returns what is kept of it.
    #[inline]
    pub fn shorten(&mut self, target: u32, reference: MonitorRef) -> Short {
        let [first, second, third] = reference;
        match self.place(third) {
            Some(place) if first >> BITS == 0 => [place << BITS | first, second],
            _ => {
                self.whole.set(target, reference);
                [WHOLE << BITS, 0]
            }
        }
    }

    /// The reference of a target.
    #[inline]
    pub fn of(&self, target: u32, [first, second]: Short) -> MonitorRef {
        match first >> BITS {
            WHOLE => self.whole.get(target).unwrap_or_default(),
            place => {
                let number = first & ((1 << BITS) - 1);
                [number, second, self.thirds[place as usize]]
            }
        }
    }

    /// Forgets the reference of a target.
    #[inline]
    pub fn forget(&mut self, target: u32, [first, _]: Short) {
        if first >> BITS == WHOLE {
            self.whole.remove(target);
        }
    }

    /// The place of a third word, if there is room for it.
    #[inline]
    fn place(&mut self, third: u32) -> Option<u32> {
        // Nearly always it is the latest.
        let place = self.thirds.iter().rposition(|&seen| seen == third);
        if let Some(place) = place {
            return Some(place as u32);
        }
        let place = self.thirds.len() as u32;
        (place < WHOLE).then(|| {
            self.thirds.push(third);
            place
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_known_again() {
        let mut references: References<2> = References::default();
        let samples: [MonitorRef; 5] = [
            [0, 0, 0],
            [(1 << BITS) - 1, u32::MAX, u32::MAX],
            [1, 2, 3],
            [1 << BITS, 7, 3],
            [u32::MAX, u32::MAX, u32::MAX],
        ];
        let kept: Vec<Short> = (0..)
            .zip(samples)
            .map(|(id, of)| references.shorten(id, of))
            .collect();
        for ((id, sample), &short) in (0..).zip(samples).zip(&kept) {
            assert_eq!(references.of(id, short), sample);
        }
        assert_eq!(references.whole.len(), 2);
        for (id, &short) in (0..).zip(&kept) {
            references.forget(id, short);
        }
        assert!(references.whole.is_empty());
    }

    #[test]
    fn more_third_words_than_there_is_room_for_are_known_again() {
        let mut references: References<2> = References {
            thirds: (0..WHOLE - 1).collect(),
            ..References::default()
        };
        let last = references.shorten(1, [1, 2, WHOLE]);
        let whole = references.shorten(2, [1, 2, WHOLE + 1]);
        assert_eq!(references.whole.len(), 1);
        assert_eq!(references.of(1, last), [1, 2, WHOLE]);
        assert_eq!(references.of(2, whole), [1, 2, WHOLE + 1]);
    }
}
