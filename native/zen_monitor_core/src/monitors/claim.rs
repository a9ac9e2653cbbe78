//! Who consumes a monitor: one compare-exchange on one word.
//!
//! A demonitor, the death of the subscriber and the delivery of a `:DOWN` race for a monitor, and
//! exactly one of them wins. The word holds a phase and a generation. The generation changes when
//! the slot is freed, so a claim that was made for a former tenant of the slot always loses.

use crate::structures::sync::{AtomicU32, Ordering};

const PHASE: u32 = 0b11;
const FREE: u32 = 0;
const ARMED: u32 = 1;
const SENDING: u32 = 2;
const REMOVED: u32 = 3;
const GENERATION: u32 = 4;

/// The state of one monitor slot.
pub struct Claim(AtomicU32);

/// Names one tenancy of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u32);

/// How an attempt to remove a monitor ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// The caller consumed the monitor.
    Won,
    /// Its `:DOWN` is being sent at this moment. [`Claim::is_sending`] tells when that is over.
    Sending,
    /// Somebody else has consumed it before.
    Lost,
}

/// How far a tenancy has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The monitor stands, or is about to.
    Standing,
    /// Its `:DOWN` is being sent. If that fails, it stands again.
    Sending,
    /// The monitor was consumed.
    Over,
}

impl Default for Claim {
    fn default() -> Self {
        // Tests begin a few tenancies before the generation wraps, so that it does in all of them.
        let generation = if cfg!(test) {
            0u32.wrapping_sub(3 * GENERATION)
        } else {
            0
        };
        Claim(AtomicU32::new(generation | FREE))
    }
}

impl Claim {
    /// Begins a tenancy. The caller owns the free slot, and has filled it in.
    #[inline]
    pub fn arm(&self) -> Ticket {
        // Relaxed: nobody else changes a free slot.
        let free = self.0.load(Ordering::Relaxed);
        debug_assert_eq!(free & PHASE, FREE);
        // Release: a slot may be found before it is armed. Whoever wins the claim finds the slot filled in.
        self.0.store(free | ARMED, Ordering::Release);
        Ticket(free)
    }

    /// The tenancy of a slot that the caller reached through a table, under that table's lock.
    #[inline]
    pub fn ticket(&self) -> Ticket {
        // Relaxed: the lock orders this after the end of the former tenancy, and before the end of this one.
        Ticket(self.0.load(Ordering::Relaxed) & !PHASE)
    }

    /// Claims the monitor for a demonitor or for its subscriber's death.
    #[inline]
    pub fn remove(&self, ticket: Ticket) -> Removal {
        match self.exchange(ticket, REMOVED) {
            Ok(_) => Removal::Won,
            Err(found) if found == ticket.0 | SENDING => Removal::Sending,
            Err(_) => Removal::Lost,
        }
    }

    /// Claims the monitor for the delivery of its `:DOWN`. The winner sends, calls [`Claim::end_send`], unlinks
    /// the slot and releases it.
    #[inline]
    pub fn begin_send(&self, ticket: Ticket) -> bool {
        self.exchange(ticket, SENDING).is_ok()
    }

    /// Says that the `:DOWN` is sent. The caller has won [`Claim::begin_send`].
    #[inline]
    pub fn end_send(&self, ticket: Ticket) {
        // Release: whoever finds the monitor consumed also finds its message sent.
        self.0.store(ticket.0 | REMOVED, Ordering::Release);
    }

    /// Gives the claim up, since the `:DOWN` was not sent. The caller has won [`Claim::begin_send`].
    #[inline]
    pub fn retract(&self, ticket: Ticket) {
        // Release: as in `arm`, for the next winner.
        self.0.store(ticket.0 | ARMED, Ordering::Release);
    }

    /// Whether the `:DOWN` of this tenancy is being sent.
    #[inline]
    pub fn is_sending(&self, ticket: Ticket) -> bool {
        // Acquire: pairs with `end_send`, so that a caller that has waited here finds the message sent.
        self.0.load(Ordering::Acquire) == ticket.0 | SENDING
    }

    /// How far the present tenancy has come.
    #[inline]
    pub fn stage(&self) -> Stage {
        // Relaxed: a process that has received the `:DOWN` sees the claim, which came before. No other process
        // can tell which of the two came first.
        match self.0.load(Ordering::Relaxed) & PHASE {
            SENDING => Stage::Sending,
            REMOVED => Stage::Over,
            _ => Stage::Standing,
        }
    }

    /// Ends the tenancy. The caller has won the claim, and has unlinked the slot everywhere.
    #[inline]
    pub fn release(&self) {
        // Relaxed: nobody else changes the word of a monitor that was consumed.
        let taken = self.0.load(Ordering::Relaxed);
        // Release: the next tenancy comes after everything that the winner did.
        self.0
            .store((taken & !PHASE).wrapping_add(GENERATION), Ordering::Release);
    }

