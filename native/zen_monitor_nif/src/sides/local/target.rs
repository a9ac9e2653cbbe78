//! Targets: how the tables identify what is monitored.
//!
//! The id of a target is three words. For a remote pid they are its ID, its serial and its creation. A name, or a pid
//! of this node, is a single machine word: it takes two of the three, and the third is a mark that is no creation.

use crate::sides::local::node::{Node, Remote};
use crate::terms::batch::Batch;
use crate::terms::etf::{Reader, encoded_name};
use crate::terms::heap::{self, Object};
use crate::terms::origin::Sample;
use crate::terms::{atoms, word};
use rustler::{Encoder, Env, LocalPid, Term};
use zen_monitor_core::monitors::targets::{Key, NAMED};

/// The last word in the id of a pid of this node. It is the lowest of the marks that are no creation.
pub const LOCAL: u32 = u32::MAX - 1;
const _: () = assert!(LOCAL < NAMED);

/// The id of a name.
#[inline]
pub fn named(name: Term) -> [u32; 3] {
    words(word::from_term(name), NAMED)
}

fn words(word: u64, last: u32) -> [u32; 3] {
    [word as u32, (word >> 32) as u32, last]
}

fn pair_word(id: [u32; 3]) -> u64 {
    u64::from(id[1]) << 32 | u64::from(id[0])
}

/// The node under which a target is kept: `name`, or `ZenMonitor.Local` for a pid of this node. A pid of a former life
/// of this node is not one of its pids.
#[inline]
pub fn node_of<'a>(env: Env<'a>, name: Term<'a>, target: Term) -> Term<'a> {
    if target.decode::<LocalPid>().is_ok() {
        atoms::local().to_term(env)
    } else {
        name
    }
}

/// The name of a node. `name` is the name of this node.
pub fn name_of<'a>(env: Env<'a>, node: &Node, name: Term<'a>) -> Term<'a> {
    let remote = word::to_term(env, node.name());
    if remote == atoms::local().to_term(env) {
        name
    } else {
        remote
    }
}

/// The id of a target that need not be decoded: a name, a pid of this node, or a pid of the life of `host` that is
/// known. [`target_id`] tells all others.
#[inline]
pub fn known_id(target: Term, host: &Remote) -> Option<[u32; 3]> {
    if let Some((origin, [id, serial])) = heap::remote_pid(target) {
        return Some([id, serial, host.origin.creation(origin)?]);
    }
    if target.is_atom() {
        return Some(words(word::from_term(target), NAMED));
    }
    let is_local = target.decode::<LocalPid>().is_ok();
    is_local.then(|| words(word::from_term(target), LOCAL))
}

/// The id of a target: a name, a pid of this node, or a pid of `node`.
pub fn target_id(target: Term, node: &Node) -> Option<[u32; 3]> {
    known_id(target, &node.host).or_else(|| decoded_id(target, node))
}

#[cold]
fn decoded_id(target: Term, node: &Node) -> Option<[u32; 3]> {
    if !target.is_pid() {
        return None;
    }
    let encoded = target.to_binary();
    let pid = Reader::new(encoded.as_slice())?.pid()?;
    let name = word::to_term(target.get_env(), node.name());
    if pid.node != &*encoded_name(name) || pid.creation >= LOCAL {
        return None;
    }
    node.host.origin.learn(target, pid.creation);
    Some([pid.id, pid.serial, pid.creation])
}

/// Adds the term of a target to a batch, as `Process.monitor/1` would name it. `name` is the name of its node.
#[inline]
pub fn add_object<'a>(batch: &mut Batch<'a>, sample: Option<&Sample>, name: Term<'a>, key: Key) {
    if let Some(term) = immediate(name, key) {
        return batch.term(term);
    }
    batch.pid(name, key.id, sample);
}

/// The same as a part of a message, if no pid has to be decoded for it. It is valid as long as the sample exists.
#[inline]
pub fn object<'a>(sample: Option<&Sample>, name: Term<'a>, key: Key) -> Option<Object<'a>> {
    match immediate(name, key) {
        Some(term) => Some(Object::Term(term)),
        None => sample?.object(key.id),
    }
}

/// The term of a target that is a name or a pid of this node.
#[inline]
pub fn immediate<'a>(name: Term<'a>, key: Key) -> Option<Term<'a>> {
    let env = name.get_env();
    let word = word::to_term(env, pair_word(key.id));
    match key.id[2] {
        NAMED => Some((word, name).encode(env)),
        LOCAL => Some(word),
        _ => None,
    }
}

/// The id of a certified destination, if it can be a destination on that node.
pub fn certified_id(destination: Term, node: &Node) -> Option<[u32; 3]> {
    if let Ok((name, _)) = destination.decode::<(Term, Term)>() {
        return name.is_atom().then(|| words(word::from_term(name), NAMED));
    }
    target_id(destination, node)
}
