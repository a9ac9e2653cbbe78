//! Sending, even for a process that has been killed.
//!
//! A dirty call goes on when its process has been killed, but the VM takes no more messages of that
//! process. What it has begun it must still finish: a `:DOWN` that is claimed is sent by nobody else,
//! and a bell that is rung wakes nobody again.

use rustler::env::OwnedEnv;
use rustler::{Encoder, Env, LocalPid};
use std::thread::{Builder, scope};

/// Sends a message, which is lost only if its receiver is dead. It has been sent when this returns.
#[inline]
pub fn send(env: Env, receiver: &LocalPid, message: impl Encoder) {
    if env.send(receiver, &message).is_err() && env.is_process_alive(*receiver) {
        send_from_outside(env, receiver, message);
    }
}

/// Sends from a thread that belongs to no process.
#[cold]
fn send_from_outside(env: Env, receiver: &LocalPid, message: impl Encoder) {
    let mut owned = OwnedEnv::new();
    let message = owned.save(message.encode(env));
    scope(|threads| {
        let send = move || {
            // Whoever has died meanwhile has no use for it.
            let _ = owned.send_and_clear(receiver, |env| message.load(env));
        };
        // Where no thread can be had, the node is about to fall.
        let _ = Builder::new().spawn_scoped(threads, send);
    });
}
