//! For `ZenMonitor.Local.Connector`, the process that speaks to one node, and for who starts it.
//!
//! Begin with [`instructions`], what the node is told. [`certificates`] come back. [`compact`] has both for nodes that
//! know the compact wire. [`duty`] says who is the Connector, [`compatibility`] what is known of the node, and [`grace`]
//! what becomes of its monitors when the connection is lost.

pub mod certificates;
pub mod compact;
pub mod compatibility;
pub mod duty;
pub mod grace;
pub mod instructions;
