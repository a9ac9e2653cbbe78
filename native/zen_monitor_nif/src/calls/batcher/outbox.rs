//! The outbox of a connector, from which its Batcher takes certificates.

use crate::calls::batcher::certificates::{Dead, certificate_parts, certificates};
use crate::calls::timeslice::consume;
use crate::sides::proxy::connector::{Certificate, Connector};
use crate::sides::proxy::{CERTIFICATES, LOOKING, Proxy, REASONS, count};
use crate::sides::window::{Limits, Quota};
use crate::state::current;
use crate::terms::parts::COMPARED;
use crate::terms::reason::Reason;
use crate::terms::{atoms, word};
use rustler::{Atom, Binary, Encoder, Env, LocalPid, NifResult, ResourceArc, Term};
use std::sync::atomic::Ordering;

/// For how many connectors one call passes certificates on.
const PASSED: usize = 4;
/// How many rows of the dead one call makes into certificates.
const ROWS: usize = 256;

/// Makes the caller the Batcher of a connector. It must sweep. Returns whether it succeeds another one.
#[rustler::nif]
fn proxy_answer_certificates(env: Env, connector: ResourceArc<Connector>) -> bool {
    let succeeds = connector.batcher.answer(env);
    connector.outbox.reclaim(word::of_caller(env));
    succeeds
}

/// Adds a certificate. `encoded` is `{destination, reason}` in the external term format.
#[rustler::nif]
fn proxy_enqueue(env: Env, connector: ResourceArc<Connector>, encoded: Binary) -> NifResult<Atom> {
    let state = current()?;
    connector.force(env, Certificate::Encoded(Reason::from_etf(&encoded)));
    count(&state.proxy.enqueued, 1);
    Ok(atoms::ok())
}

/// Takes up to `limit` certificates. `version` is that of the compact form, or 0 for a list. Deaths that the outbox has
/// refused come when all else has been sent. Returns
///
/// - `{certificates, amount, left}`: what to send, how many certificates it holds, and how many more may be asked
///   for, which is 0 when none is left. A caller that is not the Batcher gets none;
/// - `:closed` when the connector is detached;
/// - `:bulky` when the next certificate must be taken by [`proxy_take_bulky`].
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
    let mut wanted = limit.min(CERTIFICATES);
    let mut more = false;
    if connector.outbox.is_drained() {
        wanted = wanted.min(ROWS);
        more = current()?.proxy.recover(connector, wanted);
        if more {
            consume(env, LOOKING);
        }
    }
    let mut taken = Taken::default();
    let reader = word::of_caller(env);
    let accept = |certificate: &Certificate| taken.add(certificate, bulky);
    let stopped = connector.outbox.take(reader, wanted, accept);
    consume(env, taken.len() + taken.size / 64);
    if stopped && taken.len() == 0 {
        return Ok(atoms::bulky().encode(env));
    }
    let left = match taken.len() {
        amount if stopped || more || amount == wanted => limit - amount,
        _ => 0,
    };
    // The reasons are built after the outbox is unlocked: if the caller is killed, its successor needs the outbox
    // at once.
    Ok((taken.build(env, version, &None)?, taken.len(), left).encode(env))
}

/// Certificates that were taken, each with the place of its reason.
#[derive(Default)]
struct Taken {
    dead: Vec<(Dead, usize)>,
    reasons: Vec<Reason>,
    /// Bytes of all the reasons.
    size: usize,
}

impl Taken {
    /// Adds one, unless all reasons would have more than `bulky` bytes.
    fn add(&mut self, certificate: &Certificate, bulky: usize) -> bool {
        let reason = certificate.reason();
        let recent = self.reasons.len().saturating_sub(COMPARED);
        let same = |known: &Reason| known == reason;
        let place = match self.reasons[recent..].iter().rposition(same) {
            Some(place) => recent + place,
            None => {
                let length = reason.as_etf().len();
                if self.size + length > bulky {
                    return false;
                }
                self.size += length;
                self.reasons.push(reason.clone());
                self.reasons.len() - 1
            }
        };
        let dead = match certificate {
            Certificate::Known(destination, _) => Dead::Known(*destination),
            Certificate::Numbered(destination, number, _) => Dead::Numbered(*destination, *number),
            Certificate::Former(numbers, creation, _) => Dead::Former(*numbers, *creation),
            Certificate::Encoded(_) => Dead::Encoded,
        };
        self.dead.push((dead, place));
        true
    }

    fn len(&self) -> usize {
        self.dead.len()
    }

    /// The certificates of a message in a version. The reason that is `known` need not be built.
    fn build<'a>(
        &self,
        env: Env<'a>,
        version: u32,
        known: &Option<(Term<'a>, Reason)>,
    ) -> NifResult<Vec<Term<'a>>> {
        let reasons = self.reasons.iter().map(|reason| match known {
            Some((term, known)) if known.is_same(reason) => Ok(*term),
            _ => reason.to_term(env),
        });
        let reasons = reasons.collect::<NifResult<Vec<Term>>>()?;
        match version {
            0 => certificates(env, &self.dead, &reasons),
            _ => certificate_parts(env, &self.dead, &reasons),
        }
    }
}

