//! How much of an exit reason the subscribers get.
//!
//! A reason may carry the whole state of a server, and each subscriber gets a copy of it. So only an
//! outline is kept:
//!
//! - Atoms, numbers, pids, ports and references pass.
//! - A binary longer than [`Limits::max_binary_size`] keeps its beginning and gains [`ELLIPSIS`].
//! - Tuples, proper lists and maps of at most [`MAX_ELEMENTS`] elements are kept, and their elements
//!   (a map's values) are truncated one level deeper. A struct's tag is not counted and never changes.
//! - Everything else, and everything at level [`Limits::depth`], becomes the atom `:truncated`.
//! - A top-level `{:shutdown, term}` passes untouched.
//!
//! One call takes bounded time and bounded native stack, whatever the term and the limits are: what lies
//! deeper than [`MAX_DEPTH`], and what is reached after [`MAX_WORK`] units of work, becomes `:truncated`,
//! too. The default limits come nowhere near either of the two.

/// A tuple, list or map of more elements than this is not kept.
pub const MAX_ELEMENTS: usize = 4;

/// No level deeper than this is kept, whatever [`Limits::depth`] says, because each takes native stack.
pub const MAX_DEPTH: usize = 100;

/// How many units of work one call may do; see [`Outcome::work`]. All of them take about a third of a
/// millisecond.
///
/// The depth alone is no bound: when parts are shared, a small term can have 4<sup>depth</sup> paths to
/// the same part.
pub const MAX_WORK: usize = 5_000;

/// What a shortened binary ends in.
pub const ELLIPSIS: &[u8] = b"...";

/// The work of making a binary, whatever its size.
const WORK_PER_BINARY: usize = 10;

/// How many bytes one unit of work copies into a new binary.
const BYTES_PER_WORK: usize = 1_024;

/// The terms of some environment.
pub trait Terms {
    /// A handle of a term, cheap to clone.
    type Term: Clone;

    /// What `term` is. Adds its elements to `elements`, which is empty before: those of a tuple or a list,
    /// or the values of a map. The tag of a struct is not one of them.
    fn shape(&self, term: &Self::Term, elements: &mut Few<Self::Term>) -> Shape;

    /// Whether `term` is the atom `:shutdown`.
    fn is_shutdown(&self, term: &Self::Term) -> bool;

    /// The atom `:truncated`.
    fn truncated(&self) -> Self::Term;

    /// A new binary of the first `kept` bytes of `binary`, followed by [`ELLIPSIS`].
    fn shortened(&self, binary: &Self::Term, kept: usize) -> Self::Term;

    /// A tuple of at least one element.
    fn tuple(&self, elements: &[Self::Term]) -> Self::Term;

    /// A list of at least one element.
    fn list(&self, elements: &[Self::Term]) -> Self::Term;

    /// `map` with other values, in the order that [`Terms::shape`] gave the former ones in.
    fn with_values(&self, map: &Self::Term, values: &[Self::Term]) -> Self::Term;
}

/// What a term is, as far as the rules tell terms apart.
pub enum Shape {
    /// An atom, a number, a pid, a port or a reference.
    Plain,
    /// A binary.
    Binary {
        /// Its length in bytes.
        size: usize,
        /// The work it took to learn that.
        work: usize,
    },
    /// A tuple of few elements.
    Tuple,
    /// A proper list of few elements.
    List,
    /// A map, or a struct, of few values.
    Map,
    /// Anything else: a term of more elements, a function, an improper list, a bitstring.
    Other,
}

/// At most [`MAX_ELEMENTS`] terms, kept without an allocation.
pub struct Few<T> {
    terms: [T; MAX_ELEMENTS],
    len: usize,
}

impl<T: Clone> Few<T> {
    #[inline]
    fn empty(filler: &T) -> Self {
        Few {
            terms: std::array::from_fn(|_| filler.clone()),
            len: 0,
        }
    }

    /// Adds a term, or returns `false` when there is no room for it.
    #[inline]
    pub fn push(&mut self, term: T) -> bool {
        let Some(place) = self.terms.get_mut(self.len) else {
            return false;
        };
        *place = term;
        self.len += 1;
        true
    }

    /// Adds all of `terms`, or returns `false` when there is no room for them.
    #[inline]
    pub fn push_all(&mut self, terms: &[T]) -> bool {
        terms.len() <= MAX_ELEMENTS && terms.iter().all(|term| self.push(term.clone()))
    }
}

impl<T> std::ops::Deref for Few<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        &self.terms[..self.len]
    }
}

impl<T> std::ops::DerefMut for Few<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.terms[..self.len]
    }
}

/// The limits that users configure.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The level at which everything becomes `:truncated`; the reason itself is at level 0.
    pub depth: usize,
    /// Binaries of up to this many bytes pass.
    pub max_binary_size: usize,
}

/// What became of a reason.
pub struct Outcome<T> {
    /// The truncated reason; the very same term when nothing had to change.
    pub term: T,
    /// How much work that was: a unit for each term that was reached, and more for a binary. It exceeds
    /// [`MAX_WORK`] at most by the work of the last term.
    pub work: usize,
}

