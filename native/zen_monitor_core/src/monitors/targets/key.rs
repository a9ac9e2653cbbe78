//! What is monitored.

use crate::structures::hash::hash;

/// What is monitored: a node's id, and what tells the target apart on that node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The id of the node.
    pub node: u32,
    /// The target on that node.
    pub id: [u32; 3],
}

/// The last word of the id of a target that has a name, and so may be another process each time.
pub const NAMED: u32 = u32::MAX;

impl Key {
    /// All of it in two words. A key that was just put together of its parts, and is in memory by these, can only be
    /// compared as a whole when all earlier writes are done.
    #[inline]
    pub(super) fn words(self) -> [u64; 2] {
        let [first, second, third] = self.id.map(u64::from);
        [first | second << 32, third | u64::from(self.node) << 32]
    }
}

#[inline]
pub(super) fn hash_of(key: Key) -> u64 {
    let rest = u64::from(key.id[1]) << 32 | u64::from(key.id[2]);
    hash(rest.rotate_left(16) ^ u64::from(key.node), key.id[0])
}
