//! Threads that do at random all that the processes of the host may do at a time. Afterwards, every
//! monitor must have ended once, and nothing may be left in any table.
//!
//! Threads of the operating system do it many times; under shuttle few do little, but are switched at
//! every lock, queue and claim, in as many ways as there is time for.

use crate::monitors::delivery::Delivery;
use crate::monitors::share::Share;
use crate::monitors::table::MonitorTable;
use crate::monitors::targets::Key;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::SeqCst};

#[cfg(shuttle)]
use shuttle::thread;
#[cfg(not(shuttle))]
use std::thread;

type Table = MonitorTable<u32, ()>;

/// What a run consists of.
#[derive(Clone, Copy)]
struct Plan {
    owners: u64,
    /// Monitors that each of them places.
    monitors: u32,
    nodes: u64,
    /// Targets on each node.
    targets: u64,
    /// Monitors that an owner has at once, at most.
    standing: u64,
    /// Sets, each with an owner of its own, and how often what is in them is changed.
    sets: u64,
    changes: u32,
    /// How many chunks of slots there may be, and how many subscribers and targets in a shard: so few
    /// that some monitors are refused.
    most: (u32, u32, u32),
}

/// A monitor's fate, in bits.
const SENT: u8 = 1;
const REMOVED: u8 = 2;
/// Its owner died: it may have been sent, or swept.
const BEREFT: u8 = 4;
/// There was no room for it.
const REFUSED: u8 = 8;

/// xorshift64: as good as it takes, and the same everywhere.
struct Random(u64);

impl Random {
    fn new(seed: u64, thread: u64) -> Self {
        let seed = (seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Random(seed ^ (thread + 1).wrapping_mul(0xD1B5_4A32_D192_ED03))
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % limit
    }

    fn amount(&mut self, most: u64) -> usize {
        1 + self.below(most) as usize
    }
}

struct Run {
    plan: Plan,
    seed: u64,
    table: Table,
    /// By owner and number.
    fates: Vec<Vec<AtomicU8>>,
    /// Messages sent for each target, by the life of each set.
    told: Vec<Vec<AtomicU64>>,
    running: AtomicU64,
    done: AtomicBool,
}

/// A set is a subscriber under a word with this mark.
const SET: u64 = 0b1100;
/// How often each ends and another takes its place.
const LIVES: u32 = if cfg!(shuttle) { 2 } else { 40 };

impl Run {
    fn new(plan: Plan, seed: u64) -> Self {
        let (chunks, subscribers, targets) = plan.most;
        let table = Table::with_most(chunks, subscribers, targets);
        for name in 0..plan.nodes {
            table.nodes.find_or_add(name, || ());
        }
        let fates = |_| (0..plan.monitors).map(|_| AtomicU8::new(0)).collect();
        Run {
            fates: (0..plan.owners).map(fates).collect(),
            told: (0..plan.sets * u64::from(LIVES))
                .map(|_| (0..plan.nodes * plan.targets).map(|_| AtomicU64::new(0)))
                .map(Iterator::collect)
                .collect(),
            running: AtomicU64::new(plan.owners + plan.sets),
            done: AtomicBool::new(false),
            plan,
            seed,
            table,
        }
    }

    fn random(&self, thread: u64) -> Random {
        Random::new(self.seed, thread)
    }

    fn fate(&self, [number, owner, _]: [u32; 3]) -> &AtomicU8 {
        &self.fates[owner as usize][number as usize]
    }

    /// Places, removes and dies.
    fn own(&self, owner: u64) {
        let mut random = self.random(owner);
        let mut pid = 16 * (owner + 1);
        let mut standing: Vec<[u32; 3]> = Vec::new();
        let mut most = 0;
        for number in 0..self.plan.monitors {
            let reference = [number, owner as u32, 0];
            let node = self.table.nodes.get(random.below(self.plan.nodes) as u32);
            let target = [random.below(self.plan.targets) as u32, 0, 0];
            if self.table.monitor(node, pid, reference, target).is_ok() {
                standing.push(reference);
            } else {
                self.fate(reference).store(REFUSED, SeqCst);
                assert!(!self.table.demonitor(pid, reference, |_| ()));
            }
            if number == 0 || random.below(100) == 0 {
                most = random.amount(self.plan.standing);
            }
            while standing.len() > most || !standing.is_empty() && random.below(4) == 0 {
                let place = random.below(standing.len() as u64) as usize;
                self.remove(pid, standing.swap_remove(place));
            }
            if random.below(300) == 0 {
                self.die(pid, &mut standing);
                pid += 16 * 64;
            }
        }
        self.die(pid, &mut standing);
        self.running.fetch_sub(1, SeqCst);
    }