/// Truncates a reason.
///
/// ```
/// use zen_monitor_core::truncation::{Few, Limits, Shape, Terms, truncate};
///
/// #[derive(Clone, Debug, PartialEq)]
/// enum Toy {
///     Atom(&'static str),
///     Binary(Vec<u8>),
///     Tuple(Vec<Toy>),
/// }
/// use Toy::*;
///
/// struct Toys;
///
/// impl Terms for Toys {
///     type Term = Toy;
///
///     fn shape(&self, toy: &Toy, elements: &mut Few<Toy>) -> Shape {
///         match toy {
///             Atom(_) => Shape::Plain,
///             Binary(bytes) => Shape::Binary { size: bytes.len(), work: 0 },
///             Tuple(toys) if elements.push_all(toys) => Shape::Tuple,
///             Tuple(_) => Shape::Other,
///         }
///     }
///
///     fn is_shutdown(&self, toy: &Toy) -> bool {
///         *toy == Atom("shutdown")
///     }
///
///     fn truncated(&self) -> Toy {
///         Atom("truncated")
///     }
///
///     fn shortened(&self, toy: &Toy, kept: usize) -> Toy {
///         match toy {
///             Binary(bytes) => Binary([&bytes[..kept], b"..."].concat()),
///             _ => unreachable!(),
///         }
///     }
///
///     fn tuple(&self, elements: &[Toy]) -> Toy {
///         Tuple(elements.to_vec())
///     }
///
///     fn list(&self, _: &[Toy]) -> Toy {
///         unreachable!()
///     }
///
///     fn with_values(&self, _: &Toy, _: &[Toy]) -> Toy {
///         unreachable!()
///     }
/// }
///
/// let limits = Limits { depth: 2, max_binary_size: 8 };
/// let reason = Tuple(vec![
///     Atom("error"),
///     Binary(b"state: undefined".to_vec()),
///     Tuple(vec![Atom("deep")]),
///     Tuple(vec![Atom("many"); 5]),
/// ]);
/// assert_eq!(
///     truncate(&Toys, &reason, limits).term,
///     Tuple(vec![
///         Atom("error"),
///         Binary(b"state...".to_vec()),
///         Tuple(vec![Atom("truncated")]),
///         Atom("truncated"),
///     ])
/// );
///
/// let orderly = Tuple(vec![Atom("shutdown"), reason]);
/// assert_eq!(truncate(&Toys, &orderly, limits).term, orderly);
/// ```
pub fn truncate<T: Terms>(terms: &T, reason: &T::Term, limits: Limits) -> Outcome<T::Term> {
    let mut pass = Pass {
        terms,
        depth: limits.depth.min(MAX_DEPTH),
        max_binary_size: limits.max_binary_size,
        work: 1,
    };
    let mut elements = Few::empty(reason);
    let shape = terms.shape(reason, &mut elements);
    let term = match shape {
        Shape::Tuple if elements.len() == 2 && terms.is_shutdown(&elements[0]) => None,
        _ if pass.depth == 0 => Some(terms.truncated()),
        _ => pass.apply(reason, shape, &mut elements, 0),
    };
    Outcome {
        term: term.unwrap_or_else(|| reason.clone()),
        work: pass.work,
    }
}

/// One call: its limits, and how much work it has done so far.
struct Pass<'t, T> {
    terms: &'t T,
    depth: usize,
    max_binary_size: usize,
    work: usize,
}

impl<T: Terms> Pass<'_, T> {
    /// What `term` becomes, or `None` when it stays as it is.
    #[inline]
    fn visit(&mut self, term: &T::Term, level: usize) -> Option<T::Term> {
        if self.work >= MAX_WORK {
            return Some(self.terms.truncated());
        }
        self.work += 1;
        if level >= self.depth {
            return Some(self.terms.truncated());
        }
        let mut elements = Few::empty(term);
        let shape = self.terms.shape(term, &mut elements);
        self.apply(term, shape, &mut elements, level)
    }

    /// As [`Pass::visit`], for a term above the depth whose shape is known.
    #[inline]
    fn apply(
        &mut self,
        term: &T::Term,
        shape: Shape,
        elements: &mut [T::Term],
        level: usize,
    ) -> Option<T::Term> {
        match shape {
            Shape::Plain => None,
            Shape::Binary { size, work } => {
                self.work += work;
                if size <= self.max_binary_size {
                    return None;
                }
                let kept = self.max_binary_size.saturating_sub(ELLIPSIS.len());
                self.work += WORK_PER_BINARY + kept / BYTES_PER_WORK;
                Some(self.terms.shortened(term, kept))
            }
            Shape::Tuple => {
                let changed = self.visit_all(elements, level + 1);
                changed.then(|| self.terms.tuple(elements))
            }
            Shape::List => {
                let changed = self.visit_all(elements, level + 1);
                changed.then(|| self.terms.list(elements))
            }
            Shape::Map => {
                let changed = self.visit_all(elements, level + 1);
                changed.then(|| self.terms.with_values(term, elements))
            }
            Shape::Other => Some(self.terms.truncated()),
        }
    }

    /// Truncates all elements, and tells whether any has changed.
    fn visit_all(&mut self, elements: &mut [T::Term], level: usize) -> bool {
        let mut changed = false;
        for element in elements {
            if let Some(truncated) = self.visit(element, level) {
                *element = truncated;
                changed = true;
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests;
