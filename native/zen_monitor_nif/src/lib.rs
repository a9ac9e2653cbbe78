//! The NIF boundary of ZenMonitor: it converts terms and delegates to `zen_monitor_core`.

mod atoms;
mod connector;
mod direct;
mod dispatcher;
mod doorbell;
mod etf;
mod heap;
mod local;
mod options;
mod origin;
mod proxy;
mod reason;
mod state;
mod survey;
mod target;
mod timeslice;
mod truncation;
mod word;

rustler::init!("Elixir.ZenMonitor.Native", load = load);

/// `reads_heap` is the setting of that name.
fn load(env: rustler::Env, reads_heap: rustler::Term) -> bool {
    if rustler::types::atom::is_truthy(reads_heap) {
        heap::probe(env);
    }
    true
}
