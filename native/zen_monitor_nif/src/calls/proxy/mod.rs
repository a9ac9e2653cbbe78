//! For `ZenMonitor.Proxy`, which places the ERTS monitors, and for `ZenMonitor.Proxy.Tables`, which sweeps up.
//!
//! Begin with [`instructions`], what is done with them after their [`reading`], in which the [`monitors`] that the
//! Proxy places are noted; its holders place theirs by what is in [`holding`]. [`certificates`] are made when
//! something dies. [`upkeep`] has the rest.

pub mod certificates;
pub mod holding;
pub mod instructions;
pub mod monitors;
pub mod reading;
pub mod upkeep;
