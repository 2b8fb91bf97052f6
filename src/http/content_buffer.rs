//! A buffer that content is read into, and the memory budget that it belongs to.

use crate::http::buffer_budget::Reservation;
use crate::http::buffered::BUFFER_CAPACITY;
use crate::http::refusal::Refusal;
use crate::http::server_state::Admission;
use crate::http::status::Status;

/// The capacity of a new content buffer, unless the content is shorter.
const FIRST_CAPACITY: usize = 8 * 1024;

/// Content as it arrives, and the memory that is reserved for it until the last of it is dropped.
pub(crate) struct ContentBuffer {
    pub(crate) bytes: Vec<u8>,
    reservation: Reservation,
}

impl ContentBuffer {
    pub(crate) fn new(admission: &Admission) -> ContentBuffer {
        ContentBuffer { bytes: Vec::new(), reservation: admission.empty_reservation() }
    }

    /// Makes room for so many bytes more: for as many again as there are, so that each is copied
    /// only a few times, though for no more than `most` in all. 503 if there is no memory.
    pub(crate) fn make_room(
        &mut self,
        admission: &Admission,
        more: usize,
        most: usize,
    ) -> Result<(), Refusal> {
        let length = self.bytes.len();
        if self.bytes.capacity() - length >= more {
            return Ok(());
        }
        let capacity = (2 * length).max(FIRST_CAPACITY).min(most).max(length + more);
        // Small content is not counted: it goes through, whoever has taken all of the budget.
        let is_there =
            capacity <= BUFFER_CAPACITY || admission.grow(&mut self.reservation, capacity);
        let is_there = is_there && self.bytes.try_reserve_exact(capacity - length).is_ok();
        is_there.then_some(()).ok_or_else(out_of_memory)
    }
}

impl AsRef<[u8]> for ContentBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// For what the server has no memory for just now.
pub(crate) fn out_of_memory() -> Refusal {
    let message = "There is no memory for this request just now.";
    Refusal::new(Status::SERVICE_UNAVAILABLE, message)
}
