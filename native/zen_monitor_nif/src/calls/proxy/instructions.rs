//! What other nodes want watched.

use crate::calls::batcher::outbox::Passing;
use crate::calls::proxy::monitors::{SLICE, monitors_to_terms, read_monitors};
use crate::calls::proxy::reading::{Instruction, read_list, read_runs};
use crate::calls::timeslice::consume;
use crate::sides::proxy::connector::{Certificate, Connector};
use crate::sides::proxy::count;
use crate::sides::proxy::destination::{destination_to_term, is_dead};
use crate::state::current;
use crate::terms::atoms;
use crate::terms::reason::Reason;
use rustler::{Encoder, Env, Error, NifResult, ResourceArc, Term};
use zen_monitor_core::structures::limits::Full;
use zen_monitor_core::subscriptions::table::MonitorRef;

/// How many instructions are so few that it is worth while to look at each for what is dead already. Its certificate then
/// need not wait until a holder has placed a monitor.
const FEW: usize = 8;

/// `:noproc` in the external format.
const NOPROC: &[u8] = b"\x83w\x06noproc";

/// Carries out the first instructions of a part: a list of them, or runs of pids. `monitors` are those of the
/// destinations that the call before has returned, in that order. Returns the rest of the part, the
/// destinations that need a monitor of the Proxy's, its monitors that are not needed any more, what was no instruction, and
/// what the caller is to send in the place of Batchers that sleep. `now` is the VM's monotonic time in nanoseconds. The
/// holders are told what they have to do.
#[rustler::nif]
fn proxy_process<'a>(
    env: Env<'a>,
    connector: ResourceArc<Connector>,
    home: Term<'a>,
    part: Term<'a>,
    monitors: Term<'a>,
    now: i64,
) -> NifResult<Processed<'a>> {
    let state = current()?;
    let mut slice = Vec::with_capacity(SLICE);
    let mut malformed = Vec::new();
    let monitors = read_monitors(env, monitors)?;
    let rest = if part.is_binary() {
        read_runs(env, part, &mut slice, &mut malformed)?
    } else {
        read_list(env, part, home, &mut slice, &mut malformed)
    };

    let holders = state.proxy.holders.load_full();
    let few = slice.len() <= FEW;
    let mut dead = Vec::new();
    let mut made: Vec<(Option<usize>, u32)> = Vec::new();
    let mut released: Vec<(Option<usize>, MonitorRef)> = Vec::new();
    let mut refused = Vec::new();
    let mut unwatched = Vec::new();
    let mut nobody: Option<Reason> = None;
    let mut asked = connector.asked.lock();
    if asked.len() != monitors.len() {
        return Err(Error::BadArg);
    }
    let mut table = state.proxy.table.lock();
    for (target, monitor) in asked.drain(..).zip(monitors) {
        table.set_monitor(target, monitor);
    }
    for instruction in &slice {
        match *instruction {
            Instruction::Subscribe(destination) => {
                let owner = holders.of(destination);
                match table.subscribe(connector.id, destination) {
                    // Nobody was subscribed to it, so no `:DOWN` with its real reason is under way.
                    Ok(Some(_)) if few && is_dead(env, destination) => dead.push(destination),
                    Ok(target) => made.extend(target.map(|target| (owner, target))),
                    Err(Full) => unwatched.push((destination, None)),
                }
            }
            Instruction::SubscribeNumbered(destination, number) => {
                let owner = holders.of(destination);
                let (former, next) = table.subscribe_numbered(connector.id, destination, number);
                released.extend(former.map(|monitor| (owner, monitor)));
                match next {
                    Ok(target) => made.extend(target.map(|target| (owner, target))),
                    Err(Full) => unwatched.push((destination, Some(number))),
                }
            }
            Instruction::Unsubscribe(destination) => {
                let former = table.unsubscribe(connector.id, destination);
                released.extend(former.map(|monitor| (holders.of(destination), monitor)));
            }
            Instruction::Refuse(subject) => {
                let certificate = (subject, atoms::noproc()).encode(env);
                refused.push(Certificate::Encoded(Reason::from_term(certificate)));
            }
            Instruction::RefuseFormer(pid, creation) => {
                let reason = nobody.get_or_insert_with(|| Reason::from_etf(NOPROC));
                refused.push(Certificate::Former(pid, creation, reason.clone()));
            }
            Instruction::Nothing => {}
        }
    }
    let unused =
        slice.iter().any(Instruction::is_unsubscribe) && !table.is_subscribed(connector.id);
    let mut destinations = Vec::new();
    let mut theirs = Vec::with_capacity(made.len());
    for (owner, target) in made {
        if let Some(holder) = owner {
            theirs.push((holder, target));
        } else if let Some(destination) = table.begin_monitor(target, |_| true) {
            asked.push(target);
            destinations.push(destination);
        }
    }
    drop((table, asked));

    let mut passed = Vec::new();
    if !dead.is_empty() {
        let mut passing = Passing::begin(env, &state.proxy, Some(now), false);
        let reason = Reason::from_etf(NOPROC);
        let known = Some((atoms::noproc().to_term(env), reason.clone()));
        let exits: Vec<_> = dead.into_iter().map(|one| (one, reason.clone())).collect();
        let ring = |connector: ResourceArc<Connector>| passing.ring(&connector, &known);
        state.proxy.certify(&holders, &exits, ring);
        passed = passing.finish();
    }
    holders.ask(env, &theirs);
    let released = holders.release(env, released);
    if unused {
        // The Batcher notes that it may retire.
        connector.batcher.ring(env);
    }
    count(&state.proxy.enqueued, refused.len() + unwatched.len());
    let unwatched = unwatched.into_iter().map(|(destination, number)| {
        let reason = Reason::from_term(atoms::system_limit().to_term(env));
        Certificate::new(destination, number, reason)
    });
    for certificate in refused.into_iter().chain(unwatched) {
        connector.force(env, certificate);
    }
    let to_term = |destination| destination_to_term(env, destination);
    let destinations = destinations.into_iter().map(to_term).collect();
    let released = monitors_to_terms(env, &released)?;
    consume(env, slice.len());
    Ok((rest, destinations, released, malformed, passed))
}

type Processed<'a> = (
    Term<'a>,
    Vec<Term<'a>>,
    Vec<Term<'a>>,
    Vec<Term<'a>>,
    Vec<Term<'a>>,
);
