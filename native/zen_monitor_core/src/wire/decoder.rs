//! Reading runs.

use super::{DEAD, Kind, Numbers, RUN, SUBSCRIBE, UNSUBSCRIBE, varint};

/// Reads runs from bytes that need not be well-formed.
pub struct Decoder<'a> {
    rest: &'a [u8],
    malformed: bool,
}

/// Pids of one kind and one creation.
pub struct Run {
    /// What the sender says of them.
    pub kind: Kind,
    /// Which life of their node they belong to.
    pub creation: u32,
    pids: [Numbers; RUN],
    len: usize,
}

impl Run {
    /// Its pids, in order.
    #[inline]
    pub fn pids(&self) -> &[Numbers] {
        &self.pids[..self.len]
    }
}

impl<'a> Decoder<'a> {
    /// Begins with the first run.
    pub fn new(bytes: &'a [u8]) -> Decoder<'a> {
        Decoder {
            rest: bytes,
            malformed: false,
        }
    }

    /// The runs that have not been read yet. Empty after a malformed run.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether a run was malformed. What was read before it is good. What follows it is dropped, since
    /// nothing tells where the next run would begin.
    pub fn is_malformed(&self) -> bool {
        self.malformed
    }

    fn head(&mut self) -> Option<Run> {
        let kind = match self.byte()? {
            SUBSCRIBE => Kind::Subscribe,
            UNSUBSCRIBE => Kind::Unsubscribe,
            DEAD => Kind::Dead(self.byte()?),
            _ => return None,
        };
        let (creation, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(Run {
            kind,
            creation: u32::from_be_bytes(*creation),
            pids: [[0, 0]; RUN],
            len: 0,
        })
    }

    fn count(&mut self) -> Option<usize> {
        let count = usize::from(self.byte()?) + 1;
        (count <= RUN).then_some(count)
    }

    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    #[inline]
    fn pid(&mut self, [last_id, last_serial]: Numbers) -> Option<Numbers> {
        let number = varint::read(&mut self.rest)?;
        let id = last_id.wrapping_add(varint::unzigzag((number >> 1) as u32));
        if number & 1 == 0 {
            return Some([id, last_serial]);
        }
        let serials = u32::try_from(varint::read(&mut self.rest)?).ok()?;
        Some([id, last_serial.wrapping_add(varint::unzigzag(serials))])
    }

    fn pids(&mut self, run: &mut Run, count: usize) -> Option<()> {
        let mut last = [0, 0];
        while run.len < count {
            last = self.pid(last)?;
            run.pids[run.len] = last;
            run.len += 1;
        }
        Some(())
    }

    fn give_up(&mut self) {
        self.rest = &[];
        self.malformed = true;
    }
}

impl Iterator for Decoder<'_> {
    type Item = Run;

    /// The next run. One that breaks off has the pids that were whole.
    fn next(&mut self) -> Option<Run> {
        if self.rest.is_empty() {
            return None;
        }
        let mut head = self.head();
        let read = head.as_mut().and_then(|run| {
            let count = self.count()?;
            self.pids(run, count)
        });
        if read.is_none() {
            self.give_up();
        }
        head.filter(|run| run.len > 0)
    }
}
