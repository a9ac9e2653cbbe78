//! What the benches share: the words that keys are made of, and a table with its surroundings.
// Each bench compiles this for itself, and none needs all of it.
#![allow(dead_code)]

use cpu_time::ThreadTime;
use std::time::Duration;
use zen_monitor_core::monitors::delivery::Delivery;
use zen_monitor_core::monitors::nodes::Node;
use zen_monitor_core::monitors::share::Share;
use zen_monitor_core::monitors::slot::Reference;
use zen_monitor_core::monitors::table::MonitorTable;
use zen_monitor_core::structures::held::HELD;

/// Monitors that one process places, unless a bench says otherwise.
pub const PER_PROCESS: u32 = 1_000;
/// Instructions, certificates or steps in one slice of work, as the NIFs do it.
pub const SLICE: usize = 1_000;
/// `:DOWN`s that the Dispatcher builds together.
const DELIVERED: usize = HELD;

/// Whether `cargo bench` runs this, and not `cargo test --benches`, which wants to see in seconds
/// that everything still works.
pub fn is_full() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// `full` when figures are wanted, `small` otherwise.
pub fn sized<T>(full: T, small: T) -> T {
    if is_full() { full } else { small }
}

/// The words of the `number`th reference that scheduler `thread` makes. As in the VM, the first
/// word has 18 bits.
pub fn reference(thread: u32, number: u32) -> Reference {
    [number & 0x3_FFFF, number >> 18 << 18 | thread, 0]
}

/// The term word of the `number`th local process.
pub fn pid(number: u32) -> u64 {
    u64::from(number) << 4 | 0b0011
}

/// The id of the `number`th process of the remote node.
pub fn target(number: u32) -> [u32; 3] {
    [number, 0, 1]
}

/// Scatters the numbers below 2^25: a permutation, so that no two collide.
pub fn scattered(number: u32) -> u32 {
    number.wrapping_mul(0x9E37_79B1) & 0x1FF_FFFF
}

/// The time this thread spends in `work`. Unlike wall time it does not count what other processes
/// on the machine take.
pub fn timed<T>(spent: &mut Duration, work: impl FnOnce() -> T) -> T {
    let start = ThreadTime::now();
    let result = work();
    *spent += start.elapsed();
    result
}

/// Nanoseconds for each of `count` operations.
pub fn each(spent: Duration, count: u32) -> f64 {
    spent.as_nanos() as f64 / f64::from(count)
}

/// A monitor table with one remote node, and the parts of the other processes.
pub struct World {
    pub table: MonitorTable<u32, ()>,
}

impl Default for World {
    fn default() -> Self {
        let table = MonitorTable::default();
        table.nodes.find_or_add(7, || ());
        World { table }
    }
}

impl World {
    /// The remote node.
    pub fn node(&self) -> &Node<()> {
        self.table.nodes.get(0)
    }

    /// Sends everything in the outbox, as the Connector does. Returns how many instructions.
    pub fn sweep(&self) -> usize {
        let mut sent = 0;
        loop {
            let (instructions, _) = self.table.take(self.node(), SLICE, usize::MAX);
            self.table.confirm(self.node());
            if instructions.is_empty() {
                return sent;
            }
            sent += instructions.len();
        }
    }

    /// Expands the whole backlog and delivers all that is due, as the Dispatcher does. Returns how
    /// many `:DOWN`s.
    pub fn deliver(&self) -> u32 {
        while !self.table.expand(SLICE) {}
        let mut delivered = 0;
        loop {
            let mut delivery = Delivery::new(&self.table, DELIVERED);
            let turns = delivery.take_turns(DELIVERED, |_| Share::all());
            if turns == 0 {
                return delivered;
            }
            std::hint::black_box(delivery.describe(0));
            for number in 0..delivery.len() {
                if delivery.begin(number) {
                    delivery.end(number);
                }
            }
            delivered += delivery.sent() as u32;
        }
    }
}
