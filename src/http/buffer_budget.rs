//! The memory that all connections of a server may take for what they buffer.
//!
//! Each connection has a few KiB that are not counted, and that the number of connections bounds:
//! its task, a small input buffer, and responses that are held back or copied, up to some 16 KiB.
//! Everything larger that a client can cause is reserved here first: long heads, content, and pieces
//! of files. A reservation that fails is no fault of the process: the request is answered 503. Pages
//! that handlers make are theirs, and are not counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A number of bytes that may be reserved, and how many are.
#[derive(Debug)]
pub(crate) struct BufferBudget {
    max_bytes: usize,
    reserved: AtomicUsize,
}

/// Bytes of a [`BufferBudget`], which are given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: Arc<BufferBudget>,
    bytes: usize,
}

impl BufferBudget {
    pub(crate) fn new(max_bytes: usize) -> Arc<BufferBudget> {
        Arc::new(BufferBudget { max_bytes, reserved: AtomicUsize::new(0) })
    }

    /// A reservation of no bytes yet.
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

    /// Reserves as many bytes in all. Returns `false` if the budget does not have the difference,
    /// and changes nothing then.
    #[must_use]
    pub(crate) fn grow_to(&mut self, bytes: usize) -> bool {
        let BufferBudget { max_bytes, reserved } = &*self.budget;
        let more = bytes.saturating_sub(self.bytes);
        let within = |now: usize| now.checked_add(more).filter(|sum| sum <= max_bytes);
        // Nothing else is ordered by this number, so that `Relaxed` will do.
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
