//! Exit reasons, kept outside any environment.

use rustler::{Env, NifResult, Term};
use std::sync::Arc;

/// An exit reason in the external term format, shared by all that wait for its delivery.
#[derive(Clone)]
pub struct Reason(Arc<[u8]>);

impl Reason {
    /// Encodes a term.
    pub fn from_term(term: Term) -> Reason {
        Reason(Arc::from(term.to_binary().as_slice()))
    }

    /// Takes bytes that are known to be a complete external term, version byte included.
    pub fn from_etf(etf: &[u8]) -> Reason {
        Reason(Arc::from(etf))
    }

    /// The bytes, version byte included.
    pub fn as_etf(&self) -> &[u8] {
        &self.0
    }

    /// Builds the term in `env`.
    pub fn to_term<'a>(&self, env: Env<'a>) -> NifResult<Term<'a>> {
        // SAFETY: the bytes came out of the VM's own encoder.
        unsafe { env.binary_to_term_trusted(&self.0) }
            .map(|(term, _)| term)
            .ok_or(rustler::Error::BadArg)
    }

    /// Whether both are one allocation, and so the same term.
    pub fn is_same(&self, other: &Reason) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
