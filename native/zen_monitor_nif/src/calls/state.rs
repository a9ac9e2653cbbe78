//! For `ZenMonitor.Supervisor`, to which the state belongs.

use crate::state;
use crate::terms::atoms;
use rustler::Atom;
use std::sync::Arc;

/// Makes a fresh state. Neither this nor [`stop`] is dirty: a dirty call goes on when its process has been killed, and
/// might then replace the state of the next supervisor.
#[rustler::nif]
fn start() -> Atom {
    state::replace(Some(Arc::default()));
    atoms::ok()
}

/// Discards the state.
#[rustler::nif]
fn stop() -> Atom {
    state::replace(None);
    atoms::ok()
}

/// Frees former states. Dirty: the larger they are, the longer it takes.
#[rustler::nif(schedule = "DirtyCpu")]
fn free() -> Atom {
    state::free_former();
    atoms::ok()
}
