//! The compact form in which two nodes of version 3 tell each other about pids: as runs of numbers.
//!
//! A binary is a sequence of runs. Each run can be read by itself: so binaries can be joined, and cut between
//! any two runs. A run has a kind, the creation of a node, and pids of that life of the node. Names are not sent
//! in this form. `guides/protocol.md` has the format byte by byte.
//!
//! A pid takes at least one byte, so a binary never holds more pids than bytes. The reader keeps one run at a
//! time, in a place of fixed size.

mod decoder;
mod encoder;
mod varint;

pub use decoder::{Decoder, Run};
pub use encoder::Encoder;

/// The version of the format: the upper half of the first byte of each run.
pub const VERSION: u8 = 1;

/// The most pids of a run.
pub const RUN: usize = 64;

const SUBSCRIBE: u8 = VERSION << 4;
const UNSUBSCRIBE: u8 = SUBSCRIBE + 1;
const DEAD: u8 = SUBSCRIBE + 2;

/// The ID and the serial of a pid.
pub type Numbers = [u32; 2];

/// What a run says of its pids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The sender wants to know when they die.
    Subscribe,
    /// The sender does not want to know any more.
    Unsubscribe,
    /// They are dead. The reason is the one at this place among those that come with the binary.
    Dead(u8),
}

#[cfg(all(test, not(loom)))]
mod tests;
