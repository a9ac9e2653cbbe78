//! The NIF boundary of ZenMonitor: it converts terms and delegates to `zen_monitor_core`.

mod atoms;
mod connector;
mod direct;
mod dispatcher;
mod doorbell;
mod etf;
mod grace;
mod heap;
mod library;
mod local;
mod malformed;
mod message;
mod options;
mod origin;
mod proxy;
mod reason;
mod shape;
mod sizes;
mod state;
mod survey;
mod target;
mod timeslice;
mod truncation;
mod weighing;
mod word;
