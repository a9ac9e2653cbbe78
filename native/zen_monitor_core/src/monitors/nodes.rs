//! The nodes whose processes are monitored, each with its outbox.
//!
//! Nodes are added and never removed, as atoms are. So a node on which nothing is monitored any more has to be
//! small.

use crate::monitors::grace::Grace;
use crate::monitors::stay::Stay;
use crate::monitors::targets::Cursor;
use crate::structures::hash::hash;
use crate::structures::id_queue::IdQueue;
use crate::structures::levels::Levels;
use crate::structures::sync::{AtomicU64, Mutex, OnceBox, Ordering};
use std::sync::atomic;

/// A node. `X` is what the host keeps with it.
pub struct Node<X> {
    id: u32,
    name: u64,
    /// The session that new subscriptions belong to.
    pub(crate) stay: Stay,
    /// Targets of which the node must be told something. What it is told is decided when they are taken out. So
    /// a subscribe and an unsubscribe that meet here cancel out.
    pub(crate) outbox: IdQueue,
    /// What its Connector has under way. Boxed, since most nodes that were ever known have none.
    pub(crate) desk: Mutex<Option<Box<Desk>>>,
    /// The host's part.
    pub host: X,
}

/// What the Connector of a node has under way.
#[derive(Default)]
pub(crate) struct Desk {
    /// The subscriptions of the chunk taken last, which may not have been sent.
    pub(crate) taken: Vec<u32>,
    /// How far its subscriptions have been made anew.
    pub(crate) cursor: Cursor,
    /// What becomes of its monitors when its connection is lost.
    pub(crate) grace: Grace,
}

impl Desk {
    fn is_free(&self) -> bool {
        self.taken.is_empty() && self.grace.is_over()
    }
}

impl<X> Node<X> {
    /// Its number, from 0 in the order of addition.
    #[inline]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Its name.
    #[inline]
    pub fn name(&self) -> u64 {
        self.name
    }

    /// How many targets wait in its outbox.
    pub fn outbox_len(&self) -> usize {
        self.outbox.len()
    }

    /// How many targets wait in its outbox, or were taken out of it and may not have been sent.
    pub fn pending(&self) -> usize {
        let desk = self.desk.lock();
        self.outbox_len() + desk.as_ref().map_or(0, |desk| desk.taken.len())
    }

    /// Whether nothing waits to be sent to it.
    #[inline]
    pub fn is_outbox_empty(&self) -> bool {
        self.outbox.is_empty()
    }

    /// Whether its monitors are held, or may be again: its connection was lost, and not all is resumed.
    pub fn is_held(&self) -> bool {
        let desk = self.desk.lock();
        desk.as_ref().is_some_and(|desk| !desk.grace.is_over())
    }

    /// Whether its connection is lost and waited for, and until when. Once the connection is back, it is not,
    /// even if not all is resumed yet.
    pub fn loss(&self) -> (bool, Option<i64>) {
        let desk = self.desk.lock();
        let of = |desk: &Desk| (desk.grace.is_lost(), desk.grace.deadline());
        desk.as_deref().map_or((false, None), of)
    }

    /// Its sessions that are held.
    pub(crate) fn held_sessions(&self) -> Vec<u64> {
        let desk = self.desk.lock();
        desk.as_ref()
            .map_or_else(Vec::new, |desk| desk.grace.sessions().collect())
    }

    /// Forgets its connection, and returns the sessions that were held.
    pub(crate) fn give_up(&self) -> Vec<u64> {
        let mut desk = self.desk.lock();
        desk.as_mut()
            .map_or_else(Vec::new, |desk| desk.grace.give_up())
    }

    /// Gives the memory back that only a node with a Connector needs, unless something is in it.
    pub fn give_back(&self) {
        self.outbox.give_back();
        let mut desk = self.desk.lock();
        if desk.as_ref().is_some_and(|desk| desk.is_free()) {
            *desk = None;
        }
    }
}

/// All nodes, by name and by id. One is found without a lock, and nothing is written.
///
/// A name is in the first level whose place for it was free, so a search ends at a free place.
pub struct Nodes<X> {
    /// One more than the id of the node whose name belongs there.
    names: Levels<atomic::AtomicU32>,
    nodes: Levels<OnceBox<Node<X>>>,
    /// How many there are. Held by whoever adds one.
    count: Mutex<u32>,
    sessions: AtomicU64,
}

impl<X> Default for Nodes<X> {
    fn default() -> Self {
        Nodes {
            names: Levels::default(),
            nodes: Levels::default(),
            count: Mutex::new(0),
            sessions: AtomicU64::new(0),
        }
    }
}

