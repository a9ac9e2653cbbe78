//! What the probes have found out about this VM when the library was loaded.

use crate::terms::numbering::Numbering;
use crate::terms::{heap, shape};

/// Whether references, remote pids and messages are read and made without the external format, and whether terms are
/// weighed without asking the interface about each part.
#[rustler::nif]
fn reads_heap() -> bool {
    heap::is_known() && shape::are_read()
}

/// Whether the numbers of local pids can be read and made.
#[rustler::nif]
fn knows_pids() -> bool {
    Numbering::known().is_some()
}
