//! The time, in milliseconds since the store was made, by a clock that nobody can set back.
//!
//! It is that of the [turn](crate::cached_clock), so of two that come to a session together the second may
//! be the one with the earlier time. Two rules make up for it: of two uses the later one counts, and
//! a session that was once found expired is gone for everybody.

use std::time::Duration;

use tokio::time::Instant;

use crate::cached_clock;

pub(crate) type Millis = u64;

pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn new() -> Clock {
        Clock { start: cached_clock::now() }
    }

    pub(crate) fn now(&self) -> Millis {
        millis(cached_clock::now().saturating_duration_since(self.start))
    }
}

pub(crate) fn millis(duration: Duration) -> Millis {
    u64::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}
