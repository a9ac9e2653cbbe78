//! The functions that Erlang calls, in a file or a folder for each kind of process that calls them. Each takes the state,
//! converts its arguments, delegates to a side or its table, and answers.
//!
//! Begin with [`callers`]: processes that place and remove monitors. The next ones are in the order in which a monitor
//! meets them: [`connector`], [`proxy`], [`batcher`], [`local`] and [`dispatcher`]. Then there are [`observers`], who only
//! read, [`truncation`], and [`state`], for the supervisor that starts and stops all this.
//!
//! Three modules are shared: [`direct`] declares functions that are called very often, [`timeslice`] says how much one
//! call may do, and [`window`](mod@window) how much a stage may send.
//!
//! This floor uses all others but the library.

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
pub mod window;
