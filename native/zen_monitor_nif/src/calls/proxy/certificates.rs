//! What has died here, to be told to those who watch it.

use crate::calls::direct;
use crate::calls::proxy::monitors::SLICE;
use crate::calls::timeslice::consume;
use crate::sides::proxy::REASONS;
use crate::sides::proxy::destination::Subject;
use crate::state::current;
use crate::terms::reason::Reason;
use crate::terms::{atoms, word};
use rustler::{Atom, Env, NifResult, Term};
use std::time::{Duration, Instant};
use zen_monitor_core::subscriptions::table::Destination;

/// How long one call may encode reasons.
const CERTIFYING: Duration = Duration::from_micros(300);

direct::nif!("proxy_certify", 1, proxy_certify);

/// Puts a certificate into the outbox of every subscriber of destinations that are down: a list of
/// `[destination | reason]`, each reason truncated. Returns the rest of the list: that for which there was no
/// time.
fn proxy_certify<'a>(env: Env<'a>, [exits]: [Term<'a>; 1]) -> NifResult<Term<'a>> {
    let state = current()?;
    let holders = state.proxy.holders.load_full();
    let Some(seat) = holders.seat(env) else {
        return Ok(Term::list_new_empty(env));
    };
    let began = Instant::now();
    let mut read: Vec<(Destination, Reason)> = Vec::with_capacity(SLICE);
    let mut rests = Vec::with_capacity(SLICE);
    let mut last: Option<(u64, Reason)> = None;
    let mut rest = exits;
    let mut bytes = 0;
    while read.len() < SLICE && (bytes < REASONS || began.elapsed() < CERTIFYING) {
        let Ok((exit, tail)) = rest.list_get_cell() else {
            break;
        };
        let (destination, reason) = exit.list_get_cell()?;
        // Nothing else has subscribers: this is no `:DOWN` of a monitor that the caller placed for them.
        if let Some(Subject::Known(destination)) = Subject::of(destination)
            && holders.of(destination) == seat
        {
            let known = match &last {
                // The very same term, or the same atom.
                Some((word, known)) if *word == word::from_term(reason) => known.clone(),
                _ => {
                    let known = state.proxy.share(reason);
                    bytes += known.as_etf().len();
                    last = Some((word::from_term(reason), known.clone()));
                    known
                }
            };
            rests.push(rest);
            read.push((destination, known));
        }
        rest = tail;
    }
    let (done, told) = state.proxy.certify(env, &holders, &read);
    consume(env, told);
    consume(env, bytes / 64);
    Ok(rests.get(done).copied().unwrap_or(rest))
}

/// Puts a certificate into the outbox of every subscriber of a destination that is down. The reason passes
/// untouched, and may be of any size.
#[rustler::nif(schedule = "DirtyCpu")]
fn proxy_certify_bulky(env: Env, destination: Term, reason: Term) -> NifResult<Atom> {
    let state = current()?;
    let proxy = &state.proxy;
    let holders = proxy.holders.load_full();
    let (Some(Subject::Known(destination)), Some(seat)) =
        (Subject::of(destination), holders.seat(env))
    else {
        return Ok(atoms::ok());
    };
    if holders.of(destination) == seat {
        let (_, told) = proxy.certify(env, &holders, &[(destination, proxy.share(reason))]);
        consume(env, told);
    }
    Ok(atoms::ok())
}
