//! The NIF boundary of ZenMonitor: it converts terms and delegates to `zen_monitor_core`.
//!
//! Four floors, each of which uses those below it and nothing else:
//!
//! 1. [`terms`]: what the VM's terms look like
//! 2. [`sides`]: what the monitoring side and the watched side keep
//! 3. [`state`]: what holds both sides
//! 4. [`calls`]: the functions that Erlang calls
//!
//! And [`library`], which the VM calls when it loads all that. Begin with `calls/callers`, and follow one
//! monitor down.

mod calls;
mod library;
mod sides;
mod state;
mod terms;
