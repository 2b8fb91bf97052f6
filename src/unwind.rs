//! Panics caught, so that one piece of work can fail without what stands around it. Whatever the
//! work was changing may be left half changed, so the caller must not go on with it as if nothing
//! had happened.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

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
