//! [`Stream`]: content that a future produces while it is sent.
//!
//! ```text
//!   producer --StreamSender::send--> channel of capacity 1 --> connection --> socket
//! ```
//! Backpressure: the channel holds one value, so the producer waits in `send` until the
//! connection has taken the value before it, and the connection takes the next one only after
//! the client has accepted the last. A slow client slows the producer down instead of filling
//! memory.
//!
//! The producer is not a task of its own. The connection polls it, so it is dropped, at its
//! next `.await`, when the client disconnects.

use std::error::Error;
use std::fmt;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::future::catch_panic_async;

/// An error of a producer. It is logged; the client sees the connection end before the content
/// is complete.
pub type StreamError = Box<dyn Error + Send + Sync>;

/// The future that produces content.
pub(crate) type Producer = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Some bytes of the content, or the error that ends it.
pub(crate) type Data = Result<Bytes, StreamError>;

/// Content that a future produces while it is sent.
pub struct Stream {
    length: Option<u64>,
    data: mpsc::Receiver<Data>,
    /// `None` after the producer has completed. The mutex is never locked, because only the
    /// owner of the stream polls the producer. It makes `Stream` `Sync` although the future is
    /// only `Send`: an `Exchange` that contains a stream must be `Sync`, so that a handler can
    /// hold a reference to it across `.await`.
    producer: Mutex<Option<Producer>>,
}

/// The sending half of a [`Stream`], for its producer.
pub struct StreamSender {
    data: mpsc::Sender<Data>,
}

impl StreamSender {
    /// Waits until [`send`](StreamSender::send) would not wait. A producer calls it before it
    /// does expensive work for data that a slow client may never read. Fails if the stream is
    /// closed.
    pub async fn ready(&self) -> io::Result<()> {
        self.data.reserve().await.map(drop).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    /// Sends some bytes, after those before have been taken. Fails if the stream is closed; the
    /// producer should stop then.
    pub async fn send(&self, data: impl Into<Bytes>) -> io::Result<()> {
        let closed = |_| io::ErrorKind::BrokenPipe.into();
        self.data.send(Ok(data.into())).await.map_err(closed)
    }
}

impl Stream {
    /// Creates content of a known length in bytes, or of an unknown one. The producer must send
    /// exactly the declared length. If it fails, panics, or sends less or more, the connection
    /// ends in such a way that the client does not take the content for complete.
    pub fn new<W, E>(
        length: Option<u64>,
        producer: impl FnOnce(StreamSender) -> W,
    ) -> Stream
    where
        W: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<StreamError>,
    {
        let (sender, data) = mpsc::channel(1);
        let producer = producer(StreamSender { data: sender.clone() });
        let producer = async move {
            let outcome = match catch_panic_async(pin!(producer)).await {
                Ok(outcome) => outcome.map_err(Into::into),
                Err(message) => Err(format!("the work on it panicked: {message}").into()),
            };
            if let Err(error) = outcome {
                // Through the channel, so that the error arrives after the data sent before it.
                let _ = sender.send(Err(error)).await;
            }
        };
        Stream { length, data, producer: Mutex::new(Some(Box::pin(producer))) }
    }

    /// Returns the declared length in bytes.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Returns the producer and the receiving half of its channel. The connection polls the
    /// producer also while a write is blocked, which [`next`](Stream::next) could not do.
    pub(crate) fn into_parts(self) -> (Option<Producer>, mpsc::Receiver<Data>) {
        (self.producer.into_inner().unwrap_or_else(PoisonError::into_inner), self.data)
    }

    /// Polls the producer until it sends the next bytes. Returns `None` after it has completed
    /// without an error.
    pub async fn next(&mut self) -> Result<Option<Bytes>, StreamError> {
        let slot = self.producer.get_mut().unwrap_or_else(PoisonError::into_inner);
        while let Some(producer) = slot {
            tokio::select! {
                biased;
                Some(data) = self.data.recv() => return data.map(Some),
                () = producer => *slot = None,
            }
        }
        self.data.recv().await.transpose()
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Stream")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}
