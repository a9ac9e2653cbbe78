//! Threads in one another's way: the table of references against maps from crates.io that could
//! take its place, the queue of an outbox against one from there, and the whole monitor table.
//!
//! Each thread places monitors and removes its oldest ones, as callers of `monitor` and `demonitor`
//! do: insert a fresh reference, find it, remove it. To a queue all threads push, and one more pops.
//! With more threads than cores, whoever holds a lock may be preempted while it does.

mod support;

use allocation_counter::measure;
use crossbeam_queue::SegQueue;
use crossbeam_utils::CachePadded;
use hdrhistogram::Histogram;
use parking_lot::{Mutex, MutexGuard};
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::Barrier;
use std::time::{Duration, Instant};
use support::{World, is_full, pid, reference, sized, target};
use zen_monitor_core::monitors::references::{References, hash_of};
use zen_monitor_core::monitors::slot::{Reference, Slot};
use zen_monitor_core::structures::arena::{Arena, CHUNK};
use zen_monitor_core::structures::hash::{BLOCK, shard};
use zen_monitor_core::structures::id_queue::IdQueue;

const THREADS: [u32; 5] = [1, 2, 4, 8, 16];
/// Rounds, in each of which every contender runs once: so noise hits all of them alike.
const ROUNDS: usize = 5;
/// Operations after which a thread of the whole table takes the Connector's part.
const SWEEP: u32 = 500;
/// How far apart callers are spawned who are not spawned in a row: more than four share shards then.
const APART: u32 = 64;
/// How long the consumer of a queue waits when that is empty.
const IDLE: Duration = Duration::from_micros(100);

fn standing() -> u32 {
    sized(500_000, 4_000)
}

/// All operations of a run; each thread does its part of them.
fn operations() -> u32 {
    sized(2_000_000, 4_000)
}

/// What one thread's monitors are placed in and removed from.
trait Contender: Sync {
    /// Places the `number`th monitor of a thread.
    fn place(&self, thread: u32, number: u32);
    /// Removes one that stands. `false` when it was not found.
    fn remove(&self, thread: u32, number: u32) -> bool;
    /// Done now and then.
    fn upkeep(&self) {}
    /// How many monitors stand.
    fn len(&self) -> usize;
}

/// A table of references alone: from a reference to the id of its slot.
trait Table: Default + Sync {
    fn insert(&self, slots: &Arena<Slot>, reference: Reference, id: u32);
    fn find(&self, slots: &Arena<Slot>, reference: Reference) -> Option<u32>;
    fn remove(&self, slots: &Arena<Slot>, reference: Reference, id: u32) -> bool;
}

/// The core's own, with locks as the core has them. There each is that of some subscribers, and two
/// callers hardly ever meet at one; here they do.
struct Own([Mutex<References>; 1024]);

impl Default for Own {
    fn default() -> Self {
        Own(std::array::from_fn(|_| Mutex::default()))
    }
}

impl Own {
    fn shard(&self, reference: Reference) -> MutexGuard<'_, References> {
        self.0[shard(hash_of(reference), self.0.len())].lock()
    }
}

impl Table for Own {
    fn insert(&self, slots: &Arena<Slot>, reference: Reference, id: u32) {
        self.shard(reference).insert(slots, id);
    }

    fn find(&self, slots: &Arena<Slot>, reference: Reference) -> Option<u32> {
        self.shard(reference).find(slots, reference)
    }

    fn remove(&self, slots: &Arena<Slot>, reference: Reference, id: u32) -> bool {
        self.shard(reference).remove(slots, id);
        true
    }
}

/// A key that hashes as the core hashes it. Maps like these are made for hashes that scatter, but
/// all of them did worse with one.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key(Reference);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(hash_of(self.0));
    }
}

/// Passes on what a [`Key`] writes.
#[derive(Default)]
struct Done(u64);

