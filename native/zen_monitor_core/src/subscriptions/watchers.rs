//! Sets of connectors, as a number of 30 bits each.
//!
//! A new connector gets the lowest free number, so nearly all sets have a few low members. A set of low members, or
//! of a single one, is kept in its number. All other sets are kept in blocks beside the table.
//!
//! Invariants: a set that fits into its number has no block; a block belongs to one set and is not empty, and no two
//! blocks of a set are for the same connectors.

use crate::structures::limits::Full;
use crate::structures::slab::Slab;

/// Bits of what a number says, below those that tell which form it has.
const BITS: u32 = 28;
/// The most connectors that there may be, and the most blocks.
pub const MOST: u32 = 1 << BITS;

const FEW: u32 = 0;
const ONE: u32 = 1 << BITS;
const MANY: u32 = 2 << BITS;

/// Connectors of one block.
const BLOCK: u32 = u64::BITS;
/// No block: the end of a set.
const NIL: u32 = u32::MAX;

/// A set of connectors. It must be used with the [`Blocks`] that it was made with, and not after another was made
/// of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watchers(u32);

/// The empty set.
pub const NOBODY: Watchers = Watchers(FEW);

enum Form {
    /// The connectors below [`BITS`] whose bits are set.
    Few(u32),
    /// A single connector that is not below [`BITS`].
    One(u32),
    /// The connectors of a block and of its successors.
    Many(u32),
}

impl Watchers {
    /// That of its bits, of which there are 30.
    #[inline]
    pub fn of_bits(bits: u32) -> Watchers {
        Watchers(bits)
    }

    /// Its bits.
    #[inline]
    pub const fn bits(self) -> u32 {
        self.0
    }

    #[inline]
    fn one(connector: u32) -> Watchers {
        if connector < BITS {
            Watchers(FEW | 1 << connector)
        } else {
            Watchers(ONE | connector)
        }
    }

    #[inline]
    fn form(self) -> Form {
        let value = self.0 & (MOST - 1);
        match self.0 & !(MOST - 1) {
            FEW => Form::Few(value),
            ONE => Form::One(value),
            _ => Form::Many(value),
        }
    }
}

/// What does not fit into the numbers of sets.
///
/// ```
/// use zen_monitor_core::subscriptions::watchers::{Blocks, NOBODY};
///
/// let mut blocks = Blocks::default();
/// let mut set = NOBODY;
/// for connector in [3, 500, 70] {
///     set = blocks.insert(set, connector).unwrap();
/// }
/// assert!(blocks.contains(set, 500) && !blocks.contains(set, 4));
/// set = blocks.retain(set, |connector| connector == 500);
/// assert!(!blocks.contains(set, 3) && blocks.is_empty());
/// ```
pub struct Blocks(Slab<Block>);

struct Block {
    /// Which [`BLOCK`] connectors it is of.
    of: u32,
    next: u32,
    bits: u64,
}

impl Default for Blocks {
    fn default() -> Self {
        Blocks::with_most(MOST)
    }
}

impl Blocks {
    /// Those of which there are no more than `most`.
    pub fn with_most(most: u32) -> Self {
        Blocks(Slab::with_most(most.min(MOST)))
    }

    /// Whether all sets fit into their numbers.
    pub fn is_empty(&self) -> bool {
        self.0.count() == 0
    }

    /// Whether a connector is in a set.
    #[inline]
    pub fn contains(&self, set: Watchers, connector: u32) -> bool {
        match set.form() {
            Form::Few(bits) => connector < BITS && bits >> connector & 1 == 1,
            Form::One(one) => one == connector,
            Form::Many(first) => self
                .find(first, connector)
                .is_some_and(|block| self.0[block].bits >> (connector % BLOCK) & 1 == 1),
        }
    }

    /// The set with one more connector, whose number is below [`MOST`]. [`Full`] when there are too many blocks;
    /// the set is what it was then.
    #[inline]
    pub fn insert(&mut self, set: Watchers, connector: u32) -> Result<Watchers, Full> {
        match set.form() {
            Form::Few(bits) if connector < BITS => Ok(Watchers(FEW | bits | 1 << connector)),
            Form::Few(0) => Ok(Watchers::one(connector)),
            Form::One(one) if one == connector => Ok(set),
            _ => self.insert_block(set, connector),
        }
    }

    fn insert_block(&mut self, set: Watchers, connector: u32) -> Result<Watchers, Full> {
        let (first, made) = match set.form() {
            Form::Few(bits) => (self.push(0, u64::from(bits), NIL)?, true),
            Form::One(one) => (self.push(one / BLOCK, 1 << (one % BLOCK), NIL)?, true),
            Form::Many(first) => (first, false),
        };
        let bit = 1 << (connector % BLOCK);
        if let Some(block) = self.find(first, connector) {
            self.0[block].bits |= bit;
            return Ok(Watchers(MANY | first));
        }
        match self.push(connector / BLOCK, bit, first) {
            Ok(first) => Ok(Watchers(MANY | first)),
            Err(Full) => {
                if made {
                    self.0.remove(first);
                }
                Err(Full)
            }
        }
    }

    /// The set without a connector.
    #[inline]
    pub fn remove(&mut self, set: Watchers, connector: u32) -> Watchers {
        self.retain(set, |one| one != connector)
    }

    /// The set of those connectors of a set for which `keep`, which is shown each once, answers `true`.
    #[inline]
    pub fn retain(&mut self, set: Watchers, mut keep: impl FnMut(u32) -> bool) -> Watchers {
        match set.form() {
            Form::Few(bits) => Watchers(FEW | retain(0, u64::from(bits), keep) as u32),
            Form::One(one) if keep(one) => set,
            Form::One(_) => NOBODY,
            Form::Many(first) => self.retain_blocks(first, keep),
        }
    }

