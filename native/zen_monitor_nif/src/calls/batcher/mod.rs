//! `ZenMonitor.Proxy.Batcher`.

pub mod certificates;
pub mod outbox;
