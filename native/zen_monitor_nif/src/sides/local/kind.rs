//! The kinds of subscribers in the monitor table.
//!
//! Monitors without options must not pay for those with options. So a process that places monitors with options is one
//! more subscriber for each [`Kind`] of them. The word of that subscriber is the word of the process with a mark, in bits
//! that no pid uses. Whoever delivers sees from the word alone whether there is anything to look up. A bulk monitor
//! needs no record at all.

/// The kind of a subscriber, and so of its monitors.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Monitors without options.
    Plain = 0,
    /// Monitors whose message has a tag of its own, or whose reference is an alias.
    Tagged = 0b0100,
    /// Monitors of which many share one message.
    Bulk = 0b1000,
    /// Tagged monitors whose tag takes long to build. They are taken one at a time, while all others are taken
    /// together.
    Heavy = 0b1100,
    /// Members of a set. The word of a pid has both of its lowest bits set, so this is the word of no process.
    Set = 0b0001,
    /// Members of a set of which many share one message.
    BulkSet = 0b1001,
}

impl Kind {
    /// The kind of a subscriber's word.
    #[inline]
    pub fn of(subscriber: u64) -> Kind {
        if subscriber & 0b0010 == 0 {
            return match subscriber & 0b1000 {
                0 => Kind::Set,
                _ => Kind::BulkSet,
            };
        }
        match subscriber & 0b1100 {
            0b0100 => Kind::Tagged,
            0b1000 => Kind::Bulk,
            0b1100 => Kind::Heavy,
            _ => Kind::Plain,
        }
    }

    /// Whether there is a record of the monitor's tag or alias.
    #[inline]
    pub fn is_tagged(self) -> bool {
        matches!(self, Kind::Tagged | Kind::Heavy)
    }

    /// Whether these are members of a set.
    #[inline]
    pub fn is_set(self) -> bool {
        matches!(self, Kind::Set | Kind::BulkSet)
    }

    /// Whether many share one message.
    #[inline]
    pub fn is_bulk(self) -> bool {
        matches!(self, Kind::Bulk | Kind::BulkSet)
    }

    /// The word of a subscriber of this kind. `pid` is the word of the process. For a set it is a number of the set,
    /// whose lowest four bits are 0.
    #[inline]
    pub fn mark(self, pid: u64) -> u64 {
        pid | self as u64
    }
}

/// The word of the process of a subscriber that is no set.
#[inline]
pub fn pid_of(subscriber: u64) -> u64 {
    subscriber & !0b1100
}
