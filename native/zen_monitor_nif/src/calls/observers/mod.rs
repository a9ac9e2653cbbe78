//! Whoever looks at the tables.

pub mod sizes;
pub mod survey;
pub mod vm;
