//! What an operation costs, and what a monitor takes, as the table grows to millions.
//!
//! Two orders: processes and references in sequence, as they are when one process after the other
//! monitors what was spawned together; and targets and removals scattered over the whole table, so
//! that next to nothing is in a cache.
//!
//! `GROWTH_MAX` sets the largest size, 20 million unless given.

mod support;

use allocation_counter::measure;
use std::time::Duration;
use support::{PER_PROCESS, World, each, is_full, pid, reference, scattered, sized, target, timed};

/// Rounds, of which the fastest counts: noise only ever adds.
const ROUNDS: usize = 3;

#[derive(Clone, Copy)]
struct Order {
    name: &'static str,
    target: fn(u32) -> u32,
    /// Which of the monitors is the `n`th to be removed.
    victim: fn(u32, u32) -> u32,
}

const ORDERS: [Order; 2] = [
    Order {
        name: "in sequence",
        target: |place| place,
        victim: |n, _| n,
    },
    Order {
        name: "scattered",
        target: scattered,
        victim: |n, size| ((u64::from(scattered(n)) * u64::from(size)) >> 25) as u32,
    },
];

/// Nanoseconds of CPU for each operation at one size, and bytes for each monitor.
#[derive(Clone, Copy)]
struct Point {
    size: u32,
    place: f64,
    sweep: f64,
    remove: f64,
    replace: f64,
    bytes: f64,
    allocations: f64,
}

fn main() {
    let sizes = sizes();
    for order in ORDERS {
        let mut points: Vec<Point> = Vec::new();
        let mut deaths = Vec::new();
        for _ in 0..sized(ROUNDS, 1) {
            let (round, death) = grow(order, &sizes);
            deaths.push(death);
            if points.is_empty() {
                points = round;
            } else {
                points.iter_mut().zip(round).for_each(|(best, point)| {
                    best.place = best.place.min(point.place);
                    best.sweep = best.sweep.min(point.sweep);
                    best.remove = best.remove.min(point.remove);
                    best.replace = best.replace.min(point.replace);
                });
            }
        }
        if is_full() {
            report(order, &points, deaths.into_iter().min().unwrap_or_default());
        }
    }
}

fn sizes() -> Vec<u32> {
    let max = std::env::var("GROWTH_MAX")
        .map(|max| max.parse().expect("GROWTH_MAX is a whole number"))
        .unwrap_or(sized(20_000_000, 20_000));
    let decades = (4..8).flat_map(|power| [1, 2, 5].map(|digit| digit * 10u32.pow(power)));
    decades.filter(|&size| size <= max).collect()
}

/// The reference and the owner of the monitor at each place, so that any can be removed.
struct Monitors {
    world: World,
    order: Order,
    references: Vec<u32>,
    made: u32,
}

impl Monitors {
    fn place(&mut self, place: u32) {
        let number = self.made;
        self.made += 1;
        self.references[place as usize] = number;
        self.world
            .table
            .monitor(
                self.world.node(),
                pid(place / PER_PROCESS),
                reference(1, number),
                target((self.order.target)(place)),
            )
            .unwrap();
    }
}

/// Grows one table through all sizes, then ends its node. Returns what each size cost, and the
/// nanoseconds of the node's death: for the call that notes it, and for each `:DOWN`.
fn grow(order: Order, sizes: &[u32]) -> (Vec<Point>, (u64, u64)) {
    let max = *sizes.last().expect("GROWTH_MAX is at least 10,000");
    let mut monitors = Monitors {
        world: World::default(),
        order,
        references: vec![0; max as usize],
        made: 0,
    };
    let mut points = Vec::new();
    let (mut size, mut bytes) = (0, 0);
    for &next in sizes {
        let (mut place, mut sweep) = (Duration::ZERO, Duration::ZERO);
        let grown = next - size;
        bytes += measure(|| {
            while size < next {
                timed(&mut place, || {
                    for _ in 0..PER_PROCESS {
                        monitors.place(size);
                        size += 1;
                    }
                });
                timed(&mut sweep, || monitors.world.sweep());
            }
        })
        .bytes_current;
        let mut point = churn(&mut monitors, size);
        point.place = each(place, grown);
        point.sweep = each(sweep, grown);
        point.bytes = bytes as f64 / f64::from(size);
        points.push(point);
    }
    let (mut expire, mut deliver) = (Duration::ZERO, Duration::ZERO);
    let (table, node) = (&monitors.world.table, monitors.world.node());
    timed(&mut expire, || table.expire(node));
    let delivered = timed(&mut deliver, || monitors.world.deliver());
    assert_eq!(delivered, size, "a monitor fired more or less than once");
    assert_eq!(table.counts().standing, 0);
    let death = (expire.as_nanos() as u64, each(deliver, size) as u64);
    (points, death)
}