    #[inline]
    fn exchange(&self, ticket: Ticket, phase: u32) -> Result<u32, u32> {
        // AcqRel on success: the winner sees everything that was done to the slot while it was armed.
        // Acquire on failure: a loser that finds the monitor consumed sees that its message was sent.
        self.0.compare_exchange(
            ticket.0 | ARMED,
            ticket.0 | phase,
            Ordering::AcqRel,
            Ordering::Acquire,
        )
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn one_claim_wins_each_tenancy() {
        let claim = Claim::default();
        let first = claim.arm();
        assert_eq!(claim.ticket(), first);
        assert!(claim.begin_send(first));
        assert!(claim.is_sending(first));
        assert_eq!(claim.remove(first), Removal::Sending);
        claim.end_send(first);
        assert!(!claim.is_sending(first));
        assert_eq!(claim.remove(first), Removal::Lost);
        assert!(!claim.begin_send(first));
        claim.release();

        let second = claim.arm();
        assert_ne!(first, second);
        assert_eq!(claim.remove(first), Removal::Lost);
        assert!(!claim.begin_send(first));
        assert_eq!(claim.remove(second), Removal::Won);
        assert!(!claim.begin_send(second));
    }

    #[test]
    fn the_generation_wraps() {
        let claim = Claim(AtomicU32::new(!PHASE));
        let last = claim.arm();
        assert!(claim.begin_send(last));
        claim.end_send(last);
        claim.release();
        assert_eq!(claim.arm(), Ticket(0));
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicUsize;

    /// A dispatcher, an owner that demonitors and a sweep after a death race for one monitor.
    #[test]
    fn exactly_one_consumer_wins() {
        loom::model(|| {
            let claim = Arc::new(Claim::default());
            let ticket = claim.arm();
            let wins = Arc::new(AtomicUsize::new(0));
            let dispatcher = {
                let (claim, wins) = (claim.clone(), wins.clone());
                loom::thread::spawn(move || {
                    if claim.begin_send(ticket) {
                        wins.fetch_add(1, Ordering::Relaxed);
                        claim.end_send(ticket);
                        claim.release();
                    }
                })
            };
            let sweep = {
                let (claim, wins) = (claim.clone(), wins.clone());
                loom::thread::spawn(move || {
                    if claim.remove(ticket) == Removal::Won {
                        wins.fetch_add(1, Ordering::Relaxed);
                    }
                })
            };
            if claim.remove(ticket) == Removal::Won {
                wins.fetch_add(1, Ordering::Relaxed);
            }
            dispatcher.join().unwrap();
            sweep.join().unwrap();
            assert_eq!(wins.load(Ordering::Relaxed), 1);
        });
    }

    /// A slot that is found while it is being placed is filled in for whoever wins it.
    #[test]
    fn a_winner_sees_what_was_done_before_the_tenancy_began() {
        loom::model(|| {
            let slot = Arc::new((Claim::default(), AtomicUsize::new(0)));
            let ticket = slot.0.ticket();
            let placer = {
                let slot = slot.clone();
                loom::thread::spawn(move || {
                    slot.1.store(1, Ordering::Relaxed);
                    slot.0.arm();
                })
            };
            if slot.0.remove(ticket) == Removal::Won {
                assert_eq!(slot.1.load(Ordering::Relaxed), 1);
            }
            placer.join().unwrap();
        });
    }

    /// A removal that comes late meets the next tenant of the slot, and leaves it alone.
    #[test]
    fn a_claim_on_a_former_tenancy_loses() {
        loom::model(|| {
            let claim = Arc::new(Claim(AtomicU32::new(!PHASE)));
            let former = claim.arm();
            let dispatcher = {
                let claim = claim.clone();
                loom::thread::spawn(move || {
                    if !claim.begin_send(former) {
                        return None;
                    }
                    claim.end_send(former);
                    claim.release();
                    Some(claim.arm())
                })
            };
            let removal = claim.remove(former);
            match dispatcher.join().unwrap() {
                None => assert_eq!(removal, Removal::Won),
                Some(next) => {
                    assert_ne!(removal, Removal::Won);
                    assert_eq!(claim.remove(next), Removal::Won);
                }
            }
        });
    }

    /// A removal that meets a delivery which gives up wins, or another delivery sends: one of both.
    #[test]
    fn a_claim_that_is_given_up_is_won_by_another() {
        loom::model(|| {
            let claim = Arc::new(Claim::default());
            let ticket = claim.arm();
            let dispatcher = {
                let claim = claim.clone();
                loom::thread::spawn(move || {
                    if claim.begin_send(ticket) {
                        claim.retract(ticket);
                    }
                    let sends = claim.begin_send(ticket);
                    if sends {
                        claim.end_send(ticket);
                    }
                    sends
                })
            };
            let won = loop {
                match claim.remove(ticket) {
                    Removal::Won => break true,
                    Removal::Sending => loom::thread::yield_now(),
                    Removal::Lost => break false,
                }
            };
            assert_ne!(dispatcher.join().unwrap(), won);
        });
    }

    /// Once a demonitor has returned, its `:DOWN` was sent before or never will be.
    #[test]
    fn nothing_is_sent_after_a_removal_returns() {
        loom::model(|| {
            let claim = Arc::new(Claim::default());
            let ticket = claim.arm();
            let mailbox = Arc::new(AtomicUsize::new(0));
            let dispatcher = {
                let (claim, mailbox) = (claim.clone(), mailbox.clone());
                loom::thread::spawn(move || {
                    if claim.begin_send(ticket) {
                        // Relaxed, so that only the claim can publish the sending.
                        mailbox.fetch_add(1, Ordering::Relaxed);
                        claim.end_send(ticket);
                        claim.release();
                    }
                })
            };
            let won = match claim.remove(ticket) {
                Removal::Won => true,
                Removal::Sending => {
                    while claim.is_sending(ticket) {
                        loom::thread::yield_now();
                    }
                    false
                }
                Removal::Lost => false,
            };
            let seen = mailbox.load(Ordering::Relaxed);
            assert_eq!(seen, usize::from(!won));
            dispatcher.join().unwrap();
            assert_eq!(mailbox.load(Ordering::Relaxed), seen);
        });
    }
}
