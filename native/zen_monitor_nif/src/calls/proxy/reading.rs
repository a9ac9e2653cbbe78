//! Instructions as they come in.

use crate::calls::proxy::monitors::SLICE;
use crate::sides::proxy::destination::{Subject, is_local};
use crate::terms::etf::Identity;
use crate::terms::numbering::Numbering;
use crate::terms::{atoms, word};
use rustler::{Binary, Env, Error, NifResult, Term};
use zen_monitor_core::subscriptions::table::Destination;
use zen_monitor_core::wire::{Decoder, Kind, Numbers};

/// One instruction of a connector.
pub enum Instruction<'a> {
    /// Subscribe.
    Subscribe(Destination),
    /// Subscribe, with a number that the certificate returns.
    SubscribeNumbered(Destination, u32),
    /// Unsubscribe.
    Unsubscribe(Destination),
    /// Subscribe to what is not of this node, and so is no process.
    Refuse(Term<'a>),
    /// Subscribe to a pid of a former life of this node.
    RefuseFormer(Numbers, u32),
    /// Unsubscribe from what is not of this node.
    Nothing,
}

impl<'a> Instruction<'a> {
    #[inline]
    fn of(term: Term<'a>, home: [u64; 2]) -> Option<Instruction<'a>> {
        let (verb, subject, number): (Term, Term, Option<u32>) = match term.decode() {
            Ok((verb, subject)) => (verb, subject, None),
            Err(_) => {
                let (verb, subject, number) = term.decode().ok()?;
                (verb, subject, Some(number))
            }
        };
        let destination = Subject::of(subject)?;
        if atoms::subscribe() == verb {
            Some(match destination {
                Subject::Known(destination) if is_local(destination, home) => match number {
                    Some(number) => Instruction::SubscribeNumbered(destination, number),
                    None => Instruction::Subscribe(destination),
                },
                _ => Instruction::Refuse(subject),
            })
        } else if atoms::unsubscribe() == verb && number.is_none() {
            Some(match destination {
                // Whatever the node: this one may have been renamed since.
                Subject::Known(destination) => Instruction::Unsubscribe(destination),
                Subject::Foreign => Instruction::Nothing,
            })
        } else {
            None
        }
    }
}

impl Instruction<'_> {
    /// Whether it may leave its connector without subscriptions.
    pub fn is_unsubscribe(&self) -> bool {
        matches!(self, Instruction::Unsubscribe(_))
    }
}

/// Reads a slice of a list of instructions, and returns the rest.
pub fn read_list<'a>(
    env: Env<'a>,
    list: Term<'a>,
    home: Term<'a>,
    slice: &mut Vec<Instruction<'a>>,
    malformed: &mut Vec<Term<'a>>,
) -> Term<'a> {
    let unnamed = atoms::nonode_at_nohost().to_term(env);
    let home = [home, unnamed].map(word::from_term);
    let mut rest = list;
    while slice.len() + malformed.len() < SLICE {
        let Ok((instruction, tail)) = rest.list_get_cell() else {
            if !rest.is_empty_list() {
                malformed.push(rest);
            }
            return Term::list_new_empty(env);
        };
        match Instruction::of(instruction, home) {
            Some(instruction) => slice.push(instruction),
            None => malformed.push(instruction),
        }
        rest = tail;
    }
    rest
}

/// Reads a slice of runs, and returns the others, or the empty list.
pub fn read_runs<'a>(
    env: Env<'a>,
    part: Term<'a>,
    slice: &mut Vec<Instruction<'a>>,
    malformed: &mut Vec<Term<'a>>,
) -> NifResult<Term<'a>> {
    let bytes = Binary::from_term(part)?;
    let creation = Identity::of_caller(env).ok_or(Error::BadArg)?.creation;
    let numbering = Numbering::known();
    let own = |numbers, of| numbering.filter(|_| of == creation)?.plain_of(numbers);
    let mut decoder = Decoder::new(&bytes);
    let sub = |from: &[u8], to: &[u8]| {
        let place = bytes.len() - from.len();
        Ok::<_, Error>(
            bytes
                .make_subbinary(place, from.len() - to.len())?
                .to_term(env),
        )
    };
    while slice.len() + malformed.len() < SLICE && !decoder.rest().is_empty() {
        let before = decoder.rest();
        let run = decoder.next();
        let is_instruction = run.as_ref().is_some_and(|run| match run.kind {
            Kind::Subscribe => {
                slice.extend(run.pids().iter().map(|&pid| match own(pid, run.creation) {
                    Some(word) => Instruction::Subscribe(Destination { word, node: 0 }),
                    None => Instruction::RefuseFormer(pid, run.creation),
                }));
                true
            }
            Kind::Unsubscribe => {
                slice.extend(run.pids().iter().map(|&pid| match own(pid, run.creation) {
                    Some(word) => Instruction::Unsubscribe(Destination { word, node: 0 }),
                    None => Instruction::Nothing,
                }));
                true
            }
            Kind::Dead(_) => false,
        });
        if !is_instruction || decoder.is_malformed() {
            malformed.push(sub(before, decoder.rest())?);
        }
    }
    match decoder.rest() {
        [] => Ok(Term::list_new_empty(env)),
        rest => sub(rest, &[]),
    }
}
