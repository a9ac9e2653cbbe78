//! For whoever monitors something.
//!
//! Begin with [`monitors`], one at a time. [`several`] has lists of them, and [`sets`] many under one reference.

pub mod monitors;
pub mod sets;
pub mod several;
