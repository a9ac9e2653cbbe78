//! The life of a node that its pids were last seen to be of.

use crate::terms::heap;
use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use rustler::{Env, OwnedEnv, Term};
use std::sync::Arc;
use zen_monitor_core::structures::seqlock::Seqlock;

/// Tells the creation of a pid that is not decoded, and makes pids of that creation.
#[derive(Default)]
pub struct Origin {
    /// The creation of the sample, by what [`heap::remote_pid`] says of it.
    creation: Seqlock,
    sample: ArcSwapOption<Sample>,
}

/// Held by whoever changes an origin. One for all nodes: it is rarely taken, and what a node has of its own takes
/// memory for as long as its name is known.
static CHANGE: Mutex<()> = Mutex::new(());

/// A pid that is kept, so that its origin stays what it is.
pub struct Sample {
    origin: usize,
    creation: u32,
    /// A mutex only because the environment may be dropped by any thread, but not shared.
    _env: Mutex<OwnedEnv>,
}

impl Origin {
    /// The creation of a pid of this node that was read off the heap, if it is the one known.
    ///
    /// The pid exists, and so does what its origin points to: while it does, no other life of the
    /// node can have the same.
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

    /// Lets go of the sample, and with it of what the VM keeps of that life of the node.
    pub fn forget(&self) {
        let _change = CHANGE.lock();
        // First: another life may have the same origin as soon as the sample is gone.
        self.creation.clear();
        self.sample.store(None);
    }

    /// The sample, to make pids by.
    pub fn sample(&self) -> Option<Arc<Sample>> {
        self.sample.load_full()
    }
}

impl Sample {
    /// A pid of the node, if it is of the life that is known.
    #[inline]
    pub fn pid<'a>(&self, env: Env<'a>, [id, serial, creation]: [u32; 3]) -> Option<Term<'a>> {
        if creation != self.creation {
            return None;
        }
        // SAFETY: the origin is that of the pid in the environment that the sample holds.
        unsafe { heap::make_remote_pid(env, self.origin, [id, serial]) }
    }

    /// The words of such a pid, whose origin exists as long as the sample does.
    #[inline]
    pub fn object<'a>(&self, [id, serial, creation]: [u32; 3]) -> Option<heap::Object<'a>> {
        (creation == self.creation).then_some(heap::Object::Pid(self.origin, [id, serial]))
    }
}
