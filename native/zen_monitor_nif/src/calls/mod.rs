//! The functions that Erlang calls, in a folder or a file for each process that calls them.

pub mod batcher;
pub mod callers;
pub mod connector;
pub mod direct;
pub mod dispatcher;
pub mod local;
pub mod observers;
pub mod proxy;
pub mod state;
pub mod timeslice;
pub mod truncation;
