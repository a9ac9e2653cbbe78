//! For `ZenMonitor.Proxy.Batcher`, the process that sends certificates to one connector.
//!
//! Begin with [`outbox`], where they are taken from. [`certificates`] makes messages of them.

pub mod certificates;
pub mod outbox;