/// Removes some of `size` standing monitors and places them anew. Everything warms up first.
fn churn(monitors: &mut Monitors, size: u32) -> Point {
    let batches = (size / 10_000).clamp(2, sized(200, 2));
    let mut point = Point {
        size,
        place: 0.0,
        sweep: 0.0,
        remove: 0.0,
        replace: 0.0,
        bytes: 0.0,
        allocations: 0.0,
    };
    let mut seen = 0;
    for measured in [false, true] {
        let (mut remove, mut replace) = (Duration::ZERO, Duration::ZERO);
        let mut allocations = 0;
        for _ in 0..batches {
            let victims: Vec<(u32, u32)> = (seen..seen + PER_PROCESS)
                .map(|n| (monitors.order.victim)(n, size))
                .map(|place| (place, monitors.references[place as usize]))
                .collect();
            seen += PER_PROCESS;
            let table = &monitors.world.table;
            let removed = timed(&mut remove, || {
                victims
                    .iter()
                    .filter(|&&(place, number)| {
                        let owner = pid(place / PER_PROCESS);
                        table.demonitor(owner, reference(1, number), |_| ())
                    })
                    .count()
            });
            assert_eq!(removed, victims.len(), "a standing monitor was not found");
            let replaced = measure(|| {
                timed(&mut replace, || {
                    victims.iter().for_each(|&(place, _)| monitors.place(place));
                });
            });
            allocations += replaced.count_total;
            monitors.world.sweep();
        }
        assert_eq!(monitors.world.table.counts().standing, u64::from(size));
        if measured {
            let count = batches * PER_PROCESS;
            point.remove = each(remove, count);
            point.replace = each(replace, count);
            point.allocations = allocations as f64 / f64::from(count);
            // A block of the outbox's queue for each 31, and now and then a table's growth.
            assert!(point.allocations < 0.1, "{} allocations", point.allocations);
        }
    }
    point
}

fn report(order: Order, points: &[Point], (expire, deliver): (u64, u64)) {
    println!("\n{}: ns of CPU for each operation\n", order.name);
    println!("| monitors | place | sweep | demonitor | place again | bytes | allocations |");
    println!("|---:|---:|---:|---:|---:|---:|---:|");
    for point in points {
        println!(
            "| {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.3} |",
            point.size,
            point.place,
            point.sweep,
            point.remove,
            point.replace,
            point.bytes,
            point.allocations
        );
    }
    let fit = |value: fn(&Point) -> f64| exponent(points, value);
    println!(
        "| exponent | {:.3} | {:.3} | {:.3} | {:.3} | {:.3} | |",
        fit(|point| point.place),
        fit(|point| point.sweep),
        fit(|point| point.remove),
        fit(|point| point.replace),
        fit(|point| point.bytes),
    );
    println!(
        "\nThe node's death: {:.0} µs for the call that notes it, {deliver} ns for each :DOWN.",
        expire as f64 / 1_000.0
    );
}

/// The slope of a straight line through the logarithms of cost over size.
fn exponent(points: &[Point], value: fn(&Point) -> f64) -> f64 {
    let logs: Vec<(f64, f64)> = points
        .iter()
        .map(|point| (f64::from(point.size).ln(), value(point).ln()))
        .collect();
    let count = logs.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|log| log.0), mean(|log| log.1));
    let slope: f64 = logs.iter().map(|log| (log.0 - x) * (log.1 - y)).sum();
    slope / logs.iter().map(|log| (log.0 - x).powi(2)).sum::<f64>()
}
