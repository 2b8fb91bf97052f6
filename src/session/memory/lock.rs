//! A lock that is never held while anything is waited for.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is locked, for as long as this is kept.
pub(crate) type Guard<'a, T> = MutexGuard<'a, T>;

/// A std mutex, and not one of tokio's: those are for locks that are held while one waits.
pub(crate) struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    pub(crate) fn new(inside: T) -> Lock<T> {
        Lock(Mutex::new(inside))
    }

    /// No code but ours runs under a lock, and none of it panics half way; a poisoned lock is as
    /// good as any.
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
