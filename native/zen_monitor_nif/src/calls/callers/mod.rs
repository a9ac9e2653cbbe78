//! For processes that monitor something.
//!
//! Begin with [`monitors`]: one monitor at a time. [`several`] handles lists of monitors, and [`sets`] many monitors
//! under one reference.

pub mod monitors;
pub mod sets;
pub mod several;
