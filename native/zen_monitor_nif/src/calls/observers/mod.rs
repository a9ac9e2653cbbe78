//! For those who only read: metrics, telemetry, and people.

pub mod counters;
pub mod malformed;
pub mod sizes;
pub mod survey;
pub mod vm;
