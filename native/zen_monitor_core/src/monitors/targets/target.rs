//! One target.

use super::key::Key;
use crate::monitors::sessions::Sessions;

/// A target: 24 bytes.
pub(super) struct Target {
    pub(super) id: [u32; 3],
    /// Its listed monitors. Once it is dead and has none, where its reason is.
    pub(super) head: u32,
    /// How many monitors it has, in units of [`MONITOR`], and its flags below them.
    pub(super) state: u32,
    /// The place of its session, which knows its node; once it is dead, its node itself.
    pub(super) session: u32,
}

/// In the outbox of its node.
pub(super) const QUEUED: u32 = 1;
/// The remote node watches it for us.
pub(super) const SUBSCRIBED: u32 = 2;
/// Its monitors are due; new ones need a new target.
pub(super) const DEAD: u32 = 4;
/// In the backlog.
pub(super) const BACKLOG: u32 = 8;
/// Found by the index.
pub(super) const INDEXED: u32 = 16;
/// One monitor.
pub(super) const MONITOR: u32 = 32;
/// How many monitors a target may have; few enough in tests to be reached.
pub(crate) const MOST_MONITORS: u32 = if cfg!(test) {
    50_000
} else {
    u32::MAX / MONITOR
};

impl Target {
    #[inline]
    pub(super) fn is(&self, flag: u32) -> bool {
        self.state & flag != 0
    }

    /// Whether it is in the session of a place.
    #[inline]
    pub(super) fn is_in(&self, session: u32) -> bool {
        self.session == session && !self.is(DEAD)
    }

    /// Whether its node watches it over the connection that stands.
    #[inline]
    pub(super) fn is_watched(&self, sessions: &Sessions) -> bool {
        // A dead target has no session, and is not subscribed.
        self.is(SUBSCRIBED) && {
            let session = &sessions[self.session];
            !session.expired && !session.held
        }
    }

    #[inline]
    pub(super) fn monitors(&self) -> u32 {
        self.state / MONITOR
    }

    #[inline]
    pub(super) fn key(&self, sessions: &Sessions) -> Key {
        let node = match self.is(DEAD) {
            true => self.session,
            false => sessions[self.session].node,
        };
        Key { node, id: self.id }
    }
}
