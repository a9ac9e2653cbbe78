//! What the VM's terms look like: how they are read, made, kept and sent.
//!
//! Begin with [`word`], the terms that are one machine word and are kept as such. A pid of another node and a
//! reference are more, and there are two ways to their numbers:
//!
//! - [`etf`], the external format, which every VM has
//! - [`heap`], the words that the VM keeps them in, which is faster, with the [`origin`] of the pids of a node;
//!   [`shape`] and [`numbering`] do the same for lists and tuples, and for local pids
//!
//! Neither way knows the other. What chooses stands above both: [`reference`](mod@reference) reads, and [`batch`] makes.
//! So does [`probe`], which compares them when the library is loaded, to find out whether the second may be used.
//!
//! Exit reasons are terms of any size: [`reason`] keeps them, [`weighing`] tells what they cost, and
//! [`truncation`] cuts them. [`atoms`] has every atom, [`message`] sends, and [`parts`] puts together what
//! goes over the compact wire.
//!
//! It uses the core's [wire](zen_monitor_core::wire), its rules of [truncation](zen_monitor_core::truncation) and one of its
//! [structures](zen_monitor_core::structures), and no table.

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
