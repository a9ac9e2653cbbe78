//! Why the dead targets of a shard have died.
//!
//! Those that die together mostly do so for one reason. It is kept once with its count, and such a target has a mark
//! where the head of its list was. All others have an entry, which costs a lookup each time.
//!
//! Invariant: the shared reason counts the dead targets with the mark, and is dropped with the last of them.

use crate::structures::list::NIL;
use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

/// A reason that is soon compared.
pub trait Alike {
    /// Whether another is the same, as far as that is told in a moment. Two long ones may be taken for different.
    fn is_alike(&self, other: &Self) -> bool;
}

impl Alike for () {
    fn is_alike(&self, (): &()) -> bool {
        true
    }
}

impl Alike for u32 {
    fn is_alike(&self, other: &u32) -> bool {
        self == other
    }
}

/// The mark. No slot has this id.
const SHARED: u32 = NIL - 1;

/// Reasons by target. One that is missing here died with its node.
pub(super) struct Reasons<R> {
    shared: Option<(R, u32)>,
    own: HashMap<u32, R, FxBuildHasher>,
}

impl<R> Default for Reasons<R> {
    fn default() -> Self {
        Reasons {
            shared: None,
            own: HashMap::default(),
        }
    }
}

impl<R> Reasons<R> {
    /// Notes the reason of a target that keeps its list.
    pub(super) fn set(&mut self, local: u32, reason: R) {
        self.own.insert(local, reason);
    }

    /// Notes the reason of a target that has no list any more, and returns what stands in its place.
    #[inline]
    pub(super) fn share(&mut self, local: u32, reason: &R) -> u32
    where
        R: Clone + Alike,
    {
        match &mut self.shared {
            Some((shared, count)) if shared.is_alike(reason) => *count += 1,
            Some(_) => {
                self.own.insert(local, reason.clone());
                return NIL;
            }
            none => *none = Some((reason.clone(), 1)),
        }
        SHARED
    }

    /// The reason of a dead target with what stands in the place of its list.
    #[inline]
    pub(super) fn get(&self, local: u32, head: u32) -> Option<&R> {
        match &self.shared {
            Some((shared, _)) if head == SHARED => Some(shared),
            _ => self.own.get(&local),
        }
    }

    /// Forgets it.
    #[inline]
    pub(super) fn remove(&mut self, local: u32, head: u32) {
        if head == SHARED {
            self.shared.take_if(|(_, count)| {
                *count -= 1;
                *count == 0
            });
        } else if !self.own.is_empty() {
            // Most have no reason of their own, and a lookup is not free.
            self.own.remove(&local);
        }
    }

    /// How many are kept.
    pub(super) fn len(&self) -> usize {
        self.own.len() + usize::from(self.shared.is_some())
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn each_target_has_its_own(ops in prop::collection::vec((0..3u8, 0..20u32, 0..3u32), 0..200)) {
            let mut reasons = Reasons::default();
            let mut model: BTreeMap<u32, (u32, u32)> = BTreeMap::new();
            for (op, local, reason) in ops {
                match model.get(&local).copied() {
                    Some((head, _)) if op == 0 => {
                        reasons.remove(local, head);
                        model.remove(&local);
                    }
                    Some(_) => {}
                    None if op == 1 => {
                        reasons.set(local, reason);
                        model.insert(local, (NIL, reason));
                    }
                    None => {
                        let head = reasons.share(local, &reason);
                        model.insert(local, (head, reason));
                    }
                }
                for (&local, (head, reason)) in &model {
                    prop_assert_eq!(reasons.get(local, *head), Some(reason));
                }
                prop_assert!(reasons.len() <= model.len());
            }
            for (local, (head, _)) in model {
                reasons.remove(local, head);
            }
            prop_assert_eq!(reasons.len(), 0);
        }
    }
}
