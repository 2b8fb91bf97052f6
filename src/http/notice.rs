//! What a server tells its connections: that it closes, or that somebody needs room.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// The word of a server to all of its connections.
#[derive(Debug, Default)]
pub struct Notice {
    closing: AtomicBool,
    /// Somebody needs room, and nobody has made any yet.
    crowded: AtomicBool,
    /// Where connections wait that may be asked to leave: those that are idle, that have sent a
    /// part of a head, or that are being closed. Who has waited longest is asked first.
    waiting: Notify,
}

/// What they hear.
pub(crate) enum Call {
    /// The server closes. A request that is on its way already is still answered.
    Last,
    /// Somebody else needs the room.
    MakeRoom,
}

impl Notice {
    /// Tells all that the server closes: answers from now on are the last ones.
    pub fn last_call(&self) {
        self.closing.store(true, Ordering::SeqCst);
        self.waiting.notify_waiters();
    }

    /// Asks the connection that has waited longest to leave. If there is none, it is the next one
    /// that comes to wait, or that answers a request.
    pub fn make_room(&self) {
        self.crowded.store(true, Ordering::SeqCst);
        self.waiting.notify_one();
    }

    /// There is room after all: if nobody was there to be asked, nobody need leave any more.
    pub(crate) fn has_room(&self) {
        if self.crowded.swap(false, Ordering::SeqCst) {
            // A call that nobody was there to hear is taken back.
            pin!(self.waiting.notified()).enable();
        }
    }

    /// Whether an answer that is written now is the last one of its connection.
    pub(crate) fn is_last_answer(&self) -> bool {
        self.is_last_call() || self.crowded.load(Ordering::SeqCst)
    }

    fn is_last_call(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// Waits for a call.
    pub(crate) async fn call(&self) -> Call {
        let notified = self.waiting.notified();
        // `notified` knows of whatever is said from here on, so nothing falls in between.
        if !self.is_last_call() {
            notified.await;
        }
        match self.is_last_call() {
            true => Call::Last,
            false => Call::MakeRoom,
        }
    }
}