    fn retain_blocks(&mut self, first: u32, mut keep: impl FnMut(u32) -> bool) -> Watchers {
        let (mut first, mut last, mut next) = (first, NIL, first);
        while next != NIL {
            let id = next;
            let block = &mut self.0[id];
            block.bits = retain(block.of, block.bits, &mut keep);
            next = block.next;
            if block.bits != 0 {
                last = id;
                continue;
            }
            match last {
                NIL => first = next,
                last => self.0[last].next = next,
            }
            self.0.remove(id);
        }
        self.shortest(first)
    }

    /// Shows `visit` each connector of a set.
    pub fn for_each(&self, set: Watchers, mut visit: impl FnMut(u32)) {
        let mut keep = |connector| {
            visit(connector);
            true
        };
        match set.form() {
            Form::Few(bits) => {
                retain(0, u64::from(bits), keep);
            }
            Form::One(one) => visit(one),
            Form::Many(first) => {
                let mut next = first;
                while next != NIL {
                    let block = &self.0[next];
                    retain(block.of, block.bits, &mut keep);
                    next = block.next;
                }
            }
        }
    }

    /// The set of a block and of its successors, in its number if it fits there.
    fn shortest(&mut self, first: u32) -> Watchers {
        if first == NIL {
            return NOBODY;
        }
        let &Block { of, next, bits } = &self.0[first];
        let set = if next != NIL {
            return Watchers(MANY | first);
        } else if of == 0 && bits < u64::from(MOST) {
            Watchers(FEW | bits as u32)
        } else if bits.is_power_of_two() {
            Watchers::one(of * BLOCK + bits.trailing_zeros())
        } else {
            return Watchers(MANY | first);
        };
        self.0.remove(first);
        set
    }

    fn push(&mut self, of: u32, bits: u64, next: u32) -> Result<u32, Full> {
        self.0.insert(Block { of, next, bits })
    }

    /// The block of a connector, among one and its successors.
    fn find(&self, first: u32, connector: u32) -> Option<u32> {
        let mut block = first;
        while block != NIL {
            if self.0[block].of == connector / BLOCK {
                return Some(block);
            }
            block = self.0[block].next;
        }
        None
    }
}

/// Those of the bits of a block whose connectors are to be kept.
#[inline]
fn retain(block: u32, bits: u64, mut keep: impl FnMut(u32) -> bool) -> u64 {
    let (mut left, mut kept) = (bits, bits);
    while left != 0 {
        let lowest = left & left.wrapping_neg();
        if !keep(block * BLOCK + lowest.trailing_zeros()) {
            kept &= !lowest;
        }
        left &= !lowest;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn members(blocks: &Blocks, set: Watchers) -> Vec<u32> {
        let mut members = Vec::new();
        blocks.for_each(set, |connector| members.push(connector));
        members.sort_unstable();
        members
    }

    fn connector() -> impl Strategy<Value = u32> {
        prop_oneof![0..BITS + 2, 60..70u32, 600..610u32, MOST - 2..MOST]
    }

    proptest! {
        #[test]
        fn agree_with_sets(
            ops in prop::collection::vec((0..3usize, 0..3u8, connector()), 0..200)
        ) {
            let mut blocks = Blocks::default();
            let mut sets = [NOBODY; 3];
            let mut models: [BTreeSet<u32>; 3] = Default::default();
            for (which, op, connector) in ops {
                let (set, model) = (sets[which], &mut models[which]);
                prop_assert_eq!(blocks.contains(set, connector), model.contains(&connector));
                sets[which] = match op {
                    0 | 1 => {
                        model.insert(connector);
                        blocks.insert(set, connector).unwrap()
                    }
                    2 if connector % 2 == 0 => {
                        model.remove(&connector);
                        blocks.remove(set, connector)
                    }
                    _ => {
                        let mut shown = Vec::new();
                        let left = blocks.retain(set, |one| {
                            shown.push(one);
                            one < connector
                        });
                        shown.sort_unstable();
                        prop_assert_eq!(shown, model.iter().copied().collect::<Vec<u32>>());
                        model.retain(|&one| one < connector);
                        left
                    }
                };
                let mut least = 0;
                for (&set, model) in sets.iter().zip(&models) {
                    prop_assert_eq!(members(&blocks, set), model.iter().copied().collect::<Vec<u32>>());
                    prop_assert_eq!(set == NOBODY, model.is_empty());
                    prop_assert!(set.bits() < 1 << 30);
                    let fits = model.len() == 1 || model.iter().all(|&one| one < BITS);
                    let of: BTreeSet<u32> = model.iter().map(|one| one / BLOCK).collect();
                    least += if fits { 0 } else { of.len() };
                }
                prop_assert_eq!(blocks.0.count(), least);
            }
        }
    }

    #[test]
    fn full_ones_refuse_and_keep_the_set() {
        let mut blocks = Blocks::with_most(1);
        let set = blocks.insert(NOBODY, 3).unwrap();
        assert_eq!(blocks.insert(set, 500), Err(Full));
        assert!(blocks.is_empty() && members(&blocks, set) == [3]);
        let set = blocks.insert(set, 50).unwrap();
        assert_eq!(blocks.insert(set, 500), Err(Full));
        assert_eq!(members(&blocks, set), [3, 50]);
        assert_eq!(
            blocks.insert(set, 51).map(|set| members(&blocks, set)),
            Ok(vec![3, 50, 51])
        );
    }
}
