//! What the VM calls when it loads the library, and when the module that has loaded it is upgraded.
//!
//! The tables are statics of the library. If the new version of `ZenMonitor.Native` loads the same file, it
//! gets the same library in memory, and so the upgrade keeps the tables. Another file would be another library:
//! its tables would be empty and might have another layout, and its locks would not know who holds those of the
//! former one. So another file is refused, and the former version of the module stays.

use crate::calls::local::watched_is_down;
use crate::sides::local::Watch;
use crate::sides::proxy::connector::Connector;
use crate::sides::resource::{is_misplaced, place};
use crate::sides::window::Window;
use crate::terms::numbering;
use crate::terms::probe;
use crate::terms::shape;
use rustler::codegen_runtime::{ResourceRegistration, internal_write_symbols, inventory};
use rustler::sys::{
    ErlNifEntry, ErlNifEnv, ErlNifMonitor, ErlNifPid, ErlNifResourceFlags, ErlNifResourceTypeInit,
    ErlNifTerm, c_int, c_void, enif_init_resource_type,
};
use rustler::types::atom::is_truthy;
use rustler::{Env, LocalPid, Nif, Term};
use std::ffi::CString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

/// Its address tells this library in memory from any other.
static MARK: AtomicBool = AtomicBool::new(false);

struct Entry(ErlNifEntry);

// SAFETY: nothing in it changes after it was made, and what it points to is never freed.
unsafe impl Sync for Entry {}

// SAFETY: as above.
unsafe impl Send for Entry {}

/// The entry of the library. It is made once.
#[unsafe(no_mangle)]
extern "C" fn nif_init() -> *const ErlNifEntry {
    static ENTRY: OnceLock<Entry> = OnceLock::new();
    let entry = ENTRY.get_or_init(|| {
        // SAFETY: the VM's functions are there before it calls this.
        unsafe { internal_write_symbols() };
        let functions: Vec<_> = inventory::iter::<Nif>().map(Nif::get_def).collect();
        let mut entry = ErlNifEntry::new(c"Elixir.ZenMonitor.Native", functions.leak(), load);
        entry.upgrade = Some(upgrade);
        Entry(entry)
    });
    &entry.0
}

/// `info` is the setting `read_heap`.
unsafe extern "C" fn load(env: *mut ErlNifEnv, data: *mut *mut c_void, info: ErlNifTerm) -> c_int {
    let lifetime = ();
    // SAFETY: the VM's environment for this call, and its only `Env`.
    let env = unsafe { Env::new_init_env(&lifetime, env) };
    if ResourceRegistration::register_all_collected(env).is_err() {
        return 1;
    }
    // SAFETY: the VM passes a term of this environment.
    if is_truthy(unsafe { Term::new(env, info) }) {
        probe::probe(env);
        numbering::probe(env);
        shape::probe(env);
    }
    // SAFETY: the VM passes a place for one pointer.
    unsafe { *data = mark() };
    0
}

/// Anything but 0 refuses the upgrade.
unsafe extern "C" fn upgrade(
    env: *mut ErlNifEnv,
    data: *mut *mut c_void,
    former: *mut *mut c_void,
    _: ErlNifTerm,
) -> c_int {
    // SAFETY: the VM passes the place of the pointer that `load` or this function has set.
    let is_other = unsafe { *former } != mark();
    if is_other || is_misplaced() {
        return 1;
    }
    // The new version takes over the resource types of the former one, which rustler does not do.
    // SAFETY: the callbacks fit the types, and the names are those under which rustler has made them.
    let taken_over = unsafe {
        take_over::<Watch>(env, ptr::null(), Some(watch_down))
            && take_over::<Connector>(env, drop_value::<Connector> as *const _, None)
            && take_over::<Window>(env, drop_value::<Window> as *const _, None)
    };
    if !taken_over {
        return 1;
    }
    // SAFETY: the VM passes a place for one pointer.
    unsafe { *data = mark() };
    0
}

fn mark() -> *mut c_void {
    (&raw const MARK).cast_mut().cast()
}

type Down =
    unsafe extern "C" fn(*mut ErlNifEnv, *mut c_void, *const ErlNifPid, *const ErlNifMonitor);

unsafe fn take_over<T>(env: *mut ErlNifEnv, dtor: *const c_void, down: Option<Down>) -> bool {
    let name = CString::new(std::any::type_name::<T>()).expect("a type has no NUL in its name");
    let init = ErlNifResourceTypeInit {
        dtor: dtor.cast(),
        stop: ptr::null(),
        down: down.map_or(ptr::null(), |down| down as *const _),
        members: 3,
        dyncall: ptr::null(),
    };
    let (flags, mut tried) = (
        ErlNifResourceFlags::ERL_NIF_RT_TAKEOVER,
        ErlNifResourceFlags::ERL_NIF_RT_TAKEOVER,
    );
    // SAFETY: all pointers are valid for the call, which is made from an upgrade callback.
    let taken = unsafe { enif_init_resource_type(env, name.as_ptr(), &init, flags, &mut tried) };
    !taken.is_null()
}

unsafe extern "C" fn watch_down(
    env: *mut ErlNifEnv,
    _: *mut c_void,
    pid: *const ErlNifPid,
    _: *const ErlNifMonitor,
) {
    let lifetime = ();
    // SAFETY: the VM's environment for this call, and its only `Env`.
    let env = unsafe { Env::new(&lifetime, env) };
    // SAFETY: the VM passes the pid of the process that is down.
    let pid = LocalPid::from_c_arg(unsafe { *pid });
    // A panic must not reach the VM. There is no caller to whom it could be reported.
    let _ = catch_unwind(|| watched_is_down(env, pid));
}

unsafe extern "C" fn drop_value<T>(_: *mut ErlNifEnv, memory: *mut c_void) {
    let value: *const T = place(memory);
    // SAFETY: the place was checked when the value was made, and the VM calls this once, at the end of the resource.
    let drop = || unsafe { ptr::drop_in_place(value.cast_mut()) };
    let _ = catch_unwind(AssertUnwindSafe(drop));
}
