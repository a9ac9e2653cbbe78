//! A bell with the process that answers it.

use crate::terms::message::send;
use crate::terms::{atoms, word};
use rustler::{Env, LocalPid};
use std::sync::atomic::{AtomicU64, Ordering};
use zen_monitor_core::structures::bell::Bell;

/// The word of no pid: nothing has answered yet.
const NOBODY: u64 = 0;

/// Wakes the process that owns a queue, at most once per quiet spell.
///
/// Who has pushed and finds the owner asleep may do in its place what it would do, and wakes it only for what is left.
/// There is one at a time who does that: until it [leaves](Doorbell::leave), the bell is rung, and for others the owner
/// seems to be awake.
///
/// The wake-up is sent from inside the NIF that made it necessary, because a caller that was
/// killed between the two would leave the owner asleep on a full queue.
#[derive(Default)]
pub struct Doorbell {
    bell: Bell,
    owner: AtomicU64,
}

impl Doorbell {
    /// Makes the calling process the owner. It must sweep once afterwards, whatever waits. Tells
    /// whether it succeeds a former owner.
    pub fn answer(&self, env: Env) -> bool {
        // AcqRel: a ringer that reads this owner finds it ready. One that still reads the former
        // owner pushed before the first sweep of the new one, which takes what it pushed.
        let former = self.owner.swap(word::of_caller(env), Ordering::AcqRel);
        self.bell.ring();
        former != NOBODY
    }

    /// Ends the calling owner's duty, if `is_unused` holds for its queue once nobody answers any
    /// more. Otherwise the caller must sweep, because who pushed meanwhile has woken nobody. One
    /// that has a successor already has no duty to end.
    ///
    /// `is_unused` must read by a read-modify-write what a producer changes by one before it looks for who
    /// answers: one that it did not see then finds that nobody does, and has an owner started.
    pub fn retire(&self, env: Env, is_unused: impl Fn() -> bool) -> bool {
        let caller = word::of_caller(env);
        // AcqRel: releases what this owner has done to the one that succeeds it.
        let retired = self
            .owner
            .compare_exchange(caller, NOBODY, Ordering::AcqRel, Ordering::Acquire)
            .is_ok();
        if !retired || is_unused() {
            return true;
        }
        let resumed = self
            .owner
            .compare_exchange(NOBODY, caller, Ordering::AcqRel, Ordering::Acquire)
            .is_ok();
        if resumed {
            self.bell.ring();
        }
        !resumed
    }

    /// The process that answers, dead or alive.
    pub fn owner(&self, env: Env) -> Option<LocalPid> {
        match self.owner.load(Ordering::Acquire) {
            NOBODY => None,
            owner => word::to_pid(env, owner),
        }
    }

    /// Whether a process has answered and not retired since.
    pub fn is_answered(&self) -> bool {
        self.owner.load(Ordering::Acquire) != NOBODY
    }

    /// Rings after a push.
    #[inline]
    pub fn ring(&self, env: Env) {
        if self.bell.ring() {
            self.wake(env);
        }
    }

    /// Rings after a push, in place of [`Doorbell::ring`]. `true` if the owner sleeps: then the caller stands in for
    /// it, and must [leave](Doorbell::leave), or [wake](Doorbell::wake) the owner.
    #[inline]
    pub fn stand_in(&self) -> bool {
        // Without an owner it stays rung, and whoever answers sweeps.
        self.bell.ring() && self.is_answered()
    }

    /// Ends the standing in for the owner, and wakes that unless `is_empty` holds for its queue.
    pub fn leave(&self, env: Env, is_empty: impl Fn() -> bool) {
        if !self.rest(is_empty) {
            self.wake(env);
        }
    }

    /// Wakes the owner, when the bell was rung already by the caller.
    pub fn wake(&self, env: Env) {
        if let Some(owner) = self.owner(env) {
            // A dead owner's successor sweeps when it starts, so a failed send loses nothing.
            send(env, &owner, atoms::wake());
        }
    }

    /// Puts the owner to rest if `is_empty` holds for its queue, and tells whether it may sleep.
    pub fn rest(&self, is_empty: impl Fn() -> bool) -> bool {
        if !is_empty() {
            return false;
        }
        self.bell.rest();
        is_empty() || !self.bell.ring()
    }
}
