//! What each of the two sides keeps.

pub mod doorbell;
pub mod local;
pub mod malformed;
pub mod proxy;
pub mod resource;
