//! Reads lists of destinations, many in one call.

use crate::sides::local::Local;
use crate::sides::local::node::Node;
use crate::sides::local::target::{named, target_id};
use crate::terms::etf::node_name;
use crate::terms::heap;
use crate::terms::shape;
use crate::terms::{atoms, word};
use rustler::{Env, Error, LocalPid, NifResult, Term};
use std::collections::HashMap;
use zen_monitor_core::monitors::targets::Key;

/// What is left of a list of destinations.
pub struct Destinations<'a, 'b> {
    /// What was not taken yet.
    pub rest: Term<'a>,
    env: Env<'a>,
    local: &'b Local,
    /// This node's name.
    name: Term<'a>,
    /// Whether nodes that are not known yet are added.
    adds: bool,
    /// The lives of nodes that the pids so far belong to, by the origin that [`heap::remote_pid`] reads. As long as
    /// the list exists, no other life can have the same origin.
    lives: HashMap<usize, Life<'b>>,
    recent: Option<(usize, Life<'b>)>,
    here: Option<&'b Node>,
}

/// A node and the creation of one life of it.
type Life<'b> = (&'b Node, u32);

/// The node of a destination and its id there.
pub type Located<'b> = (&'b Node, [u32; 3]);

impl<'a, 'b> Destinations<'a, 'b> {
    /// Begins at the head of a proper list.
    pub fn new(local: &'b Local, list: Term<'a>, name: Term<'a>, adds: bool) -> Self {
        Destinations {
            rest: list,
            env: list.get_env(),
            local,
            name,
            adds,
            lives: HashMap::new(),
            recent: None,
            here: None,
        }
    }

    /// Adds the keys of up to `limit` destinations to `keys`. Adds a node to `nodes` whenever it differs from that of
    /// the destination before. Destinations on unknown nodes are left out, unless such nodes are added. Returns `false`
    /// at the end of the list.
    pub fn take(
        &mut self,
        limit: usize,
        keys: &mut Vec<Key>,
        nodes: &mut Vec<&'b Node>,
    ) -> NifResult<bool> {
        for _ in 0..limit {
            let Some((destination, rest)) = shape::cell(self.rest) else {
                break;
            };
            if let Some((node, id)) = self.locate(destination)? {
                let node_id = node.id();
                if nodes.last().is_none_or(|last| last.id() != node_id) {
                    nodes.push(node);
                }
                keys.push(Key { node: node_id, id });
            }
            self.rest = rest;
        }
        let is_over = self.rest.is_empty_list();
        if !is_over && !self.rest.is_list() {
            return Err(Error::BadArg);
        }
        Ok(!is_over)
    }

    /// The node and the id of a destination. `None` when its node is unknown.
    #[inline]
    fn locate(&mut self, destination: Term<'a>) -> NifResult<Option<Located<'b>>> {
        if let Some((origin, [id, serial])) = heap::remote_pid(destination) {
            let life = match self.recent {
                Some((recent, life)) if recent == origin => Some(life),
                _ => self.life(origin, destination)?,
            };
            return Ok(life.map(|(node, creation)| (node, [id, serial, creation])));
        }
        if destination.is_atom() {
            return Ok(self.here()?.map(|node| (node, named(destination))));
        }
        if destination.decode::<LocalPid>().is_ok() {
            return identified(self.here()?, destination);
        }
        if destination.is_pid() {
            let name = node_name(self.env, destination).ok_or(Error::BadArg)?;
            return identified(self.node(name)?, destination);
        }
        let (name, node): (Term, Term) = destination.decode()?;
        if !name.is_atom() {
            return Err(Error::BadArg);
        }
        let node = match node == self.name {
            true => self.here()?,
            false => self.node(node)?,
        };
        Ok(node.map(|node| (node, named(name))))
    }

    /// The life of its node that a remote pid belongs to.
    #[cold]
    fn life(&mut self, origin: usize, pid: Term<'a>) -> NifResult<Option<Life<'b>>> {
        let known = self.lives.get(&origin).copied();
        let life = match known {
            Some(life) => Some(life),
            None => {
                let name = node_name(self.env, pid).ok_or(Error::BadArg)?;
                let located = identified(self.node(name)?, pid)?;
                located.map(|(node, [_, _, creation])| (node, creation))
            }
        };
        if let Some(life) = life {
            self.lives.insert(origin, life);
            self.recent = Some((origin, life));
        }
        Ok(life)
    }

    fn node(&self, name: Term<'a>) -> NifResult<Option<&'b Node>> {
        if self.adds {
            return self.local.node(name).map(Some);
        }
        match name.is_atom() {
            true => Ok(self.local.table.nodes.find(word::from_term(name))),
            false => Err(Error::BadArg),
        }
    }

    #[inline]
    fn here(&mut self) -> NifResult<Option<&'b Node>> {
        if self.here.is_none() {
            self.here = self.node(atoms::local().to_term(self.env))?;
        }
        Ok(self.here)
    }
}

fn identified<'b>(node: Option<&'b Node>, pid: Term) -> NifResult<Option<Located<'b>>> {
    node.map(|node| {
        let id = target_id(pid, node).ok_or(Error::BadArg)?;
        Ok((node, id))
    })
    .transpose()
}

/// Adds to `unanswered` the names of those nodes that have no Connector.
pub fn note_unanswered<'a>(env: Env<'a>, nodes: &[&Node], unanswered: &mut Vec<Term<'a>>) {
    for node in nodes {
        let name = word::to_term(env, node.name());
        if !node.host.connector.is_answered() && !unanswered.contains(&name) {
            unanswered.push(name);
        }
    }
}
