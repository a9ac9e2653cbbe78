//! `ZenMonitor.Supervisor`, to which the state belongs.

use crate::state;
use crate::terms::atoms;
use rustler::Atom;
use std::sync::Arc;

/// Makes a fresh state. Not dirty, as [`stop`] is not: a dirty call goes on when its process has been
/// killed, and might replace the state of the next life.
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

/// Frees former states. Dirty: that takes as long as they are large.
#[rustler::nif(schedule = "DirtyCpu")]
fn free() -> Atom {
    state::free_former();
    atoms::ok()
}
