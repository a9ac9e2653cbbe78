//! The origin of a node's pids, which tells their creation.
//!
//! A remote pid on the heap has no creation of its own. It points to a record of the VM, one for each life of a
//! node. The address of that record is the *origin* of the pid.

use crate::terms::heap;
use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use rustler::{Env, OwnedEnv, Term};
use std::sync::Arc;
use zen_monitor_core::structures::seqlock::Seqlock;

/// Tells the creation of a pid without decoding it, and makes pids of that creation.
#[derive(Default)]
pub struct Origin {
    /// The creation of the sample, by its origin.
    creation: Seqlock,
    sample: ArcSwapOption<Sample>,
}

/// Held by whoever changes an origin. One lock serves all nodes: it is rarely taken, and a lock for each node would
/// take memory for as long as the name of the node is known.
static CHANGE: Mutex<()> = Mutex::new(());

/// A pid that is kept so that its origin stays valid.
pub struct Sample {
    origin: usize,
    creation: u32,
    /// The environment that holds the pid. The mutex makes it shareable: any thread may drop it.
    _env: Mutex<OwnedEnv>,
}

impl Origin {
    /// The creation of a pid of this node with that origin, if it is the one that is known.
    ///
    /// The pid exists, and so does the record that its origin points to. As long as it does, no other life of
    /// the node can have the same origin.
    #[inline]
    pub fn creation(&self, origin: usize) -> Option<u32> {
        self.creation.get(origin)
    }

    /// Keeps a pid of this node as the sample.
    pub fn learn(&self, pid: Term, creation: u32) {
        let env = OwnedEnv::new();
        let Some((origin, _)) = env.run(|env| heap::remote_pid(pid.in_env(env))) else {
            return;
        };
        let _change = CHANGE.lock();
        self.creation.set(origin, creation);
        self.sample.store(Some(Arc::new(Sample {
            origin,
            creation,
            _env: Mutex::new(env),
        })));
    }

    /// Drops the sample, so that the VM can free its record of that life of the node.
    pub fn forget(&self) {
        let _change = CHANGE.lock();
        // This comes first: once the sample is gone, another life may have the same origin.
        self.creation.clear();
        self.sample.store(None);
    }

    /// The sample, from which pids can be made.
    pub fn sample(&self) -> Option<Arc<Sample>> {
        self.sample.load_full()
    }
}

impl Sample {
    /// A pid of the node, if its creation is that of the sample.
    #[inline]
    pub fn pid<'a>(&self, env: Env<'a>, [id, serial, creation]: [u32; 3]) -> Option<Term<'a>> {
        if creation != self.creation {
            return None;
        }
        // SAFETY: the origin is that of the pid in the environment that the sample holds.
        unsafe { heap::make_remote_pid(env, self.origin, [id, serial]) }
    }

    /// The same for a message. The origin exists as long as the sample does.
    #[inline]
    pub fn object<'a>(&self, [id, serial, creation]: [u32; 3]) -> Option<heap::Object<'a>> {
        (creation == self.creation).then_some(heap::Object::Pid(self.origin, [id, serial]))
    }
}