impl<X> Nodes<X> {
    /// The node of this name, if it was ever added.
    #[inline]
    pub fn find(&self, name: u64) -> Option<&Node<X>> {
        let hash = hash_of(name);
        for (level, places) in self.names.iter().enumerate() {
            // Acquire: pairs with the release in `add`, which has filled in the node before.
            let place = place(hash, level, places);
            let id = place.load(Ordering::Acquire).checked_sub(1)?;
            let node = self.get(id);
            if node.name == name {
                return Some(node);
            }
        }
        None
    }

    /// The node of this name; `host` makes the host's part of a new one.
    #[inline]
    pub fn find_or_add(&self, name: u64, host: impl FnOnce() -> X) -> &Node<X> {
        self.find(name).unwrap_or_else(|| self.add(name, host()))
    }

    /// The node of an id.
    #[inline]
    pub fn get(&self, id: u32) -> &Node<X> {
        let node = self.nodes.nth(id as usize).and_then(OnceBox::get);
        node.expect("an id of a node")
    }

    /// All nodes, in the order of addition.
    pub fn iter(&self) -> impl Iterator<Item = &Node<X>> {
        let count = *self.count.lock();
        (0..count).map(|id| self.get(id))
    }

    /// A session number that was not used before.
    pub(crate) fn next_session(&self) -> u64 {
        // Relaxed: only its uniqueness counts.
        self.sessions.fetch_add(1, Ordering::Relaxed)
    }

    #[cold]
    fn add(&self, name: u64, host: X) -> &Node<X> {
        let mut count = self.count.lock();
        // Somebody else may have added it while the lock was not held.
        if let Some(node) = self.find(name) {
            return node;
        }
        let id = *count;
        let free = (0..).find_map(|level| {
            let free = place(hash_of(name), level, self.names.level(level));
            // Relaxed: nobody else adds meanwhile.
            (free.load(Ordering::Relaxed) == 0).then_some(free)
        });
        let free = free.expect("a level with a free place");
        let node = self.nodes.nth_or_make(id as usize).get_or_init(|| {
            Box::new(Node {
                id,
                name,
                stay: Stay::new(self.next_session()),
                outbox: IdQueue::default(),
                desk: Mutex::default(),
                host,
            })
        });
        free.store(id + 1, Ordering::Release);
        *count += 1;
        node
    }
}

#[inline]
fn hash_of(name: u64) -> u64 {
    hash(name >> 32, name as u32)
}

/// The place of a name in a level.
#[inline]
fn place(hash: u64, level: usize, places: &[atomic::AtomicU32]) -> &atomic::AtomicU32 {
    // Other bits in each level: names that meet in one part in the next.
    let place = hash.rotate_right(5 * level as u32) as usize;
    &places[place & (places.len() - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_added_once() {
        let nodes = Nodes::default();
        assert_eq!(nodes.find(7).map(Node::id), None);
        assert_eq!(nodes.find_or_add(7, || "a").id(), 0);
        assert_eq!(nodes.find_or_add(9, || "b").id(), 1);
        assert_eq!(nodes.find_or_add(7, || "c").host, "a");
        assert_eq!(nodes.find(9).map(Node::id), Some(1));
        assert_eq!(nodes.get(1).host, "b");
        assert_ne!(nodes.get(0).stay.session(), nodes.get(1).stay.session());
    }

    #[test]
    fn every_name_is_found_among_many() {
        // The words of atoms differ in the bits above the lowest six.
        let name = |n: u64| n << 6 | 0b1011;
        let nodes = Nodes::default();
        for n in 0..5_000 {
            assert!(nodes.find(name(n)).is_none());
            assert_eq!(u64::from(nodes.find_or_add(name(n), || ()).id()), n);
        }
        assert!((0..5_000).all(|n| nodes.find(name(n)).map(Node::id) == Some(n as u32)));
        assert!(nodes.names.iter().count() < 14, "names collide too often");
        assert_eq!(nodes.iter().count(), 5_000);
    }

    #[test]
    fn whoever_finds_a_name_finds_its_node() {
        let nodes = Nodes::default();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for name in 0..2_000 {
                    nodes.find_or_add(name, || name);
                }
            });
            // Names are added in turn, so the one before is there as well.
            let mut seen = 0;
            while seen < 2_000 {
                if let Some(node) = nodes.find(seen) {
                    assert_eq!((node.host, u64::from(node.id())), (seen, seen));
                    seen += 1;
                }
            }
        });
    }

    #[test]
    fn threads_that_add_the_same_names_get_the_same_nodes() {
        let nodes = Nodes::default();
        let add = || -> Vec<u32> {
            (0..500)
                .map(|name| nodes.find_or_add(name, || ()).id())
                .collect()
        };
        let [one, other] = std::thread::scope(|scope| {
            let threads = [scope.spawn(add), scope.spawn(add)];
            threads.map(|thread| thread.join().unwrap())
        });
        assert_eq!(one, other);
        assert_eq!(nodes.iter().count(), 500);
    }
}
