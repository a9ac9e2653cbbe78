//! A map from references to what some monitors carry in addition: a tag, for instance.

use crate::monitors::references::hash_of;
use crate::monitors::slot::Reference;
use crate::structures::hash::shard;
use crate::structures::index::Index;
use crate::structures::slab::Slab;
use crate::structures::sync::{Mutex, shards};
use std::sync::Arc;

const SHARDS: usize = shards(64);

/// A map from references to `O`. No call takes long, however large the map is.
///
/// ```
/// use zen_monitor_core::monitors::options::Options;
///
/// let options = Options::default();
/// options.insert([1, 2, 3], "tag");
/// assert_eq!(options.view([1, 2, 3], |tag| tag.len()), Some(3));
/// assert!(options.remove([1, 2, 3]));
/// assert!(!options.remove([1, 2, 3]));
/// ```
pub struct Options<O> {
    shards: Box<[Mutex<Shard<O>>]>,
}

struct Shard<O> {
    index: Index<32, 4>,
    entries: Slab<(Reference, Option<Arc<O>>)>,
}

impl<O> Default for Options<O> {
    fn default() -> Self {
        let shard = || {
            Mutex::new(Shard {
                index: Index::default(),
                entries: Slab::default(),
            })
        };
        Options {
            shards: (0..SHARDS).map(|_| shard()).collect(),
        }
    }
}

impl<O> Options<O> {
    /// How many references carry something.
    pub fn count(&self) -> usize {
        let count = |shard: &Mutex<Shard<O>>| shard.lock().entries.count();
        self.shards.iter().map(count).sum()
    }

    /// Adds what a fresh reference carries.
    pub fn insert(&self, reference: Reference, options: O) {
        let hash = hash_of(reference);
        let options = Arc::new(options);
        let Shard { index, entries } = &mut *self.shards[shard(hash, SHARDS)].lock();
        let id = entries
            .insert((reference, Some(options)))
            .expect("far fewer than 2^32 monitors can be placed");
        index.insert(hash, id, |id| hash_of(entries[id].0));
    }

    /// Applies `view` to what a reference carries. No lock is held meanwhile, so `view` may take long.
    pub fn view<T>(&self, reference: Reference, view: impl FnOnce(&O) -> T) -> Option<T> {
        self.get(reference).map(|options| view(&options))
    }

    fn get(&self, reference: Reference) -> Option<Arc<O>> {
        let hash = hash_of(reference);
        let Shard { index, entries } = &*self.shards[shard(hash, SHARDS)].lock();
        let id = index.find(hash, |id| entries[id].0 == reference)?;
        entries[id].1.clone()
    }

    /// Forgets what a reference carries. Returns whether it carried anything.
    pub fn remove(&self, reference: Reference) -> bool {
        // It is dropped without the lock, here or by the last `view` that still uses it.
        self.take(reference).is_some()
    }

    fn take(&self, reference: Reference) -> Option<Arc<O>> {
        let hash = hash_of(reference);
        let Shard { index, entries } = &mut *self.shards[shard(hash, SHARDS)].lock();
        let id = index.remove(
            hash,
            |id| entries[id].0 == reference,
            |id| hash_of(entries[id].0),
        )?;
        let options = entries[id].1.take();
        entries.remove(id);
        options
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn behaves_as_a_map(ops in prop::collection::vec((any::<bool>(), 0..300u32), 0..1_000)) {
            let options = Options::default();
            let mut model = HashMap::new();
            for (number, (insert, word)) in ops.into_iter().enumerate() {
                let reference = [word, word / 100, 7];
                if insert && !model.contains_key(&reference) {
                    model.insert(reference, number);
                    options.insert(reference, number);
                } else if !insert {
                    prop_assert_eq!(options.remove(reference), model.remove(&reference).is_some());
                }
                let seen = options.view(reference, |number| *number);
                prop_assert_eq!(seen, model.get(&reference).copied());
            }
        }
    }

    #[test]
    fn what_is_viewed_locks_nobody_out() {
        let options = Options::default();
        options.insert([1, 2, 3], "tag");
        let seen = options.view([1, 2, 3], |tag| {
            let shards = options.shards.iter();
            let locked = shards.filter(|shard| shard.try_lock().is_none()).count();
            assert_eq!(locked, 0);
            assert!(options.remove([1, 2, 3]));
            *tag
        });
        assert_eq!(seen, Some("tag"));
        assert_eq!(options.view([1, 2, 3], |tag| *tag), None);
    }
}
