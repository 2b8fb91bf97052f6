//! Content that is made while it is sent.

use std::error::Error;
use std::fmt;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::future::catch_panic_async;

/// What may go wrong while content is made. It is for the log; the client sees the connection
/// end before the content does.
pub type StreamError = Box<dyn Error + Send + Sync>;

/// A future that makes content.
pub(crate) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Content that was made, or why there is no more of it.
pub(crate) type Piece = Result<Bytes, StreamError>;

/// A future that makes content, and the pieces that it has made. It runs only as fast as the
/// client takes them: there is never more than one piece waiting.
pub struct Stream {
    length: Option<u64>,
    pieces: mpsc::Receiver<Piece>,
    /// Nobody locks it: only its owner polls it. A future need not be `Sync`, but an
    /// `Exchange` that a handler lends to something async must be, and this may lie in one.
    work: Mutex<Option<Work>>,
}

/// Where the work puts its pieces.
pub struct StreamSender {
    pieces: mpsc::Sender<Piece>,
}

impl StreamSender {
    /// Waits until there is room for a piece: whoever has pieces to fetch need not do so before.
    pub async fn ready(&self) -> io::Result<()> {
        self.pieces.reserve().await.map(drop).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    /// Sends a piece. Fails when nobody takes it any more, and the work may as well stop.
    pub async fn send(&self, piece: impl Into<Bytes>) -> io::Result<()> {
        let gone = |_| io::ErrorKind::BrokenPipe.into();
        self.pieces.send(Ok(piece.into())).await.map_err(gone)
    }
}

impl Stream {
    /// Content of the given length in bytes, or of one that nobody knows yet. The work must
    /// send exactly what was announced; if it fails, or sends less or more, the client is
    /// made to notice.
    pub fn new<W, E>(length: Option<u64>, work: impl FnOnce(StreamSender) -> W) -> Stream
    where
        W: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<StreamError>,
    {
        let (sender, pieces) = mpsc::channel(1);
        let work = work(StreamSender { pieces: sender.clone() });
        let work = async move {
            let outcome = match catch_panic_async(pin!(work)).await {
                Some(outcome) => outcome.map_err(Into::into),
                None => Err("the work on it panicked".into()),
            };
            if let Err(error) = outcome {
                // The failure stands in line, after the pieces that were made before it.
                let _ = sender.send(Err(error)).await;
            }
        };
        Stream { length, pieces, work: Mutex::new(Some(Box::pin(work))) }
    }

    /// Its length in bytes, where it is known before.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// The work, and where it puts its pieces: for a connection, which polls the one whenever it
    /// is woken, whatever has become of the pieces before.
    pub(crate) fn into_parts(self) -> (Option<Work>, mpsc::Receiver<Piece>) {
        (self.work.into_inner().unwrap_or_else(PoisonError::into_inner), self.pieces)
    }

    /// The next piece; none when the work was done, and done well.
    pub async fn next(&mut self) -> Result<Option<Bytes>, StreamError> {
        let slot = self.work.get_mut().unwrap_or_else(PoisonError::into_inner);
        while let Some(work) = slot {
            tokio::select! {
                biased;
                Some(piece) = self.pieces.recv() => return piece.map(Some),
                () = work => *slot = None,
            }
        }
        self.pieces.recv().await.transpose()
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
