//! The clock of the store: milliseconds since the store was created. It is monotonic: a change
//! of the system time does not affect it.
//!
//! It reads the [cached clock](crate::cached_clock), which is read at most once per poll of a
//! task. So two tasks may see times out of order: task A caches its time, task B is polled a
//! little later and uses a session first, and then A uses the same session at its earlier time.
//! Two rules make that harmless:
//!
//! 1. A session keeps the latest of the times at which it was used. A stale time never shortens
//!    the idle timeout.
//! 2. A session that a task finds expired is deleted under the same lock. Otherwise a task with
//!    an earlier time could still use a session that another task has reported as expired.

use std::time::Duration;

use tokio::time::Instant;

use crate::cached_clock;

/// A time in milliseconds since the store was created, or a duration in milliseconds. Eight
/// bytes instead of the sixteen of an `Instant` or `Duration`, because each session has five of
/// them.
pub(crate) type Millis = u64;

pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn new() -> Clock {
        Clock { start: cached_clock::now() }
    }

    /// Returns the time of the current poll.
    pub(crate) fn now(&self) -> Millis {
        millis(cached_clock::now().saturating_duration_since(self.start))
    }
}

/// Converts a duration. One that is too long, such as `Duration::MAX`, becomes `Millis::MAX`.
pub(crate) fn millis(duration: Duration) -> Millis {
    u64::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}
