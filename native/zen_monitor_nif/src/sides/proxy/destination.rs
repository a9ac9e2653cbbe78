//! Destinations: how the subscription table identifies what is watched.
//!
//! Only names and pids of this node are watched here. Each is a single machine word.

use crate::terms::numbering::Numbering;
use crate::terms::word;
use rustler::{Encoder, Env, LocalPid, Term};
use zen_monitor_core::subscriptions::table::Destination;

/// A destination, as an instruction names it.
pub enum Subject {
    /// One that the table can have.
    Known(Destination),
    /// A pid of another node, or of a former life of this one.
    Foreign,
}

impl Subject {
    /// The destination that a term names. `None` if it names none.
    #[inline]
    pub fn of(term: Term) -> Option<Subject> {
        let known = |word, node| Some(Subject::Known(Destination { word, node }));
        if term.is_atom() {
            return known(word::from_term(term), 0);
        }
        if term.is_pid() {
            return match term.decode::<LocalPid>() {
                Ok(_) => known(plain(word::from_term(term)), 0),
                Err(_) => Some(Subject::Foreign),
            };
        }
        let (name, node): (Term, Term) = term.decode().ok()?;
        if name.is_atom() && node.is_atom() {
            known(word::from_term(name), word::from_term(node))
        } else {
            None
        }
    }
}

/// Whether a destination is a pid of this node, a bare name, or a name at one of the `home` nodes.
#[inline]
pub fn is_local(destination: Destination, home: [u64; 2]) -> bool {
    destination.node == 0 || home.contains(&destination.node)
}

/// The word under which the table has a local pid. Neighbouring pids have neighbouring words.
#[inline]
fn plain(word: u64) -> u64 {
    Numbering::known().map_or(word, |numbering| numbering.plain(word))
}

/// Whether a destination is a pid of a process that is dead.
pub fn is_dead(env: Env, destination: Destination) -> bool {
    let word = Numbering::known().map_or(destination.word, |known| known.whole(destination.word));
    destination.node == 0 && word::to_pid(env, word).is_some_and(|pid| !env.is_process_alive(pid))
}

/// The term of a destination.
pub fn destination_to_term(env: Env<'_>, destination: Destination) -> Term<'_> {
    let word = destination.word;
    let word = Numbering::known().map_or(word, |numbering| numbering.whole(word));
    let name = word::to_term(env, word);
    match destination.node {
        0 => name,
        node => (name, word::to_term(env, node)).encode(env),
    }
}
