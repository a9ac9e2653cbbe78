//! For `ZenMonitor.Local.Dispatcher`, which delivers.
//!
//! Begin with [`delivery`]. A [`run`] takes what is due, and sends it.

pub mod delivery;
pub mod run;
