//! What this node monitors.
//!
//! The tables know a node by the word of its name. This node itself is always `ZenMonitor.Local` there, because its
//! real name changes when distribution is started or stopped.

pub mod destinations;
pub mod envelopes;
pub mod kind;
pub mod node;
pub mod options;
pub mod set;
pub mod shares;
pub mod tag;
pub mod target;

use crate::sides::doorbell::Doorbell;
use crate::sides::local::kind::Kind;
use crate::sides::local::node::{Node, Remote};
use crate::sides::local::options::WithOptions;
use crate::sides::local::set::Envelope;
use crate::sides::local::shares::Shares;
use crate::sides::local::target::{node_of, target_id};
use crate::sides::window::{Limits, Noted, Window};
use crate::terms::reason::Reason;
use crate::terms::word;
use rustler::{Env, Error, LocalPid, NifResult, ResourceArc, Term};
use std::sync::atomic::AtomicU64;
use zen_monitor_core::monitors::sets::Sets;
use zen_monitor_core::monitors::table::MonitorTable;

/// How many resources watch the subscribers. The VM has a lock for each of them.
const WATCHES: u64 = 64;
/// How many sets of a dead owner are ended at a time.
const SWEPT: usize = 64;

/// The monitor table, and the bells of the processes that work on it.
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
    /// What is delivered in the place of a Dispatcher that sleeps, and the share of each subscriber.
    pub standing_in: Noted<(Limits, Shares)>,
    /// Wakes `ZenMonitor.Local.Tables` when a subscriber died.
    pub departures: Doorbell,
    /// Instructions taken by the Connectors.
    pub swept: AtomicU64,
}

/// A resource that holds ERTS monitors of subscribers. What happens when one is down is in `calls/local.rs`.
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
            standing_in: Noted::default(),
            departures: Doorbell::default(),
            swept: AtomicU64::new(0),
        }
    }
}

impl Local {
    /// Watches a process until it dies. `pid` is the word that it has as a subscriber.
    pub fn watch(&self, env: Env, process: &LocalPid, pid: u64) {
        let watch = &self.watches[(pid >> 4 & (WATCHES - 1)) as usize];
        if env.monitor(watch, process).is_none() {
            self.depart(env, pid);
        }
    }

    /// The node of a name. A node that is not known yet is added.
    pub fn node(&self, name: Term) -> NifResult<&Node> {
        if !name.is_atom() {
            return Err(Error::BadArg);
        }
        let word = word::from_term(name);
        Ok(self.table.nodes.find_or_add(word, Remote::default))
    }

    /// The node and the id of a target. `None` if nothing was ever monitored on that node.
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

    /// Expands a slice of the backlog: of the dead targets, and then up to about `most` monitors of expired sessions.
    /// Returns how many of the latter.
    pub fn expand(&self, env: Env, limit: usize, most: usize) -> usize {
        let steps = self.table.expand_dead(limit);
        let moved = (self.table).expand_expired(limit.saturating_sub(steps), most);
        if !self.table.is_idle() {
            self.ring.ring(env);
        }
        moved
    }

    /// Expands a slice of the dead targets for a caller that can deliver. `true` if something is due, that was all, and the
    /// Dispatcher sleeps: then the caller stands in for it.
    pub fn expand_or_stand_in(&self, env: Env, limit: usize) -> bool {
        self.table.expand_dead(limit);
        if !self.table.is_dead_expanded() {
            self.backlog.ring(env);
            self.ring.ring(env);
            return false;
        }
        !self.table.is_idle() && self.ring.stand_in()
    }

    /// Expands a slice of the dead targets at once, and leaves the rest to `ZenMonitor.Local`.
    pub fn expand_or_defer(&self, env: Env, limit: usize) {
        self.expand(env, limit, 0);
        if !self.table.is_dead_expanded() {
            self.backlog.ring(env);
        }
    }

    /// Notes the death of a subscriber.
    pub fn depart(&self, env: Env, pid: u64) {
        if self.table.depart(pid) {
            self.departures.ring(env);
        }
    }

    /// Notes the death of a process: for monitors of each kind, and for its sets.
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
