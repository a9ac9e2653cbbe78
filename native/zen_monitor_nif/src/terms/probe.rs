//! Finds out whether this VM lays out terms as `heap.rs` expects, by comparison with the external format.

use crate::terms::atoms;
use crate::terms::etf::{Identity, Pid, Reader, decode_pids};
use crate::terms::heap::{
    Object, PID, REFERENCE, Reference, RemotePid, TUPLE, Tuple, UNKNOWN, at, header, headers,
    make_reference, make_remote_pid, reference, remote_pid, with_down,
};
use rustler::{Encoder, Env, Term};
use std::sync::atomic::Ordering;

/// Finds the headers. If anything is not as `heap.rs` expects, they stay unknown.
pub fn probe(env: Env) {
    if cfg!(target_pointer_width = "64") {
        probe_references(env);
        if let Some(sample) = probe_pids(env) {
            probe_downs(env, sample);
        }
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
        words.is_some() && read.and_then(Reference::words) == words
    };
    if !(0..4).all(is_as_expected) {
        return;
    }
    REFERENCE.store(header, Ordering::Relaxed);
    let sample: Term = env.make_ref().into();
    if reference(sample).and_then(|words| make_reference(env, words)) != Some(sample) {
        REFERENCE.store(UNKNOWN, Ordering::Relaxed);
    }
}

/// Returns a remote pid, if remote pids can be read and made.
fn probe_pids(env: Env<'_>) -> Option<Term<'_>> {
    let identity = Identity::of_caller(env)?;
    // Pids of other lives of this very node, so that the VM learns of no other node.
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
    let samples = decode_pids(env, &wanted)?;
    let header = header::<RemotePid>(samples[0])?;
    let read = |sample: &Term<'_>| {
        // SAFETY: the header says that this many words follow.
        unsafe { at::<RemotePid>(*sample, header) }.map(|pid| (pid.origin, pid.numbers.halves()))
    };
    let read = samples.iter().map(read).collect::<Option<Vec<_>>>()?;
    let numbers_agree = read
        .iter()
        .zip(&wanted)
        .all(|((_, numbers), pid)| *numbers == [pid.id, pid.serial]);
    let origins: Vec<usize> = read.iter().map(|(origin, _)| *origin).collect();
    let origins_agree =
        origins[0] == origins[1] && origins[2] == origins[3] && origins[0] != origins[2];
    if !(numbers_agree && origins_agree) {
        return None;
    }
    PID.store(header, Ordering::Relaxed);
    // SAFETY: the samples exist until the NIF returns.
    let made = unsafe { make_remote_pid(env, origins[2], read[1].1) };
    let expected = decode_pids(env, &[pid(lives[1], 4_321, 9)]).map(|pids| pids[0]);
    if made.is_none() || made != expected {
        PID.store(UNKNOWN, Ordering::Relaxed);
        return None;
    }
    expected
}

/// `pid` is a remote one.
fn probe_downs<'a>(env: Env<'a>, pid: Term<'a>) {
    let monitor: Term = env.make_ref().into();
    let (Some((origin, numbers)), Some(words)) = (remote_pid(pid), reference(monitor)) else {
        return;
    };
    let (tag, kind) = (atoms::down().to_term(env), atoms::process().to_term(env));
    let cause = (atoms::zen_monitor(), atoms::nodedown()).encode(env);
    let down = |object| (tag, monitor, kind, object, cause).encode(env);
    let expected = down(pid);
    let Some(header) = header::<Tuple>(expected) else {
        return;
    };
    TUPLE.store(header, Ordering::Relaxed);
    let samples = [
        (Object::Pid(origin, numbers), expected),
        (Object::Term(kind), down(kind)),
    ];
    let agree = headers().is_some_and(|headers| {
        samples.into_iter().all(|(object, expected)| {
            let terms = (tag, kind, cause);
            // SAFETY: the pid exists until the NIF returns, and a copy is a term of `env`.
            unsafe {
                let copy = with_down(env, headers, terms, words, object, |down| down.copy());
                Term::new(env, copy) == expected
            }
        })
    });
    if !agree {
        TUPLE.store(UNKNOWN, Ordering::Relaxed);
    }
}
