//! The nodes whose processes are monitored, each with its outbox.
//!
//! Nodes are added and never removed: a name that was an atom once stays one, too.

use crate::id_queue::IdQueue;
use crate::sync::{AtomicU32, Mutex, Ordering};
use crossbeam_utils::sync::ShardedLock;
use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use std::sync::Arc;

/// A node. `X` is what the host keeps with it.
pub struct Node<X> {
    id: u32,
    session: AtomicU32,
    /// Targets of which the node must be told something. What, is decided when they are taken out:
    /// that a subscribe and an unsubscribe which meet here cancel out is all in that.
    pub(crate) outbox: IdQueue,
    /// The subscriptions of the chunk taken last, which may not have been sent.
    pub(crate) taken: Mutex<Vec<u32>>,
    /// The host's part.
    pub host: X,
}

impl<X> Node<X> {
    /// Its number, from 0 in the order of addition.
    #[inline]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// How many targets wait in its outbox.
    pub fn outbox_len(&self) -> usize {
        self.outbox.len()
    }

    /// How many targets wait in its outbox, or were taken out of it and may not have been sent.
    pub fn pending(&self) -> usize {
        self.outbox_len() + self.taken.lock().len()
    }

    /// Whether nothing waits to be sent to it.
    #[inline]
    pub fn is_outbox_empty(&self) -> bool {
        self.outbox.is_empty()
    }

    /// The session that new subscriptions belong to.
    #[inline]
    pub(crate) fn session(&self) -> u32 {
        // Relaxed: read under the lock of a target shard. Expiring a session takes each of those
        // locks after the change, so whoever locks one later reads the new number.
        self.session.load(Ordering::Relaxed)
    }

    /// Begins another session and returns the former.
    pub(crate) fn renew(&self, session: u32) -> u32 {
        self.session.swap(session, Ordering::Relaxed)
    }
}

/// All nodes, by name and by id. Reading is cheap under any number of readers.
pub struct Nodes<X> {
    tables: ShardedLock<Tables<X>>,
    sessions: AtomicU32,
}

struct Tables<X> {
    by_name: HashMap<u64, Arc<Node<X>>, FxBuildHasher>,
    by_id: Vec<Arc<Node<X>>>,
}

impl<X> Default for Nodes<X> {
    fn default() -> Self {
        Nodes {
            tables: ShardedLock::new(Tables {
                by_name: HashMap::default(),
                by_id: Vec::new(),
            }),
            sessions: AtomicU32::new(0),
        }
    }
}

impl<X> Nodes<X> {
    /// Applies `view` to the node of this name, if it was ever added. It spares the hot path the
    /// two writes to a shared cache line that [`Nodes::find`] costs. `view` must be short and must
    /// not come back here: a writer that waits for it would stop a second reader, and so both.
    #[inline]
    pub fn view<T>(&self, name: u64, view: impl FnOnce(&Node<X>) -> T) -> Option<T> {
        self.read(|tables| tables.by_name.get(&name).map(|node| view(node)))
    }

    /// The node of this name, if it was ever added.
    pub fn find(&self, name: u64) -> Option<Arc<Node<X>>> {
        self.read(|tables| tables.by_name.get(&name).cloned())
    }

    /// The node of this name; `host` makes the host's part of a new one.
    pub fn find_or_add(&self, name: u64, host: impl FnOnce() -> X) -> Arc<Node<X>> {
        self.find(name).unwrap_or_else(|| self.add(name, host()))
    }

    /// The node of an id.
    #[inline]
    pub fn get(&self, id: u32) -> Arc<Node<X>> {
        self.read(|tables| tables.by_id[id as usize].clone())
    }

    /// All nodes.
    pub fn all(&self) -> Vec<Arc<Node<X>>> {
        self.read(|tables| tables.by_id.clone())
    }

    /// A session number that was not used before.
    pub(crate) fn next_session(&self) -> u32 {
        // Relaxed: only its uniqueness counts.
        self.sessions.fetch_add(1, Ordering::Relaxed)
    }

    fn add(&self, name: u64, host: X) -> Arc<Node<X>> {
        let mut tables = self
            .tables
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(node) = tables.by_name.get(&name) {
            return node.clone();
        }
        let node = Arc::new(Node {
            id: tables.by_id.len() as u32,
            session: AtomicU32::new(self.next_session()),
            outbox: IdQueue::default(),
            taken: Mutex::default(),
            host,
        });
        tables.by_id.push(node.clone());
        tables.by_name.insert(name, node.clone());
        node
    }

    #[inline]
    fn read<T>(&self, view: impl FnOnce(&Tables<X>) -> T) -> T {
        // Poison says only that a panic passed by: additions are made whole or not at all.
        let tables = self
            .tables
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        view(&tables)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_added_once() {
        let nodes = Nodes::default();
        assert_eq!(nodes.view(7, Node::id), None);
        assert_eq!(nodes.find_or_add(7, || "a").id(), 0);
        assert_eq!(nodes.find_or_add(9, || "b").id(), 1);
        assert_eq!(nodes.find_or_add(7, || "c").host, "a");
        assert_eq!(nodes.view(9, Node::id), Some(1));
        assert_eq!(nodes.get(1).host, "b");
        assert_ne!(nodes.get(0).session(), nodes.get(1).session());
    }
}
