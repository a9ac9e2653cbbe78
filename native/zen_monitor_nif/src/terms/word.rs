//! Terms of a single machine word.
//!
//! An atom or a local pid is one machine word. No garbage collector moves it and no environment owns it. So the
//! tables can keep it as a number, and it can be turned back into a term in any environment.

use rustler::sys::ErlNifTerm;
use rustler::{Env, LocalPid, Term};

/// The word of an atom or of a local pid. For any other term, the word means nothing outside of its environment.
#[inline]
pub fn from_term(term: Term) -> u64 {
    // SAFETY: ErlNifTerm is a transparent wrapper of the VM's unsigned word.
    unsafe { std::mem::transmute::<ErlNifTerm, usize>(term.as_c_arg()) as u64 }
}

/// The term of a word that [`from_term`] gave for an atom or a local pid.
#[inline]
pub fn to_term(env: Env<'_>, word: u64) -> Term<'_> {
    // SAFETY: the same layout as above, and an immediate term is valid in every environment.
    unsafe {
        let term = std::mem::transmute::<usize, ErlNifTerm>(word as usize);
        Term::new(env, term)
    }
}

/// The local pid of a word, or `None` when the word is of something else.
#[inline]
pub fn to_pid(env: Env, word: u64) -> Option<LocalPid> {
    to_term(env, word).decode().ok()
}

/// The word of the calling process's pid.
#[inline]
pub fn of_caller(env: Env) -> u64 {
    use rustler::Encoder;
    from_term(env.pid().encode(env))
}
