//! Small futures: one that polls another once, one with a timeout, and one that catches panics.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

use tokio::time::{Instant, sleep_until};

/// What `work` comes to if it need not wait. If it must, whoever asked can make what is only
/// needed then, such as a timer.
// Not an `async fn`: that would keep `work` twice, and be one future more to ask.
pub(crate) fn poll_once<W: Future>(
    mut work: Pin<&mut W>,
) -> impl Future<Output = Poll<W::Output>> {
    poll_fn(move |context| Poll::Ready(work.as_mut().poll(context)))
}

/// What `work` comes to, if it does before it is `late`. Most work never needs the timer, so it is
/// made only for work that has to wait.
pub(crate) fn lazy_timeout<W: Future>(
    deadline: Instant,
    mut work: Pin<&mut W>,
) -> impl Future<Output = Result<W::Output, Elapsed>> {
    let mut timer = None;
    poll_fn(move |context| {
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(Ok(done));
        }
        let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        timer.as_mut().poll(context).map(|()| Err(Elapsed))
    })
}

/// It was too late.
pub(crate) struct Elapsed;

/// What `work` gives; `None` if it panics.
pub(crate) fn catch_panic<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// What a future comes to; `None` if it panics.
pub(crate) fn catch_panic_async<W: Future>(
    mut work: Pin<&mut W>,
) -> impl Future<Output = Option<W::Output>> {
    poll_fn(move |context| match catch_panic(|| work.as_mut().poll(context)) {
        Some(polled) => polled.map(Some),
        None => Poll::Ready(None),
    })
}
