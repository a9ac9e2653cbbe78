//! The one native state of the node.
//!
//! It belongs to `ZenMonitor.Supervisor`: made fresh when that starts, discarded when it stops in
//! order, and untouched by a crash of anything below it. A call that is under way while the state
//! is replaced finishes on the state that it began with.

use crate::atoms;
use crate::local::Local;
use crate::proxy::Proxy;
use arc_swap::{ArcSwapOption, Guard};
use rustler::{Atom, Error, NifResult};
use std::ops::Deref;
use std::sync::Arc;

/// Everything that outlives the processes of the supervision tree.
#[derive(Default)]
pub struct State {
    /// What this node monitors.
    pub local: Local,
    /// What others monitor here.
    pub proxy: Proxy,
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

/// Makes a fresh state. Dirty: it may free a large former one.
#[rustler::nif(schedule = "DirtyCpu")]
fn start() -> Atom {
    STATE.store(Some(Arc::default()));
    atoms::ok()
}

/// Discards the state. Dirty: freeing it takes as long as it is large.
#[rustler::nif(schedule = "DirtyCpu")]
fn stop() -> Atom {
    STATE.store(None);
    atoms::ok()
}