impl Hasher for Done {
    fn write(&mut self, _: &[u8]) {
        unreachable!("a key writes one word");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

type Papaya = papaya::HashMap<Key, u32, BuildHasherDefault<Done>>;
type Scc = scc::HashMap<Key, u32, BuildHasherDefault<Done>>;
type Dash = dashmap::DashMap<Key, u32, BuildHasherDefault<Done>>;

impl Table for Papaya {
    fn insert(&self, _: &Arena<Slot>, reference: Reference, id: u32) {
        self.pin().insert(Key(reference), id);
    }

    fn find(&self, _: &Arena<Slot>, reference: Reference) -> Option<u32> {
        self.pin().get(&Key(reference)).copied()
    }

    fn remove(&self, _: &Arena<Slot>, reference: Reference, _: u32) -> bool {
        self.pin().remove(&Key(reference)).is_some()
    }
}

impl Table for Scc {
    fn insert(&self, _: &Arena<Slot>, reference: Reference, id: u32) {
        let inserted = self.insert_sync(Key(reference), id);
        assert!(inserted.is_ok(), "a reference is fresh");
    }

    fn find(&self, _: &Arena<Slot>, reference: Reference) -> Option<u32> {
        self.read_sync(&Key(reference), |_, &id| id)
    }

    fn remove(&self, _: &Arena<Slot>, reference: Reference, _: u32) -> bool {
        self.remove_sync(&Key(reference)).is_some()
    }
}

impl Table for Dash {
    fn insert(&self, _: &Arena<Slot>, reference: Reference, id: u32) {
        self.insert(Key(reference), id);
    }

    fn find(&self, _: &Arena<Slot>, reference: Reference) -> Option<u32> {
        self.get(&Key(reference)).map(|id| *id)
    }

    fn remove(&self, _: &Arena<Slot>, reference: Reference, _: u32) -> bool {
        self.remove(&Key(reference)).is_some()
    }
}

/// A table of references with the slots that it points into. Every thread has a window of slots,
/// so that nothing but the table is shared.
struct Referring<T> {
    table: T,
    slots: Arena<Slot>,
    windows: Vec<Vec<u32>>,
}

impl<T: Table> Referring<T> {
    fn new(threads: u32) -> Self {
        let slots = Arena::default();
        let chunks = window(threads).div_ceil(CHUNK);
        let windows = (0..threads)
            .map(|_| {
                (0..chunks)
                    .map(|_| slots.grow().unwrap())
                    .flat_map(|first| first..first + CHUNK)
                    .collect()
            })
            .collect();
        Referring {
            table: T::default(),
            slots,
            windows,
        }
    }

    fn slot(&self, thread: u32, number: u32) -> u32 {
        let window = &self.windows[thread as usize];
        window[number as usize % window.len()]
    }
}

impl<T: Table> Contender for Referring<T> {
    fn place(&self, thread: u32, number: u32) {
        let (id, reference) = (self.slot(thread, number), reference(thread, number));
        self.slots.get(id).occupy(reference, thread);
        self.table.insert(&self.slots, reference, id);
    }

    fn remove(&self, thread: u32, number: u32) -> bool {
        let reference = reference(thread, number);
        self.table.find(&self.slots, reference).is_some_and(|id| {
            self.slots.get(id).subscriber() == thread
                && self.table.remove(&self.slots, reference, id)
        })
    }

    fn len(&self) -> usize {
        let all = self.windows.iter().flatten();
        all.filter(|&&id| {
            let reference = self.slots.get(id).reference();
            self.table.find(&self.slots, reference) == Some(id)
        })
        .count()
    }
}

/// What an outbox may be made of.
trait Queue: Default + Sync {
    fn push(&self, id: u32);
    fn pop(&self) -> Option<u32>;
}

impl Queue for IdQueue {
    fn push(&self, id: u32) {
        self.push(id);
    }

    fn pop(&self) -> Option<u32> {
        self.pop()
    }
}

impl Queue for SegQueue<u32> {
    fn push(&self, id: u32) {
        self.push(id);
    }

    fn pop(&self) -> Option<u32> {
        self.pop()
    }
}

/// The whole table, each thread a subscriber of its own.
struct Whole {
    world: World,
    /// How many processes were spawned from one subscriber to the next.
    apart: u32,
}

impl Whole {
    fn new(apart: u32) -> Self {
        let world = World::default();
        Whole { world, apart }
    }

    fn pid(&self, thread: u32) -> u64 {
        pid(thread * self.apart)
    }
}

impl Contender for Whole {
    fn place(&self, thread: u32, number: u32) {
        let (table, node) = (&self.world.table, self.world.node());
        // Each thread has 2^22 targets to itself, more than it ever monitors at once.
        let target = target((thread << 22) + number % (1 << 22));
        table
            .monitor(node, self.pid(thread), reference(thread, number), target)
            .unwrap();
    }

    fn remove(&self, thread: u32, number: u32) -> bool {
        self.world
            .table
            .demonitor(self.pid(thread), reference(thread, number), |_| ())
    }

    fn upkeep(&self) {
        let (table, node) = (&self.world.table, self.world.node());
        table.take(node, 2 * SWEEP as usize, usize::MAX);
        table.confirm(node);
    }

    fn len(&self) -> usize {
        self.world.table.counts().standing as usize
    }
}

/// The whole table, and all of a thread's monitors on one target.
struct Herd {
    whole: Whole,
    /// Whether that target is the same for all threads.
    shared: bool,
}

impl Herd {
    fn new(shared: bool) -> Self {
        let whole = Whole::new(1);
        Herd { whole, shared }
    }
}

impl Contender for Herd {
    fn place(&self, thread: u32, number: u32) {
        let World { table } = &self.whole.world;
        let target = target(if self.shared { 0 } else { thread * BLOCK });
        let (pid, reference) = (self.whole.pid(thread), reference(thread, number));
        let placed = table.monitor(self.whole.world.node(), pid, reference, target);
        placed.unwrap();
    }

    fn remove(&self, thread: u32, number: u32) -> bool {
        self.whole.remove(thread, number)
    }

    fn upkeep(&self) {
        self.whole.upkeep();
    }

    fn len(&self) -> usize {
        self.whole.len()
    }
}

/// How many monitors each thread has standing.
fn window(threads: u32) -> u32 {
    standing() / threads
}

/// What the runs of one contender under one number of threads came to.
struct Result {
    name: &'static str,
    threads: u32,
    /// Operations in a second in the best run: noise only ever takes away.
    throughput: f64,
    latencies: Histogram<u64>,
    bytes: f64,
}

/// For nanoseconds up to a minute.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("the bounds are in order")
}

fn main() {
    type Run = fn(&mut Result, bool);
    let contenders: [(&str, Run); 10] = [
        ("references", |result, timed| {
            run(result, timed, Referring::<Own>::new)
        }),
        ("papaya", |result, timed| {
            run(result, timed, Referring::<Papaya>::new)
        }),
        ("scc", |result, timed| {
            run(result, timed, Referring::<Scc>::new)
        }),
        ("dashmap", |result, timed| {
            run(result, timed, Referring::<Dash>::new)
        }),
        ("outbox", run_queue::<IdQueue>),
        ("SegQueue", run_queue::<SegQueue<u32>>),
        ("whole, callers in a row", |result, timed| {
            run(result, timed, |_| Whole::new(1))
        }),
        ("whole, callers apart", |result, timed| {
            run(result, timed, |_| Whole::new(APART))
        }),
        ("a target each", |result, timed| {
            run(result, timed, |_| Herd::new(false))
        }),
        ("one target for all", |result, timed| {
            run(result, timed, |_| Herd::new(true))
        }),
    ];
    // As with the other benches, an argument chooses: a part of the names.
    let chosen = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let is_chosen = |name: &str| {
        chosen
            .as_ref()
            .is_none_or(|part| name.contains(part.as_str()))
    };
    let contenders: Vec<_> = (contenders.into_iter())
        .filter(|(name, _)| is_chosen(name))
        .collect();
    for threads in THREADS {
        let fresh = |&(name, _): &(&'static str, Run)| Result {
            name,
            threads,
            throughput: 0.0,
            latencies: histogram(),
            bytes: 0.0,
        };
        let mut results: Vec<Result> = contenders.iter().map(fresh).collect();
        for _ in 0..sized(ROUNDS, 1) {
            for (result, (_, contend)) in results.iter_mut().zip(&contenders) {
                contend(result, false);
                contend(result, true);
            }
        }
        if is_full() {
            report(&results);
        }
    }
}

/// Has all threads place monitors and remove others.
fn run<C: Contender>(result: &mut Result, timed: bool, new: impl FnOnce(u32) -> C) {
    let threads = result.threads;
    let contender = new(threads);
    let filled = measure(|| {
        for number in 0..window(threads) {
            (0..threads).for_each(|thread| contender.place(thread, number));
            if number % SWEEP == 0 {
                contender.upkeep();
            }
        }
    });
    result.bytes = filled.bytes_current as f64 / f64::from(standing());
    result.observe(timed, |thread, latencies| {
        work(&contender, thread, threads, latencies);
    });
    assert_eq!(contender.len(), (window(threads) * threads) as usize);
}

/// Has all threads push and one more pop, as many monitors are placed and one Connector sweeps.
fn run_queue<Q: Queue>(result: &mut Result, timed: bool) {
    let full = Q::default();
    let filled = measure(|| (0..standing()).for_each(|id| full.push(id)));
    result.bytes = filled.bytes_current as f64 / f64::from(standing());
    drop(full);
    let queue = Q::default();
    let each = operations() / result.threads;
    let expected = each * result.threads;
    std::thread::scope(|scope| {
        let consumer = scope.spawn(|| {
            let mut left = expected;
            while left > 0 {
                match queue.pop() {
                    Some(_) => left -= 1,
                    None => std::thread::sleep(IDLE),
                }
            }
        });
        result.observe(timed, |_, mut latencies| {
            for id in 0..each {
                observe(&mut latencies, || queue.push(id));
            }
        });
        consumer.join().expect("no thread panics");
    });
    assert_eq!(queue.pop(), None);
}

impl Result {
    /// Runs `work` in all threads at once. Looking at the clock twice for each operation takes longer
    /// than some of them, so throughput and latencies come from separate runs.
    fn observe(&mut self, timed: bool, work: impl Fn(u32, Option<&mut Histogram<u64>>) + Sync) {
        let barrier = Barrier::new(self.threads as usize);
        let ended: Vec<CachePadded<(Instant, Instant, Histogram<u64>)>> =
            std::thread::scope(|scope| {
                let threads: Vec<_> = (0..self.threads)
                    .map(|thread| {
                        let (work, barrier) = (&work, &barrier);
                        scope.spawn(move || {
                            let mut latencies = histogram();
                            barrier.wait();
                            let began = Instant::now();
                            work(thread, timed.then_some(&mut latencies));
                            CachePadded::new((began, Instant::now(), latencies))
                        })
                    })
                    .collect();
                threads
                    .into_iter()
                    .map(|thread| thread.join().expect("no thread panics"))
                    .collect()
            });
        if timed {
            for thread in &ended {
                let added = self.latencies.add(&thread.2);
                added.expect("histograms of one kind can be added");
            }
        } else {
            let began = ended.iter().map(|thread| thread.0).min();
            let end = ended.iter().map(|thread| thread.1).max();
            let wall = began.zip(end).map_or(Duration::ZERO, |(a, b)| b - a);
            let count = operations() / self.threads * self.threads;
            let throughput = f64::from(count) / wall.as_secs_f64();
            self.throughput = self.throughput.max(throughput);
        }
    }
}

/// Does something, and notes how long it took if anybody wants to know.
fn observe<T>(latencies: &mut Option<&mut Histogram<u64>>, operation: impl FnOnce() -> T) -> T {
    let Some(latencies) = latencies else {
        return operation();
    };
    let began = Instant::now();
    let result = operation();
    latencies.saturating_record(began.elapsed().as_nanos() as u64);
    result
}

/// One thread's part: it goes on placing, and removes what it placed a window before.
fn work(
    contender: &impl Contender,
    thread: u32,
    threads: u32,
    mut latencies: Option<&mut Histogram<u64>>,
) {
    let window = window(threads);
    for number in 0..operations() / threads / 2 {
        let found = observe(&mut latencies, || contender.remove(thread, number));
        assert!(found, "a standing monitor was not found");
        observe(&mut latencies, || contender.place(thread, window + number));
        if number % SWEEP == 0 {
            contender.upkeep();
        }
    }
}

fn report(results: &[Result]) {
    println!(
        "\n{} threads on {} cores, latencies in µs\n",
        results[0].threads,
        std::thread::available_parallelism().map_or(1, usize::from),
    );
    println!("| table | million/s | p50 | p99 | p99.9 | p99.99 | longest | bytes |");
    println!("|---|---:|---:|---:|---:|---:|---:|---:|");
    for result in results {
        let latency = |part| result.latencies.value_at_quantile(part) as f64 / 1_000.0;
        println!(
            "| {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.0} | {:.0} | {:.1} |",
            result.name,
            result.throughput / 1_000_000.0,
            latency(0.5),
            latency(0.99),
            latency(0.999),
            latency(0.9999),
            result.latencies.max() as f64 / 1_000.0,
            result.bytes,
        );
    }
}
