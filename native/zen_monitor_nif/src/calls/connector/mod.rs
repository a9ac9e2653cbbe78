//! `ZenMonitor.Local.Connector`.

pub mod compact;
pub mod grace;
pub mod instructions;
