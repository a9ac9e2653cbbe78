//! The numbers of subscriptions.
//!
//! A name may belong to another process each time that it is subscribed to. So each subscription of a name
//! has a number, and its certificate returns that. A late certificate of a former subscription is thereby told
//! from one of the standing subscription. Pids need no number, and names are few: so the numbers are kept
//! beside the tables.

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

/// Numbers by id, divided among `MAPS` maps, so that none takes long to grow.
pub struct Numbers<const MAPS: usize>(Box<[HashMap<u32, u32, FxBuildHasher>]>);

impl<const MAPS: usize> Default for Numbers<MAPS> {
    fn default() -> Self {
        Numbers((0..MAPS).map(|_| HashMap::default()).collect())
    }
}

impl<const MAPS: usize> Numbers<MAPS> {
    /// The number of an id.
    #[inline]
    pub fn get(&self, id: u32) -> Option<u32> {
        let map = &self.0[id as usize % MAPS];
        // Nearly always there is none, and a lookup is not free.
        if map.is_empty() {
            return None;
        }
        map.get(&id).copied()
    }

    /// Sets the number of an id, or with `None` forgets it.
    pub fn set(&mut self, id: u32, number: Option<u32>) {
        match number {
            Some(number) => {
                self.0[id as usize % MAPS].insert(id, number);
            }
            None => self.remove(id),
        }
    }

    /// Forgets the number of an id.
    #[inline]
    pub fn remove(&mut self, id: u32) {
        let map = &mut self.0[id as usize % MAPS];
        if !map.is_empty() {
            map.remove(&id);
        }
    }

    /// How many ids have a number.
    pub fn len(&self) -> usize {
        self.0.iter().map(HashMap::len).sum()
    }

    /// Whether no id has a number.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
