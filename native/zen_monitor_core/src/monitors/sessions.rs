//! The sessions that have targets in one shard.
//!
//! A target knows its session by its place here, so that to look at that takes no hashing. A place
//! is taken for as long as its session has a target in the shard.

use crate::structures::regions::Regions;
use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use std::ops::{Index, IndexMut};

/// The targets of one session in one shard.
#[derive(Default)]
pub struct Session {
    /// Which session.
    pub number: u64,
    /// Its node.
    pub node: u32,
    /// Where its targets are to be looked for.
    pub regions: Regions,
    /// Up to which place that was done.
    pub seen: u32,
    /// How many there are.
    pub targets: u32,
    /// The monitors of those among them that are subscribed: what falls due if the session ends.
    pub monitors: u32,
    /// Whether its connection is gone, and its targets wait to be subscribed over the next one.
    pub held: bool,
    /// Whether it has ended.
    pub expired: bool,
}

/// All sessions of a shard. Few, so a slab would set aside much more than there is in each of them.
#[derive(Default)]
pub struct Sessions {
    places: Vec<Session>,
    free: Vec<u32>,
    by_number: HashMap<u64, u32, FxBuildHasher>,
    /// The place that was asked for last, which is mostly asked for again.
    recent: u32,
}

/// No session has this number.
const NONE: u64 = u64::MAX;

impl Sessions {
    /// The place of a session.
    #[inline]
    pub fn find(&self, number: u64) -> Option<u32> {
        self.by_number.get(&number).copied()
    }

    /// The place of a session, which `fresh` makes if it has none.
    #[inline]
    pub fn find_or_add(&mut self, number: u64, fresh: impl FnOnce() -> Session) -> u32 {
        let recent = self.places.get(self.recent as usize);
        if recent.is_none_or(|session| session.number != number) {
            self.recent = self.search_or_add(number, fresh);
        }
        self.recent
    }

    fn search_or_add(&mut self, number: u64, fresh: impl FnOnce() -> Session) -> u32 {
        let Sessions {
            places,
            free,
            by_number,
            ..
        } = self;
        *by_number.entry(number).or_insert_with(|| {
            let place = free.pop().unwrap_or(places.len() as u32);
            if place as usize == places.len() {
                places.push(fresh());
            } else {
                places[place as usize] = fresh();
            }
            place
        })
    }

    /// Gives a place up.
    pub fn remove(&mut self, place: u32) {
        let number = std::mem::replace(&mut self.places[place as usize].number, NONE);
        self.by_number.remove(&number);
        self.free.push(place);
    }

    /// The places of all sessions.
    pub fn places(&self) -> impl Iterator<Item = u32> {
        self.by_number.values().copied()
    }
}

impl Index<u32> for Sessions {
    type Output = Session;

    #[inline]
    fn index(&self, place: u32) -> &Session {
        &self.places[place as usize]
    }
}

impl IndexMut<u32> for Sessions {
    #[inline]
    fn index_mut(&mut self, place: u32) -> &mut Session {
        &mut self.places[place as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_belongs_to_one_session_until_it_is_given_up() {
        let mut sessions = Sessions::default();
        let fresh = |number| {
            move || Session {
                number,
                ..Session::default()
            }
        };
        let seven = sessions.find_or_add(7, fresh(7));
        let eight = sessions.find_or_add(8, fresh(8));
        sessions[seven].targets = 3;
        assert_eq!(sessions.find_or_add(7, fresh(7)), seven);
        assert_eq!((sessions[seven].number, sessions[seven].targets), (7, 3));
        sessions.remove(seven);
        assert_eq!((sessions.find(7), sessions.find(8)), (None, Some(eight)));
        // Not what was asked for last, because that is given up.
        sessions.remove(eight);
        let again = sessions.find_or_add(8, fresh(8));
        assert_eq!((again, sessions.find(8)), (eight, Some(eight)));
        assert_eq!(sessions.find_or_add(9, fresh(9)), seven);
        assert_eq!((sessions[seven].number, sessions[seven].targets), (9, 0));
        assert_eq!(sessions.places().count(), 2);
    }
}
