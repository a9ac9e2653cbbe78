//! The NIF boundary of ZenMonitor: it converts terms and delegates to `zen_monitor_core`.

mod atoms;
mod compact;
mod connector;
mod direct;
mod dispatcher;
mod doorbell;
mod etf;
mod heap;
mod library;
mod local;
mod malformed;
mod message;
mod numbering;
mod options;
mod origin;
mod parts;
mod proxy;
mod reason;
mod sizes;
mod state;
mod survey;
mod target;
mod timeslice;
mod truncation;
mod weighing;
mod word;
