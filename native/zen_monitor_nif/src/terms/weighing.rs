//! Tells how long a term takes to encode, before it is encoded.

use crate::terms::shape::{self, Shape};
use rustler::sys::ErlNifTerm;
use rustler::{Binary, Env, MapIterator, Term};

/// The most parts of a light term. Encoding so many takes some 30 µs.
pub const LIGHT: usize = 1_000;

/// How many bytes of a binary count as one part.
const BYTES_PER_PART: usize = 64;

/// How many parts an atom counts as. That is the weight of the longest one: to find out how long an atom is would
/// take as long as to encode it. A pid, a port and a reference are encoded with an atom, the name of their node.
const ATOM: usize = 4;

/// A deeper term is not light, since each level takes native stack.
const LEVELS: usize = 64;

/// How many parts a light term has: one that a normal scheduler may encode. `None` for any other term. Weighing a term
/// stops after [`LIGHT`] parts, so it takes bounded time, too.
#[inline]
pub fn weigh(term: Term) -> Option<usize> {
    let (env, left) = (term.get_env(), LIGHT);
    let mut scale = Scale { env, left };
    let holds = if shape::are_read() {
        scale.holds::<true>(term.as_c_arg(), LEVELS)
    } else {
        scale.holds::<false>(term.as_c_arg(), LEVELS)
    };
    holds.then_some(LIGHT - scale.left)
}

/// Counts how many more parts a term may have.
///
/// Terms are bare words. There is one instance of the code for reading words and one for asking the interface, so
/// that what is found stays in registers, which makes it several times as fast. Invariant: every word that is passed
/// in is a term of `env`.
struct Scale<'a> {
    env: Env<'a>,
    left: usize,
}

impl<'a> Scale<'a> {
    /// Whether there is room for a term of at most so many levels. It is inlined into the loops over the parts of a
    /// term, most of which have no parts themselves.
    #[inline(always)]
    fn holds<const READ: bool>(&mut self, word: ErlNifTerm, levels: usize) -> bool {
        match self.look::<READ>(word) {
            Shape::Small => self.take(1),
            Shape::Word => self.take(ATOM),
            _ if levels == 0 => false,
            Shape::Tuple(elements) => self.holds_tuple::<READ>(elements, levels - 1),
            Shape::Cell(head, tail) => self.holds_list::<READ>(head, tail, levels - 1),
            Shape::Other => self.holds_other::<READ>(word, levels - 1),
        }
    }

    #[inline(never)]
    fn holds_tuple<const READ: bool>(&mut self, elements: &[ErlNifTerm], levels: usize) -> bool {
        let mut elements = elements.iter();
        self.take(1) && elements.all(|word| self.holds::<READ>(*word, levels))
    }

    #[inline(always)]
    fn look<const READ: bool>(&self, word: ErlNifTerm) -> Shape<'a> {
        if READ {
            // SAFETY: `are_read` has allowed it, and the term stays where it is until the NIF returns.
            unsafe { shape::read(word) }
        } else {
            shape::ask(self.term(word))
        }
    }

    #[inline(never)]
    fn holds_list<const READ: bool>(
        &mut self,
        mut head: ErlNifTerm,
        mut tail: ErlNifTerm,
        levels: usize,
    ) -> bool {
        while self.holds::<READ>(head, levels) {
            match self.look::<READ>(tail) {
                Shape::Cell(next, rest) => (head, tail) = (next, rest),
                // The end of a list is a part, too: an empty list, or any other term.
                _ => return self.holds::<READ>(tail, levels),
            }
        }
        false
    }

    /// Three kinds of terms are never light: large integers, which may have megabytes; functions, which have an
    /// environment of any size; and bitstrings, whose bits must be shifted.
    #[inline(never)]
    fn holds_other<const READ: bool>(&mut self, word: ErlNifTerm, levels: usize) -> bool {
        let term = self.term(word);
        if let Ok(binary) = Binary::from_term(term) {
            self.take(1 + binary.len() / BYTES_PER_PART)
        } else if let Some(mut entries) = MapIterator::new(term) {
            let mut holds = |part: Term| self.holds::<READ>(part.as_c_arg(), levels);
            entries.all(|(key, value)| holds(key) && holds(value)) && self.take(1)
        } else if term.is_float() || term.decode::<i64>().is_ok() {
            self.take(1)
        } else {
            (term.is_pid() || term.is_ref() || term.is_port()) && self.take(ATOM)
        }
    }

    #[inline]
    fn take(&mut self, parts: usize) -> bool {
        let left = self.left.checked_sub(parts);
        self.left = left.unwrap_or(0);
        left.is_some()
    }

    #[inline]
    fn term(&self, word: ErlNifTerm) -> Term<'a> {
        // SAFETY: by the invariant, the word belongs to this environment.
        unsafe { Term::new(self.env, word) }
    }
}
