//! Where rustler places a value in the memory of a resource, which it does not tell.
//!
//! `library.rs` has to know, to drop the resources that it takes over.

use rustler::{Resource, ResourceArc};
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether rustler places a value elsewhere in its resource than [`place`] says.
static MISPLACED: AtomicBool = AtomicBool::new(false);

/// Where rustler places a value in the memory of a resource.
pub fn place<T>(memory: *const c_void) -> *const T {
    let offset = align_of::<T>() - memory as usize % align_of::<T>();
    memory.wrapping_byte_add(offset).cast()
}

/// Looks where rustler has placed a value, since [`place`] has to know.
pub fn check_place<T: Resource>(resource: &mut ResourceArc<T>) {
    let expected: *const T = place(resource.as_c_arg());
    if !ptr::eq(expected, &**resource) {
        MISPLACED.store(true, Ordering::Relaxed);
    }
}

/// Whether a value was found elsewhere.
pub fn is_misplaced() -> bool {
    // Relaxed: it was set long ago, or by a call that the caller does not depend on.
    MISPLACED.load(Ordering::Relaxed)
}
