//! `ZenMonitor.Local.Dispatcher`.

pub mod delivery;
pub mod run;
