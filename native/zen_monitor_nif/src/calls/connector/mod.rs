//! `ZenMonitor.Local.Connector`.

pub mod certificates;
pub mod compact;
pub mod compatibility;
pub mod duty;
pub mod grace;
pub mod instructions;