/// What the caller of a NIF is to send in the place of Batchers that sleep: `{connector, pid, version, certificates, amount}`
/// for each. It must tell what became of them, by [`proxy_passed_on`] or [`proxy_take_back`].
pub struct Passing<'a> {
    env: Env<'a>,
    quota: Option<Quota>,
    latest: u32,
    pids: bool,
    passed: Vec<Term<'a>>,
}

impl<'a> Passing<'a> {
    /// `now` is the VM's monotonic time in nanoseconds, or `None` if nothing may be passed on. With `pids`, no certificates
    /// of names are.
    pub fn begin(env: Env<'a>, proxy: &Proxy, now: Option<i64>, pids: bool) -> Self {
        let (limits, latest) = proxy.passing.get();
        Passing {
            env,
            quota: now.and_then(|now| limits.quota(now)),
            latest,
            pids,
            passed: Vec::new(),
        }
    }

    /// Rings after something has come into an outbox. Or, if the Batcher sleeps and few certificates were sent of late,
    /// takes a few of them to be passed on. The reason that is `known` need not be built.
    pub fn ring(&mut self, connector: &ResourceArc<Connector>, known: &Option<(Term<'a>, Reason)>) {
        match self.quota {
            Some(quota) if self.passed.len() < PASSED => {
                let passed = self.take(connector, quota, known);
                self.passed.extend(passed);
            }
            _ => connector.batcher.ring(self.env),
        }
    }

    /// All of it.
    pub fn finish(self) -> Vec<Term<'a>> {
        self.passed
    }

    fn take(
        &self,
        connector: &ResourceArc<Connector>,
        quota: Quota,
        known: &Option<(Term<'a>, Reason)>,
    ) -> Option<Term<'a>> {
        let env = self.env;
        let room = quota.stand_in(&connector.sent, || connector.batcher.stand_in())?;
        if room == 0 {
            connector.batcher.wake(env);
            return None;
        }
        let mut taken = Taken::default();
        // Relaxed: nothing else is read by it.
        let version = connector.version.load(Ordering::Relaxed).min(self.latest);
        let accept = |certificate: &Certificate| {
            (!self.pids || certificate.is_of_pid()) && taken.add(certificate, REASONS)
        };
        if !connector.outbox.pass_on(room.min(quota.few()), accept) {
            connector.batcher.wake(env);
            return None;
        }
        let Ok(certificates) = taken.build(env, version, known) else {
            connector.outbox.take_back();
            connector.batcher.wake(env);
            return None;
        };
        let pid = connector.pid(env);
        Some((connector, pid, version, certificates, taken.len()).encode(env))
    }
}

/// Forgets the certificates that were passed on: they were sent until `now`. The Batcher is woken if there are more.
/// Returns it if its connector has no subscription left, so that it can be told that it may retire.
#[rustler::nif]
fn proxy_passed_on(
    env: Env,
    connector: ResourceArc<Connector>,
    now: i64,
) -> NifResult<Option<LocalPid>> {
    let state = current()?;
    let proxy = &state.proxy;
    let passed = connector.outbox.passed_on();
    let (limits, _) = proxy.passing.get();
    limits.enter(&connector.sent, now, passed);
    count(&proxy.swept, passed);
    connector.batcher.leave(env, || proxy.is_quiet(&connector));
    let is_used = proxy.table.lock().is_subscribed(connector.id);
    let unused = (!is_used).then(|| connector.batcher.owner(env));
    Ok(unused.flatten())
}

/// Notes by which limits, and in which versions of the compact form, certificates are passed on. Returns whether that has
/// changed anything.
#[rustler::nif]
fn proxy_note(limits: Limits, latest: u32) -> NifResult<bool> {
    Ok(current()?.proxy.passing.note((limits, latest)))
}

/// Has the Batcher send the certificates that were passed on, because they were not sent.
#[rustler::nif]
fn proxy_take_back(env: Env, connector: ResourceArc<Connector>) -> Atom {
    connector.outbox.take_back();
    connector.batcher.wake(env);
    atoms::ok()
}

/// The version of the compact form that the node of a connector speaks, or 0.
#[rustler::nif]
fn proxy_version(connector: ResourceArc<Connector>) -> u32 {
    // Relaxed: nothing else is read by it.
    connector.version.load(Ordering::Relaxed)
}

/// Forgets the certificates that were taken, since they were sent. Returns whether the Batcher may sleep.
#[rustler::nif]
fn proxy_sent(env: Env, connector: ResourceArc<Connector>) -> NifResult<bool> {
    let state = current()?;
    let sent = connector.outbox.sent(word::of_caller(env));
    count(&state.proxy.swept, sent);
    let is_quiet = || state.proxy.is_quiet(&connector);
    Ok(connector.batcher.rest(is_quiet))
}

/// Notes that the connection has refused what was taken, and that a budget of `unused` has gone by meanwhile. At most
/// `limit` certificates may wait for that reason. `false` when the connector is detached.
#[rustler::nif]
fn proxy_withhold(connector: ResourceArc<Connector>, unused: usize, limit: usize) -> bool {
    connector.outbox.withhold(unused, limit);
    !connector.outbox.is_closed()
}

/// How many deaths a connector could not be told of since the last call of this function.
#[rustler::nif]
fn proxy_shed(connector: ResourceArc<Connector>) -> usize {
    // Relaxed: nothing else is read by it.
    connector.shed.swap(0, Ordering::Relaxed)
}
