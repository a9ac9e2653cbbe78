//! Tells what kind of term a word is, and what it consists of.
//!
//! The NIF interface answers one question per call. To ask it about every part of a term takes longer than to encode
//! the term. So the commonest kinds are recognised by their words, as `heap.rs` does. Their layout is not taken on
//! trust either: when the library is loaded, [`probe`] compares what it reads with what the interface answers. If
//! anything differs, the interface is asked.

use crate::terms::atoms;
use rustler::sys::{ErlNifTerm, enif_get_list_cell, enif_get_tuple};
use rustler::types::tuple::make_tuple;
use rustler::{Encoder, Env, Term};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};

/// The bits of a word that tell what it is.
const PRIMARY: usize = 0b11;
const IMMEDIATE: usize = 0b11;
const LIST: usize = 0b01;
const BOXED: usize = 0b10;
/// An immediate term with all of these bits is a small integer.
const SMALL: usize = 0b1111;
/// A header with none of these bits is that of a tuple. The other bits are its size.
const TUPLE: usize = 0b11_1111;
const SIZE: u32 = TUPLE.count_ones();
/// The bits of a pointer that are no part of the address.
const TAGS: usize = 0b111;

/// Whether words are read. All accesses are relaxed: `probe` finds this out before any other function of the library
/// can be called.
static READS: AtomicBool = AtomicBool::new(false);

/// The commonest kinds of terms. Their parts are words, which are terms of the same environment.
pub enum Shape<'a> {
    /// A small integer.
    Small,
    /// An atom, an empty list, or another term of a single word.
    Word,
    /// The head and the tail of a list.
    Cell(ErlNifTerm, ErlNifTerm),
    /// The elements of a tuple, which may be millions.
    Tuple(&'a [ErlNifTerm]),
    /// Anything else. [`ask`] may return this for a pid, a port or a small integer of more than 32 bits, too.
    Other,
}

/// Whether [`read`] may be called.
#[inline]
pub fn are_read() -> bool {
    READS.load(Ordering::Relaxed)
}

/// The shape of a term, read from its words.
///
/// # Safety
///
/// `word` is a term, the VM lays out lists and tuples as this module expects, and the term stays where it is.
#[inline(always)]
pub unsafe fn read<'a>(word: ErlNifTerm) -> Shape<'a> {
    // SAFETY: a term is a word of the VM.
    let word = unsafe { std::mem::transmute::<ErlNifTerm, usize>(word) };
    let address = (word & !TAGS) as *const ErlNifTerm;
    match word & PRIMARY {
        IMMEDIATE if word & SMALL == SMALL => Shape::Small,
        IMMEDIATE => Shape::Word,
        // SAFETY: a list points to its head and its tail.
        LIST => unsafe { Shape::Cell(*address, *address.add(1)) },
        // SAFETY: a boxed term points to a header. The header of a tuple is followed by as many terms as it says.
        BOXED => unsafe {
            let header = *address.cast::<usize>();
            if header & TUPLE != 0 {
                return Shape::Other;
            }
            Shape::Tuple(std::slice::from_raw_parts(address.add(1), header >> SIZE))
        },
        _ => Shape::Other,
    }
}

/// The head and the tail of a list; `None` for the empty one, and for what is none.
#[inline]
pub fn cell(list: Term<'_>) -> Option<(Term<'_>, Term<'_>)> {
    if !are_read() {
        return list.list_get_cell().ok();
    }
    let env = list.get_env();
    // SAFETY: it may be called, and the term stays where it is until the NIF returns.
    match unsafe { read(list.as_c_arg()) } {
        // SAFETY: the parts of a term are of its environment.
        Shape::Cell(head, tail) => unsafe { Some((Term::new(env, head), Term::new(env, tail))) },
        _ => None,
    }
}

/// The same as [`read`], by asking the interface.
pub fn ask(term: Term<'_>) -> Shape<'_> {
    let (env, word) = (term.get_env().as_c_arg(), term.as_c_arg());
    let (mut arity, mut elements) = (0, MaybeUninit::uninit());
    let (mut head, mut tail) = (word, word);
    if term.is_atom() || term.is_empty_list() {
        Shape::Word
    // SAFETY: the term belongs to the environment. Each call fills in its two places when it succeeds, and the
    // array stays where it is until the NIF returns.
    } else if unsafe { enif_get_tuple(env, word, &mut arity, elements.as_mut_ptr()) } != 0 {
        Shape::Tuple(match arity {
            // For the empty tuple, the pointer to the elements need not be valid.
            0 => &[],
            // SAFETY: as above.
            _ => unsafe { std::slice::from_raw_parts(elements.assume_init(), arity as usize) },
        })
    // SAFETY: as above.
    } else if unsafe { enif_get_list_cell(env, word, &mut head, &mut tail) } != 0 {
        Shape::Cell(head, tail)
    } else if term.decode::<i32>().is_ok() {
        // A number of 64 bits may be a big integer, one of 32 bits never is.
        Shape::Small
    } else {
        Shape::Other
    }
}

/// Finds out whether words can be read.
pub fn probe(env: Env) {
    if !cfg!(target_pointer_width = "64") {
        return;
    }
    let atom = atoms::truncated().to_term(env);
    let number = 77.encode(env);
    let list = vec![atom, number].encode(env);
    let tuple = make_tuple(env, &[atom, number, list]);
    let samples = [
        atom,
        number,
        0.encode(env),
        (-1).encode(env),
        i32::MAX.encode(env),
        i32::MIN.encode(env),
        Term::list_new_empty(env),
        list,
        vec![tuple, list].encode(env),
        number.list_prepend(atom),
        make_tuple(env, &[]),
        make_tuple(env, &[tuple]),
        tuple,
        make_tuple(env, &[number; 1_000]),
        1.5.encode(env),
        u64::MAX.encode(env),
        "text".encode(env),
        env.make_ref().into(),
        Term::map_new(env),
    ];
    // SAFETY: a list points to two words, and a boxed term to one at least. For a tuple, the sizes are compared
    // before the elements are.
    let agrees = |sample: &Term| is_same(unsafe { read(sample.as_c_arg()) }, ask(*sample));
    READS.store(samples.iter().all(agrees), Ordering::Relaxed);
}

fn is_same(one: Shape, other: Shape) -> bool {
    match (one, other) {
        (Shape::Small, Shape::Small) => true,
        (Shape::Word, Shape::Word) => true,
        (Shape::Other, Shape::Other) => true,
        (Shape::Cell(head, tail), Shape::Cell(first, rest)) => (head, tail) == (first, rest),
        (Shape::Tuple(elements), Shape::Tuple(others)) => elements == others,
        _ => false,
    }
}
