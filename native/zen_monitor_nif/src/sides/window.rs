//! What a stage has sent of late, and what it may send now.

use crate::sides::resource::check_place;
use parking_lot::Mutex;
use rustler::{Decoder, NifResult, Resource, ResourceArc, Term};
use std::ops::Deref;
use zen_monitor_core::structures::window;

/// The window of one stage. Whoever sends what is its to send draws on it.
#[derive(Default)]
pub struct Window(window::Window);

#[rustler::resource_impl]
impl Resource for Window {}

impl Window {
    /// One in which nothing was sent.
    pub fn make() -> ResourceArc<Window> {
        let mut window = ResourceArc::new(Window::default());
        check_place(&mut window);
        window
    }
}

impl Deref for Window {
    type Target = window::Window;

    fn deref(&self) -> &window::Window {
        &self.0
    }
}

/// The limits that others go by who send in the place of a stage that sleeps. They send nothing if `few` or more were sent
/// in the last `gap`, so nobody sends if `few` is 0. As a term it is `{interval, budget, gap, few}`, with times in
/// nanoseconds.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    interval: i64,
    budget: u64,
    gap: i64,
    few: u64,
}

impl<'a> Decoder<'a> for Limits {
    fn decode(term: Term<'a>) -> NifResult<Self> {
        let (interval, budget, gap, few) = term.decode()?;
        Ok(Limits {
            interval,
            budget,
            gap,
            few,
        })
    }
}

impl Limits {
    /// What may be sent at a time of the VM's monotonic clock, or `None` if nobody may stand in.
    pub fn quota(self, now: i64) -> Option<Quota> {
        let quota = window::Quota {
            now,
            interval: self.interval,
            budget: self.budget,
            since: now.saturating_sub(self.gap),
            few: self.few,
        };
        (self.few > 0).then_some(Quota(quota))
    }

    /// Enters items that were sent until `now`.
    pub fn enter(self, window: &Window, now: i64, amount: usize) {
        window.enter(now, self.interval, amount as u64);
    }
}

/// Settings as they were noted last. To read them in the application environment takes a tenth of the time from an exit
/// to its `:DOWN`, after some silence.
#[derive(Default)]
pub struct Noted<T>(Mutex<T>);

impl<T: Copy + PartialEq> Noted<T> {
    /// What was noted last.
    pub fn get(&self) -> T {
        *self.0.lock()
    }

    /// Notes settings. Returns whether that has changed anything.
    pub fn note(&self, settings: T) -> bool {
        std::mem::replace(&mut *self.0.lock(), settings) != settings
    }
}

/// What others may send in the place of a stage that sleeps, at a certain time.
#[derive(Clone, Copy)]
pub struct Quota(window::Quota);

impl Quota {
    /// Has the caller stand in for the stage, if `stands_in` says so, and tells how many items it may send then.
    pub fn stand_in(&self, window: &Window, stands_in: impl FnOnce() -> bool) -> Option<usize> {
        let room = self.0.stand_in(window, stands_in)?;
        Some(room as usize)
    }

    /// How many items may be passed on at a time.
    pub fn few(&self) -> usize {
        self.0.few as usize
    }

    /// The time after so many nanoseconds.
    pub fn after(&self, elapsed: i64) -> i64 {
        self.0.now.saturating_add(elapsed)
    }
}
