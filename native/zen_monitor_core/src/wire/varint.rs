//! Numbers of as many bytes as they need: seven bits in each, the lowest first, and the eighth set where
//! more follow.

const MORE: u8 = 0x80;
/// The most bits of a number, and the bytes that these take.
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

/// Takes a number off the front, if one below 2³³ is there.
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

/// A difference as a number that is small where the difference is, whatever its sign.
#[inline]
pub fn zigzag(difference: u32) -> u32 {
    let signed = difference as i32;
    (signed << 1 ^ signed >> 31) as u32
}

/// The difference that [`zigzag`] made a number of.
#[inline]
pub fn unzigzag(number: u32) -> u32 {
    number >> 1 ^ 0_u32.wrapping_sub(number & 1)
}
