//! For `ZenMonitor.Proxy` and its holders, which place the ERTS monitors, and for `ZenMonitor.Proxy.Tables`, which
//! sweeps up.
//!
//! Begin with [`instructions`], which are decoded in [`reading`]. [`holding`] is what the holders have to do.
//! [`monitors`] reads and makes the references of ERTS monitors. [`certificates`] are made when something dies.
//! [`upkeep`] has the rest.

pub mod certificates;
pub mod holding;
pub mod instructions;
pub mod monitors;
pub mod reading;
pub mod upkeep;
