//! [`PendingCounts`]: events that were counted here and not yet added to the counters in Redis.
//! They are sent in batches, so that counting costs no write per event.

use std::sync::atomic::{AtomicU64, Ordering};

/// What is counted.
#[derive(Clone, Copy)]
pub(super) enum Event {
    Created,
    Ended,
    Expired,
    Rotated,
    RejectedId,
}

/// The names of the counters in Redis.
const NAMES: [&str; EVENTS] = ["created", "ended", "expired", "rotated", "rejected_ids"];

const EVENTS: usize = 5;

#[derive(Default)]
pub(super) struct PendingCounts([AtomicU64; EVENTS]);

impl PendingCounts {
    pub(super) fn add(&self, event: Event, number: u64) {
        self.0[event as usize].fetch_add(number, Ordering::Relaxed);
    }

    /// Takes all numbers, to send them. If they are not [sent](Batch::sent), because Redis is
    /// away or the future was dropped, they are put back.
    pub(super) fn take(&self) -> Batch<'_> {
        let counts = self.0.each_ref().map(|count| count.swap(0, Ordering::Relaxed));
        Batch { counts, pending: self }
    }
}

/// Numbers on their way to Redis.
pub(super) struct Batch<'c> {
    counts: [u64; EVENTS],
    pending: &'c PendingCounts,
}

impl Batch<'_> {
    /// Returns the numbers as the script takes them: `created=3 ended=1`.
    pub(super) fn text(&self) -> String {
        let counts = NAMES.iter().zip(self.counts).filter(|(_, count)| *count > 0);
        counts.map(|(name, count)| format!("{name}={count}")).collect::<Vec<_>>().join(" ")
    }

    pub(super) fn sent(mut self) {
        self.counts = [0; EVENTS];
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        for (pending, count) in self.pending.0.iter().zip(self.counts) {
            pending.fetch_add(count, Ordering::Relaxed);
        }
    }
}
