//! One monitor.
//!
//! A slot belongs to the shard of its subscriber, whose lock guards its allocation, its place in
//! the subscriber's list and, from the moment it leaves its target's list, its place in the
//! subscriber's queue. While it is listed under its target, the target's lock guards those links.

use crate::monitors::claim::Claim;
use crate::structures::arena::{Arena, CHUNK};
use crate::structures::limits::Full;
use crate::structures::list::{Links, NIL};
use crate::structures::sync::SegQueue;
use std::sync::atomic::{AtomicU32, Ordering};

/// The three words that tell one reference of this node from all others.
pub type Reference = [u32; 3];

/// Where a slot stands with regard to its target's list and its subscriber's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the list of its target.
    Listed,
    /// Out of that list, on its way to the queue of its subscriber.
    Transit,
    /// In the queue of its subscriber.
    Queued,
    /// Removed while in transit: whoever carries it frees it.
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
    /// Its place among the monitors of its target; once it has left them, a mark and the next
    /// slot of the queue.
    pub target_links: Links,
}

impl Slot {
    /// Fills in a free slot.
    #[inline]
    pub fn occupy(&self, reference: Reference, subscriber: u32) {
        // Relaxed here and below: the owning shard's lock publishes the slot.
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

    /// The id of its target; `NIL` as long as it is being placed.
    #[inline]
    pub fn target(&self) -> u32 {
        self.target.load(Ordering::Relaxed)
    }

    /// Names its target.
    #[inline]
    pub fn set_target(&self, target: u32) {
        self.target.store(target, Ordering::Relaxed);
    }

    /// Where it stands.
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

    /// Marks where it stands, once it is out of its target's list.
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

/// Free slots that change hands together.
pub const MAGAZINE: u32 = 256;

/// The free slots that no subscriber shard holds, by whole magazines.
#[derive(Default)]
pub struct Depot(SegQueue<u32>);

/// The free slots of a subscriber shard: up to two magazines, linked through their subscriber links.
///
/// A shard that frees much passes magazines on to the depot, and one that runs out takes them from
/// there: so slots freed by one subscriber are used again by any other.
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

// A magazine that is made is a whole chunk.
const _: () = assert!(MAGAZINE == CHUNK);
