//! The functions that the Dispatcher calls.

use crate::calls::dispatcher::run::{BATCH, Run};
use crate::calls::timeslice::{SLICE, Timeslice};
use crate::sides::doorbell::Doorbell;
use crate::sides::local::Local;
use crate::sides::local::shares::Shares;
use crate::sides::window::Limits;
use crate::state::current;
use crate::terms::atoms;
use crate::terms::reason::Reason;
use rustler::{Encoder, Env, NifResult, Term};
use std::time::Duration;

/// How long one call may deliver.
const DELIVERY: Duration = Duration::from_micros(200);

/// After how long a call that has certified leaves the delivery to the Dispatcher.
const SHORT: Duration = Duration::from_micros(100);

/// Makes the caller the Dispatcher that is woken. Returns whether it succeeds another one.
#[rustler::nif]
fn dispatcher_answer(env: Env) -> NifResult<bool> {
    Ok(current()?.local.ring.answer(env))
}

/// Sends up to `limit` `:DOWN`s, and fewer when they take long. `name` is the name of this node. `shares` bounds what one
/// subscriber gets, apart from bulk messages. Returns
///
/// - `{sent, again?}`: how many were sent, and whether to call again with the rest of the limit. That may be so even
///   if the rest is 0: then a bulk message is not sent yet;
/// - `:bulky` when [`dispatcher_deliver_bulky`] must do it, because a waiting reason takes long to build.
#[rustler::nif]
fn dispatcher_deliver<'a>(
    env: Env<'a>,
    name: Term<'a>,
    limit: usize,
    shares: Shares,
) -> NifResult<Term<'a>> {
    if Reason::is_any_bulky() {
        return Ok(atoms::bulky().to_term(env));
    }
    Ok(deliver(env, name, limit, shares, None)?.encode(env))
}

/// The same on a dirty scheduler, where sending costs more, but keeps no other process waiting.
#[rustler::nif(schedule = "DirtyCpu")]
fn dispatcher_deliver_bulky<'a>(
    env: Env<'a>,
    name: Term<'a>,
    limit: usize,
    shares: Shares,
) -> NifResult<(usize, bool)> {
    deliver(env, name, limit, shares, None)
}

fn deliver<'a>(
    env: Env<'a>,
    name: Term<'a>,
    limit: usize,
    shares: Shares,
    known: Option<(Term<'a>, Reason)>,
) -> NifResult<(usize, bool)> {
    let state = current()?;
    let local = &state.local;
    let share = shares.present();
    let timeslice = Timeslice::begin(env);
    let mut run = Run::new(env, local, name);
    if let Some((term, reason)) = known {
        run.know(term, reason);
    }
    let mut done = false;
    while !done && timeslice.elapsed() < DELIVERY {
        // If no turn was taken, every subscriber that still has something due has had its share.
        let any = run.turns(BATCH.min(limit - run.sent), share)?;
        done = !any || run.sent == limit || local.table.is_idle();
    }
    while done && timeslice.elapsed() < DELIVERY {
        match local.options.take_gathered() {
            Some(gathered) => run.send_bulk(gathered)?,
            None => break,
        }
    }
    Ok((run.sent, !done || !local.options.is_delivered()))
}

/// What a Connector is given to deliver itself what it has just certified, if the Dispatcher sleeps:
/// `{name, now}`, with the name of this node and the VM's monotonic time in nanoseconds.
pub struct StandIn<'a> {
    name: Term<'a>,
    now: i64,
    known: Option<(Term<'a>, Reason)>,
}

impl<'a> StandIn<'a> {
    /// Reads it, or `none`.
    pub fn read(term: Term<'a>) -> NifResult<Option<Self>> {
        if atoms::none() == term {
            return Ok(None);
        }
        let (name, now) = term.decode()?;
        Ok(Some(StandIn {
            name,
            now,
            known: None,
        }))
    }

    /// The same with a reason that need not be built.
    pub fn knowing(self, known: Option<(Term<'a>, Reason)>) -> Self {
        StandIn { known, ..self }
    }

    /// Expands what is due, and delivers up to a batch of it, if that is all, the call has not taken long, and there
    /// is room. Whatever is left is left to the Dispatcher. Returns how many were delivered.
    pub fn expand_and_deliver(
        self,
        env: Env<'a>,
        local: &Local,
        timeslice: &Timeslice,
    ) -> NifResult<usize> {
        let (limits, shares) = local.standing_in.get();
        let quota = (timeslice.elapsed() <= SHORT && !Reason::is_any_bulky())
            .then(|| limits.quota(self.now))
            .flatten();
        let Some(quota) = quota else {
            local.expand_or_defer(env, SLICE);
            return Ok(0);
        };
        let stands_in = || local.expand_or_stand_in(env, SLICE);
        let Some(room) = quota.stand_in(&local.delivered, stands_in) else {
            return Ok(0);
        };
        let mut standing = Standing {
            env,
            bell: &local.ring,
            is_left: false,
        };
        if room == 0 {
            return Ok(0);
        }
        // What has failed is tried again by the Dispatcher, whose failure it is then.
        let Ok((sent, _)) = deliver(env, self.name, room.min(BATCH), shares, self.known) else {
            return Ok(0);
        };
        let elapsed = timeslice.elapsed().as_nanos() as i64;
        let now = quota.after(elapsed);
        limits.enter(&local.delivered, now, sent);
        standing.is_left = true;
        let is_delivered = || local.table.is_idle() && local.options.is_delivered();
        local.ring.leave(env, is_delivered);
        Ok(sent)
    }
}

/// Wakes the Dispatcher when who stands in for it may send nothing, or fails.
struct Standing<'a, 'b> {
    env: Env<'a>,
    bell: &'b Doorbell,
    is_left: bool,
}

impl Drop for Standing<'_, '_> {
    fn drop(&mut self) {
        if !self.is_left {
            self.bell.wake(self.env);
        }
    }
}

/// Puts the Dispatcher to rest; `false` when a subscriber has a queue or a bulk message is due.
#[rustler::nif]
fn dispatcher_rest() -> NifResult<bool> {
    let state = current()?;
    let local = &state.local;
    Ok(local
        .ring
        .rest(|| local.table.is_idle() && local.options.is_delivered()))
}

/// Notes what a [`StandIn`] goes by. Returns whether that has changed anything.
#[rustler::nif]
fn dispatcher_note(limits: Limits, shares: Shares) -> NifResult<bool> {
    Ok(current()?.local.standing_in.note((limits, shares)))
}
