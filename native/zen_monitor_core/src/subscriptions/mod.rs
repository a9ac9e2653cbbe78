//! Which of this node's processes others watch.
//!
//! Begin with [`table`]: who watches what. It combines
//!
//! - the [`targets`], with one [`target`] for each watched process,
//! - the [`connectors`] that watch them, and sets of connectors, [`watchers`],
//! - the [`references`] of the ERTS monitors,
//! - the [`reasons`] of the dead.
//!
//! Death certificates wait in an [`outbox`], one for each watching node.
//!
//! It uses the [`structures`](crate::structures), and nothing else.

pub mod connectors;
pub mod outbox;
pub mod reasons;
pub mod references;
pub mod table;
pub mod target;
pub mod targets;
pub mod watchers;
