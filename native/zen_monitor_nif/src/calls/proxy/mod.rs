//! `ZenMonitor.Proxy`.

pub mod certificates;
pub mod instructions;
pub mod monitors;
pub mod reading;
pub mod upkeep;
