//! The numbers of this node's own pids, as other nodes know them.
//!
//! A local pid is one word. The bits of its numbers are among those of the word, and each of them may stand for
//! others, too: in OTP 25, they also say where in the table of processes it is. As with the heap, nothing
//! about that is taken on trust: when the library is loaded, [`probe`] has the VM decode pids, learns
//! what each bit becomes, and compares what would be read and made of some others. As long as it is
//! unknown, the node does not offer the compact wire.
//!
//! The *plain* word of a local pid has nothing but the bits of its numbers. Those of neighbours are neighbours,
//! and a table that is keyed by them keeps them together, which it does not with the others.

use crate::terms::etf::{Identity, Pid, decode_pids};
use crate::terms::word;
use rustler::Env;
use std::sync::OnceLock;
use zen_monitor_core::wire::Numbers;

/// The bits of a word that tell that it is a local pid.
const TAG: u64 = 0b1111;
const TAG_BITS: u32 = TAG.count_ones();

static NUMBERING: OnceLock<Numbering> = OnceLock::new();

/// How the words of local pids are made of their numbers.
pub struct Numbering {
    /// How many bits the number has, and its upper part.
    bits: [u32; 2],
    tag: u64,
    /// What each byte of the two stands for in the word.
    bytes: [[u64; 256]; 8],
}

impl Numbering {
    /// That of this VM, if it is known.
    #[inline]
    pub fn known() -> Option<&'static Numbering> {
        NUMBERING.get()
    }

    /// The numbers of a local pid, if a word is one.
    #[inline]
    pub fn numbers(&self, word: u64) -> Option<Numbers> {
        let data = word >> TAG_BITS;
        let [id, serial] = self.bits;
        let numbers = [data as u32 & most(id), (data >> id) as u32 & most(serial)];
        (word & TAG == self.tag).then_some(numbers)
    }

    /// The plain word of a word, which is the same for what is no local pid.
    #[inline]
    pub fn plain(&self, word: u64) -> u64 {
        if word & TAG != self.tag {
            return word;
        }
        let bits = self.bits[0] + self.bits[1] + TAG_BITS;
        word & (u64::MAX >> (u64::BITS - bits))
    }

    /// The plain word of the local pid that has these numbers, if one can have them.
    #[inline]
    pub fn plain_of(&self, [id, serial]: Numbers) -> Option<u64> {
        let fits = id <= most(self.bits[0]) && serial <= most(self.bits[1]);
        let data = u64::from(serial) << self.bits[0] | u64::from(id);
        fits.then_some(data << TAG_BITS | self.tag)
    }

    /// The word whose plain one this is.
    #[inline]
    pub fn whole(&self, plain: u64) -> u64 {
        self.numbers(plain)
            .map_or(plain, |numbers| self.word_of(numbers))
    }

    #[inline]
    fn word_of(&self, [id, serial]: Numbers) -> u64 {
        let bytes = (u64::from(serial) << u32::BITS | u64::from(id)).to_le_bytes();
        let parts = bytes.iter().zip(&self.bytes);
        parts.fold(self.tag, |word, (&byte, table)| {
            word | table[usize::from(byte)]
        })
    }
}

/// The largest number of so many bits, of which there is one at least.
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
    let decode = |[id, serial]: Numbers| {
        let pid = Pid {
            node: &identity.node,
            id,
            serial,
            creation: identity.creation,
        };
        let word = word::from_term(decode_pids(env, &[pid])?[0]);
        // A pid of another node is no single word.
        word::to_pid(env, word).map(|_| word)
    };
    let one =
        |part: usize, value| std::array::from_fn(|other| if other == part { value } else { 0 });
    let bits = |part| {
        let all = |bits: &u32| decode(one(part, most(*bits))).is_some();
        (1..=u32::BITS).rev().find(all)
    };
    let bits = [bits(0)?, bits(1)?];
    if bits[0] + bits[1] + TAG_BITS > u64::BITS {
        return None;
    }
    let mut numbering = Numbering {
        bits,
        tag: decode([0, 0])?,
        bytes: [[0; 256]; 8],
    };
    for part in 0..2 {
        for bit in 0..numbering.bits[part] {
            let word = decode(one(part, 1 << bit))? ^ numbering.tag;
            let byte = part * 4 + bit as usize / 8;
            for value in 0..256 {
                if value >> (bit % 8) & 1 == 1 {
                    numbering.bytes[byte][value] |= word;
                }
            }
        }
    }
    let [ids, serials] = numbering.bits.map(most);
    // All bits alone, all together, and some.
    let alone = (0..2).flat_map(|part| (0..u32::BITS).map(move |bit| (part, 1 << bit)));
    let alone = alone.map(|(part, value)| one(part, value));
    let some = [
        0,
        u32::MAX,
        0x5555_5555,
        0x3333_3333,
        0x2d2d_2d2d,
        0x0f1e_2d3c,
    ];
    let some = some.iter().flat_map(|&a| some.map(|b| [a, b]));
    let agree = |[id, serial]: Numbers| {
        let sample = [id & ids, serial & serials];
        let word = decode(sample);
        word.is_some_and(|word| {
            let plain = numbering.plain(word);
            numbering.numbers(word) == Some(sample)
                && numbering.plain_of(sample) == Some(plain)
                && numbering.whole(plain) == word
        })
    };
    let is_as_expected = numbering.tag & !TAG == 0 && alone.chain(some).all(agree);
    is_as_expected.then_some(numbering)
}
