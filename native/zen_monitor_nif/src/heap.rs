//! References and remote pids, read and made in the form in which the VM keeps them.
//!
//! The NIF interface shows the numbers in them only through the external term format. To encode one
//! costs more than all that the tables do for a monitor, and leaves garbage on the heap of the
//! caller; to decode a pid takes two locks of the VM. But on the heap both are a header and a few
//! words. This module reads those words, and has the VM copy such words of its own making.
//!
//! Nothing is taken on trust: when the library is loaded, [`probe`] compares what it would read and
//! make with the external format. If anything differs, as it may in a VM to come, the headers stay
//! unknown, every function here answers `None`, and the callers use the external format.

use crate::etf::{Identity, Pid, Reader, decode_pids};
use crate::word;
use rustler::sys::enif_make_copy;
use rustler::{Env, Term};
use std::mem::size_of;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The tag of a term that points to its words, and the bits that are no part of the address.
const BOXED: usize = 0b010;
const PRIMARY: usize = 0b011;
const TAGS: usize = 0b111;

/// The header words; 0, which is none, until they are known. Relaxed: they are constants of the
/// VM that are found before any other function of the library can be called.
static REFERENCE: AtomicUsize = AtomicUsize::new(0);
static PID: AtomicUsize = AtomicUsize::new(0);

/// An ordinary reference of this node.
#[repr(C, align(8))]
struct Reference {
    header: usize,
    marker: u32,
    words: [u32; 3],
}

/// What tells an ordinary reference from one that the VM looks after, which has the same header.
const ORDINARY: u32 = u32::MAX;

/// A pid of another node, or of another life of this one.
#[repr(C, align(8))]
struct RemotePid {
    header: usize,
    origin: usize,
    /// Links what refers to other nodes on one heap; the VM sets it in a copy.
    next: usize,
    numbers: [u32; 2],
}

/// The words of a reference of this node.
#[inline]
pub fn reference(term: Term) -> Option<[u32; 3]> {
    let header = REFERENCE.load(Ordering::Relaxed);
    // SAFETY: the header is that of the references that `probe` has seen.
    let reference = unsafe { at::<Reference>(term, header) }?;
    (reference.marker == ORDINARY).then_some(reference.words)
}

/// The origin of a remote pid, which is one for all pids of one life of a node, and its numbers.
#[inline]
pub fn remote_pid(term: Term) -> Option<(usize, [u32; 2])> {
    let header = PID.load(Ordering::Relaxed);
    // SAFETY: the header is that of the remote pids that `probe` has seen.
    let pid = unsafe { at::<RemotePid>(term, header) }?;
    Some((pid.origin, pid.numbers))
}

/// A reference of this node.
#[inline]
pub fn make_reference(env: Env<'_>, words: [u32; 3]) -> Option<Term<'_>> {
    let header = REFERENCE.load(Ordering::Relaxed);
    let reference = Reference {
        header,
        marker: ORDINARY,
        words,
    };
    // SAFETY: these are the words of a reference, as `probe` has seen them.
    (header != 0).then(|| unsafe { copy(env, &reference) })
}

/// A remote pid.
///
/// # Safety
///
/// `origin` was read off a pid that exists for the length of the call.
#[inline]
pub unsafe fn make_remote_pid<'a>(
    env: Env<'a>,
    origin: usize,
    numbers: [u32; 2],
) -> Option<Term<'a>> {
    let header = PID.load(Ordering::Relaxed);
    let pid = RemotePid {
        header,
        origin,
        next: 0,
        numbers,
    };
    // SAFETY: these are the words of a pid, as `probe` has seen them, and its origin is alive.
    (header != 0).then(|| unsafe { copy(env, &pid) })
}

/// What a boxed term points to, if it begins with `header`.
///
/// # Safety
///
/// What begins with `header` is a `T`.
#[inline]
unsafe fn at<'a, T>(term: Term<'a>, header: usize) -> Option<&'a T> {
    let address = address(term)?;
    // SAFETY: a boxed term points to one word at least, and lives as long as its environment.
    if unsafe { *address } != header {
        return None;
    }
    // SAFETY: the caller's promise.
    Some(unsafe { &*address.cast() })
}

