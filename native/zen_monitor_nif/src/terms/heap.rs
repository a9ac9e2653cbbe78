//! References, remote pids and messages, as the words in which the VM keeps them.
//!
//! The NIF interface shows the numbers in a reference or a remote pid only in the external term format. Encoding
//! takes 70 ns and leaves garbage on the heap of the caller. Decoding a pid takes 240 ns and two locks of the VM.
//! On the heap, both terms are a header and a few words. This module reads those words. To make a term, it lays out
//! such words itself and has the VM copy them.
//!
//! The layout is not documented, so nothing about it is taken on trust. When the library is loaded, `probe.rs`
//! compares what this module would read and make with the external format. If anything differs, as it may in a
//! later VM, the headers stay unknown, the functions that need them return `None`, and their callers use the
//! external format.

use crate::terms::{message, word};
use rustler::sys::{ErlNifTerm, enif_make_copy};
use rustler::{Env, LocalPid, Term};
use std::mem::size_of;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The tag of a boxed term, which points to its words; the bits of such a tag; and the bits of a pointer that are no
/// part of the address.
const BOXED: usize = 0b010;
const PRIMARY: usize = 0b011;
const TAGS: usize = 0b111;

/// Stands for a header that is not known.
pub(super) const UNKNOWN: usize = usize::MAX;
// It must be no header. The two lowest bits of every header are 0. So 0 would not do: it is the header of the
// empty tuple.
const _: () = assert!(UNKNOWN & PRIMARY != 0);

/// The header words. All accesses are relaxed: `probe` finds these constants of the VM before any other function of
/// the library can be called.
pub(super) static REFERENCE: AtomicUsize = AtomicUsize::new(UNKNOWN);
pub(super) static PID: AtomicUsize = AtomicUsize::new(UNKNOWN);
pub(super) static TUPLE: AtomicUsize = AtomicUsize::new(UNKNOWN);

/// Two numbers that share a word, the first at the lower address. The word is written as a whole. If it were written
/// in two halves, the processor could not forward it to the read that follows, and would wait for all earlier writes.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Pair(u64);

impl Pair {
    #[inline]
    fn new(first: u32, second: u32) -> Pair {
        let [first, second] = [u64::from(first), u64::from(second)];
        Pair(if cfg!(target_endian = "little") {
            second << 32 | first
        } else {
            first << 32 | second
        })
    }

    #[inline]
    pub(super) fn halves(self) -> [u32; 2] {
        let [low, high] = [self.0 as u32, (self.0 >> 32) as u32];
        if cfg!(target_endian = "little") {
            [low, high]
        } else {
            [high, low]
        }
    }
}

/// An ordinary reference of this node.
#[repr(C)]
pub(super) struct Reference {
    header: usize,
    /// A marker and three numbers.
    pairs: [Pair; 2],
}

/// The marker of an ordinary reference. One that the VM keeps track of has the same header and another marker.
const ORDINARY: u32 = u32::MAX;

/// A pid of another node, or of another life of this one.
#[repr(C)]
pub(super) struct RemotePid {
    header: usize,
    pub(super) origin: usize,
    /// Links the terms of one heap that refer to other nodes. The VM sets it in a copy.
    next: usize,
    pub(super) numbers: Pair,
}

/// A tuple of five.
pub(super) type Tuple = [usize; 6];

impl Reference {
    #[inline]
    fn new(header: usize, [first, second, third]: [u32; 3]) -> Self {
        Reference {
            header,
            pairs: [Pair::new(ORDINARY, first), Pair::new(second, third)],
        }
    }

    #[inline]
    pub(super) fn words(&self) -> Option<[u32; 3]> {
        let [[marker, first], [second, third]] = self.pairs.map(Pair::halves);
        (marker == ORDINARY).then_some([first, second, third])
    }
}

impl RemotePid {
    #[inline]
    fn new(header: usize, origin: usize, [id, serial]: [u32; 2]) -> Self {
        RemotePid {
            header,
            origin,
            next: 0,
            numbers: Pair::new(id, serial),
        }
    }
}

/// Whether this module can read and make references, remote pids and messages.
pub fn is_known() -> bool {
    let is_known = |header: &AtomicUsize| header.load(Ordering::Relaxed) != UNKNOWN;
    is_known(&REFERENCE) && is_known(&PID) && is_known(&TUPLE)
}

/// The monitored object, as a message names it.
#[derive(Clone, Copy)]
pub enum Object<'a> {
    /// A term.
    Term(Term<'a>),
    /// The words of a remote pid, as [`remote_pid`] reads them.
    Pid(usize, [u32; 2]),
}

/// The words of a reference of this node.
#[inline]
pub fn reference(term: Term) -> Option<[u32; 3]> {
    let header = REFERENCE.load(Ordering::Relaxed);
    // SAFETY: the header is that of the references that `probe` has seen, or no term has it.
    unsafe { at::<Reference>(term, header) }?.words()
}

/// The origin of a remote pid, which all pids of one life of a node share, and its numbers.
#[inline]
pub fn remote_pid(term: Term) -> Option<(usize, [u32; 2])> {
    let header = PID.load(Ordering::Relaxed);
    // SAFETY: the header is that of the remote pids that `probe` has seen, or no term has it.
    let pid = unsafe { at::<RemotePid>(term, header) }?;
    Some((pid.origin, pid.numbers.halves()))
}

