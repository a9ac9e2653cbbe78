//! Reads the words of a reference: from the heap if its layout is known, else from the external format.

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

/// The words of a reference of this node, if they are all of it. An alias has more since OTP 27.
#[inline]
pub fn plain_reference(env: Env, term: Term) -> Option<[u32; 3]> {
    let encoded = || etf::numbers(env, term).filter(|numbers| numbers.rest.is_none());
    heap::reference(term).or_else(|| Some(encoded()?.words))
}
