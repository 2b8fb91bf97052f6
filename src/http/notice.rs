//! What a server tells its connections: that it closes, or that somebody needs room.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// The word of a server to all of its connections.
#[derive(Debug, Default)]
pub struct Notice {
    closing: AtomicBool,
    /// Where idle connections wait, in the order in which they became idle.
    idle: Notify,
}

/// What an idle connection is told.
pub(crate) enum Word {
    /// The server closes. A request that is on its way already is still answered.
    LastCall,
    /// Somebody else needs the room.
    Leave,
}

impl Notice {
    /// Tells all that the server closes: answers from now on are the last ones.
    pub fn last_call(&self) {
        self.closing.store(true, Ordering::SeqCst);
        self.idle.notify_waiters();
    }

    /// Asks the connection that has been idle for longest to leave. If none is idle, it is the
    /// next one that becomes so.
    pub fn make_room(&self) {
        self.idle.notify_one();
    }

    pub(crate) fn is_last_call(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// Waits, as long as a connection is idle, for a word to it.
    pub(crate) async fn word(&self) -> Word {
        let notified = self.idle.notified();
        // `notified` knows of whatever is said from here on, so nothing falls in between.
        if !self.is_last_call() {
            notified.await;
        }
        match self.is_last_call() {
            true => Word::LastCall,
            false => Word::Leave,
        }
    }
}
