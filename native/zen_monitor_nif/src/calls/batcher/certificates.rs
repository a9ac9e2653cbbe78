//! Makes messages of certificates: lists, or parts in the compact form.

use crate::sides::proxy::destination::destination_to_term;
use crate::terms::etf::{Identity, Pid, decode_pids};
use crate::terms::numbering::Numbering;
use crate::terms::parts::Parts;
use rustler::{Encoder, Env, Error, NifResult, Term};
use zen_monitor_core::subscriptions::table::Destination;
use zen_monitor_core::wire::Numbers;

/// What a certificate is about.
#[derive(Clone, Copy)]
pub enum Dead {
    /// A destination that the table knows.
    Known(Destination),
    /// The same, with the number of the subscription.
    Numbered(Destination, u32),
    /// A pid of a former life of this node.
    Former(Numbers, u32),
    /// The reason has the whole certificate.
    Encoded,
}

/// The certificates as a list, as version 2 knows them. Each has the place of its reason.
pub fn certificates<'a>(
    env: Env<'a>,
    taken: &[(Dead, usize)],
    reasons: &[Term<'a>],
) -> NifResult<Vec<Term<'a>>> {
    let to_term = |&(dead, reason): &(Dead, usize)| match dead {
        Dead::Known(destination) | Dead::Numbered(destination, _) => {
            Ok((destination_to_term(env, destination), reasons[reason]).encode(env))
        }
        Dead::Former(numbers, creation) => {
            Ok((former_pid(env, numbers, creation)?, reasons[reason]).encode(env))
        }
        Dead::Encoded => Ok(reasons[reason]),
    };
    taken.iter().map(to_term).collect()
}

/// The same in the parts of the compact form.
pub fn certificate_parts<'a>(
    env: Env<'a>,
    taken: &[(Dead, usize)],
    reasons: &[Term<'a>],
) -> NifResult<Vec<Term<'a>>> {
    let creation = Identity::of_caller(env).ok_or(Error::BadArg)?.creation;
    let numbering = Numbering::known();
    let numbers = |destination: Destination| match destination.node {
        0 => numbering?.numbers_of(destination.word),
        _ => None,
    };
    let mut parts = Parts::new(env);
    for &(dead, number) in taken {
        let reason = reasons[number];
        let destination = |destination| destination_to_term(env, destination);
        match dead {
            Dead::Known(known) => match numbers(known) {
                Some(pid) => parts.certify((number, reason), pid, creation),
                None => parts.term((destination(known), reason).encode(env)),
            },
            Dead::Numbered(known, subscription) => {
                parts.term((destination(known), subscription, reason).encode(env));
            }
            Dead::Former(pid, creation) => parts.certify((number, reason), pid, creation),
            Dead::Encoded => parts.term(reason),
        }
    }
    Ok(parts.finish())
}

/// A pid of a former life of this node.
fn former_pid<'a>(env: Env<'a>, [id, serial]: Numbers, creation: u32) -> NifResult<Term<'a>> {
    let identity = Identity::of_caller(env).ok_or(Error::BadArg)?;
    let pid = Pid {
        node: &identity.node,
        id,
        serial,
        creation,
    };
    let pids = decode_pids(env, &[pid]).ok_or(Error::BadArg)?;
    Ok(pids[0])
}
