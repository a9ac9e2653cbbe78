//! Makes many pids and references at a time: from their words if the layout of the heap is known, else by the
//! external format.

use crate::terms::etf::{List, Numbers, Pid, encoded_name};
use crate::terms::heap;
use crate::terms::origin::Sample;
use rustler::{Env, Term};

/// Builds pids and references. Those that [`heap`] can make are made at once. The others are decoded together,
/// since one decoding of a list takes less than one for each.
pub struct Batch<'a> {
    env: Env<'a>,
    terms: Vec<Term<'a>>,
    /// The places of those that are still to be decoded.
    missing: Vec<usize>,
    encoded: List,
    /// The node of the last pid that was encoded, and its name as it was encoded.
    node: Option<(Term<'a>, Box<[u8]>)>,
}

impl<'a> Batch<'a> {
    /// Begins an empty batch.
    pub fn new(env: Env<'a>) -> Batch<'a> {
        Batch {
            env,
            terms: Vec::new(),
            missing: Vec::new(),
            encoded: List::default(),
            node: None,
        }
    }

    /// Adds a pid of a node. `sample` is a pid of that node, if one is kept.
    #[inline]
    pub fn pid(&mut self, node: Term<'a>, numbers: [u32; 3], sample: Option<&Sample>) {
        match sample.and_then(|sample| sample.pid(self.env, numbers)) {
            Some(term) => self.terms.push(term),
            None => self.encoded_pid(node, numbers),
        }
    }

    /// Adds a reference of this node.
    #[inline]
    pub fn reference(&mut self, words: [u32; 3]) {
        match heap::make_reference(self.env, words) {
            Some(term) => self.terms.push(term),
            None => self.encoded_reference(Numbers { words, rest: None }),
        }
    }

    /// Adds a term that is made already.
    #[inline]
    pub fn term(&mut self, term: Term<'a>) {
        self.terms.push(term);
    }

    /// How many terms [`Batch::build`] will have to decode.
    #[inline]
    pub fn undecoded(&self) -> usize {
        self.missing.len()
    }

    /// The terms, in the order in which they were added. The batch is empty afterwards.
    pub fn build(&mut self) -> Option<Vec<Term<'a>>> {
        if !self.missing.is_empty() {
            let decoded = self.encoded.decode(self.env)?;
            for (place, term) in self.missing.drain(..).zip(decoded) {
                self.terms[place] = term;
            }
        }
        Some(std::mem::take(&mut self.terms))
    }

    #[cold]
    fn encoded_pid(&mut self, node: Term<'a>, [id, serial, creation]: [u32; 3]) {
        let (node, name) = match self.node.take() {
            Some(known) if known.0 == node => known,
            _ => (node, encoded_name(node)),
        };
        let pid = Pid {
            node: &name,
            id,
            serial,
            creation,
        };
        self.encoded.pid(&pid);
        self.leave_place();
        self.node = Some((node, name));
    }

    /// Adds a reference of this node to be decoded. An alias can be made in no other way.
    #[cold]
    pub fn encoded_reference(&mut self, numbers: Numbers) {
        self.encoded.reference(self.env, numbers);
        self.leave_place();
    }

    /// Leaves a place for the term that was encoded.
    #[cold]
    fn leave_place(&mut self) {
        self.missing.push(self.terms.len());
        self.terms.push(Term::list_new_empty(self.env));
    }
}
