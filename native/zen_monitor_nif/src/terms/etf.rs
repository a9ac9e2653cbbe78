//! Pids and references in the external term format.
//!
//! The NIF interface does not show the numbers in a pid or a reference. The external format does, and is
//! documented: the name of the node, then numbers. The tables keep the numbers.

use rustler::{Encoder, Env, Term};

const VERSION: u8 = 131;
// OTP 25 writes the Latin-1 forms, OTP 26 and later the UTF-8 ones.
const ATOM: u8 = 100;
const SMALL_ATOM: u8 = 115;
const ATOM_UTF8: u8 = 118;
const SMALL_ATOM_UTF8: u8 = 119;
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

/// The numbers of a reference: three words that tell it from all others of its node. An alias has two more
/// since OTP 27.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// What identifies it.
    pub words: [u32; 3],
    /// The two words that only the VM needs.
    pub rest: Option<[u32; 2]>,
}

/// Reads encoded terms one after another. Every method returns `None` if the bytes hold something else.
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

    /// The three words of an ordinary reference.
    pub fn reference(&mut self) -> Option<[u32; 3]> {
        Some(self.full_reference()?.2.words)
    }

    /// The node, the creation and the numbers of a reference.
    fn full_reference(&mut self) -> Option<(&'a [u8], u32, Numbers)> {
        if self.byte()? != NEWER_REFERENCE {
            return None;
        }
        let [0, length @ (3 | 5)] = *self.take(2)? else {
            return None;
        };
        let (node, creation) = (self.atom()?, self.word()?);
        let words = [self.word()?, self.word()?, self.word()?];
        let rest = if length == 5 {
            Some([self.word()?, self.word()?])
        } else {
            None
        };
        Some((node, creation, Numbers { words, rest }))
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

/// The name and the creation of this node, as its pids and references are encoded at this moment.
pub struct Identity {
    /// The encoded atom of its name.
    pub node: Box<[u8]>,
    /// Which life of the node this is.
    pub creation: u32,
}

impl Identity {
    /// Whether this node has no name yet, and so may be given one.
    pub fn is_nameless(&self) -> bool {
        self.node.ends_with(b"nonode@nohost")
    }

    /// Reads it from the pid of the calling process. It is valid until the NIF returns: a node is renamed
    /// only while every scheduler stands still.
    pub fn of_caller(env: Env) -> Option<Identity> {
        let encoded = env.pid().encode(env).to_binary();
        let pid = Reader::new(encoded.as_slice())?.pid()?;
        Some(Identity {
            node: pid.node.into(),
            creation: pid.creation,
        })
    }
}

/// The numbers of a reference of this node, be it an alias or not.
pub fn numbers(env: Env, term: Term) -> Option<Numbers> {
    if !term.is_ref() {
        return None;
    }
    let encoded = term.to_binary();
    let identity = Identity::of_caller(env)?;
    let (node, creation, numbers) = Reader::new(encoded.as_slice())?.full_reference()?;
    (node == &*identity.node && creation == identity.creation).then_some(numbers)
}

/// The name of a node as it is encoded in its pids.
pub fn encoded_name(name: Term) -> Box<[u8]> {
    // Without the version byte.
    name.to_binary().as_slice()[1..].into()
}

/// The name of the node of a pid.
pub fn node_name<'a>(env: Env<'a>, pid: Term<'a>) -> Option<Term<'a>> {
    let encoded = pid.to_binary();
    let node = Reader::new(encoded.as_slice())?.pid()?.node;
    let name = [&[VERSION], node].concat();
    // SAFETY: the VM has encoded this atom as a part of the pid.
    unsafe { env.binary_to_term_trusted(&name) }.map(|(name, _)| name)
}

/// Decodes pids of any node.
pub fn decode_pids<'a>(env: Env<'a>, pids: &[Pid]) -> Option<Vec<Term<'a>>> {
    let mut list = List::default();
    for pid in pids {
        list.pid(pid);
    }
    list.decode(env)
}

/// The header of a list. The length is filled in when the list is complete.
const LIST_HEADER: [u8; 6] = [VERSION, LIST, 0, 0, 0, 0];

/// Pids and references that are decoded together.
#[derive(Default)]
pub struct List {
    bytes: Vec<u8>,
    length: u32,
}

impl List {
    /// Adds a pid.
    pub fn pid(&mut self, pid: &Pid) {
        let bytes = self.next();
        bytes.push(NEW_PID);
        bytes.extend_from_slice(pid.node);
        for word in [pid.id, pid.serial, pid.creation] {
            bytes.extend_from_slice(&word.to_be_bytes());
        }
    }

    /// Adds a reference of this node.
    pub fn reference(&mut self, env: Env, Numbers { words, rest }: Numbers) {
        let bytes = self.next();
        let Some(identity) = Identity::of_caller(env) else {
            // Unreachable, since a NIF has a caller. The decoder would refuse the list.
            return;
        };
        let length = if rest.is_some() { 5 } else { 3 };
        bytes.extend_from_slice(&[NEWER_REFERENCE, 0, length]);
        bytes.extend_from_slice(&identity.node);
        let words = words.iter().chain(rest.iter().flatten());
        for word in [identity.creation].iter().chain(words) {
            bytes.extend_from_slice(&word.to_be_bytes());
        }
    }

    /// The terms, in the order in which they were added. The list is empty afterwards.
    pub fn decode<'a>(&mut self, env: Env<'a>) -> Option<Vec<Term<'a>>> {
        if self.length == 0 {
            return Some(Vec::new());
        }
        self.bytes[2..6].copy_from_slice(&self.length.to_be_bytes());
        self.bytes.push(NIL);
        // SAFETY: every byte was written by this module, in the format that the VM reads.
        let list = unsafe { env.binary_to_term_trusted(&self.bytes) }?.0;
        self.bytes.clear();
        self.length = 0;
        list.into_list_iterator().ok().map(Iterator::collect)
    }

    /// Counts one more term, and returns the buffer that its encoding is to be appended to.
    fn next(&mut self) -> &mut Vec<u8> {
        if self.length == 0 {
            self.bytes.extend_from_slice(&LIST_HEADER);
        }
        self.length += 1;
        &mut self.bytes
    }
}
