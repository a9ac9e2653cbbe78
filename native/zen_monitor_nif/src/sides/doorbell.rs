//! A bell, and the process that answers it.

use crate::terms::message::send;
use crate::terms::{atoms, word};
use rustler::{Encoder, Env, LocalPid};
use std::sync::atomic::{AtomicU64, Ordering};
use zen_monitor_core::structures::bell::Bell;

/// Stands for no owner. No pid has this word.
const NOBODY: u64 = 0;

/// Wakes the process that owns a queue: once, for the first of many pushes.
///
/// Who has pushed and finds the owner asleep may *stand in* for it: do at once what the owner would do, and wake it only
/// for what is left. Until that [leaves](Doorbell::leave), the bell is rung. So there is only one at a time, and all others
/// take the owner to be awake.
///
/// The NIF that has pushed also sends the wake-up. If the caller did that in another call, it could be killed between
/// the two, and the owner would stay asleep on a full queue.
#[derive(Default)]
pub struct Doorbell {
    bell: Bell,
    owner: AtomicU64,
}

impl Doorbell {
    /// The bell of a process that has nothing to do yet.
    pub fn of(env: Env, owner: LocalPid) -> Doorbell {
        Doorbell {
            owner: AtomicU64::new(word::from_term(owner.encode(env))),
            ..Doorbell::default()
        }
    }

    /// Makes the calling process the owner. It must sweep once afterwards, whether or not something waits. Returns
    /// whether it succeeds a former owner.
    pub fn answer(&self, env: Env) -> bool {
        // AcqRel: a producer that reads the new owner finds it ready. One that still reads the former owner has
        // pushed before the first sweep of the new one, and that sweep takes what was pushed.
        let former = self.owner.swap(word::of_caller(env), Ordering::AcqRel);
        self.bell.ring();
        former != NOBODY
    }

    /// Has the calling owner retire: from now on nobody answers. If `is_unused` returns `false` after that, the caller
    /// is the owner again and must sweep, because producers have found nobody to wake. Returns whether the caller has
    /// retired. If it has a successor already, it has.
    ///
    /// A producer must change something by a read-modify-write before it looks for an owner, and `is_unused` must
    /// read that by a read-modify-write. Then either `is_unused` sees the producer, or the producer sees that nobody
    /// answers and has an owner started.
    pub fn retire(&self, env: Env, is_unused: impl Fn() -> bool) -> bool {
        let caller = word::of_caller(env);
        // AcqRel: the successor sees what this owner has done.
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

    /// The process that answers. It may have died.
    pub fn owner(&self, env: Env) -> Option<LocalPid> {
        // Acquire, here and below: pairs with the swap of an owner that answers.
        match self.owner.load(Ordering::Acquire) {
            NOBODY => None,
            owner => word::to_pid(env, owner),
        }
    }

    /// Whether the process of this word answers.
    pub fn is_answered_by(&self, owner: u64) -> bool {
        self.owner.load(Ordering::Acquire) == owner
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
    /// it, and must call [`Doorbell::leave`] or [`Doorbell::wake`] in the end.
    #[inline]
    pub fn stand_in(&self) -> bool {
        // Without an owner the bell stays rung, and whoever answers sweeps.
        self.bell.ring() && self.is_answered()
    }

    /// Ends the standing in for the owner, and wakes it unless `is_empty` holds for its queue.
    pub fn leave(&self, env: Env, is_empty: impl Fn() -> bool) {
        if !self.rest(is_empty) {
            self.wake(env);
        }
    }

    /// Wakes the owner. The caller has rung the bell.
    pub fn wake(&self, env: Env) {
        if let Some(owner) = self.owner(env) {
            // If the owner is dead, its successor sweeps when it starts. So a failed send loses nothing.
            send(env, &owner, atoms::wake());
        }
    }

    /// Puts the owner to rest if its queue is empty. Returns whether the owner may sleep.
    pub fn rest(&self, is_empty: impl Fn() -> bool) -> bool {
        if !is_empty() {
            return false;
        }
        self.bell.rest();
        is_empty() || !self.bell.ring()
    }
}
