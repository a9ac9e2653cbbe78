//! A herd: the many monitors of a target that all processes monitor at once.
//!
//! With one list they would all wait for one lock. So such a target also has *lanes*: further lists with a lock each, among
//! which the subscribers are divided. Whoever joins or leaves takes the lock of a lane, and the lock of the shard only
//! for what concerns the target as a whole.
//!
//! Invariants:
//!
//! - A shard has lanes for one target, which keeps them until it is freed. From then on, whatever joins that
//!   target is listed in the lane of its subscriber. So the monitors of one subscriber are in order: first those
//!   in the list of the target, then those in its lane.
//! - Lanes are opened and closed together, under the lock of the shard. Who holds the lock of a lane takes no
//!   other.
//! - While they are open, the target is not dead and its session has not expired. A monitor that joins is counted
//!   by its lane alone. The target counts at least one itself, so nobody takes the last one of all unnoticed.
//! - Once they are closed, the target counts all of them itself.
//! - A lane counts no more than it lists.

use super::key::Key;
use crate::monitors::slot::{Place, Slot};
use crate::structures::arena::Arena;
use crate::structures::list::{self, Links, NIL};
use crate::structures::sync::Mutex;
use crossbeam_utils::CachePadded;
use std::sync::OnceLock;

/// From how many monitors on a target is one of a herd; few enough in tests to be reached.
pub(super) const MANY: u32 = if cfg!(test) { 3 } else { 1_000 };
const LANES: usize = if cfg!(test) { 2 } else { 32 };
/// Marks the id of a slot in the links of a lane. Ids are below 2^30.
const MARK: u32 = 1 << 30;
/// A link that holds no id has this bit. Ids are below it, with and without the mark.
const NO_ID: u32 = 1 << 31;

/// The lanes of a shard, which are made when a target first has [`MANY`] monitors.
#[derive(Default)]
pub(super) struct Herd(OnceLock<Box<Lanes>>);

type Lanes = [CachePadded<Mutex<Lane>>; LANES];

struct Lane {
    /// Its listed monitors.
    head: u32,
    /// How many monitors only it counts, and how many it may.
    monitors: u32,
    room: u32,
    /// What is joined here, and its id, while the lane is open.
    open: Option<(Key, u32)>,
}

impl Default for Lane {
    fn default() -> Self {
        Lane {
            head: NIL,
            monitors: 0,
            room: 0,
            open: None,
        }
    }
}

/// Whether a monitor is listed in a lane. Who has claimed it may ask without a lock: then it can only have left the
/// lane since.
#[inline]
pub(super) fn is_in_lane(slot: &Slot) -> bool {
    slot.target_links.prev() & (MARK | NO_ID) == MARK
}

impl Herd {
    /// Arms a monitor and lists it, if the lanes are open for `key` and that of its subscriber has room.
    #[inline]
    pub(super) fn join(&self, slots: &Arena<Slot>, key: Key, id: u32) -> bool {
        let Some(lanes) = self.0.get() else {
            return false;
        };
        let lane = &mut *lanes[lane_of(slots.get(id))].lock();
        match lane.open {
            Some((open, target)) if open == key && lane.monitors < lane.room => {
                lane.monitors += 1;
                lane.list(slots, target, id);
                true
            }
            _ => false,
        }
    }

    /// Takes a monitor out whose claim the caller has won, if it is in a lane that is open and counts it.
    #[inline]
    pub(super) fn leave(&self, slots: &Arena<Slot>, id: u32) -> bool {
        let slot = slots.get(id);
        let lane = &mut *self.lanes()[lane_of(slot)].lock();
        // Only now is it certain. A lane that is closed counts nothing.
        let is_counted = is_in_lane(slot) && lane.monitors > 0;
        if is_counted {
            lane.monitors -= 1;
            lane.unlist(slots, id);
        }
        is_counted
    }

    /// Arms a monitor and lists it, whoever counts it. The caller holds the lock of the shard.
    pub(super) fn list(&self, slots: &Arena<Slot>, target: u32, id: u32) {
        let lane = &mut *self.lanes()[lane_of(slots.get(id))].lock();
        lane.list(slots, target, id);
    }

