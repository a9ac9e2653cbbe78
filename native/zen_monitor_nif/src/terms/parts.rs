//! The parts of a message in the compact form.
//!
//! A part is a binary of runs (with the reasons that they refer to, if these are certificates), or a list of terms
//! for what is no pid. Each kind ends where the other begins, so everything stays in order.

use rustler::types::tuple::make_tuple;
use rustler::{Encoder as _, Env, NewBinary, Term};
use zen_monitor_core::wire::{Encoder, Kind, Numbers};

/// The most reasons that come with one binary.
const REASONS: usize = 256;
/// With how many of the last reasons a new one is compared. The reasons of a mass exit are few, and take turns.
pub const COMPARED: usize = 8;

/// Makes the parts of a message.
pub struct Parts<'a> {
    env: Env<'a>,
    parts: Vec<Term<'a>>,
    runs: Encoder,
    /// The reasons that the runs refer to, each with its number.
    reasons: Vec<(usize, Term<'a>)>,
    terms: Vec<Term<'a>>,
}

impl<'a> Parts<'a> {
    /// Begins a message.
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

    /// Adds a certificate of a pid. Equal numbers mean equal reasons.
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

    /// Adds an instruction or a certificate of something else.
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
