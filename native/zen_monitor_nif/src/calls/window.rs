//! For all stages: how much was sent of late, and how much may be sent now.

use crate::sides::proxy::connector::Connector;
use crate::sides::window::Window;
use crate::state::current;
use crate::terms::atoms;
use rustler::{Atom, Encoder, Env, NifResult, ResourceArc, Term};

/// A new window, in which nothing was sent.
#[rustler::nif]
fn window(env: Env<'_>) -> Term<'_> {
    Window::make().encode(env)
}

/// The window of `ZenMonitor.Local.Dispatcher`, and of whoever delivers in its place.
#[rustler::nif]
fn dispatcher_window(env: Env<'_>) -> NifResult<Term<'_>> {
    Ok(current()?.local.delivered.encode(env))
}

/// The window of a connector's Batcher, and of whoever sends in its place.
#[rustler::nif]
fn proxy_window(env: Env<'_>, connector: ResourceArc<Connector>) -> Term<'_> {
    connector.sent.encode(env)
}

/// How many items may be sent at a time, of a budget for each interval, and the first time from then on at which
/// there is room: `{amount, time}`.
#[rustler::nif]
fn window_room(window: ResourceArc<Window>, now: i64, interval: i64, budget: u64) -> (u64, i64) {
    window.room(now, interval, budget)
}

/// How many items were sent from a time on, or a little more.
#[rustler::nif]
fn window_since(window: ResourceArc<Window>, time: i64) -> u64 {
    window.since(time)
}

/// Enters items that were sent until now.
#[rustler::nif]
fn window_enter(window: ResourceArc<Window>, now: i64, interval: i64, amount: u64) -> Atom {
    window.enter(now, interval, amount);
    atoms::ok()
}
