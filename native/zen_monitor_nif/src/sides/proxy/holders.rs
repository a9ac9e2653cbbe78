//! Who holds the ERTS monitors.
//!
//! If one process held them all, a mass exit would be bounded by what that process gets through. So pids are divided
//! among *holders*, which are processes beside the Proxy, by their numbers. No order is needed there: whichever
//! monitor of a pid fires, the pid is down, and for the reason that this monitor gives. Names are the Proxy's, so that
//! all that concerns a name is handled in its order. Without holders, the Proxy has everything.
//!
//! Invariants:
//!
//! - The holders are replaced together with the table, under its lock. So a process that is found among them under
//!   this lock belongs to the table, and any other belonged to a former one.
//! - Only its holder places, certifies and releases the monitor of a target. Between the two halves of the placing,
//!   whatever others do to the target leaves it in its place.

use crate::sides::doorbell::Doorbell;
use crate::terms::numbering::Numbering;
use crate::terms::word;
use parking_lot::Mutex;
use rustler::{Env, LocalPid};
use std::collections::VecDeque;
use zen_monitor_core::subscriptions::table::{Destination, MonitorRef};

/// So many low bits of a pid's number do not matter for its holder. Neighbours were started together, and often end
/// together. This way they wake one holder after the other with much to do, and not all of them with little.
const NEIGHBOURS: u32 = 8;

/// The Proxy and its holders.
#[derive(Default)]
pub struct Holders {
    /// The word of the Proxy's pid, or 0 before the first.
    proxy: u64,
    each: Box<[Holder]>,
}

/// A holder.
#[derive(Default)]
pub struct Holder {
    /// Wakes it.
    pub bell: Doorbell,
    /// What it has to do.
    pub waiting: Mutex<Waiting>,
    /// The targets whose monitors it is placing.
    pub asked: Mutex<Vec<u32>>,
}

/// What waits for a holder.
#[derive(Default)]
pub struct Waiting {
    /// Targets that may need a monitor.
    pub targets: VecDeque<u32>,
    /// Its monitors that nobody needs any more.
    pub released: Vec<MonitorRef>,
}

impl Waiting {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty() && self.released.is_empty()
    }

    /// Takes up to `amount` of both out. When nothing is left, the memory is given back.
    pub fn take(&mut self, amount: usize) -> (Vec<u32>, Vec<MonitorRef>) {
        let targets = self
            .targets
            .drain(..amount.min(self.targets.len()))
            .collect();
        let kept = self.released.len().saturating_sub(amount);
        let released = self.released.split_off(kept);
        if self.is_empty() {
            *self = Waiting::default();
        }
        (targets, released)
    }
}

impl Holders {
    /// The holders of a Proxy, which is the caller.
    pub fn new(env: Env, holders: &[LocalPid]) -> Holders {
        let each = holders.iter().map(|holder| Holder {
            bell: Doorbell::of(env, *holder),
            ..Holder::default()
        });
        Holders {
            proxy: word::of_caller(env),
            each: each.collect(),
        }
    }

    /// The holder of a destination, or `None` when it is the Proxy's.
    #[inline]
    pub fn of(&self, destination: Destination) -> Option<usize> {
        if self.each.is_empty() || destination.node != 0 {
            return None;
        }
        // Where the numbers of pids cannot be read, all pids are the Proxy's.
        let [id, serial] = Numbering::known()?.numbers_of(destination.word)?;
        let block = (id >> NEIGHBOURS).wrapping_add(serial);
        Some(block as usize % self.each.len())
    }

    /// The index of the holder that calls: `Some(None)` for the Proxy, and `None` for anybody else.
    pub fn seat(&self, env: Env) -> Option<Option<usize>> {
        let caller = word::of_caller(env);
        if caller == self.proxy {
            return Some(None);
        }
        let is_caller = |holder: &Holder| holder.bell.is_answered_by(caller);
        self.each.iter().position(is_caller).map(Some)
    }

    /// The holder of an index.
    pub fn get(&self, index: usize) -> &Holder {
        &self.each[index]
    }

    /// Their processes, without the Proxy.
    pub fn pids(&self, env: Env) -> Vec<LocalPid> {
        let pid = |holder: &Holder| holder.bell.owner(env);
        self.each.iter().filter_map(pid).collect()
    }

    /// Has holders place the monitors of targets, each of which comes with the index of its holder.
    pub fn ask(&self, env: Env, targets: &[(usize, u32)]) {
        for run in targets.chunk_by(|one, next| one.0 == next.0) {
            let holder = &self.each[run[0].0];
            let targets = run.iter().map(|&(_, target)| target);
            holder.waiting.lock().targets.extend(targets);
            holder.bell.ring(env);
        }
    }

    /// Has holders remove monitors, each of which comes with the index of its holder, and returns the Proxy's.
    pub fn release(&self, env: Env, monitors: Vec<(Option<usize>, MonitorRef)>) -> Vec<MonitorRef> {
        let mut own = Vec::new();
        for (owner, monitor) in monitors {
            match owner {
                Some(index) => {
                    let holder = &self.each[index];
                    holder.waiting.lock().released.push(monitor);
                    holder.bell.ring(env);
                }
                None => own.push(monitor),
            }
        }
        own
    }
}
