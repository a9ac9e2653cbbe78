//! What this node's processes watch elsewhere: who monitors what, what the other nodes must be told of that, and
//! which `:DOWN`s are due.
//!
//! Begin with [`table`], which puts the others together:
//!
//! - [`subscribers`], with the [`references`] of their monitors
//! - [`targets`], with their [`sessions`]
//! - [`sets`], subscribers of a kind of their own
//! - [`nodes`], with their outboxes, the [`stay`] that each is in, and [`grace`], for when their connections
//!   are lost
//! - [`dispatch`], the queues of what is due, [`share`], how much of it one subscriber may be given at a
//!   time, and [`delivery`], the way to it
//! - [`slot`] and its [`claim`], one monitor and who consumes it
//! - [`options`], what a few monitors carry besides
//!
//! It uses the [`structures`](crate::structures), and nothing else.

pub mod claim;
pub mod delivery;
pub mod dispatch;
pub mod grace;
pub mod nodes;
pub mod options;
pub mod references;
pub mod sessions;
pub mod sets;
pub mod share;
pub mod slot;
pub mod stay;
#[cfg(all(test, not(loom)))]
mod stress;
pub mod subscribers;
pub mod table;
pub mod targets;
