//! The connection to a node, which may be lost and come back.
//!
//! All that must outlive a Connector is here: whose life the subscriptions were made for, since when
//! they are held, and for how long.

/// What is known of the connection to a node.
#[derive(Default)]
pub struct Connection {
    /// The life of the node whose Proxy has answered over it, by its creation.
    life: Option<u32>,
    /// Boxed, since most nodes have none.
    loss: Option<Box<Loss>>,
}

/// A connection that was lost, with sessions that are held. Times are monotonic milliseconds.
struct Loss {
    since: i64,
    /// When the grace ends; nothing once the node is back.
    deadline: Option<i64>,
}

/// What an answer over a connection says of what was held.
pub enum Recognized {
    /// Nothing was.
    Unlost,
    /// It is valid still, and was held since then.
    Same(i64),
    /// It belongs to another life of the node.
    Other,
}

impl Connection {
    /// Notes that it is lost, for `grace` from `now` on, unless that is known. Returns when the grace ends, and
    /// whether it has just begun. `None` when the node was not there: it has not answered, nor was it `asked`.
    pub fn lose(&mut self, now: i64, grace: i64, asked: bool) -> Option<(i64, bool)> {
        if let Some(deadline) = self.deadline() {
            return Some((deadline, false));
        }
        if self.life.is_none() && !asked {
            return None;
        }
        let deadline = now.saturating_add(grace);
        let since = self.loss.as_ref().map_or(now, |loss| loss.since);
        self.loss = Some(Box::new(Loss {
            since,
            deadline: Some(deadline),
        }));
        Some((deadline, true))
    }

    /// Notes which life of the node has answered, if that is known.
    pub fn recognize(&mut self, life: Option<u32>) -> Recognized {
        let is_same = life.is_some() && self.life == life;
        self.life = life;
        match &mut self.loss {
            None => Recognized::Unlost,
            Some(loss) if is_same => {
                loss.deadline = None;
                Recognized::Same(loss.since)
            }
            Some(_) => {
                self.loss = None;
                Recognized::Other
            }
        }
    }

    /// Notes that nothing is held any more.
    pub fn resume(&mut self) {
        self.loss = None;
    }

    /// Whether it was lost, with something that is held still.
    pub fn is_lost(&self) -> bool {
        self.loss.is_some()
    }

    /// When the grace ends, if it is lost and the node is not back.
    pub fn deadline(&self) -> Option<i64> {
        self.loss.as_ref().and_then(|loss| loss.deadline)
    }

    /// Forgets all of it, since what was held has expired.
    pub fn forget(&mut self) {
        *self = Connection::default();
    }
}
