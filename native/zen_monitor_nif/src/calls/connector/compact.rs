//! The compact form, on the side of a Connector: the instructions that it sends, and the certificates that come in.

use crate::calls::connector::certificates::{CERTIFYING, LOOK, PARTS, due};
use crate::calls::connector::instructions::{TAKEN, take};
use crate::calls::dispatcher::delivery::StandIn;
use crate::calls::timeslice::{SLICE, Timeslice};
use crate::sides::local::target::{LOCAL, immediate};
use crate::state::current;
use crate::terms::atoms;
use crate::terms::parts::Parts;
use crate::terms::reason::Reason;
use crate::terms::weighing::weigh;
use rustler::types::tuple::get_tuple;
use rustler::{Atom, Binary, Encoder, Env, Error, NifResult, Term};
use zen_monitor_core::monitors::targets::Instruction;
use zen_monitor_core::wire::{Decoder, Kind, Run};

/// As `connector_take`, but returns parts, and how many instructions they hold: `{parts, amount, emptied?}`.
#[rustler::nif]
fn connector_take_parts<'a>(
    env: Env<'a>,
    node: Term<'a>,
    name: Term<'a>,
    limit: usize,
) -> NifResult<(Vec<Term<'a>>, usize, bool)> {
    let state = current()?;
    let local = &state.local;
    let _timeslice = Timeslice::begin(env);
    let mut parts = Parts::new(env);
    let mut instructions = 0;
    let node = local.node(node)?;
    let take_some = |limit| local.table.take_numbered(node, limit, TAKEN);
    let emptied = take(local, limit, take_some, |instruction| {
        instructions += 1;
        let (kind, verb) = match instruction {
            Instruction::Unsubscribe(_) => (Kind::Unsubscribe, atoms::unsubscribe()),
            _ => (Kind::Subscribe, atoms::subscribe()),
        };
        let key = instruction.key();
        match (immediate(name, key), instruction) {
            (None, _) => {
                let [id, serial, creation] = key.id;
                parts.instruct(kind, [id, serial], creation);
            }
            (Some(name), Instruction::SubscribeName(_, number)) => {
                parts.term((verb, name, number).encode(env));
            }
            (Some(name), _) => parts.term((verb, name).encode(env)),
        }
        true
    });
    Ok((parts.finish(), instructions, emptied))
}

/// As `connector_certify`, for runs. `reasons` is the tuple that they refer to. Returns
/// `{:ok, rest, certified, malformed, delivered}`, or `{:bulky, …}` when [`connector_certify_bulky_runs`] must go on with
/// the rest.
#[rustler::nif]
fn connector_certify_runs<'a>(
    env: Env<'a>,
    node: Term<'a>,
    runs: Binary<'a>,
    reasons: Term<'a>,
    stand_in: Term<'a>,
) -> NifResult<Certified<'a>> {
    certify(env, node, runs, reasons, false, StandIn::read(stand_in)?)
}

/// The same for reasons of any size. Always returns `{:ok, …}`.
#[rustler::nif(schedule = "DirtyCpu")]
fn connector_certify_bulky_runs<'a>(
    env: Env<'a>,
    node: Term<'a>,
    runs: Binary<'a>,
    reasons: Term<'a>,
) -> NifResult<Certified<'a>> {
    certify(env, node, runs, reasons, true, None)
}

type Certified<'a> = (Atom, Term<'a>, usize, Vec<Term<'a>>, usize);

/// Certifies until a slice is done, the time is up, or enough parts are encoded. It also stops at a reason that takes
/// long to encode if not `bulky`, and at one that does not if `bulky`. The caller makes sure that there are few reasons.
fn certify<'a>(
    env: Env<'a>,
    node: Term<'a>,
    runs: Binary<'a>,
    reasons: Term<'a>,
    bulky: bool,
    stand_in: Option<StandIn<'a>>,
) -> NifResult<Certified<'a>> {
    let state = current()?;
    let local = &state.local;
    let node = local.node(node)?;
    let timeslice = Timeslice::begin(env);
    let reasons = get_tuple(reasons)?;
    let mut encoded: Vec<Option<Reason>> = vec![None; reasons.len()];
    let mut malformed = Vec::new();
    let mut certified = 0;
    let mut next = atoms::ok();
    let mut decoder = Decoder::new(&runs);
    let mut rest = decoder.rest();
    let part = |bytes: &[u8], length| {
        let from = runs.len() - bytes.len();
        Ok::<_, Error>(runs.make_subbinary(from, length)?.to_term(env))
    };
    let (mut turn, mut weighed, mut expanded) = (0, 0, 0);
    while !rest.is_empty() && certified + malformed.len() < SLICE {
        turn += 1;
        let is_late = || turn % LOOK == 0 && timeslice.elapsed() > CERTIFYING;
        if !bulky && (weighed >= PARTS || is_late()) {
            break;
        }
        let run = decoder.next();
        let reason = run.as_ref().and_then(|run| place_of(run, reasons.len()));
        if let (Some(run), Some(place)) = (run, reason) {
            if encoded[place].is_none() {
                let weight = weigh(reasons[place]);
                if weight.is_none() != bulky {
                    next = if bulky { atoms::ok() } else { atoms::bulky() };
                    break;
                }
                weighed += weight.unwrap_or(0);
            }
            let reason = encoded[place].get_or_insert_with(|| Reason::due(reasons[place]));
            let pids = run.pids().iter();
            let targets = pids.map(|&[id, serial]| [id, serial, run.creation]);
            expanded += (local.table).certify_each(node, targets, reason, SLICE - expanded);
            certified += run.pids().len();
        }
        if reason.is_none() || decoder.is_malformed() {
            malformed.push(part(rest, rest.len() - decoder.rest().len())?);
        }
        rest = decoder.rest();
    }
    let delivered = due(env, local, stand_in, &timeslice)?;
    Ok((
        next,
        part(rest, rest.len())?,
        certified,
        malformed,
        delivered,
    ))
}

/// The place of the reason that a run refers to. `None` if the run is no certificate, or refers to no reason.
fn place_of(run: &Run, reasons: usize) -> Option<usize> {
    match run.kind {
        Kind::Dead(place) if run.creation < LOCAL => {
            Some(usize::from(place)).filter(|&place| place < reasons)
        }
        _ => None,
    }
}
