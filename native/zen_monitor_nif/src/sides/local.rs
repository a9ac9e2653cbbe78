//! What this node monitors.
//!
//! The name of a node is its atom's word, except for this node itself: that is `ZenMonitor.Local`,
//! for ever, because its real name changes when distribution is started or stopped.

pub mod destinations;
pub mod envelopes;
pub mod kind;
pub mod node;
pub mod options;
pub mod set;
pub mod tag;
pub mod target;

use crate::sides::doorbell::Doorbell;
use crate::sides::local::kind::Kind;
use crate::sides::local::node::{Node, Remote};
use crate::sides::local::options::WithOptions;
use crate::sides::local::set::Envelope;
use crate::sides::local::target::{node_of, target_id};
use crate::sides::window::Window;
use crate::terms::reason::Reason;
use crate::terms::word;
use rustler::{Env, Error, LocalPid, NifResult, ResourceArc, Term};
use std::sync::atomic::AtomicU64;
use zen_monitor_core::monitors::sets::Sets;
use zen_monitor_core::monitors::table::MonitorTable;

/// Resources that the deaths of subscribers are watched through; each has a lock of its own.
const WATCHES: u64 = 64;
/// How many sets of a dead owner are ended at a time.
const SWEPT: usize = 64;

/// The monitor table and who is woken for it.
pub struct Local {
    /// The table.
    pub table: MonitorTable<Reason, Remote>,
    /// What the monitors with options need beside it.
    pub options: WithOptions,
    /// The sets.
    pub sets: Sets<Envelope>,
    watches: Vec<ResourceArc<Watch>>,
    /// Wakes `ZenMonitor.Local` when the backlog has something for it.
    pub backlog: Doorbell,
    /// Wakes `ZenMonitor.Local.Dispatcher` when a subscriber has a queue.
    pub ring: Doorbell,
    /// What was delivered of late.
    pub delivered: ResourceArc<Window>,
    /// Wakes `ZenMonitor.Local.Tables` when a subscriber died.
    pub departures: Doorbell,
    /// Instructions taken by the Connectors.
    pub swept: AtomicU64,
}

/// Holds ERTS monitors of subscribers. `calls/local.rs` has what is done when one is down.
pub struct Watch;

impl Default for Local {
    fn default() -> Self {
        Local {
            table: MonitorTable::default(),
            options: WithOptions::default(),
            sets: Sets::default(),
            watches: (0..WATCHES).map(|_| ResourceArc::new(Watch)).collect(),
            backlog: Doorbell::default(),
            ring: Doorbell::default(),
            delivered: Window::make(),
            departures: Doorbell::default(),
            swept: AtomicU64::new(0),
        }
    }
}

impl Local {
    /// Watches a process for as long as it lives, for `pid`, its word as a subscriber.
    pub fn watch(&self, env: Env, process: &LocalPid, pid: u64) {
        let watch = &self.watches[(pid >> 4 & (WATCHES - 1)) as usize];
        if env.monitor(watch, process).is_none() {
            self.depart(env, pid);
        }
    }

    /// The node of a name, which is added if it is new.
    pub fn node(&self, name: Term) -> NifResult<&Node> {
        if !name.is_atom() {
            return Err(Error::BadArg);
        }
        let word = word::from_term(name);
        Ok(self.table.nodes.find_or_add(word, Remote::default))
    }

    /// A target and its node, if anything was ever monitored there.
    pub fn locate<'a>(
        &self,
        env: Env<'a>,
        node: Term<'a>,
        target: Term<'a>,
    ) -> NifResult<Option<(&Node, [u32; 3])>> {
        if !node.is_atom() || !target.is_atom() && !target.is_pid() {
            return Err(Error::BadArg);
        }
        let name = word::from_term(node_of(env, node, target));
        let located = self.table.nodes.find(name).and_then(|node| {
            let id = target_id(target, node)?;
            Some((node, id))
        });
        Ok(located)
    }

    /// Whether the mailbox of a process may hold bulk messages.
    pub fn has_bulk(&self, pid: u64) -> bool {
        self.options.kinds().contains(&Kind::Bulk) && self.table.is_subscriber(Kind::Bulk.mark(pid))
    }

    /// Expands a part of what is due, and tells whether that was all.
    pub fn expand(&self, env: Env, limit: usize) -> bool {
        let done = self.table.expand(limit);
        if !self.table.is_idle() {
            self.ring.ring(env);
        }
        done
    }

    /// The same for who may deliver it as well: the Dispatcher is left asleep if it is, and all was expanded. `true` if so:
    /// then the caller stands in for the Dispatcher.
    pub fn expand_or_stand_in(&self, env: Env, limit: usize) -> bool {
        if !self.table.expand(limit) {
            self.backlog.ring(env);
            self.ring.ring(env);
            return false;
        }
        !self.table.is_idle() && self.ring.stand_in()
    }

    /// Expands what is due on the spot, and leaves what would take long to `ZenMonitor.Local`.
    pub fn expand_or_defer(&self, env: Env, limit: usize) {
        if !self.expand(env, limit) {
            self.backlog.ring(env);
        }
    }

    /// Notes the death of a subscriber.
    pub fn depart(&self, env: Env, pid: u64) {
        if self.table.depart(pid) {
            self.departures.ring(env);
        }
    }

    /// Notes the death of a process, whatever it has placed and whatever it owns.
    pub fn depart_all(&self, env: Env, pid: u64) {
        for kind in self.options.kinds() {
            self.depart(env, kind.mark(pid));
        }
        if self.sets.bereave(pid) && !self.sweep_sets(env) {
            self.departures.ring(env);
        }
    }

    /// Ends a few of the sets of dead owners. `true` when none is left.
    pub fn sweep_sets(&self, env: Env) -> bool {
        self.sets.sweep(SWEPT, |set| self.depart(env, set.word))
    }
}
