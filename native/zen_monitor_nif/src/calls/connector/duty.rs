//! Who is the Connector of a node, and when it may sleep or retire.

use crate::calls::connector::compatibility::forget_compatible;
use crate::sides::local::Local;
use crate::sides::local::node::Node;
use crate::state::current;
use crate::terms::word;
use rustler::{Env, LocalPid, NifResult, Term};

/// The Connector of a node, dead or alive; `nil` if it never had one, or the last has retired.
#[rustler::nif]
fn connector<'a>(env: Env<'a>, node: Term<'a>) -> NifResult<Option<LocalPid>> {
    let state = current()?;
    let found = state.local.table.nodes.find(word::from_term(node));
    Ok(found.and_then(|node| node.host.connector.owner(env)))
}

/// Makes the caller the Connector of a node. `true` when it succeeds another one, whose
/// subscriptions are void.
#[rustler::nif]
fn connector_answer(env: Env, node: Term) -> NifResult<bool> {
    let state = current()?;
    let node = state.local.node(node)?;
    state.local.table.begin_resubscribing(node);
    Ok(node.host.connector.answer(env))
}

/// Puts the Connector to rest; `false` when something has come into the outbox.
#[rustler::nif]
fn connector_rest(node: Term) -> NifResult<bool> {
    let state = current()?;
    let node = state.local.node(node)?;
    Ok(node.host.connector.rest(|| node.is_outbox_empty()))
}

/// Whether nothing on a node is monitored and nothing waits in its outbox.
#[rustler::nif]
fn connector_is_unused(node: Term) -> NifResult<bool> {
    let state = current()?;
    let node = state.local.node(node)?;
    Ok(state.local.table.is_unused(node))
}

/// Ends the caller's duty as the Connector of a node that is unused; otherwise `false`, and it must
/// sweep. Nobody would notice if the node were not compatible any more, so that is forgotten. The name of the
/// node may never be heard of again, so what takes memory is given back.
#[rustler::nif]
fn connector_retire(env: Env, node: Term) -> NifResult<bool> {
    let state = current()?;
    let node = state.local.node(node)?;
    let is_unused = || state.local.table.is_unused(node);
    let retired = node.host.connector.retire(env, is_unused);
    if retired && !node.host.connector.is_answered() {
        forget_compatible(node);
        node.give_back();
        node.host.origin.forget();
    }
    Ok(retired)
}

/// Whether a node must have a Connector: it has one, alive or crashed, or something is monitored.
#[rustler::nif]
fn connector_is_wanted(node: Term) -> NifResult<bool> {
    let state = current()?;
    Ok(is_wanted(&state.local, state.local.node(node)?))
}

/// The names of all nodes that must have a Connector. Dirty: it looks at each that was ever known.
#[rustler::nif(schedule = "DirtyCpu")]
fn connectors_wanted(env: Env<'_>) -> NifResult<Vec<Term<'_>>> {
    let state = current()?;
    let nodes = state.local.table.nodes.iter();
    let wanted = nodes.filter(|node| is_wanted(&state.local, node));
    Ok(wanted.map(|node| word::to_term(env, node.name())).collect())
}

fn is_wanted(local: &Local, node: &Node) -> bool {
    node.host.connector.is_answered() || !local.table.is_unused(node)
}
