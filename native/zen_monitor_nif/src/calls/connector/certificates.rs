//! Certificates that come in as lists. Those in the compact form are in `compact.rs`.

use crate::calls::dispatcher::delivery::StandIn;
use crate::calls::timeslice::{SLICE, Timeslice};
use crate::sides::local::Local;
use crate::sides::local::node::Node;
use crate::sides::local::target::certified_id;
use crate::state::current;
use crate::terms::atoms;
use crate::terms::reason::Reason;
use crate::terms::weighing::{LIGHT, weigh};
use rustler::{Atom, Env, NifResult, Term};
use std::time::Duration;
use zen_monitor_core::structures::held::HELD;

/// How long one call may certify.
pub const CERTIFYING: Duration = Duration::from_micros(300);
/// The call looks at the clock once for so many certificates.
pub const LOOK: usize = 16;
/// How many parts of reasons one call may encode. That takes about as long as [`CERTIFYING`]. The clock alone would not
/// do: the reasons between two looks may have twice as many parts.
pub const PARTS: usize = 8 * LIGHT;

/// Makes the targets of the first `certificates` due. Returns `{:ok, rest, malformed, delivered}`: the rest of the list,
/// what was no certificate of a process on the node, and how many `:DOWN`s were delivered, which is 0 unless there is a
/// [`StandIn`] in place of `none`. Returns `{:bulky, rest, malformed, delivered}` when [`connector_certify_bulky`] must go
/// on.
#[rustler::nif]
fn connector_certify<'a>(
    env: Env<'a>,
    node: Term<'a>,
    certificates: Term<'a>,
    stand_in: Term<'a>,
) -> NifResult<(Atom, Term<'a>, Vec<Term<'a>>, usize)> {
    let mut malformed = Vec::new();
    let stand_in = StandIn::read(stand_in)?;
    let certified = certify(env, node, certificates, false, stand_in, &mut malformed)?;
    let (rest, bulky, delivered) = certified;
    let tag = if bulky { atoms::bulky() } else { atoms::ok() };
    Ok((tag, rest, malformed, delivered))
}

/// The same for reasons of any size. Always returns `{:ok, rest, malformed, 0}`.
#[rustler::nif(schedule = "DirtyCpu")]
fn connector_certify_bulky<'a>(
    env: Env<'a>,
    node: Term<'a>,
    certificates: Term<'a>,
) -> NifResult<(Atom, Term<'a>, Vec<Term<'a>>, usize)> {
    let mut malformed = Vec::new();
    let (rest, _, _) = certify(env, node, certificates, true, None, &mut malformed)?;
    Ok((atoms::ok(), rest, malformed, 0))
}

/// Certifies until a slice is done, the time is up, or enough parts are encoded. It also stops at a reason that takes
/// long to encode if not `bulky`, and at one that does not if `bulky`. Nothing is taken for granted about the size of a
/// reason: the other node may not truncate. Returns the rest of the list, whether it begins with a bulky reason, and how
/// many `:DOWN`s were delivered.
fn certify<'a>(
    env: Env<'a>,
    node: Term<'a>,
    certificates: Term<'a>,
    bulky: bool,
    stand_in: Option<StandIn<'a>>,
    malformed: &mut Vec<Term<'a>>,
) -> NifResult<(Term<'a>, bool, usize)> {
    let state = current()?;
    let local = &state.local;
    let node = local.node(node)?;
    let timeslice = Timeslice::begin(env);
    let mut last: Option<(Term, Reason)> = None;
    let mut deaths = Deaths::of(local, node);
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
            let known = match &last {
                // To compare with a light reason takes little time, even if the other is large.
                Some((term, known)) if *term == reason => known,
                _ => {
                    let weight = weigh(reason);
                    if weight.is_none() != bulky {
                        stopped = !bulky;
                        break;
                    }
                    parts += weight.unwrap_or(0);
                    &last.insert((reason, Reason::due(reason))).1
                }
            };
            match subscription {
                None => deaths.add(id, known),
                numbered => {
                    deaths.certify();
                    local.table.certify(node, id, numbered, known.clone());
                }
            }
        } else {
            malformed.push(certificate);
        }
        rest = tail;
    }
    deaths.certify();
    Ok((rest, stopped, due(env, local, stand_in, &timeslice)?))
}

/// Neighbours in a list that have died for one reason. They are certified together.
struct Deaths<'n> {
    local: &'n Local,
    node: &'n Node,
    ids: Vec<[u32; 3]>,
    reason: Option<Reason>,
    /// How many monitors may still be moved to the queues of their subscribers.
    room: usize,
}

impl<'n> Deaths<'n> {
    fn of(local: &'n Local, node: &'n Node) -> Self {
        Deaths {
            local,
            node,
            ids: Vec::new(),
            reason: None,
            room: SLICE,
        }
    }

    #[inline]
    fn add(&mut self, id: [u32; 3], reason: &Reason) {
        let is_same = |known: &Reason| known.is_same(reason);
        if self.ids.len() == HELD || !self.reason.as_ref().is_some_and(is_same) {
            self.certify();
            self.reason = Some(reason.clone());
        }
        self.ids.push(id);
    }

    fn certify(&mut self) {
        if let Some(reason) = &self.reason {
            let ids = self.ids.drain(..);
            let table = &self.local.table;
            self.room -= table.certify_each(self.node, ids, reason, self.room);
        }
    }
}

/// Expands what was certified, and delivers it if that is asked for. Returns how many `:DOWN`s were.
pub fn due<'a>(
    env: Env<'a>,
    local: &Local,
    stand_in: Option<StandIn<'a>>,
    timeslice: &Timeslice,
) -> NifResult<usize> {
    match stand_in {
        Some(stand_in) => stand_in.expand_and_deliver(env, local, timeslice),
        None => {
            local.expand_or_defer(env, SLICE);
            Ok(0)
        }
    }
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
