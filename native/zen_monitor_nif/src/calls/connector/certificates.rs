//! Certificates that come in as lists. Those in the compact form are in `compact.rs`.

use crate::calls::timeslice::{SLICE, Timeslice};
use crate::sides::local::target::certified_id;
use crate::state::current;
use crate::terms::atoms;
use crate::terms::reason::Reason;
use crate::terms::weighing::{LIGHT, weigh};
use rustler::{Atom, Env, NifResult, Term};
use std::time::Duration;

/// How long one call may certify.
pub const CERTIFYING: Duration = Duration::from_micros(300);
/// The call looks at the clock once for so many certificates.
pub const LOOK: usize = 16;
/// How many parts of reasons one call may encode. That takes about as long as [`CERTIFYING`]. The clock alone would not
/// do: the reasons between two looks may have twice as many parts.
pub const PARTS: usize = 8 * LIGHT;

/// Makes the targets of the first `certificates` due. Returns `{:ok, rest, malformed}`: the rest of the list, and what
/// was no certificate of a process on the node. Returns `{:bulky, rest, malformed}` when [`connector_certify_bulky`] must
/// go on.
#[rustler::nif]
fn connector_certify<'a>(
    env: Env<'a>,
    node: Term<'a>,
    certificates: Term<'a>,
) -> NifResult<(Atom, Term<'a>, Vec<Term<'a>>)> {
    let mut malformed = Vec::new();
    let (rest, bulky) = certify(env, node, certificates, false, &mut malformed)?;
    let tag = if bulky { atoms::bulky() } else { atoms::ok() };
    Ok((tag, rest, malformed))
}

/// The same for reasons of any size. Always returns `{:ok, rest, malformed}`.
#[rustler::nif(schedule = "DirtyCpu")]
fn connector_certify_bulky<'a>(
    env: Env<'a>,
    node: Term<'a>,
    certificates: Term<'a>,
) -> NifResult<(Atom, Term<'a>, Vec<Term<'a>>)> {
    let mut malformed = Vec::new();
    let (rest, _) = certify(env, node, certificates, true, &mut malformed)?;
    Ok((atoms::ok(), rest, malformed))
}

/// Certifies until a slice is done, the time is up, or enough parts are encoded. It also stops at a reason that takes
/// long to encode if not `bulky`, and at one that does not if `bulky`. Nothing is taken for granted about the size of a
/// reason: the other node may not truncate. Returns the rest of the list, and whether it begins with a bulky reason.
fn certify<'a>(
    env: Env<'a>,
    node: Term<'a>,
    certificates: Term<'a>,
    bulky: bool,
    malformed: &mut Vec<Term<'a>>,
) -> NifResult<(Term<'a>, bool)> {
    let state = current()?;
    let local = &state.local;
    let node = local.node(node)?;
    let timeslice = Timeslice::begin(env);
    let mut last: Option<(Term, Reason)> = None;
    let mut rest = certificates;
    let mut stopped = false;
    let mut parts = 0;
    for certified in 1..=SLICE {
        let is_late = || certified % LOOK == 0 && timeslice.elapsed() > CERTIFYING;
        if !bulky && (parts >= PARTS || is_late()) {
            break;
        }
        let Ok((certificate, tail)) = rest.list_get_cell() else {
            if !rest.is_empty_list() {
                malformed.push(rest);
                rest = Term::list_new_empty(env);
            }
            break;
        };
        if let Some((destination, subscription, reason)) = parts_of(certificate)
            && let Some(id) = certified_id(destination, node)
        {
            let reason = match &last {
                // To compare with a light reason takes little time, even if the other is large.
                Some((term, known)) if *term == reason => known.clone(),
                _ => {
                    let weight = weigh(reason);
                    if weight.is_none() != bulky {
                        stopped = !bulky;
                        break;
                    }
                    parts += weight.unwrap_or(0);
                    let encoded = Reason::due(reason);
                    last = Some((reason, encoded.clone()));
                    encoded
                }
            };
            local.table.certify(node, id, subscription, reason);
        } else {
            malformed.push(certificate);
        }
        rest = tail;
    }
    local.expand_or_defer(env, SLICE);
    Ok((rest, stopped))
}

/// The destination of a certificate, the number of the subscription if it has one, and the reason.
#[inline]
fn parts_of(certificate: Term<'_>) -> Option<(Term<'_>, Option<u32>, Term<'_>)> {
    if let Ok((destination, reason)) = certificate.decode() {
        return Some((destination, None, reason));
    }
    let (destination, subscription, reason) = certificate.decode().ok()?;
    Some((destination, Some(subscription), reason))
}
