//! Panics caught, so that one piece of work can fail without what stands around it.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// What `work` comes to; `None` if it panics. Whatever it was changing may be left half changed,
/// so the caller must not go on with it as if nothing had happened.
pub(crate) async fn unless_it_panics<W: Future>(work: W) -> Option<W::Output> {
    let mut work = pin!(work);
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Some(output)),
            Err(_) => Poll::Ready(None),
        }
    })
    .await
}
