//! The outbox of a connector, from which its Batcher sends.

use crate::calls::batcher::certificates::{Dead, certificate_parts, certificates};
use crate::calls::timeslice::consume;
use crate::sides::proxy::connector::{Certificate, Connector};
use crate::sides::proxy::{CERTIFICATES, REASONS, count};
use crate::state::current;
use crate::terms::parts::COMPARED;
use crate::terms::reason::Reason;
use crate::terms::{atoms, word};
use rustler::{Atom, Binary, Encoder, Env, NifResult, ResourceArc, Term};
use std::sync::atomic::Ordering;

/// Deaths that could not be told, made into certificates by one call.
const UNTOLD: usize = 256;

/// Makes the caller the Batcher of a connector, which must sweep. Returns whether there was one
/// before it.
#[rustler::nif]
fn proxy_answer_certificates(env: Env, connector: ResourceArc<Connector>) -> bool {
    let succeeds = connector.batcher.answer(env);
    connector.outbox.reclaim(word::of_caller(env));
    succeeds
}

/// Adds a certificate, the external term format of `{destination, reason}`.
#[rustler::nif]
fn proxy_enqueue(env: Env, connector: ResourceArc<Connector>, encoded: Binary) -> NifResult<Atom> {
    let state = current()?;
    connector.force(env, Certificate::Encoded(Reason::from_etf(&encoded)));
    count(&state.proxy.enqueued, 1);
    Ok(atoms::ok())
}

/// Takes up to `limit` certificates, for a message in the given version of the compact wire, in parts, or in a
/// list, where that is 0. Returns them with how many they are, and how many more may be asked for, which is
/// 0 when none is left. What it could not be told of comes when all else has been sent. `closed` when the
/// connector is detached, `bulky` when the next certificate has to be taken by [`proxy_take_bulky`]. Only
/// its Batcher is given any.
#[rustler::nif]
fn proxy_take<'a>(
    env: Env<'a>,
    connector: ResourceArc<Connector>,
    version: u32,
    limit: usize,
) -> NifResult<Term<'a>> {
    if connector.outbox.is_closed() {
        return Ok(atoms::closed().encode(env));
    }
    take(env, &connector, version, limit, REASONS)
}

/// The same, whatever the size of the reasons.
#[rustler::nif(schedule = "DirtyCpu")]
fn proxy_take_bulky<'a>(
    env: Env<'a>,
    connector: ResourceArc<Connector>,
    version: u32,
    limit: usize,
) -> NifResult<Term<'a>> {
    take(env, &connector, version, limit, usize::MAX)
}

fn take<'a>(
    env: Env<'a>,
    connector: &Connector,
    version: u32,
    limit: usize,
    bulky: usize,
) -> NifResult<Term<'a>> {
    let mut reasons: Vec<Reason> = Vec::new();
    let mut taken: Vec<(Dead, usize)> = Vec::new();
    let mut size = 0;
    let mut wanted = limit.min(CERTIFICATES);
    let mut more = false;
    if connector.outbox.is_drained() {
        wanted = wanted.min(UNTOLD);
        more = current()?.proxy.recover(connector, wanted);
    }
    let reader = word::of_caller(env);
    let stopped = connector.outbox.take(reader, wanted, |certificate| {
        let reason = certificate.reason();
        let recent = reasons.len().saturating_sub(COMPARED);
        let same = |known: &Reason| known == reason;
        let place = match reasons[recent..].iter().rposition(same) {
            Some(place) => recent + place,
            None => {
                let length = reason.as_etf().len();
                if size + length > bulky {
                    return false;
                }
                size += length;
                reasons.push(reason.clone());
                reasons.len() - 1
            }
        };
        let dead = match certificate {
            Certificate::Known(destination, _) => Dead::Known(*destination),
            Certificate::Numbered(destination, number, _) => Dead::Numbered(*destination, *number),
            Certificate::Former(numbers, creation, _) => Dead::Former(*numbers, *creation),
            Certificate::Encoded(_) => Dead::Encoded,
        };
        taken.push((dead, place));
        true
    });
    // Not before: whoever succeeds the caller, were it killed meanwhile, needs the outbox at once.
    let reasons = reasons.iter().map(|reason| reason.to_term(env));
    let reasons = reasons.collect::<NifResult<Vec<Term>>>()?;
    consume(env, taken.len() + size / 64);
    if stopped && taken.is_empty() {
        return Ok(atoms::bulky().encode(env));
    }
    let left = match taken.len() {
        amount if stopped || more || amount == wanted => limit - amount,
        _ => 0,
    };
    let amount = taken.len();
    let certificates = match version {
        0 => certificates(env, &taken, &reasons)?,
        _ => certificate_parts(env, &taken, &reasons)?,
    };
    Ok((certificates, amount, left).encode(env))
}

/// The version of the compact wire that the node of a connector speaks, or 0.
#[rustler::nif]
fn proxy_version(connector: ResourceArc<Connector>) -> u32 {
    // Relaxed: nothing else is read by it.
    connector.version.load(Ordering::Relaxed)
}

/// Forgets the certificates that were taken: they were sent. Returns whether the Batcher may sleep.
#[rustler::nif]
fn proxy_sent(env: Env, connector: ResourceArc<Connector>) -> NifResult<bool> {
    let state = current()?;
    let sent = connector.outbox.sent(word::of_caller(env));
    count(&state.proxy.swept, sent);
    let is_quiet = || state.proxy.is_quiet(&connector);
    Ok(connector.batcher.rest(is_quiet))
}

/// Notes that the connection does not take the certificates that were taken, and has let a budget of
/// `unused` go by: at most `limit` may wait because of that. `false` when the connector is detached.
#[rustler::nif]
fn proxy_withhold(connector: ResourceArc<Connector>, unused: usize, limit: usize) -> bool {
    connector.outbox.withhold(unused, limit);
    !connector.outbox.is_closed()
}

/// How many deaths a connector could not be told of since this was last asked.
#[rustler::nif]
fn proxy_shed(connector: ResourceArc<Connector>) -> usize {
    // Relaxed: nothing else is read by it.
    connector.shed.swap(0, Ordering::Relaxed)
}
