//! Which of this node's processes others watch.
//!
//! Begin with [`table`]: who watches what. It puts together the [`targets`], one [`target`] for each watched
//! process; the [`connectors`] that watch them, and sets of these, [`watchers`]; the [`references`] of the monitors, and the
//! [`reasons`] of the dead. The
//! certificates of what has died wait in an [`outbox`], one for each watching node.
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
