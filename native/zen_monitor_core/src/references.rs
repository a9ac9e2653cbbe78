//! The monitors by reference.

use crate::arena::Arena;
use crate::hash::{hash, shard};
use crate::held::Held;
use crate::index::Index;
use crate::slot::{Reference, Slot};
use crate::sync::{Mutex, shards};

const SHARDS: usize = shards(1024);

/// Finds a monitor by its reference. Each shard is an [`Index`], so none stalls to grow.
pub struct References {
    shards: Box<[Mutex<Index>]>,
}

impl Default for References {
    fn default() -> Self {
        References {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }
}

impl References {
    /// Adds the slot of a fresh reference.
    #[inline]
    pub fn insert(&self, slots: &Arena<Slot>, id: u32) {
        let hash = hash_of(slots.get(id).reference());
        self.shards[shard(hash, SHARDS)]
            .lock()
            .insert(hash, id, |id| hash_of(slots.get(id).reference()));
    }

    /// Applies `view` to the slot of `reference`, under the lock that keeps the slot from being
    /// freed meanwhile.
    #[inline]
    pub fn find<T>(
        &self,
        slots: &Arena<Slot>,
        reference: Reference,
        view: impl FnOnce(u32, &Slot) -> T,
    ) -> Option<T> {
        let hash = hash_of(reference);
        let index = self.shards[shard(hash, SHARDS)].lock();
        let id = index.find(hash, |id| slots.get(id).reference() == reference)?;
        Some(view(id, slots.get(id)))
    }

    /// How many references it holds.
    pub fn count(&self) -> usize {
        self.shards.iter().map(|index| index.lock().len()).sum()
    }

    /// Takes slots out.
    #[inline]
    pub fn remove(&self, slots: &Arena<Slot>, ids: impl Iterator<Item = u32>) {
        let mut held = Held::new(&self.shards);
        for id in ids {
            let hash = hash_of(slots.get(id).reference());
            held.lock(shard(hash, SHARDS)).remove(
                hash,
                |found| found == id,
                |id| hash_of(slots.get(id).reference()),
            );
        }
    }
}

#[inline]
fn hash_of(reference: Reference) -> u64 {
    let rest = u64::from(reference[1]) << 32 | u64::from(reference[2]);
    hash(rest, reference[0])
}
