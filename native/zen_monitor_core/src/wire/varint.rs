//! Numbers that take as many bytes as they need: seven bits in each byte, the lowest first. The eighth bit is
//! set while more follow.

const MORE: u8 = 0x80;
/// The most bits of a number, and how many bytes these take.
const BITS: u32 = 33;
const BYTES: usize = BITS.div_ceil(7) as usize;

/// Adds a number below 2³³.
#[inline]
pub fn write(bytes: &mut Vec<u8>, mut number: u64) {
    debug_assert!(number >> BITS == 0);
    while number >= u64::from(MORE) {
        bytes.push(number as u8 | MORE);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Takes a number off the front. `None` if there is none below 2³³.
#[inline]
pub fn read(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for (place, &byte) in bytes.iter().take(BYTES).enumerate() {
        number |= u64::from(byte & !MORE) << (7 * place);
        if byte & MORE == 0 {
            *bytes = &bytes[place + 1..];
            return (number >> BITS == 0).then_some(number);
        }
    }
    None
}

/// A difference as a number that is small if the difference is, whatever its sign.
#[inline]
pub fn zigzag(difference: u32) -> u32 {
    let signed = difference as i32;
    (signed << 1 ^ signed >> 31) as u32
}

/// The difference from which [`zigzag`] made this number.
#[inline]
pub fn unzigzag(number: u32) -> u32 {
    number >> 1 ^ 0_u32.wrapping_sub(number & 1)
}
