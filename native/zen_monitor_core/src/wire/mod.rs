//! The compact form of what two nodes of this version tell each other: pids as runs of numbers.
//!
//! A binary is a sequence of runs, and each run stands for itself: binaries can be put together, and cut
//! between any two runs. A run says what is said of its pids, and which life of their node they are of. What
//! has a name, or another shape, does not go this way. `guides/protocol.md` has the format byte by byte.
//!
//! A pid takes a byte at least, so no binary says more than it has bytes, and what is read is one run at
//! a time, in a place of fixed size.

mod decoder;
mod encoder;
mod varint;

pub use decoder::{Decoder, Run};
pub use encoder::Encoder;

/// The version of the format, which every run begins with: in the upper half of its first byte.
pub const VERSION: u8 = 1;

/// The most pids of a run.
pub const RUN: usize = 64;

const SUBSCRIBE: u8 = VERSION << 4;
const UNSUBSCRIBE: u8 = SUBSCRIBE + 1;
const DEAD: u8 = SUBSCRIBE + 2;

/// The number of a pid, and the upper part of that number.
pub type Numbers = [u32; 2];

/// What a run says of its pids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Tell when they die.
    Subscribe,
    /// Never mind.
    Unsubscribe,
    /// They are dead, for the reason that has this place among those that come with the binary.
    Dead(u8),
}

#[cfg(all(test, not(loom)))]
mod tests;
