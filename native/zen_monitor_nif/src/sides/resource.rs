//! Where rustler places a value in the memory of a resource.
//!
//! rustler does not tell, but `library.rs` has to know in order to drop the resources that it takes over.

use rustler::{Resource, ResourceArc};
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether rustler has placed a value elsewhere than [`place`] says.
static MISPLACED: AtomicBool = AtomicBool::new(false);

/// Where rustler places a value in the memory of a resource.
pub fn place<T>(memory: *const c_void) -> *const T {
    let offset = align_of::<T>() - memory as usize % align_of::<T>();
    memory.wrapping_byte_add(offset).cast()
}

/// Checks that rustler has placed a value where [`place`] says.
pub fn check_place<T: Resource>(resource: &mut ResourceArc<T>) {
    let expected: *const T = place(resource.as_c_arg());
    if !ptr::eq(expected, &**resource) {
        MISPLACED.store(true, Ordering::Relaxed);
    }
}

/// Whether a value was found elsewhere.
pub fn is_misplaced() -> bool {
    // Relaxed: every value is placed in the same way, so the first check has set it long ago.
    MISPLACED.load(Ordering::Relaxed)
}
