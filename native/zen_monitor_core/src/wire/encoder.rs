//! Writing runs.

use super::{DEAD, Kind, Numbers, RUN, SUBSCRIBE, UNSUBSCRIBE, varint};

/// Writes pids as runs, in the order in which they are pushed.
///
/// ```
/// use zen_monitor_core::wire::{Decoder, Encoder, Kind};
///
/// let mut encoder = Encoder::default();
/// encoder.push(Kind::Subscribe, [100, 0], 7);
/// encoder.push(Kind::Subscribe, [101, 0], 7);
/// let bytes = encoder.finish();
/// assert_eq!(bytes.len(), 9);
///
/// let run = Decoder::new(&bytes).next().unwrap();
/// assert_eq!((run.kind, run.creation), (Kind::Subscribe, 7));
/// assert_eq!(run.pids(), [[100, 0], [101, 0]]);
/// ```
#[derive(Default)]
pub struct Encoder {
    bytes: Vec<u8>,
    open: Option<Open>,
}

/// The run that the next pid may join.
struct Open {
    kind: Kind,
    creation: u32,
    /// Where the byte is that counts its pids.
    count: usize,
    last: Numbers,
}

impl Encoder {
    /// Whether nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Adds a pid of one life of its node.
    #[inline]
    pub fn push(&mut self, kind: Kind, pid: Numbers, creation: u32) {
        let joined = match &mut self.open {
            Some(open) if open.kind == kind && open.creation == creation => {
                let count = &mut self.bytes[open.count];
                let room = usize::from(*count) + 1 < RUN;
                *count += u8::from(room);
                room
            }
            _ => false,
        };
        let last = match &mut self.open {
            Some(open) if joined => std::mem::replace(&mut open.last, pid),
            _ => self.begin(kind, pid, creation),
        };
        self.write(pid, last);
    }

    /// The bytes that were written. The encoder is empty afterwards.
    pub fn finish(&mut self) -> Vec<u8> {
        self.open = None;
        std::mem::take(&mut self.bytes)
    }

    /// Begins the run of a first pid, and returns the numbers that its difference counts from.
    fn begin(&mut self, kind: Kind, pid: Numbers, creation: u32) -> Numbers {
        match kind {
            Kind::Subscribe => self.bytes.push(SUBSCRIBE),
            Kind::Unsubscribe => self.bytes.push(UNSUBSCRIBE),
            Kind::Dead(reason) => self.bytes.extend([DEAD, reason]),
        }
        self.bytes.extend(creation.to_be_bytes());
        let open = Open {
            kind,
            creation,
            count: self.bytes.len(),
            last: pid,
        };
        self.open = Some(open);
        self.bytes.push(0);
        [0, 0]
    }

    #[inline]
    fn write(&mut self, [id, serial]: Numbers, [last_id, last_serial]: Numbers) {
        let serials = varint::zigzag(serial.wrapping_sub(last_serial));
        let ids = varint::zigzag(id.wrapping_sub(last_id));
        varint::write(
            &mut self.bytes,
            u64::from(ids) << 1 | u64::from(serials != 0),
        );
        if serials != 0 {
            varint::write(&mut self.bytes, serials.into());
        }
    }
}
