//! How many entries every table and queue holds.

use crate::state::current;
use crate::terms::reason::Reason;
use rustler::{Encoder, Env, NifResult, Term};

rustler::atoms! {
    backlog,
    certificates,
    departed,
    heavy,
    members,
    numbers,
    options,
    outboxes,
    reasons,
    references,
    ring,
    sets,
    subscribers,
    subscriptions,
    targets,
    watched,
}

/// How many entries each table and queue holds, by name. When nothing is monitored and nothing is under way, all are 0,
/// except that each living subscriber has a record. Dirty: it takes every lock once.
#[rustler::nif(schedule = "DirtyCpu")]
fn sizes(env: Env<'_>) -> NifResult<Term<'_>> {
    let state = current()?;
    let local = state.local.table.sizes();
    let (subscribed, watching, queued) = state.proxy.sizes();
    let sizes = [
        (references(), local.references),
        (sets(), state.local.sets.counts().0),
        (members(), local.members),
        (subscribers(), local.subscribers),
        (targets(), local.targets),
        (reasons(), local.reasons),
        (heavy(), Reason::heavy()),
        (options(), state.local.options.count()),
        (numbers(), local.numbers + state.proxy.numbers()),
        (outboxes(), local.outboxes),
        (backlog(), local.backlog),
        (ring(), local.ring),
        (departed(), local.departed),
        (subscriptions(), subscribed),
        (watched(), watching),
        (certificates(), queued),
    ];
    Ok(sizes.to_vec().encode(env))
}
