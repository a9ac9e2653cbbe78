//! Tags: the first element of a message, in place of `:DOWN`.

use crate::terms::etf::Identity;
use crate::terms::reason::{BULKY, Reason};
use crate::terms::{atoms, word};
use parking_lot::Mutex;
use rustler::env::{OwnedEnv, SavedTerm};
use rustler::{Env, Error, NifResult, Term};

/// The first element of a message.
pub enum Tag {
    /// The word of an atom.
    Atom(u64),
    /// Another term, in the external format.
    Encoded(Reason),
    /// A term in an environment of its own, and its weight. It takes ten times the memory of an encoded one, and an
    /// eighth of the time to build. The lock is there because an environment serves one thread at a time.
    Copied(Mutex<(OwnedEnv, SavedTerm)>, usize),
}

impl Tag {
    /// Keeps a term as a tag.
    pub fn new(env: Env, tag: Term) -> NifResult<Tag> {
        if tag.is_atom() {
            return Ok(Tag::Atom(word::from_term(tag)));
        }
        let identity = Identity::of_caller(env).ok_or(Error::BadArg)?;
        let encoded = tag.to_binary();
        // Two kinds of tags are not encoded. As long as this node has no name, a pid in it would be decoded as that
        // of a foreign node after the node has got one. And a bulky tag would take too long to decode.
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

    /// The weight: how many bytes have to be decoded.
    pub fn weight(&self) -> usize {
        match self {
            Tag::Atom(_) => 0,
            Tag::Encoded(encoded) => encoded.as_etf().len(),
            Tag::Copied(_, weight) => *weight,
        }
    }
}