/// A reference of this node.
#[inline]
pub fn make_reference(env: Env<'_>, words: [u32; 3]) -> Option<Term<'_>> {
    let header = REFERENCE.load(Ordering::Relaxed);
    let reference = Reference::new(header, words);
    // SAFETY: these are the words of a reference, as `probe` has seen them.
    (header != UNKNOWN).then(|| unsafe { copy(env, reference) })
}

/// A remote pid.
///
/// # Safety
///
/// `origin` was read off a pid that exists for the length of the call.
#[inline]
pub unsafe fn make_remote_pid<'a>(
    env: Env<'a>,
    origin: usize,
    numbers: [u32; 2],
) -> Option<Term<'a>> {
    let header = PID.load(Ordering::Relaxed);
    let pid = RemotePid::new(header, origin, numbers);
    // SAFETY: these are the words of a pid, as `probe` has seen them, and its origin is alive.
    (header != UNKNOWN).then(|| unsafe { copy(env, pid) })
}

/// The headers of the parts of a `:DOWN`.
#[derive(Clone, Copy)]
pub struct Headers {
    reference: usize,
    pid: usize,
    tuple: usize,
}

/// The headers for [`with_down`], if they are known.
#[inline]
pub fn headers() -> Option<Headers> {
    let [reference, pid, tuple] =
        [&REFERENCE, &PID, &TUPLE].map(|header| header.load(Ordering::Relaxed));
    (![reference, pid, tuple].contains(&UNKNOWN)).then_some(Headers {
        reference,
        pid,
        tuple,
    })
}

/// A message whose words lie on no heap. It can only be copied or sent: as a plain term it could become part of
/// another one.
pub struct Down<'t>(Term<'t>);

impl Down<'_> {
    /// Sends it, as [`message::send`] does.
    #[inline]
    pub fn send(&self, receiver: &LocalPid) {
        message::send(self.0.get_env(), receiver, self.0);
    }

    /// A copy on the heap of its environment.
    pub(super) fn copy(&self) -> ErlNifTerm {
        // SAFETY: as in `copy` below.
        unsafe { enif_make_copy(self.0.get_env().as_c_arg(), self.0.as_c_arg()) }
    }
}

/// Shows the message `{tag, reference, kind, object, cause}` to `view`. Its words lie on the stack, so the VM copies
/// them once, to the receiver, and not to a heap of the sender first.
///
/// # Safety
///
/// The origin of an [`Object::Pid`] was read off a pid that exists for the length of the call.
#[inline]
pub unsafe fn with_down<'a, T>(
    env: Env<'a>,
    headers: Headers,
    (tag, kind, cause): (Term<'a>, Term<'a>, Term<'a>),
    words: [u32; 3],
    object: Object<'a>,
    view: impl for<'t> FnOnce(Down<'t>) -> T,
) -> T {
    let mut reference = Reference::new(headers.reference, words);
    let mut pid;
    let object = match object {
        Object::Term(term) => word::from_term(term) as usize,
        Object::Pid(origin, numbers) => {
            pid = RemotePid::new(headers.pid, origin, numbers);
            boxed(&mut pid)
        }
    };
    let [tag, kind, cause] = [tag, kind, cause].map(|term| word::from_term(term) as usize);
    let reference = boxed(&mut reference);
    let mut tuple: Tuple = [headers.tuple, tag, reference, kind, object, cause];
    let lifetime = ();
    // SAFETY: these are the words of such a tuple, as `probe` has seen them, and they stay where they are
    // until `view` has returned, which cannot keep a message of any lifetime that it is given.
    unsafe {
        let env = Env::new(&lifetime, env.as_c_arg());
        view(Down(loose(env, &mut tuple)))
    }
}

/// The word of a boxed term.
#[inline]
fn boxed<T>(words: &mut T) -> usize {
    std::ptr::from_mut(words) as usize | BOXED
}

/// A term that lies on no heap.
///
/// # Safety
///
/// The words are laid out as the VM lays out such a term, and stay where they are as long as the term is used. The
/// term is used for nothing but to be copied.
#[inline]
unsafe fn loose<'a, T>(env: Env<'a>, words: &mut T) -> Term<'a> {
    // SAFETY: a term is a word of the VM.
    unsafe { Term::new(env, std::mem::transmute::<usize, ErlNifTerm>(boxed(words))) }
}

/// What a boxed term points to, if that begins with `header`. Nothing begins with [`UNKNOWN`].
///
/// # Safety
///
/// What begins with `header` is a `T`.
#[inline]
pub(super) unsafe fn at<'a, T>(term: Term<'a>, header: usize) -> Option<&'a T> {
    let address = address(term)?;
    // SAFETY: a boxed term points to one word at least, and lives as long as its environment.
    if unsafe { *address } != header {
        return None;
    }
    // SAFETY: the caller's promise.
    Some(unsafe { &*address.cast() })
}

/// Where the words of a boxed term are.
#[inline]
fn address(term: Term) -> Option<*const usize> {
    let word = word::from_term(term) as usize;
    (word & PRIMARY == BOXED).then_some((word & !TAGS) as *const usize)
}

/// Has the VM copy the words of a term.
///
/// # Safety
///
/// `thing` is laid out as the VM lays out such a term.
#[inline]
unsafe fn copy<'a, T>(env: Env<'a>, mut thing: T) -> Term<'a> {
    // SAFETY: the VM reads the words, copies them to the heap of `env` and keeps no pointer to them.
    unsafe {
        let term = loose(env, &mut thing);
        Term::new(env, enif_make_copy(env.as_c_arg(), term.as_c_arg()))
    }
}

/// The header of a boxed term, if it announces as many words as a `T` has.
pub(super) fn header<T>(term: Term) -> Option<usize> {
    // SAFETY: a boxed term points to one word at least.
    let header = unsafe { *address(term)? };
    (header >> 6 == size_of::<T>() / size_of::<usize>() - 1).then_some(header)
}
