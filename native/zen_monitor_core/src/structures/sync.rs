//! The atomics, locks and queues through which threads of the core meet. A model checker replaces some of
//! them by its own: those are the points at which it may switch threads.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};
#[cfg(shuttle)]
pub(crate) use shuttle::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};
#[cfg(not(any(loom, shuttle)))]
pub(crate) use std::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};

#[cfg(not(shuttle))]
pub(crate) use {crossbeam_queue::SegQueue, crossbeam_utils::Backoff};
#[cfg(shuttle)]
pub(crate) use {explored::*, shuttle::sync::MutexGuard};

#[cfg(not(any(loom, shuttle)))]
pub(crate) use parking_lot::{Mutex, MutexGuard};
// What it publishes is given to other threads by what is checked.
pub(crate) use once_cell::race::OnceBox;
#[cfg(not(loom))]
pub(crate) use {arc_swap::ArcSwapOption, std::sync::OnceLock};
#[cfg(loom)]
pub(crate) use {
    loom::sync::MutexGuard,
    modelled::{ArcSwapOption, Mutex, OnceLock},
};

/// The number of shards of a table. Under shuttle there are two, since each lock multiplies the schedules.
pub(crate) const fn shards(amount: usize) -> usize {
    if cfg!(shuttle) { 2 } else { amount }
}

#[cfg(loom)]
mod modelled {
    //! Loom has to see what makes a new block known to other threads.
    use loom::sync::MutexGuard;
    use std::sync::Arc;

    /// Loom's, with the face of parking_lot's.
    #[derive(Default)]
    pub struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Mutex(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("a model does not panic and go on")
        }

        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }
    }

    /// With the face of arc-swap's.
    pub(crate) struct ArcSwapOption<T>(Mutex<Option<Arc<T>>>);

    impl<T> ArcSwapOption<T> {
        pub(crate) fn empty() -> Self {
            ArcSwapOption(Mutex::new(None))
        }

        pub(crate) fn load(&self) -> Option<Arc<T>> {
            self.load_full()
        }

        pub(crate) fn load_full(&self) -> Option<Arc<T>> {
            self.0.lock().clone()
        }

        pub(crate) fn store(&self, new: Option<Arc<T>>) {
            *self.0.lock() = new;
        }

        pub(crate) fn compare_and_swap(&self, current: *const T, new: Option<Arc<T>>) {
            let mut value = self.0.lock();
            if value.as_ref().map(Arc::as_ptr) == Some(current) {
                *value = new;
            }
        }
    }

    /// With the face of the standard library's, for what is cheap to clone.
    pub(crate) struct OnceLock<T>(Mutex<Option<T>>);

    impl<T: Clone> OnceLock<T> {
        pub(crate) fn new() -> Self {
            OnceLock(Mutex::new(None))
        }

        pub(crate) fn get(&self) -> Option<T> {
            self.0.lock().clone()
        }

        pub(crate) fn get_or_init(&self, init: impl FnOnce() -> T) -> T {
            self.0.lock().get_or_insert_with(init).clone()
        }

        pub(crate) fn take(&mut self) -> Option<T> {
            self.0.lock().take()
        }
    }
}

#[cfg(shuttle)]
mod explored {
    use std::collections::VecDeque;

    /// Shuttle's, with the face of parking_lot's.
    #[derive(Default)]
    pub struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Mutex(shuttle::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> shuttle::sync::MutexGuard<'_, T> {
            self.0.lock().expect("a model does not panic and go on")
        }

        pub(crate) fn try_lock(&self) -> Option<shuttle::sync::MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }
    }

    /// With the face of crossbeam's.
    pub struct SegQueue<T>(Mutex<VecDeque<T>>);

    impl<T> Default for SegQueue<T> {
        fn default() -> Self {
            SegQueue::new()
        }
    }

    impl<T> SegQueue<T> {
        pub(crate) fn new() -> Self {
            SegQueue(Mutex::new(VecDeque::new()))
        }

        pub(crate) fn push(&self, value: T) {
            self.0.lock().push_back(value);
        }

        pub(crate) fn pop(&self) -> Option<T> {
            self.0.lock().pop_front()
        }

        pub(crate) fn len(&self) -> usize {
            self.0.lock().len()
        }

        pub(crate) fn is_empty(&self) -> bool {
            self.len() == 0
        }
    }

    /// With the face of crossbeam's.
    pub struct Backoff;

    impl Backoff {
        pub(crate) fn new() -> Self {
            Backoff
        }

        pub(crate) fn snooze(&self) {
            shuttle::thread::yield_now();
        }
    }
}
