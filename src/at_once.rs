//! Work that is done, most often, as soon as it is asked for.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// What `work` comes to if it need not wait. If it must, whoever asked can make what is only
/// needed then, such as a timer.
pub(crate) async fn at_once<W: Future>(mut work: Pin<&mut W>) -> Poll<W::Output> {
    poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await
}
