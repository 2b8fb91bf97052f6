//! A timer that is rarely armed, beside work that is mostly done before it expires.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::task::coop::unconstrained;
use tokio::time::{Sleep, sleep};

use crate::cached_clock::{deadline, now};

/// A timer that goes off seldom, beside work that is mostly done before.
pub(crate) struct LazyTimer {
    timer: Pin<Box<Sleep>>,
    /// Whom the timer will wake.
    registered_waker: Option<Waker>,
}

impl LazyTimer {
    pub(crate) fn after(time: Duration) -> LazyTimer {
        LazyTimer { timer: Box::pin(sleep(time)), registered_waker: None }
    }

    pub(crate) fn set(&mut self, time: Duration) {
        self.timer.as_mut().reset(deadline(now(), time));
        self.registered_waker = None;
    }

    /// What `work` comes to; `None` if the alarm goes off before.
    pub(crate) async fn run_until_expiry<W: Future>(
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
        let is_registered = self
            .registered_waker
            .as_ref()
            .is_some_and(|registered_waker| registered_waker.will_wake(waker));
        if is_registered && now() < self.timer.deadline() {
            return Poll::Pending;
        }
        self.registered_waker = Some(waker.clone());
        // A task that has had its share of tokio's would be told to wait, and the timer nothing.
        pin!(unconstrained(self.timer.as_mut())).poll(context)
    }
}
