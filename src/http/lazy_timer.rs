//! A timer that is rarely armed, beside work that is mostly done before it expires.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::task::coop::unconstrained;
use tokio::time::{Sleep, sleep};

use crate::cached_clock::{deadline, now};

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
