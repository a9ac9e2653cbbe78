//! How long a term takes to encode.

use crate::terms::shape::{self, Shape};
use rustler::sys::ErlNifTerm;
use rustler::{Binary, Env, MapIterator, Term};

/// The most parts of a light term. To encode so many takes some 30 µs.
pub const LIGHT: usize = 1_000;

/// So many bytes of a binary take about as long as a part.
const BYTES_PER_PART: usize = 64;

/// What the longest atom weighs, and so every one: to find out how long it is would take as long as to encode
/// it. A pid, a port and a reference are encoded with an atom, the name of their node.
const ATOM: usize = 4;

/// No light term is deeper, since each level takes native stack.
const LEVELS: usize = 64;

/// How many parts a term has that is encoded in so little time that a normal scheduler may do it; `None` for
/// any other. To find that out never takes longer, whatever the term.
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

/// How many more parts there may be.
///
/// Terms are bare words, and there is code of its own for each way to look at them: all that a look finds stays
/// in registers then, which makes it several times as fast. Invariant: every word that is passed in is a term of
/// `env`.
struct Scale<'a> {
    env: Env<'a>,
    left: usize,
}

impl<'a> Scale<'a> {
    /// Whether it holds a term so deep at most. Inlined where the parts of a term are looked at, most of which
    /// have none themselves.
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
            // SAFETY: it may be called, and the term stays where it is until the NIF returns.
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
                // What ends it is a part, too.
                _ => return self.holds::<READ>(tail, levels),
            }
        }
        false
    }

    /// Large integers may be of megabytes, functions have an environment of any size, and bits are shifted: it
    /// holds none of them.
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
