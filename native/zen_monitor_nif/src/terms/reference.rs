//! The words of a reference: read off the heap where they can be, else from the external format.

use crate::terms::{etf, heap};
use rustler::{Env, Term};

/// The words of a reference of this node.
#[inline]
pub fn reference(env: Env, term: Term) -> Option<[u32; 3]> {
    heap::reference(term).or_else(|| encoded_reference(env, term))
}

#[cold]
fn encoded_reference(env: Env, term: Term) -> Option<[u32; 3]> {
    Some(etf::numbers(env, term)?.words)
}

/// The words of a reference of this node that is one from its words alone, which an alias is not since
/// OTP 27.
#[inline]
pub fn plain_reference(env: Env, term: Term) -> Option<[u32; 3]> {
    let encoded = || etf::numbers(env, term).filter(|numbers| numbers.rest.is_none());
    heap::reference(term).or_else(|| Some(encoded()?.words))
}
