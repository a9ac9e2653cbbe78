//! `ZenMonitor.Local.Dispatcher`.

pub mod run;
