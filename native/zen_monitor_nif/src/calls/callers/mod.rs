//! Whoever monitors something.

pub mod sets;
pub mod several;
