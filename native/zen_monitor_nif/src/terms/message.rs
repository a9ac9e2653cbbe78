//! Sending, even for a process that has been killed.
//!
//! A dirty call goes on when its process has been killed, but the VM does not accept messages from that process
//! any more. The call must still finish what it has begun: nobody else sends a `:DOWN` that it has claimed, and
//! nobody else wakes the owner of a bell that it has rung.

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
            // It fails if the receiver has died, and then nobody needs the message.
            let _ = owned.send_and_clear(receiver, |env| message.load(env));
        };
        // A system that has no thread left is beyond help.
        let _ = Builder::new().spawn_scoped(threads, send);
    });
}
