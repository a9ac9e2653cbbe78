//! What the Connectors do with the monitor table: outboxes, certificates, compatibility.

use crate::calls::timeslice::Timeslice;
use crate::sides::local::target::{add_object, certified_id};
use crate::sides::local::{Local, Node, SLICE};
use crate::state::current;
use crate::terms::batch::Batch;
use crate::terms::reason::Reason;
use crate::terms::weighing::{LIGHT, weigh};
use crate::terms::{atoms, word};
use rustler::{Atom, Encoder, Env, Error, LocalPid, NifResult, Term};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use zen_monitor_core::monitors::targets::Instruction;

/// How long one call may certify.
pub const CERTIFYING: Duration = Duration::from_micros(300);
/// How many certificates there are between two looks at the clock.
pub const LOOK: usize = 16;
/// How many parts of reasons one call may encode, which takes about as long: the reasons between two looks at
/// the clock may have twice as many.
pub const PARTS: usize = 8 * LIGHT;
/// How long one call may take instructions, which it makes terms of afterwards.
const TAKING: Duration = Duration::from_micros(300);
/// Targets that are taken from an outbox together.
pub const TAKEN: usize = 128;

/// The Connector of a node, dead or alive; `nil` if it never had one, or the last has retired.
#[rustler::nif]
fn connector<'a>(env: Env<'a>, node: Term<'a>) -> NifResult<Option<LocalPid>> {
    let state = current()?;
    let found = state.local.table.nodes.find(word::from_term(node));
    Ok(found.and_then(|node| node.host.connector.owner(env)))
}

/// Makes the caller the Connector of a node. `true` when it succeeds another one, whose
/// subscriptions are void.
#[rustler::nif]
fn connector_answer(env: Env, node: Term) -> NifResult<bool> {
    let state = current()?;
    let node = state.local.node(node)?;
    state.local.table.begin_resubscribing(node);
    Ok(node.host.connector.answer(env))
}

/// Queues a slice of a node's subscriptions once more. `true` when all were seen.
#[rustler::nif]
fn connector_resubscribe(env: Env, node: Term) -> NifResult<bool> {
    let state = current()?;
    let _timeslice = Timeslice::begin(env);
    let node = state.local.node(node)?;
    Ok(state.local.table.resubscribe(node, SLICE))
}

/// The next instructions for a node, at most `limit` and fewer when they take long, and whether its
/// outbox was emptied. `name` is what named targets of the node are addressed with.
#[rustler::nif]
fn connector_take<'a>(
    env: Env<'a>,
    node: Term<'a>,
    name: Term<'a>,
    limit: usize,
) -> NifResult<(Vec<Term<'a>>, bool)> {
    let state = current()?;
    let local = &state.local;
    let node = local.node(node)?;
    let _timeslice = Timeslice::begin(env);
    let sample = node.host.origin.sample();
    let mut verbs = Vec::new();
    let mut batch = Batch::new(env);
    let take_some = |limit| local.table.take(node, limit, TAKEN);
    let emptied = take(local, limit, take_some, |instruction| {
        verbs.push(match instruction {
            Instruction::Unsubscribe(_) => atoms::unsubscribe(),
            _ => atoms::subscribe(),
        });
        let key = instruction.key();
        add_object(&mut batch, sample.as_deref(), name, key);
        batch.undecoded() < SLICE
    });
    let targets = batch.build().ok_or(Error::BadArg)?;
    let instructions = verbs.into_iter().zip(targets);
    Ok((instructions.map(|pair| pair.encode(env)).collect(), emptied))
}

/// Shows `add` the next instructions for a node, of which `take_some` takes some: at most `limit`, and fewer when
/// they take long, or when `add` answers `false`. Returns whether the outbox was emptied.
pub fn take(
    local: &Local,
    limit: usize,
    take_some: impl Fn(usize) -> (Vec<Instruction>, bool),
    mut add: impl FnMut(Instruction) -> bool,
) -> bool {
    let began = Instant::now();
    let mut left = limit;
    let mut goes_on = true;
    while goes_on && left > 0 && began.elapsed() < TAKING {
        let (instructions, emptied) = take_some(TAKEN.min(left));
        left -= instructions.len();
        local
            .swept
            .fetch_add(instructions.len() as u64, Ordering::Relaxed);
        for instruction in instructions {
            goes_on = add(instruction);
        }
        if emptied {
            return true;
        }
    }
    false
}

