//! The NIF boundary of ZenMonitor: it converts terms and delegates to `zen_monitor_core`.
//!
//! It has floors, and each uses only those before it:
//!
//! 1. `terms`: what the VM's terms look like
//! 2. `sides`: what the monitoring side and the watched side keep
//! 3. `state`: the one that holds both sides
//! 4. `calls`: the functions that Erlang calls
//! 5. `library`: what the VM calls when it loads all this
//!
//! Begin with `calls/callers/monitors.rs`, and follow one monitor down.

mod calls;
mod library;
mod sides;
mod state;
mod terms;
