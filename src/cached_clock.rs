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
const FAR_FUTURE: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// What this thread knows of the time.
#[derive(Clone, Copy)]
enum Cached {
    /// There is no turn: whoever asks looks at the clock.
    Off,
    /// Nobody has asked in this turn.
    Empty,
    At(Instant),
}

thread_local! {
    static CACHED: Cell<Cached> = const { Cell::new(Cached::Off) };
}

/// Does what a task does in one turn.
pub(crate) fn with_cached_clock<T>(work: impl FnOnce() -> T) -> T {
    let _before = RestoreOnDrop(CACHED.replace(Cached::Empty));
    work()
}

/// What was known of the time before a turn. That holds again after it, even if it ends in a panic.
struct RestoreOnDrop(Cached);

impl Drop for RestoreOnDrop {
    fn drop(&mut self) {
        CACHED.set(self.0);
    }
}

/// What time it is: that of this turn, or else by the clock.
pub(crate) fn now() -> Instant {
    match CACHED.get() {
        Cached::At(now) => now,
        Cached::Off => Instant::now(),
        Cached::Empty => {
            let now = Instant::now();
            CACHED.set(Cached::At(now));
            now
        }
    }
}

/// Has the clock read anew by whoever asks next in this turn.
pub(crate) fn refresh() {
    if let Cached::At(_) = CACHED.get() {
        CACHED.set(Cached::Empty);
    }
}

/// When a time that begins at `start` is over.
pub(crate) fn deadline(start: Instant, time: Duration) -> Instant {
    start + time.min(FAR_FUTURE)
}
