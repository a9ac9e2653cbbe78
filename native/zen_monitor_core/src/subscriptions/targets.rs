//! The watched processes, by id and by destination.
//!
//! Invariants:
//!
//! - Of the targets of one destination, at most one is in a group, and all others are not.
//! - An id stays with its target. The highest bit tells which of the two it is in.

use crate::structures::limits::Full;
use crate::structures::packed::PLACES;
use crate::subscriptions::references::{MonitorRef, References};
use crate::subscriptions::target::{Destination, Kept, Monitor, Target};
use groups::Groups;
use others::Others;

/// Into how many maps is divided what some targets have beside them, so that none is large.
pub const MAPS: usize = 256;

/// The bit of ids that are in no group.
const OTHER: u32 = 1 << 31;

/// Targets. Several may have the same destination.
pub struct Targets {
    groups: Groups,
    others: Others,
    references: References<MAPS>,
    count: usize,
    /// How many there may be.
    most: usize,
}

impl Default for Targets {
    fn default() -> Self {
        Targets::with_most(u32::MAX)
    }
}

impl Targets {
    /// Those of which there are no more than `most`.
    pub fn with_most(most: u32) -> Self {
        Targets {
            groups: Groups::default(),
            others: Others::default(),
            references: References::default(),
            count: 0,
            most: most as usize,
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// After how many calls of [`Targets::next`] all have been seen.
    #[inline]
    pub fn round(&self) -> usize {
        // The end of each group takes a call, and so does the end of all.
        let calls = self.groups.groups() + self.others.places() + 1;
        self.count + calls as usize
    }

    /// The first target from `cursor` on in its group, or what is in a place of the others, which may be free. Moves the
    /// cursor behind it. Where nothing follows, that is on to the next group, and from the end to the beginning.
    #[inline]
    pub fn next(&self, cursor: &mut u32) -> Option<u32> {
        let at = *cursor;
        if at / PLACES < self.groups.groups() {
            let next = self.groups.next(at);
            *cursor = next.map_or((at / PLACES + 1) * PLACES, |id| id + 1);
            return next;
        }
        let other = at.saturating_sub(OTHER);
        if other < self.others.places() {
            *cursor = (OTHER | other) + 1;
            return Some(OTHER | other);
        }
        *cursor = 0;
        None
    }

    /// A target of a destination that `suits`, which is shown each.
    #[inline]
    pub fn find(&self, destination: Destination, suits: impl Fn(&Target) -> bool) -> Option<u32> {
        if destination.node == 0
            && let Some(id) = self.groups.find(destination.word, &suits)
        {
            return Some(id);
        }
        let other = self.others.find(destination, suits)?;
        Some(OTHER | other)
    }

    /// Adds a target of a destination. [`Full`] when there are as many as there may be.
    #[inline]
    pub fn insert(&mut self, destination: Destination) -> Result<u32, Full> {
        if self.count == self.most {
            return Err(Full);
        }
        let grouped = match destination.node {
            0 => self.groups.insert(destination.word, Target::NEW),
            _ => None,
        };
        let id = match grouped {
            Some(id) => id,
            None => OTHER | self.others.insert(destination, Target::NEW)?,
        };
        self.count += 1;
        Ok(id)
    }

    /// Removes a target, and returns the reference of its monitor if that is set. Nobody watches what its id stands
    /// for, until another gets it.
    #[inline]
    pub fn remove(&mut self, id: u32) -> Option<MonitorRef> {
        let removed = if id < OTHER {
            self.groups.remove(id)?
        } else {
            self.others.remove(id - OTHER)
        };
        self.count -= 1;
        self.forget(id, removed.monitor())
    }

    /// Notes the reference of a target's monitor.
    #[inline]
    pub fn set_monitor(&mut self, id: u32, reference: MonitorRef) {
        let short = self.references.shorten(id, reference);
        self[id].set_monitor(Monitor::Set(short));
    }

    /// Notes that a target is dead, with the reason that is kept.
    pub fn fire(&mut self, id: u32, reason: Kept) {
        let target = &mut self[id];
        let monitor = target.monitor();
        target.set_monitor(Monitor::Fired(reason));
        self.forget(id, monitor);
    }

    /// Forgets the reference of a monitor and returns it, if it is set.
    #[inline]
    fn forget(&mut self, id: u32, monitor: Monitor) -> Option<MonitorRef> {
        let Monitor::Set(short) = monitor else {
            return None;
        };
        let reference = self.references.of(id, short);
        self.references.forget(id, short);
        Some(reference)
    }

    /// The destination of a target.
    #[inline]
    pub fn destination(&self, id: u32) -> Destination {
        if id < OTHER {
            Destination {
                word: self.groups.word(id),
                node: 0,
            }
        } else {
            self.others.destination(id - OTHER)
        }
    }
}

impl std::ops::Index<u32> for Targets {
    type Output = Target;

    #[inline]
    fn index(&self, id: u32) -> &Target {
        if id < OTHER {
            self.groups.get(id).unwrap_or(&Target::FREE)
        } else {
            self.others.get(id - OTHER)
        }
    }
}

impl std::ops::IndexMut<u32> for Targets {
    #[inline]
    fn index_mut(&mut self, id: u32) -> &mut Target {
        if id < OTHER {
            self.groups.get_mut(id).expect("a target that is there")
        } else {
            self.others.get_mut(id - OTHER)
        }
    }
}

mod groups;
mod others;

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    /// With so few groups that some pids are in none.
    fn crowded() -> Targets {
        Targets {
            groups: Groups::with_most(3),
            ..Targets::default()
        }
    }

    fn destination() -> impl Strategy<Value = Destination> {
        let pid = (0..400u64).prop_map(|number| (number << 4 | 0b0011, 0));
        let name = (0..4u64, 0..3u64).prop_map(|(number, node)| (number << 6 | 0b1011, node));
        prop_oneof![4 => pid, 1 => name].prop_map(|(word, node)| Destination { word, node })
    }

    proptest! {
        /// Targets are added, some twice, and removed; each is found by its destination and by going round.
        #[test]
        fn all_are_found(ops in prop::collection::vec((0..3u8, destination()), 0..300)) {
            let mut targets = crowded();
            let mut model = BTreeMap::new();
            for (op, destination) in ops {
                match targets.find(destination, |_| true) {
                    Some(id) if op == 0 => {
                        prop_assert_eq!(model.remove(&id), Some(destination));
                        targets.remove(id);
                        prop_assert_eq!(targets[id].monitor(), Monitor::Gone);
                    }
                    found => {
                        let of_it = model.values().filter(|&&of| of == destination);
                        let before = of_it.count();
                        prop_assert_eq!(found.is_some(), before > 0);
                        if before < 2 {
                            let id = targets.insert(destination).unwrap();
                            prop_assert_eq!(model.insert(id, destination), None);
                            prop_assert_eq!(targets.destination(id), destination);
                        }
                    }
                }
                prop_assert_eq!(targets.count(), model.len());
            }
            let mut cursor = 17;
            let seen = (0..targets.round()).filter_map(|_| targets.next(&mut cursor));
            let living = seen.filter(|&id| targets[id].monitor() != Monitor::Gone);
            let ids: BTreeSet<u32> = model.keys().copied().collect();
            prop_assert_eq!(living.collect::<BTreeSet<u32>>(), ids);
        }
    }

    #[test]
    fn one_of_two_with_a_destination_is_found_by_what_suits() {
        let mut targets = Targets::default();
        let pid = Destination {
            word: 0x73,
            node: 0,
        };
        let [dead, living] = [0, 1].map(|_| targets.insert(pid).unwrap());
        targets.fire(dead, 5);
        assert_eq!(targets.find(pid, Target::is_dead), Some(dead));
        assert_eq!(targets.find(pid, |target| !target.is_dead()), Some(living));
        targets.remove(dead);
        assert_eq!(targets.find(pid, |_| true), Some(living));
        targets.remove(living);
        assert_eq!(targets.find(pid, |_| true), None);
    }
}
