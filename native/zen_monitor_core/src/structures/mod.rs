//! The structures that the tables are built from. Each stands alone in its file, and none knows what it
//! holds.
//!
//! - Values by number: [`slab`] under a lock; [`arena`] and [`levels`], which are read without one.
//! - Numbers by key: [`index`], [`sharded`] and [`hash`]. Values of neighbours: [`packed`].
//! - What few values have: [`beside`]. Where the values of a group lie: [`regions`].
//! - Order: [`list`], linked through the values themselves; [`id_queue`], filled without a lock.
//! - Meeting of threads: [`bell`], [`seqlock`], and [`held`], which takes locks of neighbours once.
//! - [`window`]: what may go out, of a budget.
//! - [`limits`] and [`ids`]: how much there may be, and how it is named.
//!
//! Locks and atomics come from `sync`, where a model checker puts its own in their place.
//! The structures use nothing but each other.

pub mod arena;
pub mod bell;
pub mod beside;
pub mod hash;
pub mod held;
pub mod id_queue;
pub mod ids;
pub mod index;
pub mod levels;
pub mod limits;
pub mod list;
pub mod packed;
pub mod regions;
pub mod seqlock;
pub mod sharded;
pub mod slab;
pub(crate) mod sync;
pub mod window;