    /// Puts, deletes, closes, and dies.
    fn own_set(&self, set: u64) {
        let mut random = self.random(400 + set);
        let changes = self.plan.changes / LIVES;
        for life in 0..LIVES {
            let row = set * u64::from(LIVES) + u64::from(life);
            let word = (row + 1) << 4 | SET;
            while self.table.open_set(word).is_err() {
                switch();
            }
            let mut owed = vec![0; self.told[row as usize].len()];
            for _ in 0..changes {
                self.change(&mut random, word, row, &mut owed);
            }
            if random.below(2) == 0 {
                let mut left = owed.iter().sum::<u64>();
                loop {
                    let (deleted, is_empty) = self.table.empty(word, |_| ());
                    left -= deleted as u64;
                    if is_empty {
                        break;
                    }
                    switch();
                }
                let told = (0..).zip(&owed).map(|(place, _)| self.told(row, place));
                assert_eq!(told.sum::<u64>(), left);
            }
            self.table.depart(word);
            for (place, owed) in (0..).zip(owed) {
                assert!(self.told(row, place) <= owed);
            }
        }
        self.running.fetch_sub(1, SeqCst);
    }

    /// `owed` is how many messages each target must have had sent once it is in the set no more.
    fn change(&self, random: &mut Random, word: u64, row: u64, owed: &mut [u64]) {
        let all = owed.len() as u64;
        let amount = random.below(8);
        let places: Vec<u64> = (0..amount).map(|_| random.below(all)).collect();
        match random.below(10) {
            0..=4 => {
                for place in places {
                    let (added, _) = self.table.put(word, &[self.key(place)], |_| ());
                    owed[place as usize] += added as u64;
                }
            }
            5 | 6 => {
                let keys: Vec<Key> = places.iter().map(|place| self.key(*place)).collect();
                self.table.delete(word, &keys, |_| ());
                for place in places {
                    owed[place as usize] = self.told(row, place);
                }
            }
            7 => assert!(self.table.members(word).len() as u64 <= all),
            _ => {
                for place in places {
                    let deleted = self.table.delete(word, &[self.key(place)], |_| ());
                    owed[place as usize] -= deleted as u64;
                    // All that was to be sent has been, and nothing else will be.
                    assert_eq!(self.told(row, place), owed[place as usize]);
                    assert!(!self.table.is_member(word, self.key(place)));
                }
            }
        }
    }

    fn key(&self, place: u64) -> Key {
        Key {
            node: (place / self.plan.targets) as u32,
            id: [(place % self.plan.targets) as u32, 0, 0],
        }
    }

    fn told(&self, row: u64, place: u64) -> u64 {
        self.told[row as usize][place as usize].load(SeqCst)
    }

    fn remove(&self, pid: u64, reference: [u32; 3]) {
        let fate = self.fate(reference);
        if self.table.demonitor(pid, reference, |_| ()) {
            assert_eq!(fate.swap(REMOVED, SeqCst), 0, "removed what was sent");
        } else {
            assert_eq!(fate.load(SeqCst), SENT, "neither removed nor sent");
        }
    }

    fn die(&self, pid: u64, standing: &mut Vec<[u32; 3]>) {
        for reference in standing.drain(..) {
            self.fate(reference).fetch_or(BEREFT, SeqCst);
        }
        self.table.depart(pid);
    }

    /// What the Connector of a node does, and what happens to its link.
    fn connect(&self, number: u64) {
        let (table, node) = (&self.table, self.table.nodes.get(number as u32));
        let mut random = self.random(100 + number);
        while !self.done.load(SeqCst) {
            match random.below(44) {
                0 => table.expire(node),
                1 => {
                    table.begin_resubscribing(node);
                    while !table.resubscribe(node, random.amount(700)) {}
                }
                2 => while !table.fail(node, 5).1 {},
                3 => drop(table.shed(node, random.amount(9))),
                4..=6 => {
                    table.confirm(node);
                    table.take(node, 3, 3);
                    table.take(node, 5, 5);
                    while !table.withdraw(node, 2) {}
                    if random.below(2) == 0 {
                        table.expire(node);
                    }
                }
                7..=25 => {
                    for instruction in table.take(node, random.amount(9), 9).0 {
                        assert_eq!(instruction.key().node, node.id());
                    }
                    table.confirm(node);
                }
                40 | 41 => drop(table.hold(node)),
                42 | 43 => drop(table.resume(node, random.amount(1_500))),
                26..=32 => {
                    let target = random.below(self.plan.targets) as u32;
                    let targets = [target, target + 1].map(|target| [target, 0, 0]);
                    table.certify_each(node, targets.into_iter(), &target, random.amount(3));
                }
                _ => {
                    let target = random.below(self.plan.targets) as u32;
                    table.certify(node, [target, 0, 0], None, target);
                    if random.below(4) == 0 {
                        table.expand_dead(random.amount(20));
                    }
                }
            }
            self.breathe();
        }
    }

    /// Expands what is due, and sweeps up after the dead.
    fn tidy(&self, thread: u64) {
        let mut random = self.random(200 + thread);
        while !self.done.load(SeqCst) {
            self.table.expand_dead(random.amount(1_500));
            (self.table).expand_expired(random.amount(1_500), random.amount(500));
            self.table
                .sweep_departed(random.amount(10), |_| (), |_, _| ());
            self.breathe();
        }
    }

