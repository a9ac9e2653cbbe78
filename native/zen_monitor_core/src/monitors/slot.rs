//! One monitor.
//!
//! A slot belongs to the shard of its subscriber. The lock of that shard guards the allocation of the slot,
//! its place in the subscriber's list and its place in the subscriber's queue. A slot is first in the list of
//! its target and later in the queue, with the same links. While it is in the list of its target, the
//! target's lock guards those links.

use crate::monitors::claim::Claim;
use crate::structures::arena::{Arena, CHUNK};
use crate::structures::limits::Full;
use crate::structures::list::{Links, NIL};
use crate::structures::sync::SegQueue;
use std::sync::atomic::{AtomicU32, Ordering};

/// The three words that tell one reference of this node from all others.
pub type Reference = [u32; 3];

/// Where a slot is: in its target's list, in its subscriber's queue, or on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the list of its target.
    Listed,
    /// Out of that list, and on its way to the queue of its subscriber.
    Transit,
    /// In the queue of its subscriber.
    Queued,
    /// Removed while in transit. Whoever brings it to the queue frees it.
    Orphan,
    /// Taken from the queue for delivery.
    Taken,
}

const TRANSIT: u32 = NIL - 1;
const QUEUED: u32 = NIL - 2;
const ORPHAN: u32 = NIL - 3;
const TAKEN: u32 = NIL - 4;

/// A monitor: 40 bytes.
#[derive(Default)]
pub struct Slot {
    /// Who consumes it.
    pub claim: Claim,
    reference: [AtomicU32; 3],
    subscriber: AtomicU32,
    target: AtomicU32,
    /// Its place among the monitors of its subscriber.
    pub subscriber_links: Links,
    /// Its place among the monitors of its target. Once it has left them: a mark, and the next slot of the
    /// queue.
    pub target_links: Links,
}

impl Slot {
    /// Fills in a free slot.
    #[inline]
    pub fn occupy(&self, reference: Reference, subscriber: u32) {
        // Relaxed here and below: the lock of the shard publishes the slot.
        for (word, value) in self.reference.iter().zip(reference) {
            word.store(value, Ordering::Relaxed);
        }
        self.subscriber.store(subscriber, Ordering::Relaxed);
        self.target.store(NIL, Ordering::Relaxed);
        self.target_links.set_prev(TRANSIT);
    }

    /// The words of its reference.
    #[inline]
    pub fn reference(&self) -> Reference {
        [0, 1, 2].map(|word: usize| self.reference[word].load(Ordering::Relaxed))
    }

    /// The id of its subscriber.
    #[inline]
    pub fn subscriber(&self) -> u32 {
        self.subscriber.load(Ordering::Relaxed)
    }

    /// The id of its target. `NIL` while the monitor is being placed.
    #[inline]
    pub fn target(&self) -> u32 {
        self.target.load(Ordering::Relaxed)
    }

    /// Sets its target.
    #[inline]
    pub fn set_target(&self, target: u32) {
        self.target.store(target, Ordering::Relaxed);
    }

    /// Where the slot is.
    #[inline]
    pub fn place(&self) -> Place {
        match self.target_links.prev() {
            TRANSIT => Place::Transit,
            QUEUED => Place::Queued,
            ORPHAN => Place::Orphan,
            TAKEN => Place::Taken,
            _ => Place::Listed,
        }
    }

    /// Notes where the slot is, once it is out of its target's list.
    #[inline]
    pub fn set_place(&self, place: Place) {
        self.target_links.set_prev(match place {
            Place::Transit => TRANSIT,
            Place::Queued => QUEUED,
            Place::Orphan => ORPHAN,
            Place::Taken => TAKEN,
            Place::Listed => unreachable!("a listed slot has a neighbour instead of a mark"),
        });
    }

    /// Whether it is still among the monitors of its subscriber.
    #[inline]
    pub fn is_owned(&self) -> bool {
        self.subscriber_links.next() != NIL
    }
}

/// How many free slots change hands together.
pub const MAGAZINE: u32 = 256;

/// The free slots that no shard of subscribers holds, in whole magazines.
#[derive(Default)]
pub struct Depot(SegQueue<u32>);

/// The free slots of a shard of subscribers: up to two magazines, linked through their subscriber links.
///
/// A shard that frees many slots passes magazines on to the depot. A shard that runs out takes them from
/// there. So slots that one subscriber has freed can be used by any other.
pub struct FreeSlots {
    head: u32,
    count: u32,
    spare: u32,
}

impl Default for FreeSlots {
    fn default() -> Self {
        FreeSlots {
            head: NIL,
            count: 0,
            spare: NIL,
        }
    }
}

impl FreeSlots {
    /// Takes a free slot. [`Full`] when there is none and no more can be made.
    #[inline]
    pub fn take(&mut self, slots: &Arena<Slot>, depot: &Depot) -> Result<u32, Full> {
        if self.count == 0 {
            self.reload(slots, depot)?;
        }
        let id = self.head;
        self.head = slots.get(id).subscriber_links.prev();
        self.count -= 1;
        Ok(id)
    }

    /// Frees a slot that is unlinked everywhere.
    #[inline]
    pub fn give(&mut self, slots: &Arena<Slot>, depot: &Depot, id: u32) {
        let slot = slots.get(id);
        slot.claim.release();
        if self.count == MAGAZINE {
            if self.spare != NIL {
                depot.0.push(self.spare);
            }
            self.spare = std::mem::replace(&mut self.head, NIL);
            self.count = 0;
        }
        slot.subscriber_links.set_prev(self.head);
        self.head = id;
        self.count += 1;
    }

    fn reload(&mut self, slots: &Arena<Slot>, depot: &Depot) -> Result<(), Full> {
        self.head = match std::mem::replace(&mut self.spare, NIL) {
            NIL => match depot.0.pop() {
                Some(magazine) => magazine,
                None => make(slots)?,
            },
            spare => spare,
        };
        self.count = MAGAZINE;
        Ok(())
    }
}

/// A magazine of new slots.
fn make(slots: &Arena<Slot>) -> Result<u32, Full> {
    let first = slots.grow()?;
    for id in first..first + MAGAZINE - 1 {
        slots.get(id).subscriber_links.set_prev(id + 1);
    }
    Ok(first)
}

// A new magazine is a whole chunk of the arena.
const _: () = assert!(MAGAZINE == CHUNK);
