//! The one native state of the node.
//!
//! It belongs to `ZenMonitor.Supervisor`, which makes it when it starts. It is discarded when the tree is stopped in
//! order, and no crash below the supervisor touches it. A call that is under way while the state is replaced ends
//! with the state that it began with.

use crate::sides::local::Local;
use crate::sides::malformed::Malformed;
use crate::sides::proxy::Proxy;
use crate::terms::atoms;
use arc_swap::{ArcSwapOption, Guard};
use parking_lot::Mutex;
use rustler::{Error, NifResult};
use std::ops::Deref;
use std::sync::Arc;

/// Everything that outlives the processes of the supervision tree.
#[derive(Default)]
pub struct State {
    /// What this node monitors.
    pub local: Local,
    /// What others monitor here.
    pub proxy: Proxy,
    /// What was ignored as malformed.
    pub malformed: Malformed,
}

static STATE: ArcSwapOption<State> = ArcSwapOption::const_empty();

/// The current state, held for the length of one NIF call.
pub struct Current(Guard<Option<Arc<State>>>);

impl Deref for Current {
    type Target = State;

    #[inline]
    fn deref(&self) -> &State {
        self.0.as_ref().expect("checked when it was loaded")
    }
}

/// The current state, or the error `{not_running, advice}`.
#[inline]
pub fn current() -> NifResult<Current> {
    let state = STATE.load();
    if state.is_none() {
        let advice = "start the :zen_monitor application first";
        return Err(Error::RaiseTerm(Box::new((atoms::not_running(), advice))));
    }
    Ok(Current(state))
}

/// Former states that wait to be freed.
static FORMER: Mutex<Vec<Arc<State>>> = Mutex::new(Vec::new());

/// Replaces the current state, which then waits to be freed.
pub fn replace(state: Option<Arc<State>>) {
    FORMER.lock().extend(STATE.swap(state));
}

/// Frees former states. The larger they are, the longer it takes.
pub fn free_former() {
    let former = std::mem::take(&mut *FORMER.lock());
    for mut state in former {
        // A call that is under way may still use it. That call must not be the one that frees it.
        while let Err(shared) = Arc::try_unwrap(state) {
            state = shared;
            std::thread::yield_now();
        }
    }
}
