//! What outlives the Erlang processes of this node.
//!
//! Begin with [`local`], the monitoring side, or [`proxy`], the watched side. Each has its parts in a folder beside
//! it, and neither knows the other. Both use a [`doorbell`] to wake the process that owns a queue, and a
//! [`window`](mod@window) to know what was sent of late. [`malformed`] counts malformed input of both, and [`resource`]
//! tells where rustler places values that Erlang holds.
//!
//! This floor uses the [terms](crate::terms) and the tables of the core. Erlang calls no function of it.

pub mod doorbell;
pub mod local;
pub mod malformed;
pub mod proxy;
pub mod resource;
pub mod window;
