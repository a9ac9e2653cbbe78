//! The NIF boundary of ZenMonitor: it converts terms and delegates to `zen_monitor_core`.

mod atoms;
mod connector;
mod direct;
mod dispatcher;
mod doorbell;
mod etf;
mod local;
mod options;
mod proxy;
mod reason;
mod state;
mod survey;
mod target;
mod truncation;
mod word;

rustler::init!("Elixir.ZenMonitor.Native");
