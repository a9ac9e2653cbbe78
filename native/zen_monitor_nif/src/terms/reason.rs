//! Exit reasons, kept outside any environment.

use rustler::{Env, Error, NifResult, Term};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use zen_monitor_core::monitors::targets::Alike;

/// A reason of more bytes than this is bulky: it takes too long to build for a normal scheduler.
pub const BULKY: usize = 64 * 1024;

/// A reason of more bytes than this is heavy: it takes far longer to build than the rest of a `:DOWN`.
pub const HEAVY: usize = 256;

/// How many bulky and how many heavy reasons wait for delivery. A bulky one is heavy, too.
static BULKY_REASONS: Tally = Tally::of(BULKY);
static HEAVY_REASONS: Tally = Tally::of(HEAVY);

/// Counts the reasons of more than `least` bytes that wait. All accesses are relaxed: a stale number costs nothing
/// but time.
struct Tally {
    least: usize,
    count: AtomicUsize,
}

impl Tally {
    const fn of(least: usize) -> Tally {
        Tally {
            least,
            count: AtomicUsize::new(0),
        }
    }

    fn add(&self, bytes: usize) {
        if bytes > self.least {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn remove(&self, bytes: usize) {
        if bytes > self.least {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

/// An exit reason in the external term format, shared by all that wait for it.
#[derive(Clone)]
pub struct Reason(Arc<Encoded>);

struct Encoded {
    etf: Box<[u8]>,
    /// Whether it waits for delivery, and so is counted. A reason that waits to be sent to another node is not.
    due: bool,
}

impl Reason {
    /// Encodes a reason that is not to be delivered here.
    pub fn from_term(term: Term) -> Reason {
        Reason::from_etf(term.to_binary().as_slice())
    }

    /// Takes bytes that are known to be a complete external term, version byte included.
    pub fn from_etf(etf: &[u8]) -> Reason {
        let (etf, due) = (etf.into(), false);
        Reason(Arc::new(Encoded { etf, due }))
    }

    /// Encodes a reason that waits to be delivered.
    pub fn due(term: Term) -> Reason {
        let etf: Box<[u8]> = term.to_binary().as_slice().into();
        BULKY_REASONS.add(etf.len());
        HEAVY_REASONS.add(etf.len());
        Reason(Arc::new(Encoded { etf, due: true }))
    }

    /// Whether any reason waits for delivery that should be built on a dirty scheduler.
    pub fn is_any_bulky() -> bool {
        BULKY_REASONS.count() > 0
    }

    /// How many heavy reasons wait for delivery. Only a few of them may be built in a row.
    pub fn heavy() -> usize {
        HEAVY_REASONS.count()
    }

    /// The bytes, version byte included.
    pub fn as_etf(&self) -> &[u8] {
        &self.0.etf
    }

    /// Builds the term in `env`.
    pub fn to_term<'a>(&self, env: Env<'a>) -> NifResult<Term<'a>> {
        // SAFETY: the bytes came out of the VM's own encoder.
        unsafe { env.binary_to_term_trusted(self.as_etf()) }
            .map(|(term, _)| term)
            .ok_or(Error::BadArg)
    }

    /// Whether both are one allocation, and so the same term.
    pub fn is_same(&self, other: &Reason) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Alike for Reason {
    fn is_alike(&self, other: &Reason) -> bool {
        let (ours, theirs) = (self.as_etf(), other.as_etf());
        self.is_same(other) || ours.len() < HEAVY && ours == theirs
    }
}

impl PartialEq for Reason {
    fn eq(&self, other: &Reason) -> bool {
        self.is_same(other) || self.as_etf() == other.as_etf()
    }
}

impl Drop for Encoded {
    fn drop(&mut self) {
        if self.due {
            BULKY_REASONS.remove(self.etf.len());
            HEAVY_REASONS.remove(self.etf.len());
        }
    }
}
