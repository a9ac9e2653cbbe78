//! The operations of the monitor table, with what they allocate. Every iteration is a batch, and
//! leaves the table as it found it; divide by the number of items for the figures of one.

mod support;

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher};
use std::cell::Cell;
use support::{PER_PROCESS, SLICE, World, pid, reference, sized, target};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// Monitors of one iteration.
const BATCH: u32 = PER_PROCESS;

/// Monitors that stand beside the batch.
fn standing() -> [u32; 2] {
    sized([0, 1_000_000], [0, 2_000])
}

fn one_process() -> u32 {
    sized(500_000, 2_000)
}

/// A process that holds them all.
const HOLDER: u32 = 1 << 20;

struct Bed {
    world: World,
    placed: Cell<u32>,
}

impl Bed {
    /// A table with `standing` monitors, of one process for each thousand or all of [`HOLDER`].
    fn new(standing: u32, holder: Option<u32>) -> Bed {
        let bed = Bed {
            world: World::default(),
            placed: Cell::new(0),
        };
        for first in (0..standing).step_by(BATCH as usize) {
            bed.place(holder.unwrap_or(first / PER_PROCESS), BATCH);
            bed.world.sweep();
        }
        bed
    }

    /// Places monitors of processes that nobody else monitors, and returns the first's number.
    fn place(&self, owner: u32, count: u32) -> u32 {
        let first = self.placed.replace(self.placed.get() + count);
        for number in first..first + count {
            let (table, node) = (&self.world.table, self.world.node());
            table
                .monitor(node, pid(owner), reference(1, number), target(number))
                .unwrap();
        }
        first
    }

    fn remove(&self, owner: u32, first: u32, count: u32) {
        let removed = (first..first + count)
            .filter(|&number| {
                let reference = reference(1, number);
                let table = &self.world.table;
                table.demonitor(pid(owner), reference, |_| ())
            })
            .count();
        assert_eq!(removed, count as usize);
    }

    fn certify(&self, first: u32, count: u32) {
        for number in first..first + count {
            let (table, node) = (&self.world.table, self.world.node());
            table.certify(node, target(number), None, 1);
        }
    }
}

/// `monitor`, the outbox included.
#[divan::bench(args = standing(), sample_size = 1)]
fn place(bencher: Bencher, standing: u32) {
    let bed = Bed::new(standing, None);
    let former = Cell::new(None);
    bencher
        .counter(ItemsCount::new(BATCH))
        .with_inputs(|| {
            if let Some(first) = former.take() {
                bed.remove(HOLDER, first, BATCH);
                bed.world.sweep();
            }
        })
        .bench_local_values(|()| former.set(Some(bed.place(HOLDER, BATCH))));
}

/// `demonitor` of what the remote node watches.
#[divan::bench(args = standing(), sample_size = 1)]
fn remove(bencher: Bencher, standing: u32) {
    let bed = Bed::new(standing, None);
    bencher
        .counter(ItemsCount::new(BATCH))
        .with_inputs(|| {
            bed.world.sweep();
            let first = bed.place(HOLDER, BATCH);
            assert_eq!(bed.world.sweep(), BATCH as usize);
            first
        })
        .bench_local_values(|first| bed.remove(HOLDER, first, BATCH));
}

/// From `monitor` to the `:DOWN` of a target that exits.
#[divan::bench(args = standing())]
fn whole_life(bencher: Bencher, standing: u32) {
    let bed = Bed::new(standing, None);
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        let first = bed.place(HOLDER, BATCH);
        assert_eq!(bed.world.sweep(), BATCH as usize);
        bed.certify(first, BATCH);
        assert_eq!(bed.world.deliver(), BATCH);
    });
}

/// A node's death: the call that notes it, and then the delivery of every `:DOWN`.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn node_expiry(bencher: Bencher) {
    let count = sized(1_000_000, 2_000);
    bencher
        .counter(ItemsCount::new(count))
        .with_inputs(|| Bed::new(count, None))
        .bench_local_refs(|bed| {
            bed.world.table.expire(bed.world.node());
            assert_eq!(bed.world.deliver(), count);
        });
}

/// The part of a node's death that is done at once, however many monitors it fells.
#[divan::bench(args = standing(), sample_count = 5, sample_size = 1)]
fn node_expiry_noted(bencher: Bencher, standing: u32) {
    bencher
        .with_inputs(|| Bed::new(standing, None))
        .bench_local_refs(|bed| bed.world.table.expire(bed.world.node()));
}

/// The part that follows: the way to the queues of the subscribers.
#[divan::bench(args = [Some(HOLDER), None], sample_count = 20, sample_size = 1)]
fn node_expiry_expanded(bencher: Bencher, holder: Option<u32>) {
    let count = sized(33_000, 2_000);
    bencher
        .counter(ItemsCount::new(count))
        .with_inputs(|| {
            let bed = Bed::new(count, holder);
            bed.world.table.expire(bed.world.node());
            bed
        })
        .bench_local_refs(|bed| while !bed.world.table.expand(SLICE) {});
}

/// `monitor` and `demonitor` for a process that holds very many already.
#[divan::bench]
fn one_holder_place_and_remove(bencher: Bencher) {
    let bed = Bed::new(one_process(), Some(HOLDER));
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        let first = bed.place(HOLDER, BATCH);
        bed.remove(HOLDER, first, BATCH);
        // Nobody needs to be told of what came and went.
        assert_eq!(bed.world.sweep(), 0);
    });
}

/// The sweep after the death of a process that held very many.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn one_holder_departs(bencher: Bencher) {
    let count = one_process();
    bencher
        .counter(ItemsCount::new(count))
        .with_inputs(|| Bed::new(count, Some(HOLDER)))
        .bench_local_refs(|bed| {
            assert!(bed.world.table.depart(pid(HOLDER)));
            while !bed.world.table.sweep_departed(SLICE, |_| (), |_, _| ()) {}
            assert_eq!(bed.world.table.counts().standing, 0);
        });
}

/// One target of very many processes exits.
#[divan::bench(sample_size = 1)]
fn fan_out(bencher: Bencher) {
    let count = sized(20_000, 2_000);
    let bed = Bed::new(0, None);
    let (table, node) = (&bed.world.table, bed.world.node());
    bencher
        .counter(ItemsCount::new(count))
        .with_inputs(|| {
            let first = bed.placed.replace(bed.placed.get() + count);
            for n in 0..count {
                table
                    .monitor(node, pid(n), reference(1, first + n), target(0))
                    .unwrap();
            }
            assert_eq!(bed.world.sweep(), 1);
        })
        .bench_local_values(|()| {
            table.certify(node, target(0), None, 1);
            assert_eq!(bed.world.deliver(), count);
        });
}
