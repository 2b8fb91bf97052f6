//! A growing buffer for request content, counted against the memory budget of the server.

use crate::http::buffer_budget::Reservation;
use crate::http::buffered::BUFFER_CAPACITY;
use crate::http::refusal::Refusal;
use crate::http::server_state::Admission;
use crate::http::status::Status;

/// Capacity of a new content buffer in bytes, unless the content is shorter.
const INITIAL_CAPACITY: usize = 8 * 1024;

/// Content as it arrives, and the part of the memory budget that is reserved for it. The
/// reservation ends when the last [`Bytes`](bytes::Bytes) of the content is dropped.
///
/// Memory is reserved as content arrives and not for its declared length: otherwise a client
/// could use up the budget with a large `Content-Length` and no content.
pub(crate) struct ContentBuffer {
    pub(crate) bytes: Vec<u8>,
    reservation: Reservation,
}

impl ContentBuffer {
    pub(crate) fn new(admission: &Admission) -> ContentBuffer {
        ContentBuffer { bytes: Vec::new(), reservation: admission.empty_reservation() }
    }

    /// Reserves capacity for `additional` more bytes. The capacity doubles, so that each byte
    /// is copied only a few times (amortized constant cost), up to `max`. Returns 503 if the
    /// budget or the allocator has no memory.
    pub(crate) fn reserve(
        &mut self,
        admission: &Admission,
        additional: usize,
        max: usize,
    ) -> Result<(), Refusal> {
        let length = self.bytes.len();
        if self.bytes.capacity() - length >= additional {
            return Ok(());
        }
        let capacity = (2 * length).max(INITIAL_CAPACITY).min(max).max(length + additional);
        // Small content is not counted, so that it is accepted even if large content has used
        // up the budget.
        let is_reserved =
            capacity <= BUFFER_CAPACITY || admission.grow(&mut self.reservation, capacity);
        let is_reserved =
            is_reserved && self.bytes.try_reserve_exact(capacity - length).is_ok();
        is_reserved.then_some(()).ok_or(out_of_memory())
    }
}

impl AsRef<[u8]> for ContentBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Returns the refusal for a request that the memory budget has no space for.
#[track_caller]
pub(crate) fn out_of_memory() -> Refusal {
    let message = "There is no memory for this request just now.";
    Refusal::new(Status::SERVICE_UNAVAILABLE, message)
}
