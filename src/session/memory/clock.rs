//! The time, in milliseconds since the store was made, by a clock that nobody can set back.

use std::time::Duration;

use tokio::time::Instant;

pub(crate) type Millis = u64;

pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn new() -> Clock {
        Clock { start: Instant::now() }
    }

    pub(crate) fn now(&self) -> Millis {
        millis(Instant::now().saturating_duration_since(self.start))
    }
}

pub(crate) fn millis(duration: Duration) -> Millis {
    u64::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}