    fn deliver(&self) {
        let mut random = self.random(300);
        while !self.done.load(SeqCst) {
            // Now and then one fails half-way, with a monitor claimed or before.
            self.deliver_batch(&mut || random.below(40) == 0);
            self.breathe();
        }
    }

    /// As the Dispatcher does: first a batch is taken, then each of it is claimed and sent, unless
    /// that `fails`. `false` when there was none.
    fn deliver_batch(&self, fails: &mut impl FnMut() -> bool) -> bool {
        let mut delivery = Delivery::new(&self.table, 16);
        let turns = delivery.take_turns(16, |_| Share::all());
        for (number, (key, reason)) in delivery.describe(0).into_iter().enumerate() {
            if fails() {
                break;
            }
            if delivery.begin(number) {
                switch();
                if fails() {
                    break;
                }
                // The second of two that were certified together has the reason of the first.
                assert!(reason.is_none_or(|reason| [0, 1].contains(&(key.id[0] - reason))));
                let (reference, pid) =
                    (delivery.taken(number).reference, delivery.taken(number).pid);
                if pid & SET != 0 {
                    let place = u64::from(key.node) * self.plan.targets + u64::from(key.id[0]);
                    self.told[(pid >> 4) as usize - 1][place as usize].fetch_add(1, SeqCst);
                    delivery.end(number);
                    continue;
                }
                let former = self.fate(reference).fetch_or(SENT, SeqCst);
                assert_eq!(
                    former & (SENT | REMOVED),
                    0,
                    "sent twice, or removed before"
                );
                delivery.end(number);
            }
        }
        switch();
        turns > 0
    }

    /// Under shuttle, a thread with nothing to do must let others run.
    fn breathe(&self) {
        switch();
        if self.running.load(SeqCst) == 0 {
            self.done.store(true, SeqCst);
        }
    }

    /// All owners are dead, so all must drain away.
    /// Returns how many monitors were refused.
    fn check(&self) -> usize {
        for node in self.table.nodes.iter() {
            let (kept, counted) = self.table.shards_in_use(node);
            assert_eq!(kept, counted);
        }
        for _ in 0..3 {
            for node in self.table.nodes.iter() {
                self.table.take(node, usize::MAX, usize::MAX);
                self.table.confirm(node);
                self.table.expire(node);
            }
            while !self.table.expand(10_000) {}
            while !self.table.sweep_departed(10_000, |_| (), |_, _| ()) {}
            while self.deliver_batch(&mut || false) {}
        }
        for node in self.table.nodes.iter() {
            self.table.take(node, usize::MAX, usize::MAX);
            self.table.confirm(node);
        }
        let is_unused = |node| self.table.is_unused(node);
        assert!(self.table.nodes.iter().all(is_unused));
        assert_eq!(self.table.sizes(), Default::default());
        assert_eq!(self.table.counts().standing, 0);
        assert_eq!(self.table.dispatch_counts().waiting, 0);
        let fates = self.fates.iter().flatten();
        let fates: Vec<u8> = fates.map(|fate| fate.load(SeqCst)).collect();
        assert!(fates.iter().all(|fate| *fate != 0));
        fates.iter().filter(|fate| **fate == REFUSED).count()
    }
}

/// A place where shuttle may switch threads, beside those that it finds itself.
fn switch() {
    #[cfg(shuttle)]
    thread::yield_now();
}

fn run(plan: Plan, seed: u64) -> usize {
    let run = Run::new(plan, seed);
    thread::scope(|scope| {
        let run = &run;
        for owner in 0..plan.owners {
            scope.spawn(move || run.own(owner));
        }
        for set in 0..plan.sets {
            scope.spawn(move || run.own_set(set));
        }
        for node in 0..plan.nodes {
            scope.spawn(move || run.connect(node));
        }
        for thread in 0..plan.owners.min(2) {
            scope.spawn(move || run.tidy(thread));
        }
        scope.spawn(|| run.deliver());
    });
    run.check()
}

/// `ZEN_MONITOR_STRESS` is the number of runs, each with the seed of its number.
#[cfg(not(shuttle))]
#[test]
fn stress() {
    let plan = Plan {
        owners: 3,
        monitors: 20_000,
        nodes: 2,
        targets: 40,
        standing: 1_000,
        sets: 2,
        changes: 10_000,
        most: (8, 3, 38),
    };
    let runs =
        std::env::var("ZEN_MONITOR_STRESS").map_or(2, |runs| runs.parse().expect("a number"));
    let refused: usize = (1..=runs).map(|seed| run(plan, seed)).sum();
    assert!(refused > 0);
}

/// Shuttle prints the schedule of a failure, which `shuttle::replay` repeats.
#[cfg(shuttle)]
#[test]
fn models() {
    let plan = Plan {
        owners: 2,
        monitors: 12,
        nodes: 1,
        targets: 2,
        standing: 8,
        sets: 1,
        changes: 8,
        most: (1, 2, 1),
    };
    let seeds = AtomicU64::new(0);
    let run = move || {
        run(plan, seeds.fetch_add(1, SeqCst));
    };
    shuttle::check_random(run, 2_000);
}
