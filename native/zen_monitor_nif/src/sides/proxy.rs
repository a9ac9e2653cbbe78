//! What others monitor here.
//!
//! Invariants:
//!
//! - The Proxy alone attaches, detaches, subscribes and releases. What is down is certified by the process that
//!   holds its monitor: the Proxy or one of its holders. The janitor only sweeps what departed connectors left, and
//!   a Batcher only touches the outbox of its own connector.
//! - Terms are decoded before the table is locked and built after it is unlocked.
//! - A NIF that makes work for another process rings that process's bell itself.
//! - A dirty call may outlive its process, and then it meets what already belongs to a successor. So
//!   it either makes sure that its caller still is the owner, or touches what has none.

pub mod connector;
pub mod destination;
pub mod holders;

use crate::sides::doorbell::Doorbell;
use crate::sides::proxy::connector::{Certificate, Connector};
use crate::sides::proxy::holders::Holders;
use crate::sides::window::{Limits, Noted};
use crate::terms::reason::Reason;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustler::{ResourceArc, Term};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use zen_monitor_core::subscriptions::table::{Destination, SubscriptionTable};

/// Certificates handled by one call.
pub const CERTIFICATES: usize = 1_000;
/// Bytes of reasons built by one call on a normal scheduler, and so the size of a bulky one.
pub const REASONS: usize = 16 * 1024;

/// The longest reason, in bytes, that is kept for dead processes whose subscribers could not be told. The reasons that
/// end processes by the thousand are shorter. All that are kept take next to nothing compared with the table.
const KEPT_BYTES: usize = 64;
/// Targets that one call looks at for what is rare among them.
pub const LOOKS: usize = 16 * 1024;
/// How long that takes, in tenths of a microsecond.
pub const LOOKING: usize = LOOKS / 10;

/// `:nodedown` in the external format.
const NODEDOWN: &[u8] = b"\x83w\x08nodedown";

type Table = SubscriptionTable<ResourceArc<Connector>, Reason>;

/// The subscription table and who is woken for it.
#[derive(Default)]
pub struct Proxy {
    /// The table.
    pub table: Mutex<Table>,
    /// Who holds the monitors of what is in it. Changes with the table, under its lock.
    pub holders: ArcSwap<Holders>,
    /// Detached connectors whose outboxes the janitor empties.
    pub discarded: Mutex<Vec<ResourceArc<Connector>>>,
    /// The tables and the detached connectors of former Proxies, until they are freed.
    former: Mutex<Vec<(Table, Vec<ResourceArc<Connector>>)>>,
    last_reason: Mutex<Option<Reason>>,
    /// Wakes the Proxy when there are monitors to release.
    pub releases: Doorbell,
    /// Wakes the janitor when a connector has been detached.
    pub departures: Doorbell,
    /// What is passed on in the place of a Batcher that sleeps, and the latest version of the compact form to do it in.
    pub passing: Noted<(Limits, u32)>,
    /// Certificates that went into outboxes.
    pub enqueued: AtomicU64,
    /// Certificates that were sent.
    pub swept: AtomicU64,
}

impl Proxy {
    /// Empties the table for a Proxy that starts, with its holders. What was in it is left to [`Proxy::free`].
    pub fn reset(&self, holders: Holders) {
        let mut table = self.table.lock();
        let former = std::mem::take(&mut *table);
        self.holders.store(Arc::new(holders));
        drop(table);
        let discarded = std::mem::take(&mut *self.discarded.lock());
        self.former.lock().push((former, discarded));
    }

    /// Frees what former Proxies left, which takes as long as it is large.
    pub fn free(&self) {
        // Not freed under the lock: the next Proxy must not have to wait for it.
        let former = std::mem::take(&mut *self.former.lock());
        drop(former);
    }

    /// Whether the Batcher of a connector has nothing to do, not even to stop.
    pub fn is_quiet(&self, connector: &Connector) -> bool {
        connector.outbox.is_empty()
            && !connector.outbox.is_closed()
            && !self.table.lock().has_untold(connector.id)
    }

    /// Makes certificates of up to `budget` deaths that a connector has yet to be told of. Returns whether to look for
    /// more.
    pub fn recover(&self, connector: &Connector, budget: usize) -> bool {
        let mut unknown = None;
        let mut recovered = 0;
        let mut table = self.table.lock();
        table.collect(connector.id, budget, LOOKS, |destination, number, kept| {
            let reason = kept.or(unknown.as_ref());
            let reason = reason
                .cloned()
                .unwrap_or_else(|| unknown.insert(Reason::from_etf(NODEDOWN)).clone());
            connector
                .outbox
                .force(Certificate::new(destination, number, reason));
            recovered += 1;
        });
        let more = table.has_untold(connector.id);
        drop(table);
        count(&self.enqueued, recovered);
        more
    }

    /// Subscriptions, watched destinations, and the certificates that wait for attached connectors.
    pub fn sizes(&self) -> (usize, usize, usize) {
        let table = self.table.lock();
        let certificates = table.outboxes().map(|connector| connector.outbox.len());
        let certificates = certificates.sum::<usize>() + table.untold();
        (table.len() - table.untold(), table.targets(), certificates)
    }

    /// The numbers of the subscriptions of names.
    pub fn numbers(&self) -> usize {
        self.table.lock().numbered()
    }

    /// The reason in the form that is kept. A mass exit has one reason: it is stored once.
    pub fn share(&self, reason: Term) -> Reason {
        let encoded = reason.to_binary();
        let mut last = self.last_reason.lock();
        match &*last {
            Some(same) if same.as_etf() == encoded.as_slice() => same.clone(),
            _ => {
                let reason = Reason::from_etf(&encoded);
                // A bulky one is not worth keeping alive for the next.
                *last = (encoded.len() <= REASONS).then(|| reason.clone());
                reason
            }
        }
    }

    /// Certifies destinations for their reasons, on behalf of one of the `holders`. Stops when many subscribers have
    /// been told. Returns how many destinations are done, and how many subscribers were to be told. `ring` is called
    /// for each connector that has certificates now. The holders of a former table have nothing to certify: a name
    /// may have another process by now.
    pub fn certify(
        &self,
        holders: &Arc<Holders>,
        exits: &[(Destination, Reason)],
        ring: impl FnMut(ResourceArc<Connector>),
    ) -> (usize, usize) {
        let (mut enqueued, mut shed, mut done) = (0, 0, 0);
        let mut told: Vec<ResourceArc<Connector>> = Vec::new();
        let mut table = self.table.lock();
        if !Arc::ptr_eq(&self.holders.load(), holders) {
            return (exits.len(), 0);
        }
        for (destination, reason) in exits {
            if enqueued + shed > CERTIFICATES {
                break;
            }
            let counted = table.certify(
                *destination,
                || (reason.as_etf().len() <= KEPT_BYTES).then(|| reason.clone()),
                |connector, number| {
                    // Nearly all certificates of a mass exit are for one connector.
                    if !told
                        .last()
                        .is_some_and(|last| std::ptr::eq(&**last, &**connector))
                    {
                        told.push(connector.clone());
                    }
                    connector.push(|| Certificate::new(*destination, number, reason.clone()))
                },
            );
            enqueued += counted.0;
            shed += counted.1;
            done += 1;
        }
        drop(table);
        told.into_iter().for_each(ring);
        count(&self.enqueued, enqueued);
        (done, enqueued + shed)
    }
}

/// Counts what has happened.
pub fn count(counter: &AtomicU64, amount: usize) {
    // Relaxed: nothing else is read by it.
    counter.fetch_add(amount as u64, Ordering::Relaxed);
}
