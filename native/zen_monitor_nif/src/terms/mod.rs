//! What the VM's terms look like: how they are read, made, kept and sent.
//!
//! Begin with [`word`]: an atom or a local pid is one machine word, and is kept as that word. A reference, or a pid
//! of another node, takes several words. There are two ways to the numbers in them:
//!
//! - [`etf`] is the external term format, which every VM has.
//! - [`heap`] reads and writes the words in which the VM keeps such a term, which is faster. [`origin`] goes with it:
//!   it tells which life of a node a pid is of. [`shape`] reads lists and tuples in the same way, and [`numbering`]
//!   local pids.
//!
//! Neither way knows the other. The modules that choose between them stand above both: [`reference`](mod@reference)
//! reads, and [`batch`] makes. [`probe`] compares the two when the library is loaded, to find out whether the
//! second may be used.
//!
//! An exit reason is a term of any size: [`reason`] keeps it, [`weighing`] tells how long it takes to encode, and
//! [`truncation`] cuts it. [`atoms`] has every atom, [`message`] sends, and [`parts`] writes the compact wire form.
//!
//! This floor uses the core's [wire](zen_monitor_core::wire), its rules of
//! [truncation](zen_monitor_core::truncation) and one of its [structures](zen_monitor_core::structures), but no table.

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
