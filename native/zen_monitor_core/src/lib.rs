//! The part of ZenMonitor that knows nothing of Erlang.
//!
//! - [`monitors`]: what this node's processes watch elsewhere.
//! - [`subscriptions`]: which of this node's processes others watch.
//! - [`structures`]: what both are built from.
//! - [`truncation`]: how exit reasons are cut to size.
//! - [`wire`]: the compact form of what two nodes tell each other.
//!
//! Neither of the first two knows the other, and the structures know neither.
#![forbid(unsafe_code)]

pub mod monitors;
#[cfg(all(test, not(loom)))]
mod names;
pub mod structures;
pub mod subscriptions;
pub mod truncation;
pub mod wire;
