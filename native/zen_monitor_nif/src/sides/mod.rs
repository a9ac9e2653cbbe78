//! What outlives the Erlang processes of this node.
//!
//! Begin with [`local`], the monitoring side, or [`proxy`], the watched side. Each has its parts in a folder beside
//! it, and neither knows the other. Both wake the processes that own their queues by a [`doorbell`].
//! What they have sent of late is in a [`window`](mod@window).
//! [`malformed`] counts what made no sense to either, and [`resource`] is about the memory of what Erlang holds.
//!
//! It uses the [terms](crate::terms) and the tables of the core. No function in it is called by Erlang.

pub mod doorbell;
pub mod local;
pub mod malformed;
pub mod proxy;
pub mod resource;
pub mod window;
