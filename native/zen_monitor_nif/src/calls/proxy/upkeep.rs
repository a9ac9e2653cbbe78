//! The comings and goings of connectors and of Proxies, and what is swept up after them.

use crate::calls::proxy::monitors::{SLICE, monitors_to_terms};
use crate::calls::timeslice::consume;
use crate::sides::proxy::connector::Connector;
use crate::sides::proxy::holders::Holders;
use crate::sides::proxy::{CERTIFICATES, LOOKING, LOOKS};
use crate::sides::resource::check_place;
use crate::state::current;
use crate::terms::atoms;
use rustler::{Atom, Encoder, Env, LocalPid, NifResult, ResourceArc, Term};
use std::sync::atomic::Ordering;

/// Targets that one call takes departed connectors away from.
const TARGETS: usize = 256;

/// Empties the table for a Proxy that starts, which is the caller and has these holders. Returns whether there was a
/// former Proxy. Its death has told the former subscribers.
///
/// What was in the table is left to [`proxy_free`]. To free it here, this call would have to be dirty. Then it could
/// outlive its Proxy, and empty the table of the next.
#[rustler::nif]
fn proxy_reset(env: Env, holders: Term) -> NifResult<bool> {
    let state = current()?;
    // Refuses an improper list, at which decoding would panic.
    holders.list_length()?;
    let holders: Vec<LocalPid> = holders.decode()?;
    let proxy = &state.proxy;
    let succeeds = proxy.releases.answer(env);
    proxy.reset(Holders::new(env, &holders));
    Ok(succeeds)
}

/// Frees what former Proxies left. Dirty: that takes as long as it is large.
#[rustler::nif(schedule = "DirtyCpu")]
fn proxy_free() -> NifResult<Atom> {
    current()?.proxy.free();
    Ok(atoms::ok())
}

/// Adds the connector with a pid.
#[rustler::nif]
fn proxy_attach<'a>(env: Env<'a>, pid: Term<'a>) -> NifResult<Term<'a>> {
    let state = current()?;
    let mut attached = None;
    state.proxy.table.lock().attach(|id| {
        let mut connector = ResourceArc::new(Connector::new(id, pid));
        check_place(&mut connector);
        attached.insert(connector).clone()
    });
    Ok(attached.encode(env))
}

/// Detaches a connector: its Batcher stops, and its subscriptions and certificates are left to the janitor.
#[rustler::nif]
fn proxy_detach(env: Env, connector: ResourceArc<Connector>) -> NifResult<Atom> {
    let state = current()?;
    let detached = state.proxy.table.lock().detach(connector.id);
    connector.outbox.close();
    connector.batcher.ring(env);
    state.proxy.discarded.lock().extend(detached);
    state.proxy.departures.ring(env);
    Ok(atoms::ok())
}

/// Notes which version of the compact wire the node of a connector speaks, or 0.
#[rustler::nif]
fn proxy_speak(connector: ResourceArc<Connector>, version: u32) -> Atom {
    // Relaxed: nothing else is read by it.
    connector.version.store(version, Ordering::Relaxed);
    atoms::ok()
}

/// Whether a connector has no subscriptions, and no certificates wait for it.
#[rustler::nif]
fn proxy_is_unused(connector: ResourceArc<Connector>) -> NifResult<bool> {
    let state = current()?;
    let subscribed = state.proxy.table.lock().is_subscribed(connector.id);
    Ok(!subscribed && state.proxy.is_quiet(&connector))
}

/// The holders of the Proxy.
#[rustler::nif]
fn proxy_holders(env: Env) -> NifResult<Vec<LocalPid>> {
    Ok(current()?.proxy.holders.load().pids(env))
}

/// Removes targets that nobody watches any more. Returns the Proxy's monitors of them, and whether to go on. The
/// holders are told of theirs.
#[rustler::nif]
fn proxy_release(env: Env) -> NifResult<(Vec<Term>, bool)> {
    let state = current()?;
    let holders = state.proxy.holders.load();
    let mut released = Vec::new();
    let release = |destination, monitor| released.push((holders.of(destination), monitor));
    state.proxy.table.lock().release(SLICE, release);
    let is_empty = || !state.proxy.table.lock().has_vacant();
    let more = !state.proxy.releases.rest(is_empty);
    consume(env, released.len());
    let released = holders.release(env, released);
    Ok((monitors_to_terms(env, &released)?, more))
}

/// Makes the caller the janitor, which must sweep.
#[rustler::nif]
fn proxy_answer_departures(env: Env) -> NifResult<Atom> {
    current()?.proxy.departures.answer(env);
    Ok(atoms::ok())
}

/// Removes subscriptions and certificates of detached connectors. Returns whether to go on, and how many
/// subscriptions are left.
#[rustler::nif]
fn proxy_sweep(env: Env) -> NifResult<(bool, usize)> {
    let state = current()?;
    let proxy = &state.proxy;
    let mut table = proxy.table.lock();
    table.sweep(TARGETS, LOOKS);
    let (vacant, left) = (table.has_vacant(), table.left_behind());
    drop(table);
    if vacant {
        proxy.releases.ring(env);
    }
    let discarded = proxy.discarded.lock().pop();
    if let Some(connector) = discarded
        && connector.outbox.discard(CERTIFICATES)
    {
        proxy.discarded.lock().push(connector);
    }
    consume(env, TARGETS + LOOKING);
    // Both are looked at anew. A connector may have been detached since the sweep, and its outbox even emptied here,
    // while the ring found this janitor awake.
    let is_empty = || !proxy.table.lock().has_departed() && proxy.discarded.lock().is_empty();
    Ok((!proxy.departures.rest(is_empty), left))
}
