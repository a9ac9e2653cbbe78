//! Who is the Connector of a node, and when it may sleep or retire.

use crate::calls::connector::compatibility::forget_compatible;
use crate::sides::local::Local;
use crate::sides::local::node::Node;
use crate::state::current;
use crate::terms::word;
use rustler::{Env, LocalPid, NifResult, Term};

/// The Connector of a node, which may have died. `nil` if the node never had one, or the last one has retired.
#[rustler::nif]
fn connector<'a>(env: Env<'a>, node: Term<'a>) -> NifResult<Option<LocalPid>> {
    let state = current()?;
    let found = state.local.table.nodes.find(word::from_term(node));
    Ok(found.and_then(|node| node.host.connector.owner(env)))
}

/// Makes the caller the Connector of a node. `true` when it succeeds another one: the subscriptions of that one end
/// with it.
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

/// Whether nothing is monitored on a node and nothing waits in its outbox.
#[rustler::nif]
fn connector_is_unused(node: Term) -> NifResult<bool> {
    let state = current()?;
    let node = state.local.node(node)?;
    Ok(state.local.table.is_unused(node))
}

/// Has the caller retire as the Connector of a node that is unused. `false` when the node is in use again: then the caller
/// must sweep. Without a Connector nobody would notice that the node is not compatible any more, so its compatibility is
/// forgotten. The name of the node may never be used again, so its memory is given back.
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

/// Whether a node must have a Connector: it has one that did not retire, or something is monitored on it.
#[rustler::nif]
fn connector_is_wanted(node: Term) -> NifResult<bool> {
    let state = current()?;
    Ok(is_wanted(&state.local, state.local.node(node)?))
}

/// The names of all nodes that must have a Connector. Dirty: it looks at every node that was ever known.
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
