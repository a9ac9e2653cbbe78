//! What a message begins with that is no plain `:DOWN`.

use crate::terms::etf::Identity;
use crate::terms::reason::{BULKY, Reason};
use crate::terms::{atoms, word};
use parking_lot::Mutex;
use rustler::env::{OwnedEnv, SavedTerm};
use rustler::{Env, Error, NifResult, Term};

/// What a message begins with.
pub enum Tag {
    /// An atom's word.
    Atom(u64),
    /// Another term.
    Encoded(Reason),
    /// Takes ten times the memory, and an eighth of the time, which is its weight. Locked, since an environment serves one
    /// thread at a time.
    Copied(Mutex<(OwnedEnv, SavedTerm)>, usize),
}

impl Tag {
    /// Keeps a term.
    pub fn new(env: Env, tag: Term) -> NifResult<Tag> {
        if tag.is_atom() {
            return Ok(Tag::Atom(word::from_term(tag)));
        }
        let identity = Identity::of_caller(env).ok_or(Error::BadArg)?;
        let encoded = tag.to_binary();
        // An encoded pid of this node would not be one of it any more, once that has a name; and one
        // that is bulky would have all deliveries take place on a dirty scheduler.
        if identity.is_nameless() || encoded.len() > BULKY {
            let owned = OwnedEnv::new();
            let saved = owned.save(tag);
            let weight = encoded.len() / 8;
            return Ok(Tag::Copied(Mutex::new((owned, saved)), weight));
        }
        Ok(Tag::Encoded(Reason::from_etf(&encoded)))
    }

    /// The term.
    pub fn to_term<'a>(&self, env: Env<'a>) -> Term<'a> {
        match self {
            Tag::Atom(atom) => word::to_term(env, *atom),
            Tag::Encoded(encoded) => encoded
                .to_term(env)
                .unwrap_or_else(|_| atoms::down().to_term(env)),
            Tag::Copied(copied, _) => {
                let (owned, saved) = &*copied.lock();
                owned.run(|inner| saved.load(inner).in_env(env))
            }
        }
    }

    /// What it weighs, in bytes that have to be decoded.
    pub fn weight(&self) -> usize {
        match self {
            Tag::Atom(_) => 0,
            Tag::Encoded(encoded) => encoded.as_etf().len(),
            Tag::Copied(_, weight) => *weight,
        }
    }
}
