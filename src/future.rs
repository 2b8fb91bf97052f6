//! Future combinators: poll once, lazy timeout, catch panics.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

use tokio::time::{Instant, sleep_until};

/// Polls `work` once. If it is pending, the caller can create what only waiting needs, such as
/// a timer, and then await it. Elsewhere this is called `now_or_never` (futures) or `poll_once`
/// (futures-lite).
///
/// The waker of the caller's task is registered by the poll, so awaiting `work` later misses
/// nothing that happened in between.
// Not an `async fn`: its future would store `work` twice and add a level to each poll.
pub(crate) fn poll_once<W: Future>(
    mut work: Pin<&mut W>,
) -> impl Future<Output = Poll<W::Output>> {
    poll_fn(move |context| Poll::Ready(work.as_mut().poll(context)))
}

/// Runs `work` with a timeout. Most work is ready when it is polled for the first time, so the
/// timer is created lazily, only for work that is pending.
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

/// The error of [`lazy_timeout`]: the deadline has passed.
pub(crate) struct Elapsed;

/// Runs `work`. If it panics, returns the message of the panic.
///
/// `catch_unwind` asks for `UnwindSafe`, because a panic can leave a value half-changed (a
/// broken invariant) that later code then sees. `AssertUnwindSafe` is sound here: the work is
/// the code of one request. After a panic its handler or stream is dropped, its response is
/// replaced by an error page, and its connection is closed. State that requests share is behind
/// mutexes and atomics, which have rules of their own for a panic. Memory safety is not at
/// stake; Rust guarantees it with or without the bound.
pub(crate) fn catch_panic<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let text = payload.downcast_ref::<&str>().map(|text| String::from(*text));
        text.or_else(|| payload.downcast_ref().cloned()).unwrap_or_default()
    })
}

/// Runs a future. Resolves to an error like [`catch_panic`] if a poll panics; the future must
/// not be polled again then.
pub(crate) fn catch_panic_async<W: Future>(
    mut work: Pin<&mut W>,
) -> impl Future<Output = Result<W::Output, String>> {
    poll_fn(move |context| match catch_panic(|| work.as_mut().poll(context)) {
        Ok(polled) => polled.map(Ok),
        Err(message) => Poll::Ready(Err(message)),
    })
}
