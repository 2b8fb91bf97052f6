//! Time, asked for as seldom as will do. A request that is answered at once takes a few
//! microseconds, and each look at the clock, or at a timer, is a good part of one.
//!
//! A turn is what a task does between two waits, and all of it happens at one time: the first at
//! which it was asked for. A handler may keep its thread for long, so the clock is read anew before
//! each request and after it: no timeout begins at a time that is long over.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

/// No clock goes on forever, and a limit may be `Duration::MAX`: 30 years will do for that.
const LONGEST: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// What this thread knows of the time.
#[derive(Clone, Copy)]
enum Time {
    /// There is no turn: whoever asks looks at the clock.
    Passes,
    /// Nobody has asked in this turn.
    Unknown,
    Known(Instant),
}

thread_local! {
    static TIME: Cell<Time> = const { Cell::new(Time::Passes) };
}

/// Does what a task does in one turn.
pub(crate) fn turn<T>(work: impl FnOnce() -> T) -> T {
    let _before = Before(TIME.replace(Time::Unknown));
    work()
}

/// What was known of the time before a turn. That holds again after it, even if it ends in a panic.
struct Before(Time);

impl Drop for Before {
    fn drop(&mut self) {
        TIME.set(self.0);
    }
}

/// What time it is: that of this turn, or else by the clock.
pub(crate) fn now() -> Instant {
    match TIME.get() {
        Time::Known(now) => now,
        Time::Passes => Instant::now(),
        Time::Unknown => {
            let now = Instant::now();
            TIME.set(Time::Known(now));
            now
        }
    }
}

/// Has the clock read anew by whoever asks next in this turn.
pub(crate) fn refresh() {
    if let Time::Known(_) = TIME.get() {
        TIME.set(Time::Unknown);
    }
}

/// When a time that begins at `start` is over.
pub(crate) fn deadline(start: Instant, time: Duration) -> Instant {
    start + time.min(LONGEST)
}
