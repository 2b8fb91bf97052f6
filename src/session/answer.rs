//! What a store answers with: at once, or later.

use std::pin::Pin;
use std::task::{Context, Poll};

use crate::session::error::Error;

/// An answer that may come over a network. Whoever drops one does not know whether it was done.
///
/// A store in memory has its answers at once, and those need no allocation.
#[must_use = "a store may do nothing before its answer is waited for"]
pub struct Answer<'a, T>(Inner<'a, T>);

enum Inner<'a, T> {
    /// Until it is taken.
    AtOnce(Option<Result<T, Error>>),
    Later(Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>),
}

impl<'a, T> Answer<'a, T> {
    /// One that is there.
    pub fn at_once(result: Result<T, Error>) -> Answer<'a, T> {
        Answer(Inner::AtOnce(Some(result)))
    }

    /// One that `work` comes to.
    pub fn later(
        work: impl Future<Output = Result<T, Error>> + Send + 'a,
    ) -> Answer<'a, T> {
        Answer(Inner::Later(Box::pin(work)))
    }
}

/// What is inside is moved when it is taken, and never pinned.
impl<T> Unpin for Answer<'_, T> {}

impl<T> Future for Answer<'_, T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Inner::AtOnce(result) => {
                Poll::Ready(result.take().expect("an answer is asked for once"))
            }
            Inner::Later(work) => work.as_mut().poll(context),
        }
    }
}
