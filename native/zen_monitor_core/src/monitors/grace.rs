//! What becomes of a node's monitors when the connection to it is lost and may come back.
//!
//! The session is *held* and does not expire: its targets stay with their monitors, and no certificate reaches
//! them. The time counts from when the node was last there. For which life of the node they are held, and until
//! when, is kept here, and so outlives the Connector.

use std::collections::VecDeque;

/// The connection of a node, and the sessions that are held since it was lost. Times may be in any unit.
///
/// ```
/// use zen_monitor_core::monitors::grace::{Grace, Recognized};
///
/// let mut grace = Grace::default();
/// // A node that has never been there is not waited for.
/// assert_eq!(grace.lose(100, 50, false), None);
/// assert_eq!(grace.recognize(Some(1)), Recognized::New);
/// assert_eq!(grace.lose(200, 50, false), Some((250, true)));
/// // It counts from the first loss, until the node has answered again.
/// assert_eq!(grace.lose(210, 50, false), Some((250, false)));
/// assert_eq!(grace.recognize(Some(1)), Recognized::Back { since: 200 });
/// assert_eq!(grace.lose(300, 50, false), Some((350, true)));
/// assert_eq!(grace.recognize(Some(2)), Recognized::Another);
/// ```
#[derive(Default)]
pub struct Grace {
    /// The life of the node that has answered last, as a number that no other life of it has.
    life: Option<u32>,
    loss: Option<Loss>,
    /// The held sessions, oldest first. There are several if a connection is lost before all was resumed over it.
    held: VecDeque<Held>,
}

struct Loss {
    since: i64,
    /// When the grace ends. `None` once the node is back.
    deadline: Option<i64>,
}

/// A session that is held.
pub struct Held {
    /// Its number.
    pub session: u64,
    /// The shards before this one have no target of it any more.
    pub shard: usize,
}

/// Which node has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recognized {
    /// A node that had no loss.
    New,
    /// The life of the node for which sessions are held.
    Back {
        /// When the connection was lost.
        since: i64,
    },
    /// Another life of the node.
    Another,
}

impl Grace {
    /// Notes that the connection is lost. Returns until when monitors are held, and whether one more session is to be
    /// held. `None` for a node that had neither answered nor been `asked`.
    pub fn lose(&mut self, now: i64, grace: i64, asked: bool) -> Option<(i64, bool)> {
        if let Some(deadline) = self.deadline() {
            // Nothing was subscribed over any connection since then.
            return Some((deadline, false));
        }
        if self.life.is_none() && !asked {
            return None;
        }
        let deadline = now.saturating_add(grace);
        self.loss = Some(Loss {
            since: self.loss.as_ref().map_or(now, |loss| loss.since),
            deadline: Some(deadline),
        });
        Some((deadline, true))
    }

    /// Notes which life of the node has answered, or `None` if that is not known.
    pub fn recognize(&mut self, life: Option<u32>) -> Recognized {
        let is_same = life.is_some() && self.life == life;
        self.life = life;
        match &mut self.loss {
            None => Recognized::New,
            Some(loss) if is_same => {
                loss.deadline = None;
                Recognized::Back { since: loss.since }
            }
            Some(_) => Recognized::Another,
        }
    }

    /// Whether the connection was lost, and since then not everything was resumed or given up.
    pub fn is_lost(&self) -> bool {
        self.loss.is_some()
    }

    /// Until when monitors are held. `None` when the node is back, or was not lost.
    pub fn deadline(&self) -> Option<i64> {
        self.loss.as_ref().and_then(|loss| loss.deadline)
    }

    /// Whether nothing is held, and no loss is open.
    pub fn is_over(&self) -> bool {
        self.held.is_empty() && self.loss.is_none()
    }

    /// The held sessions.
    pub fn sessions(&self) -> impl Iterator<Item = u64> {
        self.held.iter().map(|held| held.session)
    }

    /// Holds one more session.
    pub fn hold(&mut self, session: u64) {
        self.held.push_back(Held { session, shard: 0 });
    }

    /// The oldest of the held sessions.
    pub fn oldest(&mut self) -> Option<&mut Held> {
        self.held.front_mut()
    }

    /// Notes that the oldest held session has no target any more. If it was the last one, all is resumed.
    pub fn resumed(&mut self) {
        self.held.pop_front();
        if self.held.is_empty() {
            self.loss = None;
        }
    }

    /// Forgets the node and its loss, and returns the sessions that were held.
    pub fn give_up(&mut self) -> Vec<u64> {
        let held = std::mem::take(self).held;
        held.into_iter().map(|held| held.session).collect()
    }
}
