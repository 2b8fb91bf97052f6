//! The end of a connection, seen from its socket: noticing that the client disconnects, and the
//! lingering close.
//!
//! TCP has two ways to end a connection. FIN means that its sender will send no more; the other
//! direction stays open (half-close). RST ends both directions immediately and discards what is
//! in flight.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::task::Poll;

use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep};

use crate::http::buffered::{BufferedSocket, Socket, acquire_buffer, evicted_error};
use crate::http::eviction::EvictionClass;

impl<S: Socket> BufferedSocket<S> {
    /// Watches the client while its connection waits for something else, such as a handler.
    /// Never completes with a value: the error says why the response is of no use any more.
    ///
    /// Bytes that the client sends in the meantime are read ahead, because EOF becomes visible
    /// only after them. They fill at most one small buffer; after that, only a reset is
    /// noticed.
    ///
    /// EOF means that the client has sent FIN. It may be a half-close by shutdown(2), and the
    /// client still reads; or the client has exited, and only a reset in reply to later bytes
    /// would tell. So after EOF the connection waits for `half_close_timeout`.
    pub(crate) async fn watch(&mut self) -> io::Result<Infallible> {
        let since = self.busy_since.unwrap_or_else(Instant::now);
        let evicted = self.admission.evicted(EvictionClass::Busy, since, false);
        tokio::select! {
            biased;
            ended = self.read_until_eof() => ended?,
            () = evicted => return Err(evicted_error()),
        }
        let timeout = self.limits().half_close_timeout;
        let evicted = self.admission.evicted(EvictionClass::Closing, Instant::now(), false);
        tokio::select! {
            biased;
            error = self.socket.failed() => Err(error),
            () = evicted => Err(evicted_error()),
            () = sleep(timeout) => Err(io::Error::other("the client had closed its side")),
        }
    }

    /// Reads until EOF. Returns an error if the connection has failed, for example by a reset.
    async fn read_until_eof(&mut self) -> io::Result<()> {
        loop {
            let read = poll_fn(|context| {
                if self.input.capacity() == 0 {
                    self.input = acquire_buffer();
                }
                match self.input.try_reclaim(1) {
                    true => self.poll_read(context).map(Some),
                    false => Poll::Ready(None),
                }
            });
            match read.await {
                Some(Ok(0)) => return Ok(()),
                Some(read) => drop(read?),
                None => return Err(self.socket.failed().await),
            }
        }
    }

    /// Lingering close (RFC 9112 section 9.6): closes the sending side (a half-close), then
    /// reads and discards until the client closes its side, `linger_timeout` passes, or the
    /// connection is evicted.
    ///
    /// If a socket is closed with unread bytes in its receive buffer, or bytes arrive later,
    /// the kernel sends RST. The client's kernel then discards what the client has not read
    /// yet, and the last response can be lost.
    pub(crate) async fn linger(&mut self) -> io::Result<()> {
        self.socket.shutdown().await?;
        let timeout = sleep(self.limits().linger_timeout);
        let evicted = self.admission.evicted(EvictionClass::Closing, Instant::now(), false);
        let discard = async {
            loop {
                self.input.clear();
                if self.fill().await? == 0 {
                    return Ok(());
                }
            }
        };
        tokio::select! {
            biased;
            discarded = discard => discarded,
            () = evicted => Ok(()),
            () = timeout => Ok(()),
        }
    }
}
