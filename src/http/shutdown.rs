//! Graceful shutdown: a flag that is set once, and that tasks can wait for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Tells everything that works for a server that it shuts down. Its clones share one flag.
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
    /// Begins the shutdown. It cannot be taken back.
    pub fn begin(&self) {
        self.signal.has_begun.store(true, Ordering::SeqCst);
        self.signal.begun.notify_waiters();
    }

    /// Returns `true` if the shutdown has begun.
    pub fn has_begun(&self) -> bool {
        self.signal.has_begun.load(Ordering::SeqCst)
    }

    /// Completes when the shutdown begins, and at once if it has begun already.
    pub async fn begun(&self) {
        // `notify_waiters` wakes each `Notified` that exists when it is called. This one is made
        // before the flag is read, so a shutdown that begins in between is not missed (a lost
        // wake-up).
        let begun = self.signal.begun.notified();
        if !self.has_begun() {
            begun.await;
        }
    }
}
