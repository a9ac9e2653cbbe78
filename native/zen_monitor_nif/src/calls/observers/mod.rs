//! Whoever looks at the tables.

pub mod counters;
pub mod malformed;
pub mod sizes;
pub mod survey;
pub mod vm;
