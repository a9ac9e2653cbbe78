//! Counters and gauges.

use crate::state::current;
use rustler::{Encoder, Env, NifResult, Term};
use std::sync::atomic::{AtomicU64, Ordering};

/// The counters: `{placed, removed, standing, waiting, enqueued, processed, delivered,
/// instructions_queued, instructions_swept, held}`.
#[rustler::nif]
fn local_counters(env: Env<'_>) -> NifResult<Term<'_>> {
    let state = current()?;
    let local = &state.local;
    let counts = local.table.counts();
    let dispatch = local.table.dispatch_counts();
    Ok(vec![
        counts.placed,
        counts.removed,
        counts.standing,
        dispatch.waiting,
        dispatch.enqueued,
        dispatch.processed,
        dispatch.delivered,
        local.table.instructed(),
        local.swept.load(Ordering::Relaxed),
        local.table.monitors_held(),
    ]
    .encode(env))
}

/// How many `:DOWN`s wait for delivery.
#[rustler::nif]
fn batch_length() -> NifResult<u64> {
    Ok(current()?.local.table.dispatch_counts().waiting)
}

/// `{subscriptions, certificates enqueued, certificates swept}`. The first is a gauge, the others count from the start.
#[rustler::nif]
fn proxy_counters() -> NifResult<(usize, u64, u64)> {
    let state = current()?;
    let proxy = &state.proxy;
    // Relaxed: independent counters.
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (subscriptions, _, _) = proxy.sizes();
    Ok((subscriptions, load(&proxy.enqueued), load(&proxy.swept)))
}