    /// Takes a monitor out that is in a lane, whoever counts it. The caller holds the lock of the shard.
    pub(super) fn unlist(&self, slots: &Arena<Slot>, id: u32) {
        let lane = &mut *self.lanes()[lane_of(slots.get(id))].lock();
        lane.unlist(slots, id);
    }

    /// Opens the lanes for a target that may have `room` more monitors. `false` when that is too little for them.
    /// The caller holds the lock of the shard.
    pub(super) fn open(&self, key: Key, target: u32, room: u32) -> bool {
        let room = room / LANES as u32;
        let lanes = self.0.get_or_init(Box::default);
        if room > 0 {
            for lane in &**lanes {
                let lane = &mut *lane.lock();
                lane.open = Some((key, target));
                lane.room = room;
            }
        }
        room > 0
    }

    /// Closes the lanes, and returns how many monitors they have counted. The caller holds the lock of the shard.
    pub(super) fn close(&self) -> u32 {
        let mut monitors = 0;
        for lane in self.lanes() {
            let lane = &mut *lane.lock();
            lane.open = None;
            monitors += std::mem::take(&mut lane.monitors);
        }
        monitors
    }

    /// How many monitors the lanes count.
    pub(super) fn monitors(&self) -> u32 {
        self.lanes().iter().map(|lane| lane.lock().monitors).sum()
    }

    /// Takes monitors from the lanes until `monitors` holds `limit`; they are in transit then. `true` means that none
    /// is left. The lanes are closed, and the caller holds the lock of the shard.
    pub(super) fn take(&self, slots: &Arena<Slot>, limit: usize, monitors: &mut Vec<u32>) -> bool {
        self.lanes().iter().all(|lane| {
            let lane = &mut *lane.lock();
            while lane.head != NIL && monitors.len() < limit {
                let id = lane.head & !MARK;
                lane.unlist(slots, id);
                slots.get(id).set_place(Place::Transit);
                monitors.push(id);
            }
            lane.head == NIL
        })
    }

    /// Adds listed monitors to `found` until that holds `limit`, beginning behind `last`, or with the first. `None`
    /// when `last` is not in a lane of this target any more. The caller holds the lock of the shard.
    pub(super) fn listed(
        &self,
        slots: &Arena<Slot>,
        target: u32,
        last: Option<u32>,
        limit: usize,
        found: &mut Vec<u32>,
    ) -> Option<()> {
        let first = last.map_or(0, |last| lane_of(slots.get(last)));
        let mut last = last;
        for lane in &self.lanes()[first..] {
            let lane = lane.lock();
            let head = lane.head;
            let mut id = match last.take() {
                None => head,
                Some(last) => {
                    let slot = slots.get(last);
                    if slot.target() != target || !is_in_lane(slot) {
                        return None;
                    }
                    behind(slots, last, head)
                }
            };
            while id != NIL && found.len() < limit {
                found.push(id & !MARK);
                id = behind(slots, id, head);
            }
        }
        Some(())
    }

    fn lanes(&self) -> &Lanes {
        self.0.get().expect("a herd has lanes")
    }
}

impl Lane {
    #[inline]
    fn list(&mut self, slots: &Arena<Slot>, target: u32, id: u32) {
        let slot = slots.get(id);
        slot.set_target(target);
        list::push_back(&mut self.head, id | MARK, links(slots));
        // Who wins its claim may not have the lock of the lane, and must find it there.
        slot.claim.arm();
    }

    #[inline]
    fn unlist(&mut self, slots: &Arena<Slot>, id: u32) {
        list::unlink(&mut self.head, id | MARK, links(slots));
    }
}

#[inline]
fn links<'a>(slots: &'a Arena<Slot>) -> impl Fn(u32) -> &'a Links {
    |id| &slots.get(id & !MARK).target_links
}

/// The member of a lane behind another, unless that is the last.
fn behind(slots: &Arena<Slot>, id: u32, head: u32) -> u32 {
    let next = links(slots)(id).next();
    if next == head { NIL } else { next }
}

/// Subscribers that are in different shards are mostly in different lanes.
#[inline]
fn lane_of(slot: &Slot) -> usize {
    slot.subscriber() as usize % LANES
}
