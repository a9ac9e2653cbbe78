//! The share of each subscriber, as the settings have it.

use crate::terms::atoms;
use rustler::{Decoder, NifResult, Term};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use zen_monitor_core::monitors::share::Share;

/// What one subscriber may be given: `{each, burst, flow}` for `burst` messages at once, or `flow` if more than two
/// bursts wait, and one more every `each` nanoseconds; or `all` for any number.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Shares(Option<(u64, u32, u32)>);

impl<'a> Decoder<'a> for Shares {
    fn decode(term: Term<'a>) -> NifResult<Self> {
        if atoms::all() == term {
            return Ok(Shares(None));
        }
        Ok(Shares(Some(term.decode()?)))
    }
}

impl Shares {
    /// The present share. Its clock begins with the library, since a Dispatcher may be replaced.
    pub fn present(self) -> Share {
        static BEGINNING: OnceLock<Instant> = OnceLock::new();
        let Some((each, burst, flow)) = self.0 else {
            return Share::all();
        };
        let now = BEGINNING.get_or_init(Instant::now).elapsed();
        Share::new(now, Duration::from_nanos(each), burst, flow)
    }
}
