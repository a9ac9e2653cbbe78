//! The few shapes of the external term format that the tables keep their keys in.
//!
//! A pid or a reference has no compact form in the NIF interface, but the bytes of its external
//! form are documented: the node's name, then numbers. The tables keep the numbers.

use rustler::{Env, Term};

const VERSION: u8 = 131;
// OTP 25 writes the Latin-1 forms, OTP 26 and later the UTF-8 ones.
const ATOM: u8 = 100;
const SMALL_ATOM: u8 = 115;
const ATOM_UTF8: u8 = 118;
const SMALL_ATOM_UTF8: u8 = 119;
const SMALL_TUPLE: u8 = 104;
const LIST: u8 = 108;
const NIL: u8 = 106;
const NEW_PID: u8 = 88;
const NEWER_REFERENCE: u8 = 90;

/// A pid in the external format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pid<'a> {
    /// The encoded atom of its node's name.
    pub node: &'a [u8],
    /// Its number on that node.
    pub id: u32,
    /// The upper part of that number.
    pub serial: u32,
    /// Which life of that node it belongs to.
    pub creation: u32,
}

/// Reads encoded terms one after another. Every method answers `None` for bytes that hold
/// something else than it reads.
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Begins behind the version byte.
    pub fn new(bytes: &'a [u8]) -> Option<Reader<'a>> {
        let (&version, rest) = bytes.split_first()?;
        (version == VERSION).then_some(Reader(rest))
    }

    /// A pid.
    pub fn pid(&mut self) -> Option<Pid<'a>> {
        if self.byte()? != NEW_PID {
            return None;
        }
        Some(Pid {
            node: self.atom()?,
            id: self.word()?,
            serial: self.word()?,
            creation: self.word()?,
        })
    }

    /// The three words that tell a reference from all others of its node.
    #[inline]
    pub fn reference(&mut self) -> Option<[u32; 3]> {
        self.reference_and_rest().map(|(words, _)| words)
    }

    /// The same, and the two more that an alias has since OTP 27.
    #[inline]
    pub fn reference_and_rest(&mut self) -> Option<([u32; 3], Option<[u32; 2]>)> {
        if self.byte()? != NEWER_REFERENCE {
            return None;
        }
        let [0, length @ (3 | 5)] = *self.take(2)? else {
            return None;
        };
        self.atom()?;
        self.word()?;
        let words = [self.word()?, self.word()?, self.word()?];
        let rest = if length == 5 {
            Some([self.word()?, self.word()?])
        } else {
            None
        };
        Some((words, rest))
    }

    /// The same, or the first element of a pair, whose second is read next.
    pub fn reference_or_first(&mut self) -> Option<[u32; 3]> {
        if self.0.starts_with(&[SMALL_TUPLE, 2]) {
            self.take(2)?;
        }
        self.reference()
    }

    fn atom(&mut self) -> Option<&'a [u8]> {
        let whole = self.0;
        let length = match self.byte()? {
            SMALL_ATOM | SMALL_ATOM_UTF8 => usize::from(self.byte()?),
            ATOM | ATOM_UTF8 => usize::from(u16::from_be_bytes(self.take(2)?.try_into().ok()?)),
            _ => return None,
        };
        self.take(length)?;
        Some(&whole[..whole.len() - self.0.len()])
    }

    fn word(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn byte(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

/// Who this node is at this moment: what its pids and references are encoded with.
pub struct Identity {
    node: Box<[u8]>,
    creation: u32,
}

impl Identity {
    /// Reads it off the calling process. It holds until the NIF returns: a node is renamed only
    /// while every scheduler stands still.
    pub fn of_caller(env: Env) -> Option<Identity> {
        use rustler::Encoder;
        let encoded = env.pid().encode(env).to_binary();
        let pid = Reader::new(encoded.as_slice())?.pid()?;
        Some(Identity {
            node: pid.node.into(),
            creation: pid.creation,
        })
    }
}

impl Identity {
    /// Whether this node has no name yet, and so may be given one.
    pub fn is_nameless(&self) -> bool {
        self.node.ends_with(b"nonode@nohost")
    }
}

/// Builds many pids and references at the price of one decoding.
#[derive(Default)]
pub struct Batch {
    bytes: Vec<u8>,
    terms: u32,
}

impl Batch {
    /// Adds a pid of another node.
    pub fn pid(&mut self, pid: Pid) {
        self.begin();
        self.bytes.push(NEW_PID);
        self.bytes.extend_from_slice(pid.node);
        for word in [pid.id, pid.serial, pid.creation] {
            self.bytes.extend_from_slice(&word.to_be_bytes());
        }
    }

    /// Adds a reference of this node. `rest` is what an alias has beyond the first words.
    #[inline]
    pub fn reference(&mut self, identity: &Identity, words: [u32; 3], rest: Option<[u32; 2]>) {
        self.begin();
        let length = if rest.is_some() { 5 } else { 3 };
        self.bytes.extend_from_slice(&[NEWER_REFERENCE, 0, length]);
        self.bytes.extend_from_slice(&identity.node);
        self.bytes
            .extend_from_slice(&identity.creation.to_be_bytes());
        for word in words.into_iter().chain(rest.into_iter().flatten()) {
            self.bytes.extend_from_slice(&word.to_be_bytes());
        }
    }

    /// The terms, in the order in which they were added. The batch is empty afterwards.
    pub fn build<'a>(&mut self, env: Env<'a>) -> Option<Vec<Term<'a>>> {
        if self.terms == 0 {
            return Some(Vec::new());
        }
        self.bytes[2..6].copy_from_slice(&self.terms.to_be_bytes());
        self.bytes.push(NIL);
        // SAFETY: every byte was written by this type, in the format that the VM reads.
        let built = unsafe { env.binary_to_term_trusted(&self.bytes) };
        self.bytes.clear();
        self.terms = 0;
        built?.0.into_list_iterator().ok().map(Iterator::collect)
    }

    fn begin(&mut self) {
        if self.terms == 0 {
            // The length is filled in by `build`.
            self.bytes.extend_from_slice(&[VERSION, LIST, 0, 0, 0, 0]);
        }
        self.terms += 1;
    }
}
