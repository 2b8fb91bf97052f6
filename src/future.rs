//! Small futures: one that polls another once, one with a timeout, and one that catches panics.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

use tokio::time::{Instant, sleep_until};

/// What `work` comes to if it need not wait. If it must, whoever asked can make what is only
/// needed then, such as a timer.
// Not an `async fn`: that would keep `work` twice, and be one future more to ask.
pub(crate) fn at_once<W: Future>(
    mut work: Pin<&mut W>,
) -> impl Future<Output = Poll<W::Output>> {
    poll_fn(move |context| Poll::Ready(work.as_mut().poll(context)))
}

/// What `work` comes to, if it does before it is `late`. Most work never needs the timer, so it is
/// made only for work that has to wait.
pub(crate) fn in_time<W: Future>(
    late: Instant,
    mut work: Pin<&mut W>,
) -> impl Future<Output = Result<W::Output, Late>> {
    let mut timer = None;
    poll_fn(move |context| {
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(Ok(done));
        }
        let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(late)));
        timer.as_mut().poll(context).map(|()| Err(Late))
    })
}

/// It was too late.
pub(crate) struct Late;

/// What `work` gives; `None` if it panics.
pub(crate) fn unless_it_panics<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// What a future comes to; `None` if it panics.
pub(crate) fn unless_one_panics<W: Future>(
    mut work: Pin<&mut W>,
) -> impl Future<Output = Option<W::Output>> {
    poll_fn(move |context| match unless_it_panics(|| work.as_mut().poll(context)) {
        Some(polled) => polled.map(Some),
        None => Poll::Ready(None),
    })
}
