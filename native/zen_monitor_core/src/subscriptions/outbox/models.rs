//! Who pushes passes on while the bell finds the Batcher asleep, as the NIFs do. Shuttle switches threads
//! at the queue, too; loom does not.

use super::*;
use crate::structures::bell::Bell;
#[cfg(loom)]
use loom::{sync::Arc, thread};
#[cfg(shuttle)]
use shuttle::{sync::Arc, thread};

/// What reaches the connector, in its order.
#[derive(Default)]
struct Stage {
    outbox: Outbox<u32>,
    bell: Bell,
    wire: Mutex<Vec<u32>>,
    /// The wake-ups of the Batcher.
    woken: AtomicUsize,
}

fn check(model: fn()) {
    #[cfg(loom)]
    {
        let mut builder = loom::model::Builder::new();
        // With two, a new reader is never seen between two certificates of one holder.
        builder.preemption_bound = Some(3);
        builder.check(model);
    }
    #[cfg(shuttle)]
    shuttle::check_random(model, 20_000);
}

impl Stage {
    fn wake(&self) {
        self.woken.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether the owner may sleep.
    fn rest(&self) -> bool {
        if !self.outbox.is_empty() {
            return false;
        }
        self.bell.rest();
        self.outbox.is_empty() || !self.bell.ring()
    }

    /// A death. The connection takes what is passed on, or `refuses` it.
    fn die(&self, certificate: u32, refuses: bool) {
        assert_eq!(self.outbox.push(|| certificate), Pushed::Waiting);
        if !self.bell.ring() {
            return;
        }
        let mut passed = Vec::new();
        let accept = |certificate: &u32| {
            passed.push(*certificate);
            true
        };
        if !self.outbox.pass_on(8, accept) {
            return self.wake();
        }
        if refuses {
            self.outbox.take_back();
            return self.wake();
        }
        self.wire.lock().extend(&passed);
        assert_eq!(self.outbox.passed_on(), passed.len());
        if !self.rest() {
            self.wake();
        }
    }

    /// The sweeps of a Batcher that was woken, and of one that has just begun.
    fn sweep(&self, reader: u64) {
        loop {
            let mut taken = Vec::new();
            self.outbox.take(reader, 1, |certificate| {
                taken.push(*certificate);
                true
            });
            self.wire.lock().extend(&taken);
            assert_eq!(self.outbox.sent(reader), taken.len());
            if self.rest() {
                return;
            }
            thread::yield_now();
        }
    }

    /// All that was pushed has come once, and that of the first holder in order.
    fn check(&self, certificates: usize) {
        if self.woken.load(Ordering::Acquire) > 0 {
            self.sweep(2);
        }
        assert!(self.outbox.is_empty());
        let wire = self.wire.lock();
        assert_eq!(wire.len(), certificates, "{wire:?}");
        let of_one = wire.iter().filter(|&&certificate| certificate < 10);
        assert!(of_one.is_sorted(), "{wire:?}");
    }
}

/// Nothing is lost, doubled or out of order when two pass on, and a new Batcher takes, which the bell does not keep
/// from that.
fn pass_on_beside_a_new_reader(refuses: bool) {
    let stage = Arc::new(Stage::default());
    stage.outbox.reclaim(1);
    let holder = {
        let stage = stage.clone();
        thread::spawn(move || stage.die(10, refuses))
    };
    let batcher = {
        let stage = stage.clone();
        thread::spawn(move || {
            stage.bell.ring();
            stage.outbox.reclaim(2);
            stage.sweep(2);
        })
    };
    stage.die(0, false);
    stage.die(1, false);
    holder.join().unwrap();
    batcher.join().unwrap();
    stage.check(3);
}

#[test]
fn what_is_passed_on_goes_out_once_and_in_order() {
    check(|| pass_on_beside_a_new_reader(false));
}

#[test]
fn so_does_what_the_connection_refuses() {
    check(|| pass_on_beside_a_new_reader(true));
}
