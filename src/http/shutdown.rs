//! The shutdown signal of a server: a flag that is set once, and that tasks can wait for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Signals a graceful shutdown to all tasks of a server. Clones share one flag.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    signal: Arc<Signal>,
}

#[derive(Debug, Default)]
struct Signal {
    has_begun: AtomicBool,
    begun: Notify,
}

impl Shutdown {
    /// Begins the shutdown. It cannot be canceled.
    pub fn begin(&self) {
        self.signal.has_begun.store(true, Ordering::SeqCst);
        self.signal.begun.notify_waiters();
    }

    /// Returns `true` if the shutdown has begun.
    pub fn has_begun(&self) -> bool {
        self.signal.has_begun.load(Ordering::SeqCst)
    }

    /// Completes when the shutdown begins; immediately if it has already begun.
    ///
    /// `Notify::notify_one` stores a permit if no task waits, so the next waiter does not miss
    /// it. `notify_waiters` wakes all waiters and stores nothing: a task that begins to wait
    /// one moment later sleeps forever (a lost wake-up). So a flag holds what the `Notify`
    /// forgets, and the order of the two steps matters:
    ///
    /// ```text
    /// flag first:                         Notified first, as here:
    ///   waiter: flag is false               waiter: creates Notified
    ///   begin:  sets flag, notifies         begin:  sets flag, notifies the Notified
    ///   waiter: creates Notified, sleeps    waiter: flag is true, returns
    /// ```
    /// A `Notified` counts as a waiter as soon as it exists, even before its first poll. If the
    /// shutdown begins before the `Notified` exists, the flag is already set when it is read.
    pub async fn begun(&self) {
        let begun = self.signal.begun.notified();
        if !self.has_begun() {
            begun.await;
        }
    }
}
