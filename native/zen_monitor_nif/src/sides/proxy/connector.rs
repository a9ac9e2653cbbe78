//! A connector: the watched side's record of a remote Connector, with the certificates that wait for it.

use crate::sides::doorbell::Doorbell;
use crate::sides::window::Window;
use crate::terms::reason::Reason;
use parking_lot::Mutex;
use rustler::env::{OwnedEnv, SavedTerm};
use rustler::{Env, Resource, ResourceArc, Term};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use zen_monitor_core::subscriptions::outbox::{Outbox, Pushed};
use zen_monitor_core::subscriptions::table::{ConnectorId, Destination};
use zen_monitor_core::wire::Numbers;

/// A subscribed connector, as the Proxy and its Batcher hold it.
pub struct Connector {
    /// Its number in the table.
    pub id: ConnectorId,
    /// The certificates that wait for it.
    pub outbox: Outbox<Certificate>,
    /// Its process. Locked, since an environment serves one thread at a time.
    pid: Mutex<(OwnedEnv, SavedTerm)>,
    /// Wakes its Batcher.
    pub batcher: Doorbell,
    /// The certificates that were sent of late.
    pub sent: ResourceArc<Window>,
    /// How many certificates the outbox has refused since somebody last asked.
    pub shed: AtomicUsize,
    /// The targets on which the Proxy is placing monitors at the moment.
    pub asked: Mutex<Vec<u32>>,
    /// The version of the compact form that its node speaks, or 0.
    pub version: AtomicU32,
}

#[rustler::resource_impl]
impl Resource for Connector {}

impl Connector {
    /// The connector of a process, with an empty outbox.
    pub fn new(id: ConnectorId, pid: Term) -> Connector {
        let owned = OwnedEnv::new();
        let saved = owned.save(pid);
        Connector {
            id,
            pid: Mutex::new((owned, saved)),
            outbox: Outbox::default(),
            batcher: Doorbell::default(),
            sent: Window::make(),
            shed: AtomicUsize::new(0),
            asked: Mutex::default(),
            version: AtomicU32::new(0),
        }
    }

    /// Its process.
    pub fn pid<'a>(&self, env: Env<'a>) -> Term<'a> {
        let (owned, saved) = &*self.pid.lock();
        owned.run(|inner| saved.load(inner).in_env(env))
    }

    /// Adds a certificate. `false` if the outbox has refused it: then the row of the dead stays, and tells of it later.
    /// The caller must wake the Batcher.
    #[inline]
    pub fn push(&self, certificate: impl FnOnce() -> Certificate) -> bool {
        let pushed = self.outbox.push(certificate);
        let refused = pushed == Pushed::Refused;
        if refused {
            // Relaxed: nothing else is read by it.
            self.shed.fetch_add(1, Ordering::Relaxed);
        }
        !refused
    }

    /// Adds a certificate of something that has no row in the table. It is never refused, however many wait.
    pub fn force(&self, env: Env, certificate: Certificate) {
        self.outbox.force(certificate);
        self.batcher.ring(env);
    }
}

/// Tells a connector that a destination is down, and for what reason.
pub enum Certificate {
    /// A destination that the table knows.
    Known(Destination, Reason),
    /// The same, with the number of the subscription.
    Numbered(Destination, u32, Reason),
    /// A pid of a former life of this node, with its creation.
    Former(Numbers, u32, Reason),
    /// The whole `{destination, reason}`, when the destination is not a single word.
    Encoded(Reason),
}

impl Certificate {
    /// The certificate of a destination, with the number of the subscription if it has one.
    #[inline]
    pub fn new(destination: Destination, number: Option<u32>, reason: Reason) -> Certificate {
        match number {
            Some(number) => Certificate::Numbered(destination, number, reason),
            None => Certificate::Known(destination, reason),
        }
    }

    /// The reason. For an encoded certificate, the whole of it.
    pub fn reason(&self) -> &Reason {
        match self {
            Certificate::Known(_, reason)
            | Certificate::Numbered(_, _, reason)
            | Certificate::Former(_, _, reason)
            | Certificate::Encoded(reason) => reason,
        }
    }
}
