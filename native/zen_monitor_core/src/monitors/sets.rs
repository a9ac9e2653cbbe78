//! All sets, each with its owner and its size.
//!
//! A set is a subscriber with a word of its own. Its users know it by a reference.

use crate::monitors::options::Options;
use crate::monitors::slot::Reference;
use crate::structures::held::HELD;
use crate::structures::sync::{Mutex, SegQueue};
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// A set. `H` is what the host keeps with it.
pub struct Set<H> {
    /// Its word as a subscriber.
    pub word: u64,
    /// Its reference.
    pub reference: Reference,
    /// The process that it belongs to.
    pub owner: u64,
    /// The host's part.
    pub host: H,
    members: AtomicI64,
}

impl<H> Set<H> {
    /// How many members it has.
    pub fn size(&self) -> usize {
        // Relaxed: a caller sees its own changes, and after it has received a `:DOWN`, the changes from before it was
        // sent. Of concurrent changes, a removal may be seen before the addition.
        self.members.load(Ordering::Relaxed).max(0) as usize
    }
}

/// All sets.
pub struct Sets<H> {
    by_reference: Options<Arc<Set<H>>>,
    by_word: Options<Arc<Set<H>>>,
    /// Each owner with the word of each of its sets, and once with [`WATCHED`].
    owners: Mutex<BTreeSet<(u64, u64)>>,
    /// Dead owners that may still have sets.
    bereft: SegQueue<u64>,
    words: AtomicU64,
    count: AtomicI64,
    members: AtomicI64,
}

/// Marks an owner that is watched. No set has this word.
const WATCHED: u64 = 0;

impl<H> Default for Sets<H> {
    fn default() -> Self {
        Sets {
            by_reference: Options::default(),
            by_word: Options::default(),
            owners: Mutex::new(BTreeSet::new()),
            bereft: SegQueue::new(),
            words: AtomicU64::new(0),
            count: AtomicI64::new(0),
            members: AtomicI64::new(0),
        }
    }
}

impl<H> Sets<H> {
    /// Adds a set of `owner` under a fresh reference. `word` makes its word from a number, from 1, that no other set
    /// has had. Also returns whether the owner is new, and so must be watched.
    pub fn open(
        &self,
        owner: u64,
        reference: Reference,
        word: impl FnOnce(u64) -> u64,
        host: H,
    ) -> (Arc<Set<H>>, bool) {
        // Relaxed: only its uniqueness counts.
        let word = word(self.words.fetch_add(1, Ordering::Relaxed) + 1);
        let set = Arc::new(Set {
            word,
            reference,
            owner,
            host,
            members: AtomicI64::new(0),
        });
        self.by_reference.insert(reference, set.clone());
        self.by_word.insert(name(word), set.clone());
        // Relaxed, as all counts here: they are for people.
        self.count.fetch_add(1, Ordering::Relaxed);
        let mut owners = self.owners.lock();
        owners.insert((owner, word));
        (set, owners.insert((owner, WATCHED)))
    }

    /// The set of a reference, unless it has ended.
    pub fn find(&self, reference: Reference) -> Option<Arc<Set<H>>> {
        self.by_reference.view(reference, Arc::clone)
    }

    /// The set of a word, unless it has ended.
    pub fn by_word(&self, word: u64) -> Option<Arc<Set<H>>> {
        self.by_word.view(name(word), Arc::clone)
    }

    /// Ends a set that its owner has emptied. The owner is still watched, for as long as it lives.
    pub fn close(&self, set: &Set<H>) {
        self.owners.lock().remove(&(set.owner, set.word));
        self.forget(set);
    }

    /// Notes the death of a process. `true` when it had sets, and [`Sets::sweep`] must be called.
    pub fn bereave(&self, owner: u64) -> bool {
        let owns = self.owners.lock().contains(&(owner, WATCHED));
        if owns {
            self.bereft.push(owner);
        }
        owns
    }

    /// Ends up to `limit` sets of dead owners, and shows each to `ended`. `true` when none is left.
    pub fn sweep(&self, limit: usize, mut ended: impl FnMut(&Set<H>)) -> bool {
        let Some(owner) = self.bereft.pop() else {
            return true;
        };
        let some: Vec<u64> = {
            let mut owners = self.owners.lock();
            let of_owner = owners.range((owner, 0)..=(owner, u64::MAX));
            let some: Vec<u64> = of_owner.take(limit).map(|(_, word)| *word).collect();
            for word in &some {
                owners.remove(&(owner, *word));
            }
            some
        };
        if some.len() == limit {
            self.bereft.push(owner);
        }
        for set in some.into_iter().filter_map(|word| self.by_word(word)) {
            self.forget(&set);
            ended(&set);
        }
        self.bereft.is_empty()
    }

    /// Whether no dead owner has a set left.
    pub fn is_swept(&self) -> bool {
        self.bereft.is_empty()
    }

    /// Shows the sets of an owner, or all sets, to `visit`, until that returns `false`. Returns whether it has seen all
    /// sets that were there all the time.
    pub fn survey(&self, owner: Option<u64>, mut visit: impl FnMut(&Set<H>) -> bool) -> bool {
        let (mut last, end) = match owner {
            Some(owner) => ((owner, WATCHED), (owner, u64::MAX)),
            None => ((0, WATCHED), (u64::MAX, u64::MAX)),
        };
        loop {
            let next: Vec<(u64, u64)> = {
                let owners = self.owners.lock();
                let behind = owners.range((Bound::Excluded(last), Bound::Included(end)));
                behind.take(HELD).copied().collect()
            };
            let Some(&seen) = next.last() else {
                return true;
            };
            for set in next.into_iter().filter_map(|(_, word)| self.by_word(word)) {
                if !visit(&set) {
                    return false;
                }
            }
            last = seen;
        }
    }

    /// Notes that members were added to a set.
    pub fn add(&self, set: &Set<H>, members: usize) {
        set.members.fetch_add(members as i64, Ordering::Relaxed);
        self.members.fetch_add(members as i64, Ordering::Relaxed);
    }

    /// Notes that a set has lost members. Called before their messages are sent.
    #[inline]
    pub fn subtract(&self, set: &Set<H>, members: usize) {
        set.members.fetch_sub(members as i64, Ordering::Relaxed);
        self.members.fetch_sub(members as i64, Ordering::Relaxed);
    }

    /// Notes that a member of a set that has ended was swept.
    pub fn swept(&self) {
        self.members.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many sets there are, and how many members they have.
    pub fn counts(&self) -> (usize, usize) {
        let [count, members] = [&self.count, &self.members];
        let [count, members] = [count, members].map(|c| c.load(Ordering::Relaxed).max(0) as usize);
        (count, members)
    }

    fn forget(&self, set: &Set<H>) {
        self.by_reference.remove(set.reference);
        self.by_word.remove(name(set.word));
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The word of a set, in the form of a reference.
#[inline]
fn name(word: u64) -> Reference {
    [word as u32, (word >> 32) as u32, 0]
}
