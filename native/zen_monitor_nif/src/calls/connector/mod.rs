//! For `ZenMonitor.Local.Connector`, the process that speaks to one node, and for `ZenMonitor.Local.Connectors`, which
//! starts it.
//!
//! Begin with [`instructions`], which go out to the node. [`certificates`] come back. [`compact`] has both in the compact
//! form. [`duty`] says who is the Connector, [`compatibility`] what is known of the node, and [`grace`] what becomes of
//! its monitors when the connection is lost.

pub mod certificates;
pub mod compact;
pub mod compatibility;
pub mod duty;
pub mod grace;
pub mod instructions;
