//! The observer of a socket: the bytes in and out.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use real::http::buffered::Socket;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::recorder::{received, sent};

/// A socket whose bytes are recorded.
pub struct Observed<S>(pub S);

impl<S: Socket> Socket for Observed<S> {
    fn reset_on_close(&mut self) {
        self.0.reset_on_close();
    }

    fn failed(&mut self) -> impl Future<Output = io::Error> + Send {
        self.0.failed()
    }
}

impl<S: Socket> AsyncRead for Observed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.0).poll_read(context, buffer);
        if let Poll::Ready(Ok(())) = read {
            received(&buffer.filled()[before..]);
        }
        read
    }
}

impl<S: Socket> AsyncWrite for Observed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.0).poll_write(context, bytes);
        if let Poll::Ready(Ok(count)) = written {
            sent(&bytes[..count]);
        }
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.0).poll_write_vectored(context, slices);
        if let Poll::Ready(Ok(count)) = written {
            let all: Vec<u8> =
                slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            sent(&all[..count]);
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
