//! The part of ZenMonitor that knows nothing of Erlang.
#![forbid(unsafe_code)]

pub mod arena;
pub mod bell;
pub mod claim;
pub mod dispatch;
pub mod hash;
pub mod held;
pub mod id_queue;
pub mod index;
pub mod levels;
pub mod list;
pub mod monitor_table;
pub mod nodes;
pub mod options;
pub mod outbox;
pub mod references;
pub mod seqlock;
pub mod sessions;
pub mod sets;
pub mod slab;
pub mod slot;
#[cfg(all(test, not(loom)))]
mod stress;
pub mod subscribers;
pub mod subscription_table;
mod sync;
pub mod targets;
pub mod truncation;
