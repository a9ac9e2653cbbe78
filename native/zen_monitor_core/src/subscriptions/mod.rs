//! Which of this node's processes others watch.
//!
//! Begin with [`table`]: who watches what. The certificates of what has died wait in an [`outbox`], one
//! for each watching node.
//!
//! It uses the [`structures`](crate::structures), and nothing else.

pub mod outbox;
pub mod table;
