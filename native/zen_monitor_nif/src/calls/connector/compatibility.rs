//! The cached compatibility of nodes.

use crate::sides::local::node::Node;
use crate::state::current;
use crate::terms::{atoms, word};
use rustler::{Atom, Encoder, Env, Error, NifResult, Term};
use std::sync::atomic::Ordering;

/// The layout of `Remote::compatibility`: a tag in the lowest two bits, the attempt in the next six, and in the rest, as
/// a signed number, the millisecond until which incompatibility is enforced.
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
    // Acquire, with the release below: whoever reads a value sees what was done before it was set.
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

/// Notes what is known of a node. `enforce_until` (monotonic ms) and `attempt` are used for `:incompatible` only.
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

/// Forgets that a node is compatible, if that is what is known.
pub fn forget_compatible(node: &Node) {
    // Release, as every change. It fails if something else is known, which stays.
    let _ = node.host.compatibility.compare_exchange(
        COMPATIBLE,
        MISS,
        Ordering::Release,
        Ordering::Relaxed,
    );
}
