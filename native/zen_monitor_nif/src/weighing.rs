//! Whether a term takes long to encode.

use rustler::sys::enif_get_tuple;
use rustler::{Binary, MapIterator, Term};
use std::mem::MaybeUninit;

/// The most parts of a light term. To encode so many takes some 30 µs.
const PARTS: usize = 1_000;

/// So many bytes of a binary take about as long as a part.
const BYTES_PER_PART: usize = 64;

/// Whether a term is encoded in so little time that a normal scheduler may do it. To find that out never
/// takes longer, whatever the term.
#[inline]
pub fn is_light(term: Term) -> bool {
    term.is_atom() || Scale::new(term).holds()
}

/// The parts of a term that are still to be looked at, and how many more there may be.
struct Scale<'a> {
    parts: Vec<Term<'a>>,
    left: usize,
}

impl<'a> Scale<'a> {
    fn new(term: Term<'a>) -> Self {
        let mut parts = Vec::with_capacity(16);
        parts.push(term);
        Scale { parts, left: PARTS }
    }

    /// Whether it holds all parts, and theirs.
    fn holds(mut self) -> bool {
        while let Some(part) = self.parts.pop() {
            if !self.look_at(part) {
                return false;
            }
        }
        true
    }

    /// `false` for what is too much.
    fn look_at(&mut self, part: Term<'a>) -> bool {
        if part.is_atom() || part.is_float() || part.is_pid() || part.is_ref() || part.is_port() {
            self.take(1)
        } else if part.is_integer() {
            // A larger one may be of megabytes.
            self.take(1) && part.decode::<i64>().is_ok()
        } else if let Some(elements) = elements(part) {
            self.take(1 + elements.len()) && self.push(elements)
        } else if part.is_list() {
            self.push_list(part)
        } else if part.is_map() {
            self.push_map(part)
        } else if let Ok(binary) = Binary::from_term(part) {
            self.take(1 + binary.len() / BYTES_PER_PART)
        } else {
            // A function has an environment of any size, and bits are shifted.
            false
        }
    }

    fn take(&mut self, parts: usize) -> bool {
        let left = self.left.checked_sub(parts);
        self.left = left.unwrap_or(0);
        left.is_some()
    }

    fn push(&mut self, elements: impl IntoIterator<Item = Term<'a>>) -> bool {
        self.parts.extend(elements);
        true
    }

    fn push_list(&mut self, mut list: Term<'a>) -> bool {
        while let Ok((head, tail)) = list.list_get_cell() {
            if !self.take(1) {
                return false;
            }
            self.parts.push(head);
            list = tail;
        }
        // The tail of an improper list is a part, too.
        list.is_empty_list() || self.push([list])
    }

    fn push_map(&mut self, map: Term<'a>) -> bool {
        let entries = map.map_size().unwrap_or(usize::MAX);
        let Some(iterator) = MapIterator::new(map) else {
            return false;
        };
        self.take(entries.saturating_mul(2))
            && self.push(iterator.flat_map(|(key, value)| [key, value]))
    }
}

/// The elements of a tuple, which may be millions.
pub fn elements(tuple: Term<'_>) -> Option<impl ExactSizeIterator<Item = Term<'_>>> {
    let env = tuple.get_env();
    let mut arity = 0;
    let mut elements = MaybeUninit::uninit();
    // SAFETY: the term belongs to the environment. The call fills in both places when it succeeds, and the
    // array stays where it is until the NIF returns, which is longer than `tuple` is looked at.
    let elements = unsafe {
        let found = enif_get_tuple(
            env.as_c_arg(),
            tuple.as_c_arg(),
            &mut arity,
            elements.as_mut_ptr(),
        );
        // The pointer to the elements of the empty tuple need not be one.
        match (found, arity) {
            (0, _) => return None,
            (_, 0) => &[],
            _ => std::slice::from_raw_parts(elements.assume_init(), arity as usize),
        }
    };
    // SAFETY: an element of a term of the environment is one too.
    Some(
        elements
            .iter()
            .map(move |word| unsafe { Term::new(env, *word) }),
    )
}
