//! What the VM's terms look like, and how they are read, made and sent.
//!
//! Begin with [`word`], the terms that the tables keep as they are, and [`etf`], the external format, by which
//! every pid and reference can be read and made. Then:
//!
//! - The heap's own layout, which does the same faster: [`heap`] and the [`origin`] of remote pids; [`shape`] for
//!   lists and tuples; [`numbering`] for local pids. [`probe`] finds out whether the VM has that layout. The external format
//!   and the heap know nothing of each other.
//! - What chooses between the two: [`reference`](mod@reference) reads, and [`batch`] makes.
//! - Exit reasons: how they are kept, [`reason`]; what they cost, [`weighing`]; and how they are cut, [`truncation`].
//! - [`atoms`], [`message`] for sending, and [`parts`] for the compact wire.
//!
//! It uses the core's rules of truncation and its compact wire, and of the tables nothing but a lock.

pub mod atoms;
pub mod batch;
pub mod etf;
pub mod heap;
pub mod message;
pub mod numbering;
pub mod origin;
pub mod parts;
pub mod probe;
pub mod reason;
pub mod reference;
pub mod shape;
pub mod truncation;
pub mod weighing;
pub mod word;
