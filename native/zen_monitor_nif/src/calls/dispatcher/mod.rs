//! For `ZenMonitor.Local.Dispatcher`, which delivers.
//!
//! Begin with [`delivery`], the functions that it calls. A [`run`] takes monitors that are due, and sends their messages.

pub mod delivery;
pub mod run;
