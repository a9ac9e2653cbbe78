//! The NIF boundary of ZenMonitor: it converts terms and delegates to `zen_monitor_core`.
//!
//! The crate has floors. Each uses only those before it:
//!
//! 1. `terms`: what the VM's terms look like
//! 2. `sides`: what the monitoring side and the watched side keep beside their tables
//! 3. `state`: the state of the node, which holds both sides
//! 4. `calls`: the functions that Erlang calls
//! 5. `library`: what the VM calls when it loads the library
//!
//! Begin with `calls/callers/monitors.rs`, and follow one monitor down.

mod calls;
mod library;
mod sides;
mod state;
mod terms;
