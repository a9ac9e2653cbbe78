//! What goes to another node in the compact form: runs of pids, and what has another shape in between.
//!
//! A part is a binary of runs, with the reasons that these name where they are certificates, or a list of
//! terms. So all of it stays in the order in which it arose.

use rustler::types::tuple::make_tuple;
use rustler::{Encoder as _, Env, NewBinary, Term};
use zen_monitor_core::wire::{Encoder, Kind, Numbers};

/// The most reasons that come with one binary.
const REASONS: usize = 256;
/// How many of them a certificate's is compared with: those of a mass exit are few, and take turns.
pub const COMPARED: usize = 8;

/// Puts parts together.
pub struct Parts<'a> {
    env: Env<'a>,
    parts: Vec<Term<'a>>,
    runs: Encoder,
    /// The reasons that the runs name, each with its number.
    reasons: Vec<(usize, Term<'a>)>,
    terms: Vec<Term<'a>>,
}

impl<'a> Parts<'a> {
    /// Begins.
    pub fn new(env: Env<'a>) -> Parts<'a> {
        Parts {
            env,
            parts: Vec::new(),
            runs: Encoder::default(),
            reasons: Vec::new(),
            terms: Vec::new(),
        }
    }

    /// Adds an instruction about a pid.
    #[inline]
    pub fn instruct(&mut self, kind: Kind, pid: Numbers, creation: u32) {
        if !self.terms.is_empty() {
            self.end_terms();
        }
        self.runs.push(kind, pid, creation);
    }

    /// Adds a certificate of a pid. The same reason has the same number, and another has another.
    #[inline]
    pub fn certify(&mut self, reason: (usize, Term<'a>), pid: Numbers, creation: u32) {
        let recent = self.reasons.len().saturating_sub(COMPARED);
        let mut known = self.reasons[recent..].iter();
        let place = match known.rposition(|(number, _)| *number == reason.0) {
            Some(place) => recent + place,
            None => {
                if self.reasons.len() == REASONS {
                    self.end_runs();
                }
                self.reasons.push(reason);
                self.reasons.len() - 1
            }
        };
        self.instruct(Kind::Dead(place as u8), pid, creation);
    }

    /// Adds what has another shape.
    pub fn term(&mut self, term: Term<'a>) {
        self.end_runs();
        self.terms.push(term);
    }

    /// All parts, in order.
    pub fn finish(mut self) -> Vec<Term<'a>> {
        self.end_terms();
        self.end_runs();
        self.parts
    }

    fn end_terms(&mut self) {
        if !self.terms.is_empty() {
            let terms = std::mem::take(&mut self.terms);
            self.parts.push(terms.encode(self.env));
        }
    }

    fn end_runs(&mut self) {
        if self.runs.is_empty() {
            return;
        }
        let runs = binary(self.env, &self.runs.finish());
        let reasons = std::mem::take(&mut self.reasons);
        self.parts.push(if reasons.is_empty() {
            runs
        } else {
            let reasons: Vec<Term> = reasons.into_iter().map(|(_, reason)| reason).collect();
            (runs, make_tuple(self.env, &reasons)).encode(self.env)
        });
    }
}

fn binary<'a>(env: Env<'a>, bytes: &[u8]) -> Term<'a> {
    let mut binary = NewBinary::new(env, bytes.len());
    binary.as_mut_slice().copy_from_slice(bytes);
    binary.into()
}
