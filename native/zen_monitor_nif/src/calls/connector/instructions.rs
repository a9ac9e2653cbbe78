//! The instructions for a node: taken to be sent, confirmed, taken back, or given up.

use crate::calls::timeslice::{SLICE, Timeslice};
use crate::sides::local::Local;
use crate::sides::local::target::add_object;
use crate::state::current;
use crate::terms::atoms;
use crate::terms::batch::Batch;
use rustler::{Atom, Encoder, Env, Error, NifResult, Term};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use zen_monitor_core::monitors::targets::Instruction;

/// How long one call may take instructions. It makes terms of them afterwards.
const TAKING: Duration = Duration::from_micros(300);
/// How many targets are taken from an outbox together.
pub const TAKEN: usize = 128;

/// Puts a slice of the targets that the node was told of into the outbox once more. `true` when all were seen.
#[rustler::nif]
fn connector_resubscribe(env: Env, node: Term) -> NifResult<bool> {
    let state = current()?;
    let _timeslice = Timeslice::begin(env);
    let node = state.local.node(node)?;
    Ok(state.local.table.resubscribe(node, SLICE))
}

/// Takes the next instructions for a node: at most `limit`, and fewer when they take long. Returns them, and whether
/// the outbox was emptied. `name` is the node name that destinations with a registered name are sent with.
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

/// Hands the next instructions for a node to `add`: at most `limit`, and fewer when they take long or `add` returns
/// `false`. `take_some` takes up to so many from the outbox. Returns whether the outbox was emptied.
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

/// Confirms the chunk that was taken: it was sent.
#[rustler::nif]
fn connector_confirm(node: Term) -> NifResult<Atom> {
    let state = current()?;
    state.local.table.confirm(state.local.node(node)?);
    Ok(atoms::ok())
}

/// Takes back a slice of the chunk, which was not sent. `true` when nothing is left of it.
#[rustler::nif]
fn connector_withdraw(env: Env, node: Term) -> NifResult<bool> {
    let state = current()?;
    let _timeslice = Timeslice::begin(env);
    let node = state.local.node(node)?;
    Ok(state.local.table.withdraw(node, SLICE))
}

/// Gives up a slice of what waits for a node that cannot be told: the monitors become due. Returns how many, and
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

/// Gives up what waits for a node, as [`connector_fail`] does, among the next `amount` targets and a slice at most.
/// Returns at how many targets it has looked, and how many monitors became due.
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

/// Makes all monitors due that a node was told of, since the connection to it is lost.
#[rustler::nif]
fn connector_expire(env: Env, node: Term) -> NifResult<Atom> {
    let state = current()?;
    let local = &state.local;
    let node = local.node(node)?;
    local.table.expire(node);
    local.backlog.ring(env);
    Ok(atoms::ok())
}
