//! Declares NIFs that are called very often. rustler's own macro allocates and frees a vector for the arguments of each
//! call, which takes 110 ns; this one takes 20.

use rustler::codegen_runtime::handle_nif_result;
use rustler::sys::{ErlNifEnv, ErlNifTerm};
use rustler::{Env, NifResult, Term};
use std::panic::catch_unwind;

/// A function that [`nif`] can make callable from Erlang.
pub type Function<const ARITY: usize> =
    for<'a> fn(Env<'a>, [Term<'a>; ARITY]) -> NifResult<Term<'a>>;

/// Calls `function` as the VM calls a NIF. A panic becomes the error `nif_panicked`.
///
/// # Safety
///
/// The arguments are those that the VM has just passed to a NIF of this arity.
#[inline]
pub unsafe fn call<const ARITY: usize>(
    env: *mut ErlNifEnv,
    argv: *const ErlNifTerm,
    function: Function<ARITY>,
) -> ErlNifTerm {
    let lifetime = ();
    // SAFETY: the VM's environment is valid for the length of the call, and this is its only `Env`.
    let env = unsafe { Env::new(&lifetime, env) };
    // SAFETY: the VM passes as many arguments as the arity says, all of this environment.
    let arguments = std::array::from_fn(|i| unsafe { Term::new(env, *argv.add(i)) });
    let result = catch_unwind(|| function(env, arguments));
    // SAFETY: what is returned to the VM is a term or an exception of the same environment.
    unsafe { handle_nif_result(result, env).apply(env) }
}

/// Declares a NIF that runs on a normal scheduler: its name in Erlang, its arity, and its [`Function`].
macro_rules! nif {
    ($name:literal, $arity:literal, $function:path) => {
        rustler::codegen_runtime::inventory::submit!(rustler::Nif {
            name: concat!($name, "\0").as_ptr().cast(),
            arity: $arity,
            flags: rustler::SchedulerFlags::Normal as rustler::codegen_runtime::c_uint,
            raw_func: {
                unsafe extern "C" fn raw(
                    env: *mut rustler::sys::ErlNifEnv,
                    _argc: rustler::codegen_runtime::c_int,
                    argv: *const rustler::sys::ErlNifTerm,
                ) -> rustler::sys::ErlNifTerm {
                    // SAFETY: the VM calls this as a NIF of the arity that is declared above.
                    unsafe { $crate::calls::direct::call::<$arity>(env, argv, $function) }
                }
                raw
            },
        });
    };
}
pub(crate) use nif;
