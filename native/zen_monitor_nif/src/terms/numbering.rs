//! The numbers of this node's own pids, as other nodes know them.
//!
//! A local pid is one word that holds the bits of its numbers. OTP 25 has some of the bits twice, and OTP 27 has
//! rotated them, so that the VM finds the place in its table of processes quickly. That is not documented, so
//! nothing about it is taken on trust. When the library is loaded, [`probe`] has the VM decode pids and learns
//! what becomes of each bit. Then it compares what it would read and make with further pids. If anything differs,
//! the numbering stays unknown, and the node does not offer the compact wire form.
//!
//! The *plain* word of a local pid has its numbers in their order, above the tag of a pid. Neighbouring pids have
//! neighbouring plain words, so a table that is keyed by plain words keeps neighbours together. The words of the
//! VM would not.

use crate::terms::etf::{Identity, Pid, decode_pids};
use crate::terms::word;
use rustler::Env;
use std::sync::OnceLock;
use zen_monitor_core::wire::Numbers;

/// The bits of a word that mark it as a local pid.
const TAG: u64 = 0b1111;
const TAG_BITS: u32 = TAG.count_ones();

static NUMBERING: OnceLock<Numbering> = OnceLock::new();

/// How the words of local pids are made from their numbers.
pub struct Numbering {
    /// How many bits the ID and the serial have.
    bits: [u32; 2],
    tag: u64,
    /// From the numbers to the word.
    whole: Bits,
    /// From the word to the numbers.
    numbers: Bits,
}

/// What a word becomes: bits that move by as many places together, and how many places those are. The VM moves few groups
/// of them, so this takes less to look at than a table, which matters after some silence.
#[derive(Default)]
struct Bits(Vec<(u64, u32)>);

impl Bits {
    /// Notes which bits a bit becomes.
    fn set(&mut self, bit: u32, others: u64) {
        for other in (0..u64::BITS).filter(|other| others >> other & 1 == 1) {
            let places = other.wrapping_sub(bit) % u64::BITS;
            match self.0.iter_mut().find(|(_, known)| *known == places) {
                Some((bits, _)) => *bits |= 1 << bit,
                None => self.0.push((1 << bit, places)),
            }
        }
    }

    #[inline]
    fn of(&self, word: u64) -> u64 {
        let moved = self.0.iter();
        moved.fold(0, |all, &(bits, places)| {
            all | (word & bits).rotate_left(places)
        })
    }
}

impl Numbering {
    /// The numbering of this VM, if it is known.
    #[inline]
    pub fn known() -> Option<&'static Numbering> {
        NUMBERING.get()
    }

    /// The plain word of a word. A word that is no local pid is its own plain word.
    #[inline]
    pub fn plain(&self, word: u64) -> u64 {
        if word & TAG != self.tag {
            return word;
        }
        self.join(split(self.numbers.of(word)))
    }

    /// The plain word of the local pid with these numbers, if a local pid can have them.
    #[inline]
    pub fn plain_of(&self, [id, serial]: Numbers) -> Option<u64> {
        let fits = id <= most(self.bits[0]) && serial <= most(self.bits[1]);
        fits.then(|| self.join([id, serial]))
    }

    /// The word that has this plain word.
    #[inline]
    pub fn whole(&self, plain: u64) -> u64 {
        let numbers = self.numbers_of(plain).map(joined);
        numbers.map_or(plain, |numbers| self.whole.of(numbers) | self.tag)
    }

    /// The numbers of the local pid that has this plain word. `None` if it is of something else.
    #[inline]
    pub fn numbers_of(&self, plain: u64) -> Option<Numbers> {
        let data = plain >> TAG_BITS;
        let id = data as u32 & most(self.bits[0]);
        let serial = (data >> self.bits[0]) as u32;
        (plain & TAG == self.tag).then_some([id, serial])
    }

    #[inline]
    fn join(&self, [id, serial]: Numbers) -> u64 {
        (u64::from(serial) << self.bits[0] | u64::from(id)) << TAG_BITS | self.tag
    }
}

/// Both numbers in one, each in bytes of its own.
#[inline]
fn joined([id, serial]: Numbers) -> u64 {
    u64::from(serial) << u32::BITS | u64::from(id)
}

#[inline]
fn split(joined: u64) -> Numbers {
    [joined as u32, (joined >> u32::BITS) as u32]
}

/// The largest number of so many bits, at least one.
#[inline]
fn most(bits: u32) -> u32 {
    u32::MAX >> (u32::BITS - bits)
}

/// Learns the numbering, if this VM is built as this module expects.
pub fn probe(env: Env) {
    if let Some(numbering) = learn(env) {
        // The library is loaded once. An upgrade to the same file finds what it has learnt.
        let _ = NUMBERING.set(numbering);
    }
}

fn learn(env: Env) -> Option<Numbering> {
    let identity = Identity::of_caller(env)?;
    let decode = |numbers| {
        let [id, serial] = split(numbers);
        let pid = Pid {
            node: &identity.node,
            id,
            serial,
            creation: identity.creation,
        };
        let word = word::from_term(decode_pids(env, &[pid])?[0]);
        // A pid that is not a single word is taken for one of another node.
        word::to_pid(env, word).map(|_| word)
    };
    let longest = |lowest: u32| {
        let all = |bits: &u32| decode(u64::from(most(*bits)) << lowest).is_some();
        (1..=u32::BITS).rev().find(all)
    };
    let bits = [longest(0)?, longest(u32::BITS)?];
    let tag = decode(0)?;
    if bits[0] + bits[1] + TAG_BITS > u64::BITS || tag & !TAG != 0 {
        return None;
    }
    let (mut whole, mut numbers) = (Bits::default(), Bits::default());
    let used = (0..bits[0]).chain(u32::BITS..u32::BITS + bits[1]);
    let become_of = |bit: u32| Some((bit, decode(1 << bit)? ^ tag));
    let become_all: Vec<(u32, u64)> = used.map(become_of).collect::<Option<_>>()?;
    for &(bit, others) in &become_all {
        // A bit is recognised in the word by a bit that no other becomes.
        let shared = |&(other, found): &(u32, u64)| if other == bit { 0 } else { found };
        let own = others
            & !become_all
                .iter()
                .map(shared)
                .fold(0, |all, found| all | found);
        if own == 0 {
            return None;
        }
        whole.set(bit, others);
        numbers.set(own.trailing_zeros(), 1 << bit);
    }
    let numbering = Numbering {
        bits,
        tag,
        whole,
        numbers,
    };
    // Each bit alone, and many bits together.
    let mask = joined(bits.map(most));
    let alone = (0..u64::BITS).map(|bit| 1 << bit);
    let some = [
        0,
        u32::MAX,
        0x5555_5555,
        0x3333_3333,
        0x2d2d_2d2d,
        0x0f1e_2d3c,
    ];
    let together = some
        .iter()
        .flat_map(|&id| some.map(|serial| joined([id, serial])));
    let agrees = |sample: u64| {
        let sample = sample & mask;
        decode(sample).is_some_and(|word| {
            let plain = numbering.plain(word);
            numbering.plain_of(split(sample)) == Some(plain)
                && numbering.numbers_of(plain) == Some(split(sample))
                && numbering.whole(plain) == word
        })
    };
    alone.chain(together).all(agrees).then_some(numbering)
}
