//! What a stage has sent of late, and what it may send now.

use crate::sides::resource::check_place;
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

/// What others may send in the place of a stage that sleeps: `{now, interval, budget, since, few}`. They may send
/// nothing if `few` or more were sent from the time `since` on. Times are nanoseconds of the VM's monotonic clock.
#[derive(Clone, Copy)]
pub struct Quota(window::Quota);

impl<'a> Decoder<'a> for Quota {
    fn decode(term: Term<'a>) -> NifResult<Self> {
        let (now, interval, budget, since, few) = term.decode()?;
        Ok(Quota(window::Quota {
            now,
            interval,
            budget,
            since,
            few,
        }))
    }
}

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

    /// Enters items that were sent until now.
    pub fn enter(&self, window: &Window, now: i64, amount: usize) {
        window.enter(now, self.0.interval, amount as u64);
    }
}
