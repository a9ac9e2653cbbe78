//! Shows exit reasons to the core's rules of truncation.

use crate::terms::atoms;
use rustler::sys::{
    ErlNifMapIterator, ErlNifMapIteratorEntry, ErlNifTerm, enif_get_list_cell, enif_get_map_size,
    enif_get_tuple, enif_make_list_from_array, enif_make_sub_binary, enif_make_tuple_from_array,
    enif_map_iterator_create, enif_map_iterator_destroy, enif_map_iterator_get_pair,
    enif_map_iterator_next,
};
use rustler::types::atom::__struct__;
use rustler::{Binary, Env, NewBinary, Term};
use std::mem::MaybeUninit;
use zen_monitor_core::truncation::{
    self as core, ELLIPSIS, Few, Limits, MAX_ELEMENTS, MAX_WORK, Shape, Terms,
};

/// The share of a timeslice, in percent, that a truncation with the most work takes.
const MAX_PERCENT: usize = 50;

/// For a binary of fewer bytes, reading counts as no work.
const LARGE: usize = 4_096;

/// How many bytes are shifted to a byte boundary in one unit of the core's work.
const SHIFTED_BYTES_PER_WORK: usize = 40;

/// Truncates an exit reason. Returns it with the share of a timeslice, in percent, that this took.
pub fn truncate<'a>(env: Env<'a>, reason: Term<'a>, limits: Limits) -> (Term<'a>, usize) {
    let heap = Heap {
        env,
        truncated: atoms::truncated().as_c_arg(),
        tag: __struct__().as_c_arg(),
    };
    let outcome = core::truncate(&heap, &reason.as_c_arg(), limits);
    let percent = outcome.work * MAX_PERCENT / MAX_WORK;
    (heap.term(outcome.term), percent)
}

/// The heap that a reason lives on.
///
/// Its terms are bare words, which take a third of the memory of rustler's terms. Invariant: every word that is
/// passed in is a term of `env`.
struct Heap<'a> {
    env: Env<'a>,
    truncated: ErlNifTerm,
    tag: ErlNifTerm,
}

impl Terms for Heap<'_> {
    type Term = ErlNifTerm;

    // The kinds are tried from the likeliest in an exit reason to the least likely. The interface can also tell
    // the kind at once, but rustler's enum of kinds has no value for those of a later OTP.
    #[inline]
    fn shape(&self, word: &ErlNifTerm, elements: &mut Few<ErlNifTerm>) -> Shape {
        let term = self.term(*word);
        if term.is_atom() {
            Shape::Plain
        } else if let Some(found) = self.elements_of(*word) {
            few_or_other(elements.push_all(found), Shape::Tuple)
        } else if term.is_list() {
            few_or_other(self.push_list(*word, elements), Shape::List)
        } else if term.is_number() {
            Shape::Plain
        } else if term.is_binary() {
            let bytes = self.bytes(*word);
            Shape::Binary {
                size: bytes.len(),
                work: self.work_of_reading(*word, bytes),
            }
        } else if let Some(size) = self.map_size(*word) {
            // One entry may be the tag of a struct.
            let few =
                size <= MAX_ELEMENTS + 1 && self.all_values(*word, |_, value| elements.push(value));
            few_or_other(few, Shape::Map)
        } else if term.is_pid() || term.is_ref() || term.is_port() {
            Shape::Plain
        } else {
            Shape::Other
        }
    }

    #[inline]
    fn is_shutdown(&self, word: &ErlNifTerm) -> bool {
        atoms::shutdown().as_c_arg() == *word
    }

    #[inline]
    fn truncated(&self) -> ErlNifTerm {
        self.truncated
    }

    fn shortened(&self, word: &ErlNifTerm, kept: usize) -> ErlNifTerm {
        // A sub-binary would keep the whole of a large binary alive.
        let mut new = NewBinary::new(self.env, kept + ELLIPSIS.len());
        let (start, end) = new.as_mut_slice().split_at_mut(kept);
        start.copy_from_slice(self.first_bytes(*word, kept));
        end.copy_from_slice(ELLIPSIS);
        Term::from(new).as_c_arg()
    }

    #[inline]
    fn tuple(&self, elements: &[ErlNifTerm]) -> ErlNifTerm {
        // SAFETY: the elements are terms of this environment.
        unsafe {
            enif_make_tuple_from_array(
                self.env.as_c_arg(),
                elements.as_ptr(),
                elements.len() as u32,
            )
        }
    }

    #[inline]
    fn list(&self, elements: &[ErlNifTerm]) -> ErlNifTerm {
        // SAFETY: the elements are terms of this environment.
        unsafe {
            enif_make_list_from_array(
                self.env.as_c_arg(),
                elements.as_ptr(),
                elements.len() as u32,
            )
        }
    }

    fn with_values(&self, map: &ErlNifTerm, values: &[ErlNifTerm]) -> ErlNifTerm {
        let mut values = values.iter();
        let mut new = self.term(*map);
        self.all_values(*map, |key, old| {
            let value = *values.next().expect("as many as the map has");
            if value != old {
                let updated = new.map_update(self.term(key), self.term(value));
                new = updated.expect("a key of the map");
            }
            true
        });
        new.as_c_arg()
    }
}

