//! The functions that Erlang calls, in a folder or a file for each kind of process that calls them. Each takes
//! the state, converts its arguments, delegates to a side or its table, and answers.
//!
//! Begin with [`callers`], who place and remove monitors. Then in the order in which a monitor meets them:
//! [`connector`], [`proxy`], [`batcher`], [`local`] and [`dispatcher`]. Besides, there are [`observers`], who only look,
//! [`truncation`], and [`state`], for the supervisor that starts and stops all this.
//!
//! What they share: [`direct`], by which the cheapest functions are declared, [`timeslice`], how much one call may do, and
//! [`window`](mod@window), how much a stage may send.
//!
//! It uses all other floors but the library.

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