/// Closes the chunk that was taken: it was sent.
#[rustler::nif]
fn connector_confirm(node: Term) -> NifResult<Atom> {
    let state = current()?;
    state.local.table.confirm(state.local.node(node)?);
    Ok(atoms::ok())
}

/// Takes a slice of the chunk back: it was not sent. `true` when nothing is left of it.
#[rustler::nif]
fn connector_withdraw(env: Env, node: Term) -> NifResult<bool> {
    let state = current()?;
    let _timeslice = Timeslice::begin(env);
    let node = state.local.node(node)?;
    Ok(state.local.table.withdraw(node, SLICE))
}

/// Makes a slice of what waits for a node due, since it cannot be told. Answers how much became due, and
/// whether nothing is left.
#[rustler::nif]
fn connector_fail(env: Env, node: Term) -> NifResult<(usize, bool)> {
    let state = current()?;
    let _timeslice = Timeslice::begin(env);
    let local = &state.local;
    let failed = local.table.fail(local.node(node)?, SLICE);
    local.expand_or_defer(env, SLICE);
    Ok(failed)
}

/// How many targets wait for a node beyond `limit`.
#[rustler::nif]
fn connector_excess(node: Term, limit: usize) -> NifResult<usize> {
    let state = current()?;
    let node = state.local.node(node)?;
    Ok(node.pending().saturating_sub(limit))
}

/// Makes what waits for a node due, as [`connector_fail`] does, after a look at `amount` of it and at
/// a slice at most. Answers at how much it has looked, and how much became due.
#[rustler::nif]
fn connector_shed(env: Env, node: Term, amount: usize) -> NifResult<(usize, usize)> {
    let state = current()?;
    let _timeslice = Timeslice::begin(env);
    let local = &state.local;
    let amount = amount.min(SLICE);
    let shed = local.table.shed(local.node(node)?, amount);
    local.expand_or_defer(env, SLICE);
    Ok((amount, shed))
}

/// Makes everything that a node was told to watch due, since the connection to it is gone.
#[rustler::nif]
fn connector_expire(env: Env, node: Term) -> NifResult<Atom> {
    let state = current()?;
    let local = &state.local;
    let node = local.node(node)?;
    node.host.connection.lock().forget();
    local.table.expire(node);
    local.backlog.ring(env);
    Ok(atoms::ok())
}

/// Makes the targets of the first `certificates` due, and returns the rest of the list and what was
/// no certificate of a process on the node: `{:ok, rest, malformed}`, or `{:bulky, rest, malformed}`
/// when [`connector_certify_bulky`] must go on.
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

/// The same for reasons that may be of any size. Always answers `{:ok, rest, malformed}`.
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

