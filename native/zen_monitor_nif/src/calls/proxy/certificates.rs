//! What has died here, to be told to those who watch it.

use crate::calls::batcher::outbox::Passing;
use crate::calls::direct;
use crate::calls::proxy::monitors::SLICE;
use crate::calls::timeslice::consume;
use crate::sides::proxy::REASONS;
use crate::sides::proxy::connector::Connector;
use crate::sides::proxy::destination::Subject;
use crate::state::current;
use crate::terms::reason::Reason;
use crate::terms::{atoms, word};
use rustler::{Atom, Encoder, Env, NifResult, ResourceArc, Term};
use std::time::{Duration, Instant};
use zen_monitor_core::subscriptions::table::Destination;

/// How long one call may encode reasons.
const CERTIFYING: Duration = Duration::from_micros(300);

direct::nif!("proxy_certify", 2, proxy_certify);

/// Puts a certificate into the outbox of every subscriber of destinations that are down: a list of
/// `[destination | reason]`, each reason truncated. Returns `{rest, passed}`: the rest of the list, for which there
/// was no time, and what the caller is to send in the place of Batchers that sleep. `now` is the VM's monotonic time in
/// nanoseconds, or `none` if it may send nothing.
fn proxy_certify<'a>(env: Env<'a>, [exits, now]: [Term<'a>; 2]) -> NifResult<Term<'a>> {
    let state = current()?;
    let holders = state.proxy.holders.load_full();
    let Some(seat) = holders.seat(env) else {
        return Ok((Term::list_new_empty(env), Term::list_new_empty(env)).encode(env));
    };
    let now: Option<i64> = match now {
        none if atoms::none() == none => None,
        now => Some(now.decode()?),
    };
    let began = Instant::now();
    let mut read: Vec<(Destination, Reason)> = Vec::with_capacity(SLICE);
    let mut rests = Vec::with_capacity(SLICE);
    let mut last: Option<(Term, Reason)> = None;
    let mut rest = exits;
    let mut bytes = 0;
    while read.len() < SLICE && (bytes < REASONS || began.elapsed() < CERTIFYING) {
        let Ok((exit, tail)) = rest.list_get_cell() else {
            break;
        };
        let (destination, reason) = exit.list_get_cell()?;
        // Anything else has no subscribers. Its `:DOWN` is not of a monitor that the caller has placed for them.
        if let Some(Subject::Known(destination)) = Subject::of(destination)
            && holders.of(destination) == seat
        {
            let known = match &last {
                // The very same term, or the same atom.
                Some((term, known)) if word::from_term(*term) == word::from_term(reason) => {
                    known.clone()
                }
                _ => {
                    let known = state.proxy.share(reason);
                    bytes += known.as_etf().len();
                    last = Some((reason, known.clone()));
                    known
                }
            };
            rests.push(rest);
            read.push((destination, known));
        }
        rest = tail;
    }
    let mut passing = Passing::begin(env, &state.proxy, now, seat.is_some());
    let ring = |connector: ResourceArc<Connector>| passing.ring(&connector, &last);
    let (done, told) = state.proxy.certify(&holders, &read, ring);
    consume(env, told);
    consume(env, bytes / 64);
    Ok((rests.get(done).copied().unwrap_or(rest), passing.finish()).encode(env))
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
        let ring = |connector: ResourceArc<Connector>| connector.batcher.ring(env);
        let exits = [(destination, proxy.share(reason))];
        let (_, told) = proxy.certify(&holders, &exits, ring);
        consume(env, told);
    }
    Ok(atoms::ok())
}
