//! For `ZenMonitor.Proxy.Batcher`, the process that sends certificates to one connector.
//!
//! Begin with [`outbox`], from which certificates are taken. [`certificates`] makes messages of them.

pub mod certificates;
pub mod outbox;