/// Certifies until a slice is done, time is up, many parts are encoded, or a reason takes long to encode where
/// `bulky` says that none may, or the other way round. The node where it comes from may truncate nothing.
/// Returns the rest, and whether it begins with a bulky reason.
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
    let _timeslice = Timeslice::begin(env);
    let began = Instant::now();
    let mut last: Option<(Term, Reason)> = None;
    let mut rest = certificates;
    let mut stopped = false;
    let mut parts = 0;
    for certified in 1..=SLICE {
        let is_late = || certified % LOOK == 0 && began.elapsed() > CERTIFYING;
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
                // What equals one that is light is light, and what differs from it is soon seen to.
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

/// The destination, the number of the subscription if that has one, and the reason.
#[inline]
fn parts_of(certificate: Term<'_>) -> Option<(Term<'_>, Option<u32>, Term<'_>)> {
    if let Ok((destination, reason)) = certificate.decode() {
        return Some((destination, None, reason));
    }
    let (destination, subscription, reason) = certificate.decode().ok()?;
    Some((destination, Some(subscription), reason))
}

/// Puts the Connector to rest; `false` when something has come into the outbox.
#[rustler::nif]
fn connector_rest(node: Term) -> NifResult<bool> {
    let state = current()?;
    let node = state.local.node(node)?;
    Ok(node.host.connector.rest(|| node.is_outbox_empty()))
}

/// Whether nothing on a node is monitored and nothing waits in its outbox.
#[rustler::nif]
fn connector_is_unused(node: Term) -> NifResult<bool> {
    let state = current()?;
    let node = state.local.node(node)?;
    Ok(state.local.table.is_unused(node))
}

/// Ends the caller's duty as the Connector of a node that is unused; otherwise `false`, and it must
/// sweep. Nobody would notice if the node were not compatible any more, so that is forgotten. The name of the
/// node may never be heard of again, so what takes memory is given back.
#[rustler::nif]
fn connector_retire(env: Env, node: Term) -> NifResult<bool> {
    let state = current()?;
    let node = state.local.node(node)?;
    let is_unused = || state.local.table.is_unused(node);
    let retired = node.host.connector.retire(env, is_unused);
    if retired && !node.host.connector.is_answered() {
        // Release as every change of it. A failure means that it holds something else.
        let _ = node.host.compatibility.compare_exchange(
            COMPATIBLE,
            MISS,
            Ordering::Release,
            Ordering::Relaxed,
        );
        node.give_back();
        node.host.origin.forget();
    }
    Ok(retired)
}

/// Whether a node must have a Connector: it has one, alive or crashed, or something is monitored.
#[rustler::nif]
fn connector_is_wanted(node: Term) -> NifResult<bool> {
    let state = current()?;
    Ok(is_wanted(&state.local, state.local.node(node)?))
}

/// The names of all nodes that must have a Connector. Dirty: it looks at each that was ever known.
#[rustler::nif(schedule = "DirtyCpu")]
fn connectors_wanted(env: Env<'_>) -> NifResult<Vec<Term<'_>>> {
    let state = current()?;
    let nodes = state.local.table.nodes.iter();
    let wanted = nodes.filter(|node| is_wanted(&state.local, node));
    Ok(wanted.map(|node| word::to_term(env, node.name())).collect())
}

fn is_wanted(local: &Local, node: &Node) -> bool {
    node.host.connector.is_answered() || !local.table.is_unused(node)
}

/// `Remote::compatibility`: a tag in two bits, the attempt in the next six, and the millisecond
/// until which it is enforced, signed, in the rest.
const MISS: u64 = 0;
const COMPATIBLE: u64 = 1;
const UNAVAILABLE: u64 = 2;
const INCOMPATIBLE: u64 = 3;
const MOST_ATTEMPTS: u32 = 63;

/// What is known of a node: `:miss`, `:compatible`, `:unavailable`, or
/// `{:incompatible, enforce_until, attempt}`.
#[rustler::nif]
fn compatibility<'a>(env: Env<'a>, node: Term<'a>) -> NifResult<Term<'a>> {
    let state = current()?;
    // Acquire: with the release below, who reads it sees what was done before it was set.
    let word = state
        .local
        .table
        .nodes
        .find(word::from_term(node))
        .map_or(MISS, |node| node.host.compatibility.load(Ordering::Acquire));
    Ok(match word & 0b11 {
        COMPATIBLE => atoms::compatible().encode(env),
        UNAVAILABLE => atoms::unavailable().encode(env),
        INCOMPATIBLE => {
            let (until, attempt) = (word as i64 >> 8, word >> 2 & 0b11_1111);
            (atoms::incompatible(), until, attempt).encode(env)
        }
        _ => atoms::miss().encode(env),
    })
}

/// Notes what is known of a node. `enforce_until` (monotonic ms) and `attempt` count for
/// `:incompatible` only.
#[rustler::nif]
fn set_compatibility(
    node: Term,
    compatibility: Atom,
    enforce_until: i64,
    attempt: u32,
) -> NifResult<Atom> {
    let state = current()?;
    let word = if compatibility == atoms::compatible() {
        COMPATIBLE
    } else if compatibility == atoms::unavailable() {
        UNAVAILABLE
    } else if compatibility == atoms::incompatible() {
        (enforce_until as u64) << 8 | u64::from(attempt.min(MOST_ATTEMPTS)) << 2 | INCOMPATIBLE
    } else {
        return Err(Error::BadArg);
    };
    let node = state.local.node(node)?;
    node.host.compatibility.store(word, Ordering::Release);
    Ok(atoms::ok())
}
