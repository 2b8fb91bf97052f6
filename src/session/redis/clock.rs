//! [`RedisClock`]: an estimate of the time of Redis, for reads that do not ask for it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an estimate is used. The server's sweep renews it every second.
const MAX_AGE: Duration = Duration::from_secs(10);

/// The time that a reply of Redis had, and when the reply arrived. The reply was under way for a
/// while, so the estimate is behind the clock of Redis by that while, and never ahead of it
/// (unless that clock was set back): a use is recorded late by so much, and none is lost.
#[derive(Default)]
pub(super) struct RedisClock(Mutex<Option<(u64, Instant)>>);

impl RedisClock {
    /// Takes the time of a reply, in milliseconds since 1970.
    pub(super) fn set(&self, millis: u64) {
        let now = Some((millis, Instant::now()));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// Returns the estimated time of Redis in milliseconds since 1970, or `None` if there was no
    /// recent reply.
    pub(super) fn now(&self) -> Option<u64> {
        let (millis, since) = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        let elapsed = since.elapsed();
        let elapsed_millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        (elapsed < MAX_AGE).then(|| millis.saturating_add(elapsed_millis))
    }
}
