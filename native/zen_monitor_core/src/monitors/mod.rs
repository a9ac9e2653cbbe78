//! What this node's processes watch elsewhere: who monitors whom, what the other nodes must be told
//! of that, and which `:DOWN`s are due.
//!
//! Begin with [`table`], which puts the others together:
//!
//! - [`subscribers`], with the [`references`] of their monitors
//! - [`targets`], with their [`sessions`]
//! - [`sets`], subscribers of a kind of their own
//! - [`nodes`], with their outboxes
//! - [`dispatch`], the queues of what is due, and [`delivery`], the way from there to the subscriber
//! - [`slot`] and its [`claim`], one monitor and who consumes it
//! - [`options`], what a few monitors carry besides
//!
//! It uses the [`structures`](crate::structures), and nothing else.

pub mod claim;
pub mod delivery;
pub mod dispatch;
pub mod nodes;
pub mod options;
pub mod references;
pub mod sessions;
pub mod sets;
pub mod slot;
#[cfg(all(test, not(loom)))]
mod stress;
pub mod subscribers;
pub mod table;
pub mod targets;
