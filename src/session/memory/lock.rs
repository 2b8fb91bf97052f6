//! A mutex that is never held across `.await`.
//!
//! This is a `std::sync::Mutex` and not one of tokio's. An async mutex is needed if a guard
//! must live across an `.await`; it pays for that with a queue of wakers. The critical sections
//! of the store contain no `.await` and no I/O. They last well under a microsecond, so blocking
//! the thread is cheaper than suspending the task. The longest one is a batch of the sweep.
//!
//! The compiler enforces the rule: `MutexGuard` is not `Send`, so a future that holds one
//! across `.await` is not `Send` either, and a store's futures must be.
//!
//! The wrapper exists for `tests/interleavings.rs`, which compiles the store with loom's mutex
//! in this place and runs threads in every order in which they can take the locks.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Access to the locked value. Dropping it releases the lock.
pub(crate) type Guard<'a, T> = MutexGuard<'a, T>;

pub(crate) struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    pub(crate) fn new(value: T) -> Lock<T> {
        Lock(Mutex::new(value))
    }

    /// Blocks until the lock is free, and takes it.
    ///
    /// Poisoning is ignored. Only code of the store runs in a critical section, and it does not
    /// panic halfway through a change, so a poisoned lock holds no half-written state.
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
