//! What the holders of the Proxy have to do.

use crate::calls::proxy::monitors::{SLICE, monitors_to_terms, read_monitors};
use crate::calls::timeslice::consume;
use crate::sides::proxy::destination::destination_to_term;
use crate::state::current;
use rustler::{Env, Error, NifResult, Term};
use std::sync::Arc;

/// Takes what waits for the caller, which is a holder. `monitors` are those of the destinations that the call
/// before has returned, in that order. Returns the destinations that need a monitor (none unless they are
/// `wanted`), the monitors that are not needed any more, and whether to go on. A process that is no holder, or was
/// one of a former Proxy, gets nothing.
#[rustler::nif]
#[allow(clippy::type_complexity)]
fn proxy_hold<'a>(
    env: Env<'a>,
    monitors: Term<'a>,
    wanted: bool,
) -> NifResult<(Vec<Term<'a>>, Vec<Term<'a>>, bool)> {
    let state = current()?;
    let proxy = &state.proxy;
    let monitors = read_monitors(env, monitors)?;
    let holders = proxy.holders.load_full();
    let Some(Some(index)) = holders.seat(env) else {
        return Ok((Vec::new(), Vec::new(), false));
    };
    let holder = holders.get(index);
    let mut asked = holder.asked.lock();
    if asked.len() != monitors.len() {
        return Err(Error::BadArg);
    }
    let (targets, released) = holder.waiting.lock().take(if wanted { SLICE } else { 0 });
    let mut destinations = Vec::with_capacity(targets.len());
    let mut table = proxy.table.lock();
    if !Arc::ptr_eq(&proxy.holders.load(), &holders) {
        return Ok((Vec::new(), Vec::new(), false));
    }
    for (target, monitor) in asked.drain(..).zip(monitors) {
        table.set_monitor(target, monitor);
    }
    for target in targets {
        // A target may be gone, and its place taken by one of another holder.
        let is_own = |destination| holders.of(destination) == Some(index);
        if let Some(destination) = table.begin_monitor(target, is_own) {
            asked.push(target);
            destinations.push(destination);
        }
    }
    let vacant = table.has_vacant();
    drop((table, asked));

    if vacant {
        // The last subscriber may have gone while the monitor was placed.
        proxy.releases.ring(env);
    }
    let to_term = |destination| destination_to_term(env, destination);
    let destinations: Vec<Term> = destinations.into_iter().map(to_term).collect();
    let released = monitors_to_terms(env, &released)?;
    consume(env, destinations.len());
    let is_empty = || holder.waiting.lock().is_empty();
    let more = !destinations.is_empty() || !holder.bell.rest(is_empty);
    Ok((destinations, released, more))
}