/// Where the words of a boxed term are.
#[inline]
fn address(term: Term) -> Option<*const usize> {
    let word = word::from_term(term) as usize;
    (word & PRIMARY == BOXED).then_some((word & !TAGS) as *const usize)
}

/// Has the VM copy the words of a term.
///
/// # Safety
///
/// `thing` is laid out as the VM lays out such a term.
#[inline]
unsafe fn copy<'a, T>(env: Env<'a>, thing: &T) -> Term<'a> {
    let word = std::ptr::from_ref(thing) as usize | BOXED;
    // SAFETY: the VM reads the words, copies them to the heap of `env` and keeps no pointer to them.
    unsafe {
        let copy = enif_make_copy(env.as_c_arg(), word::to_term(env, word as u64).as_c_arg());
        Term::new(env, copy)
    }
}

/// Finds the headers, if this VM is built as this module expects.
pub fn probe(env: Env) {
    if cfg!(target_pointer_width = "64") {
        probe_references(env);
        probe_pids(env);
    }
}

fn probe_references(env: Env) {
    let Some(header) = header::<Reference>(env.make_ref().into()) else {
        return;
    };
    let is_as_expected = |_| {
        let sample: Term = env.make_ref().into();
        let words = Reader::new(sample.to_binary().as_slice()).and_then(|mut r| r.reference());
        // SAFETY: the header says that this many words follow.
        let read = unsafe { at::<Reference>(sample, header) };
        read.is_some_and(|read| read.marker == ORDINARY && Some(read.words) == words)
    };
    if !(0..4).all(is_as_expected) {
        return;
    }
    REFERENCE.store(header, Ordering::Relaxed);
    let sample: Term = env.make_ref().into();
    if reference(sample).and_then(|words| make_reference(env, words)) != Some(sample) {
        REFERENCE.store(0, Ordering::Relaxed);
    }
}

fn probe_pids(env: Env) {
    let Some(identity) = Identity::of_caller(env) else {
        return;
    };
    // Of other lives of this very node, so that no other node becomes known by it.
    let lives = [1, 2].map(|n| identity.creation.wrapping_add(n).max(n));
    let pid = |creation, id, serial| Pid {
        node: &identity.node,
        id,
        serial,
        creation,
    };
    let wanted = [
        pid(lives[0], 77, 5),
        pid(lives[0], 4_321, 9),
        pid(lives[1], 77, 5),
        pid(lives[1], 11, 0),
    ];
    let Some(samples) = decode_pids(env, &wanted) else {
        return;
    };
    let Some(header) = header::<RemotePid>(samples[0]) else {
        return;
    };
    let read = |sample: &Term<'_>| {
        // SAFETY: the header says that this many words follow.
        unsafe { at::<RemotePid>(*sample, header) }.map(|pid| (pid.origin, pid.numbers))
    };
    let Some(read) = samples.iter().map(read).collect::<Option<Vec<_>>>() else {
        return;
    };
    let numbers_agree = read
        .iter()
        .zip(&wanted)
        .all(|((_, numbers), pid)| *numbers == [pid.id, pid.serial]);
    let origins: Vec<usize> = read.iter().map(|(origin, _)| *origin).collect();
    let origins_agree =
        origins[0] == origins[1] && origins[2] == origins[3] && origins[0] != origins[2];
    if !(numbers_agree && origins_agree) {
        return;
    }
    PID.store(header, Ordering::Relaxed);
    // SAFETY: the samples exist until the NIF returns.
    let made = unsafe { make_remote_pid(env, origins[2], read[1].1) };
    let expected = decode_pids(env, &[pid(lives[1], 4_321, 9)]).map(|pids| pids[0]);
    if made.is_none() || made != expected {
        PID.store(0, Ordering::Relaxed);
    }
}

/// Whether references and remote pids are read and made without the external format.
#[rustler::nif]
fn reads_heap() -> bool {
    let is_known = |header: &AtomicUsize| header.load(Ordering::Relaxed) != 0;
    is_known(&REFERENCE) && is_known(&PID)
}

/// The first word of a boxed term, if it announces as many words as a `T` has.
fn header<T>(term: Term) -> Option<usize> {
    // SAFETY: a boxed term points to one word at least.
    let header = unsafe { *address(term)? };
    (header >> 6 == size_of::<T>() / size_of::<usize>() - 1).then_some(header)
}
