//! A memory budget for buffers, shared by all connections of a server.
//!
//! Each connection may use some KiB that are not counted, because the number of connections
//! bounds them: its task, a small input buffer, and queued or copied responses of up to 16 KiB.
//! Everything larger that a client can cause is reserved here first: long heads, content, and
//! blocks of files. Pages that handlers create are not counted.
//!
//! A reservation fails immediately if the budget is used up, and the request is answered 503
//! (load shedding). Waiting for memory, as with a semaphore, could deadlock: a request waits
//! while it holds what it has already reserved, and several such requests can wait for each
//! other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A number of bytes that may be reserved, and the number that is.
#[derive(Debug)]
pub(crate) struct BufferBudget {
    max_bytes: usize,
    reserved: AtomicUsize,
}

/// Bytes reserved from a [`BufferBudget`]: an RAII guard that releases them when it is dropped.
/// So a connection that ends, panics or is canceled cannot leak its part of the budget.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: Arc<BufferBudget>,
    bytes: usize,
}

impl BufferBudget {
    pub(crate) fn new(max_bytes: usize) -> Arc<BufferBudget> {
        Arc::new(BufferBudget { max_bytes, reserved: AtomicUsize::new(0) })
    }

    /// Returns a reservation of zero bytes, which can grow.
    pub(crate) fn empty(self: &Arc<Self>) -> Reservation {
        Reservation { budget: Arc::clone(self), bytes: 0 }
    }

    pub(crate) fn reserved(&self) -> usize {
        self.reserved.load(Ordering::Relaxed)
    }
}

impl Reservation {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Grows the reservation to `bytes` in total; it never shrinks. Returns `false`, and
    /// changes nothing, if the budget does not have the difference.
    #[must_use]
    pub(crate) fn grow_to(&mut self, bytes: usize) -> bool {
        let BufferBudget { max_bytes, reserved } = &*self.budget;
        let more = bytes.saturating_sub(self.bytes);
        let within = |now: usize| now.checked_add(more).filter(|sum| sum <= max_bytes);
        // A compare-and-swap loop, so that two connections cannot both take the last bytes.
        // `Relaxed`: the counter is exact in any order, and it guards no other data.
        let grown = reserved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within);
        if grown.is_ok() {
            self.bytes += more;
        }
        grown.is_ok()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.reserved.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
