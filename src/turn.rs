//! Time, asked for as seldom as will do. A request that is answered at once takes a few
//! microseconds, and each look at the clock, or at a timer, is a good part of one.
//!
//! A turn is what a task does between two waits, and all of it happens at one time: the first at
//! which it was asked for. A handler may keep its thread for long, so the clock is read anew before
//! each request and after it: no timeout begins at a time that is long over.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep};

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

/// A timer that goes off seldom, beside work that is mostly done before.
pub(crate) struct Alarm {
    timer: Pin<Box<Sleep>>,
    /// Whom the timer will wake.
    told: Option<Waker>,
}

impl Alarm {
    pub(crate) fn after(time: Duration) -> Alarm {
        Alarm { timer: Box::pin(sleep(time)), told: None }
    }

    pub(crate) fn set(&mut self, time: Duration) {
        self.timer.as_mut().reset(deadline(now(), time));
        self.told = None;
    }

    /// What `work` comes to; `None` if the alarm goes off before.
    pub(crate) async fn unless_it_rings<W: Future>(
        &mut self,
        mut work: Pin<&mut W>,
    ) -> Option<W::Output> {
        poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => self.poll(context).map(|()| None),
        })
        .await
    }

    /// The timer need not be asked again where it has this task's waker, and is not due: when it
    /// wakes the task, a turn begins which is later than that.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let waker = context.waker();
        let is_told = self.told.as_ref().is_some_and(|told| told.will_wake(waker));
        if is_told && now() < self.timer.deadline() {
            return Poll::Pending;
        }
        self.told = Some(waker.clone());
        // A task that has had its share of tokio's would be told to wait, and the timer nothing.
        pin!(unconstrained(self.timer.as_mut())).poll(context)
    }
}
