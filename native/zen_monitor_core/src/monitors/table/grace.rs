//! Sessions that are held while their node may come back, see [`Grace`](crate::monitors::grace::Grace).
//!
//! When the node is back they are *resumed*: a slice at a time, their targets go over to the current session
//! and wait in the outbox as new ones do. When it is not, they expire with it, all at once and for nothing.

use super::MonitorTable;
use crate::monitors::grace::Recognized;
use crate::monitors::nodes::Node;
use crate::monitors::targets::Targets;
use crate::structures::held::HELD;

/// What [`MonitorTable::resume`] has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resumed {
    /// Targets that were put into the outbox, to be subscribed again.
    pub targets: usize,
    /// Monitors that are not held any more.
    pub monitors: u64,
    /// Nothing is held any more.
    pub done: bool,
}

impl<R: Clone, X> MonitorTable<R, X> {
    /// Notes that the connection to a node is lost, and holds what it was told to watch, for `grace` from `now`
    /// on. Returns until when, and how many monitors more are held now. `None` for a node that had neither
    /// answered nor been `asked`; nothing is held then.
    pub fn lose(&self, node: &Node<X>, now: i64, grace: i64, asked: bool) -> Option<(i64, u64)> {
        let lost = {
            let mut desk = node.desk.lock();
            desk.get_or_insert_default().grace.lose(now, grace, asked)
        };
        let (deadline, fresh) = lost?;
        Some((deadline, if fresh { self.hold(node) } else { 0 }))
    }

    /// Notes which life of a node has answered, `None` if that cannot be known. Returns since when its monitors
    /// are held, if they may be resumed now. Those of another life have expired.
    pub fn recognize(&self, node: &Node<X>, life: Option<u32>) -> Option<i64> {
        let recognize = || {
            let mut desk = node.desk.lock();
            desk.get_or_insert_default().grace.recognize(life)
        };
        match recognize() {
            Recognized::New => None,
            Recognized::Back { since } => Some(since),
            Recognized::Another => {
                self.expire(node);
                recognize();
                None
            }
        }
    }

    /// Holds everything that a node was told to watch, because its connection is gone and may come back.
    /// Returns how many monitors that is. It costs the same for ten of them or ten million.
    pub(crate) fn hold(&self, node: &Node<X>) -> u64 {
        let session = {
            // The session is known to be held before it is no longer the node's.
            let mut desk = node.desk.lock();
            let grace = &mut desk.get_or_insert_default().grace;
            grace.hold(node.stay.session());
            node.stay.renew(self.nodes.next_session())
        };
        self.targets.hold(session)
    }

    /// Has up to about `limit` targets that are held subscribed again, over the connection that stands
    /// now.
    pub fn resume(&self, node: &Node<X>, limit: usize) -> Resumed {
        let mut desk = node.desk.lock();
        let grace = &mut desk.get_or_insert_default().grace;
        let mut resumed = Resumed::default();
        let mut queued = Vec::new();
        let mut steps = 0;
        while steps < limit
            && let Some(held) = grace.oldest()
        {
            let most = HELD.min(limit - steps);
            let place = (held.shard, held.session);
            let (seen, monitors) = self.targets.resume(place, &node.stay, most, &mut queued);
            resumed.monitors += monitors;
            steps += 1 + seen;
            held.shard += usize::from(seen < most);
            if held.shard == Targets::<R>::SHARDS {
                grace.resumed();
            }
        }
        resumed.targets = queued.len();
        for target in queued {
            node.outbox.push(target);
        }
        resumed.done = grace.is_over();
        resumed
    }

