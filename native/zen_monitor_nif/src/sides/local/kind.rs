//! The kinds of subscribers that a process, or a set, is in the monitor table.
//!
//! Monitors with options cost the others nothing: a process that places some is one more subscriber for each
//! [`Kind`], under its own word with a mark in bits that no pid has in use. So who delivers sees from
//! that word whether there is anything to look up, and a bulk monitor needs no record at all.

/// What kind of subscriber a monitor belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One without options.
    Plain = 0,
    /// One whose message has a tag of its own, or whose reference is an alias.
    Tagged = 0b0100,
    /// One that is delivered together with others.
    Bulk = 0b1000,
    /// A tagged one whose tag takes long to build, so that it is taken alone. It has the others taken together
    /// whether it is due or not.
    Heavy = 0b1100,
    /// A member of a set, whose word is not that of a process: a pid's has both of its lowest bits set.
    Set = 0b0001,
    /// One of a set that is told of many in one message.
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

    /// Whether there is a record of what the monitor carries.
    #[inline]
    pub fn is_tagged(self) -> bool {
        matches!(self, Kind::Tagged | Kind::Heavy)
    }

    /// Whether it is that of a set's members.
    #[inline]
    pub fn is_set(self) -> bool {
        matches!(self, Kind::Set | Kind::BulkSet)
    }

    /// Whether many of it share one message.
    #[inline]
    pub fn is_bulk(self) -> bool {
        matches!(self, Kind::Bulk | Kind::BulkSet)
    }

    /// The word that a process has as a subscriber of this kind, or a set, in place of whose pid is a number
    /// without its lowest four bits.
    #[inline]
    pub fn mark(self, pid: u64) -> u64 {
        pid | self as u64
    }
}

/// The word of the process behind that of a subscriber which is no set.
#[inline]
pub fn pid_of(subscriber: u64) -> u64 {
    subscriber & !0b1100
}
