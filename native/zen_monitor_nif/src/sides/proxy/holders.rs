//! Who holds the ERTS monitors: a mass exit would otherwise be bounded by what one process gets through.
//!
//! Names are the Proxy's, which so handles all that concerns one in its order. A pid belongs to a *holder*, a
//! process beside the Proxy, that its number tells, if there are any. Nothing needs an order there: whatever
//! monitor of a pid fires, the pid is down, for the reason that it gives.
//!
//! Invariants:
//!
//! - The holders of a table are made with it, and replaced with it, under its lock. So who is among those that
//!   are found under this lock belongs to the table, and who is not belonged to a former one.
//! - A target of a holder has its monitor placed, certified and released by this holder alone. What others do
//!   to the target between the two halves of the placing leaves it where it is.

use crate::sides::doorbell::Doorbell;
use crate::terms::numbering::Numbering;
use crate::terms::word;
use parking_lot::Mutex;
use rustler::{Env, LocalPid};
use std::collections::VecDeque;
use zen_monitor_core::subscriptions::table::{Destination, MonitorRef};

/// So many bits of a pid's number do not tell its holder: what has been started together often ends together,
/// and wakes one holder after the other with much, not all of them with little.
const NEIGHBOURS: u32 = 8;

/// The Proxy and its holders.
#[derive(Default)]
pub struct Holders {
    /// The word of the Proxy's pid, or 0 before the first.
    proxy: u64,
    each: Box<[Holder]>,
}

/// One of them, as it is known here.
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

    /// Takes up to `amount` of both out. The memory of what was much is given back.
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
    /// Those of a Proxy, which is the caller.
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
        // Where pids cannot be read they are the Proxy's.
        let [id, serial] = Numbering::known()?.numbers_of(destination.word)?;
        let block = (id >> NEIGHBOURS).wrapping_add(serial);
        Some(block as usize % self.each.len())
    }

    /// What the caller holds the monitors of: `Some(None)` for the Proxy.
    pub fn seat(&self, env: Env) -> Option<Option<usize>> {
        let caller = word::of_caller(env);
        if caller == self.proxy {
            return Some(None);
        }
        let is_caller = |holder: &Holder| holder.bell.is_answered_by(caller);
        self.each.iter().position(is_caller).map(Some)
    }

    /// One of them.
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