    /// How many monitors are held.
    pub fn monitors_held(&self) -> u64 {
        let held: Vec<u64> = self.nodes.iter().flat_map(Node::held_sessions).collect();
        match held.is_empty() {
            true => 0,
            false => self.targets.monitors_of(&held),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::monitors::table::Placed;
    use crate::monitors::targets::{Instruction, NAMED};

    type Table = MonitorTable<u32, ()>;

    fn table(targets: u32) -> Table {
        let table = Table::default();
        table.nodes.find_or_add(7, || ());
        for number in 0..targets {
            place(&table, number, number);
        }
        assert_eq!(take(&table, targets as usize), targets as usize);
        table
    }

    fn place(table: &Table, number: u32, target: u32) -> Placed {
        let placed = table.monitor(node(table), 16, [number, 0, 0], [target, 0, 0]);
        placed.unwrap()
    }

    fn node(table: &Table) -> &Node<()> {
        table.nodes.get(0)
    }

    /// How many subscriptions go out; there may be nothing else.
    fn take(table: &Table, limit: usize) -> usize {
        let mut subscriptions = 0;
        loop {
            let (taken, emptied) = table.take(node(table), limit - subscriptions, limit);
            table.confirm(node(table));
            let subscribes = |taken| matches!(taken, &Instruction::Subscribe(_));
            assert!(taken.iter().all(subscribes));
            subscriptions += taken.len();
            if emptied || subscriptions == limit {
                return subscriptions;
            }
        }
    }

    fn resume(table: &Table, limit: usize) -> (usize, u64) {
        let mut sum = (0, 0);
        loop {
            let resumed = table.resume(node(table), limit);
            sum = (sum.0 + resumed.targets, sum.1 + resumed.monitors);
            if resumed.done {
                return sum;
            }
        }
    }

    fn certify(table: &Table, reason: u32) {
        table.certify(node(table), [0, 0, 0], None, reason);
    }

    fn due(table: &Table) -> u64 {
        table.dispatch_counts().waiting
    }

    #[test]
    fn another_life_of_the_node_fires_what_is_held() {
        let table = table(3);
        assert_eq!(table.lose(node(&table), 0, 5, false), None);
        assert_eq!(table.recognize(node(&table), Some(1)), None);
        assert_eq!(table.lose(node(&table), 10, 5, false), Some((15, 3)));
        assert_eq!(table.recognize(node(&table), Some(1)), Some(10));
        assert_eq!(resume(&table, 100), (3, 3));
        assert_eq!(take(&table, 10), 3);
        assert_eq!(table.lose(node(&table), 20, 5, false), Some((25, 3)));
        assert_eq!(table.recognize(node(&table), Some(2)), None);
        assert_eq!((table.monitors_held(), due(&table)), (0, 3));
        // Which is there by now, and may be waited for.
        assert_eq!(table.lose(node(&table), 30, 5, false), Some((35, 0)));
        assert_eq!(table.recognize(node(&table), Some(2)), Some(30));
        // One that cannot tell is no life in particular.
        assert_eq!(table.lose(node(&table), 40, 5, false), Some((45, 0)));
        assert_eq!(table.recognize(node(&table), None), None);
        assert_eq!(table.lose(node(&table), 50, 5, false), None);
    }

    #[test]
    fn what_is_held_is_subscribed_again_a_slice_at_a_time() {
        let table = table(5_000);
        place(&table, 5_000, 0);
        assert_eq!(table.hold(node(&table)), 5_001);
        assert_eq!((table.monitors_held(), due(&table)), (5_001, 0));
        assert_eq!(take(&table, 10_000), 0);
        assert!(!table.is_unused(node(&table)));

        let resumed = table.resume(node(&table), 2_000);
        assert!(!resumed.done && resumed.targets > 0 && resumed.targets <= 2_000);
        assert_eq!(node(&table).outbox_len(), resumed.targets);
        assert_eq!(table.monitors_held(), 5_001 - resumed.monitors);
        let rest = resume(&table, 2_000);
        assert_eq!(rest.0 + resumed.targets, 5_000);
        assert_eq!(rest.1 + resumed.monitors, 5_001);
        assert_eq!(take(&table, 10_000), 5_000);
        certify(&table, 1);
        assert_eq!((table.monitors_held(), due(&table)), (0, 2));
    }

    #[test]
    fn what_is_monitored_meanwhile_waits_and_is_not_held() {
        let table = table(1);
        table.hold(node(&table));
        place(&table, 1, 1);
        assert_eq!(table.monitors_held(), 1);
        // It joins what is held.
        assert!(!place(&table, 2, 0).outbox);
        assert_eq!(table.monitors_held(), 2);
        assert_eq!(resume(&table, 100), (1, 2));
        assert_eq!(take(&table, 10), 2);
        assert_eq!(table.survey_nodes()[0].2, 3);
    }

    #[test]
    fn a_certificate_of_the_lost_connection_fires_nothing() {
        let table = table(1);
        table.hold(node(&table));
        certify(&table, 1);
        assert_eq!(due(&table), 0);
        assert_eq!(resume(&table, 100), (1, 1));
        certify(&table, 1);
        assert_eq!(due(&table), 0);
        assert_eq!(take(&table, 10), 1);
        certify(&table, 2);
        assert_eq!(due(&table), 1);
    }

    #[test]
    fn what_is_removed_while_it_is_held_is_never_mentioned_again() {
        let table = table(3);
        table.hold(node(&table));
        let woken = std::cell::Cell::new(0);
        assert!(table.demonitor(16, [0, 0, 0], |_| woken.set(woken.get() + 1)));
        assert_eq!((table.monitors_held(), woken.get()), (2, 1));
        // One that comes back before the outbox is looked through is still the same.
        assert!(table.demonitor(16, [1, 0, 0], |_| ()));
        place(&table, 9, 1);
        assert_eq!(take(&table, 10), 0);
        assert_eq!(resume(&table, 100), (2, 2));
        assert_eq!(take(&table, 10), 2);
        assert_eq!(table.sizes().targets, 2);
    }

    #[test]
    fn a_name_that_is_held_gets_its_new_number_when_it_is_resumed() {
        let name = [7, 0, NAMED];
        let table = table(0);
        let monitor = |number| {
            let placed = table.monitor(node(&table), 16, [number, 0, 0], name);
            placed.unwrap();
        };
        let take = || table.take_numbered(node(&table), 9, 9).0;
        let subscribed = |[instruction]: [Instruction; 1]| match instruction {
            Instruction::SubscribeName(_, number) => number,
            _ => panic!("no subscription of a name"),
        };
        monitor(0);
        let former = subscribed(take().try_into().unwrap());
        table.hold(node(&table));
        // It is unwanted for a moment, so its process may be another one by now.
        assert!(table.demonitor(16, [0, 0, 0], |_| ()));
        monitor(1);
        assert_eq!(take(), []);
        assert_eq!(resume(&table, 100), (1, 1));
        let number = subscribed(take().try_into().unwrap());
        assert_ne!(number, former);
        table.certify(node(&table), name, Some(former), 1);
        assert_eq!(due(&table), 0);
        table.certify(node(&table), name, Some(number), 1);
        assert_eq!(due(&table), 1);
    }

    #[test]
    fn a_second_loss_holds_both_what_was_resumed_and_what_was_not() {
        let table = table(5_000);
        table.hold(node(&table));
        let first = table.resume(node(&table), 2_000).targets;
        assert_eq!(take(&table, 1_000), 1_000);
        assert_eq!(table.hold(node(&table)), 1_000);
        // What waits in the outbox is neither watched nor held.
        assert_eq!(table.monitors_held(), 5_000 - first as u64 + 1_000);
        assert_eq!(resume(&table, 300).0, 5_000 - first + 1_000);
        assert_eq!(take(&table, 10_000), 5_000);
        assert_eq!((table.monitors_held(), due(&table)), (0, 0));
    }

    #[test]
    fn all_that_is_held_expires_with_its_node() {
        let table = table(5_000);
        table.hold(node(&table));
        table.resume(node(&table), 2_000);
        take(&table, 1_000);
        table.hold(node(&table));
        while !table.resume(node(&table), 1_000).done {
            take(&table, 500);
        }
        take(&table, 100);
        table.hold(node(&table));
        table.resume(node(&table), 500);
        let held = table.monitors_held();
        assert!(held > 0 && held < 5_000);

        table.expire(node(&table));
        assert_eq!((table.monitors_held(), due(&table)), (0, held));
        // The others wait in the outbox, and fall due there.
        while !table.fail(node(&table), 100).1 {}
        assert_eq!(due(&table), 5_000);
        while !table.expand(1_000) {}
        assert!(table.is_unused(node(&table)));
    }
}