#[inline]
fn few_or_other(few: bool, shape: Shape) -> Shape {
    if few { shape } else { Shape::Other }
}

impl<'a> Heap<'a> {
    #[inline]
    fn term(&self, word: ErlNifTerm) -> Term<'a> {
        // SAFETY: by the invariant, the word belongs to this environment.
        unsafe { Term::new(self.env, word) }
    }

    #[inline]
    fn elements_of(&self, tuple: ErlNifTerm) -> Option<&'a [ErlNifTerm]> {
        let mut arity = 0;
        let mut elements = MaybeUninit::uninit();
        // SAFETY: the term belongs to the environment. The call fills in both places when it
        // succeeds, and the array stays where it is until the NIF returns.
        unsafe {
            let env = self.env.as_c_arg();
            (enif_get_tuple(env, tuple, &mut arity, elements.as_mut_ptr()) != 0)
                .then(|| std::slice::from_raw_parts(elements.assume_init(), arity as usize))
        }
    }

    /// Adds the elements of a list. `false` if it is improper, or `elements` has no room for them.
    #[inline]
    fn push_list(&self, list: ErlNifTerm, elements: &mut Few<ErlNifTerm>) -> bool {
        let env = self.env.as_c_arg();
        let (mut head, mut rest) = (list, list);
        // SAFETY: a tail of a term of the environment is one too; the call fills in both places
        // when it succeeds and neither when it fails.
        while unsafe { enif_get_list_cell(env, rest, &mut head, &mut rest) } != 0 {
            if !elements.push(head) {
                return false;
            }
        }
        self.term(rest).is_empty_list()
    }

    #[inline]
    fn bytes(&self, binary: ErlNifTerm) -> &'a [u8] {
        let binary = Binary::from_term(self.term(binary));
        binary.expect("it is a binary").as_slice()
    }

    /// The first `count` bytes of a binary that has at least so many. Unlike [`Heap::bytes`], this never makes the
    /// VM copy more than these.
    #[inline]
    fn first_bytes(&self, binary: ErlNifTerm, count: usize) -> &'a [u8] {
        // SAFETY: the term is a binary of the environment, and long enough.
        let start = unsafe { enif_make_sub_binary(self.env.as_c_arg(), binary, 0, count) };
        self.bytes(start)
    }

    /// The work that [`Heap::bytes`] has done. The VM copies a binary that does not start on a byte boundary.
    #[inline]
    fn work_of_reading(&self, binary: ErlNifTerm, bytes: &[u8]) -> usize {
        if bytes.len() < LARGE || self.first_bytes(binary, 1).as_ptr() == bytes.as_ptr() {
            0
        } else {
            bytes.len() / SHIFTED_BYTES_PER_WORK
        }
    }

    #[inline]
    fn map_size(&self, map: ErlNifTerm) -> Option<usize> {
        let mut size = 0;
        // SAFETY: the term belongs to the environment, and the place lives on this stack.
        let is_map = unsafe { enif_get_map_size(self.env.as_c_arg(), map, &mut size) } != 0;
        is_map.then_some(size)
    }

    /// Whether `f` returns `true` for all keys and values of a map. The tag of a struct is left out.
    #[inline]
    fn all_values(
        &self,
        map: ErlNifTerm,
        mut f: impl FnMut(ErlNifTerm, ErlNifTerm) -> bool,
    ) -> bool {
        let env = self.env.as_c_arg();
        let mut iterator = MaybeUninit::<ErlNifMapIterator>::uninit();
        let iterator = iterator.as_mut_ptr();
        let (mut key, mut value) = (self.truncated, self.truncated);
        let mut all = true;
        // SAFETY: the term is a map of the environment, so `create` fills in the iterator, which is
        // used by nobody else and destroyed at the end.
        unsafe {
            enif_map_iterator_create(
                env,
                map,
                iterator,
                ErlNifMapIteratorEntry::ERL_NIF_MAP_ITERATOR_HEAD,
            );
            while all && enif_map_iterator_get_pair(env, iterator, &mut key, &mut value) != 0 {
                all = (key == self.tag && self.term(value).is_atom()) || f(key, value);
                enif_map_iterator_next(env, iterator);
            }
            enif_map_iterator_destroy(env, iterator);
        }
        all
    }
}
