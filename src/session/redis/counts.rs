//! [`PendingCounts`]: events that were counted here and not yet added to the counters in Redis.
//! They are sent in batches, so that counting costs no write per event.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::session::store::Counters;

/// Created, ended, expired and rotated sessions, and rejected ids. Redis counts the others itself.
#[derive(Default)]
pub(super) struct PendingCounts(Mutex<Counters>);

impl PendingCounts {
    pub(super) fn add(&self, events: Counters) {
        let mut pending = self.lock();
        *pending = pending.plus(events);
    }

    /// Takes all counts, to send them. If they are not [sent](Batch::sent), because Redis is
    /// away or the future was dropped, they are put back.
    pub(super) fn take(&self) -> Batch<'_> {
        Batch { counts: mem::take(&mut *self.lock()), pending: self }
    }

    fn lock(&self) -> MutexGuard<'_, Counters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts on their way to Redis.
pub(super) struct Batch<'c> {
    counts: Counters,
    pending: &'c PendingCounts,
}

impl Batch<'_> {
    /// Returns the counts as the script takes them.
    pub(super) fn text(&self) -> String {
        let Counters { created, ended, expired, rotated, rejected_ids, .. } = self.counts;
        format!(
            "created={created} ended={ended} expired={expired} rotated={rotated} \
             rejected_ids={rejected_ids}"
        )
    }

    pub(super) fn sent(mut self) {
        self.counts = Counters::default();
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.pending.add(self.counts);
    }
}
