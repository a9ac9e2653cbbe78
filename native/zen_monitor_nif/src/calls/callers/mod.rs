//! Whoever monitors something.

pub mod monitors;
pub mod sets;
pub mod several;
