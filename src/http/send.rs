//! Sending the content of a response after its head: from memory, from a file, or from a stream
//! that creates it while it is sent.
//!
//! If content fails halfway, or has another length than was announced, the response is aborted:
//! without its last chunk, or shorter than its `Content-Length`, it is recognizably incomplete
//! (RFC 9112 section 8).

use std::future::poll_fn;
use std::io;
use std::pin::pin;

use bytes::Buf;
use log::warn;
use tokio::sync::mpsc;

use crate::escape;
use crate::http::body::Body;
use crate::http::buffered::{BufferedSocket, Socket};
use crate::http::chunked;
use crate::http::file::{FileBody, READ_SIZE, SMALL_READ_SIZE};
use crate::http::response_head::Delimiter;
use crate::http::stream::{Data, Stream, StreamError};

/// Sends the content of a response, after its head, which is in the output buffer. The outer
/// error is that the client has disconnected; the inner one, of the functions below, that the
/// content failed.
pub(crate) async fn send(
    socket: &mut BufferedSocket<impl Socket>,
    content: Body,
    delimiter: Delimiter,
) -> io::Result<()> {
    let sent = match content {
        Body::Bytes(content) => return socket.flush_with(content).await,
        Body::Stream(stream) => send_stream(socket, stream, delimiter).await,
        Body::File(file) => send_file(socket, file).await,
    };
    match sent? {
        Ok(()) => Ok(()),
        Err(error) => abort_response(socket, delimiter, error).await,
    }
}

/// Sends content while a future creates it. The future is polled whenever it is woken, even
/// while a write is blocked: it may hold a lock that other connections wait for. The channel
/// between the two holds one piece, so a slow client slows the future down (backpressure).
async fn send_stream(
    socket: &mut BufferedSocket<impl Socket>,
    stream: Stream,
    delimiter: Delimiter,
) -> io::Result<Result<(), StreamError>> {
    let length = stream.length();
    let (mut work, pieces) = stream.into_parts();
    let mut sending = pin!(send_pieces(socket, pieces, length, delimiter));
    poll_fn(|context| {
        work.take_if(|work| work.as_mut().poll(context).is_ready());
        sending.as_mut().poll(context)
    })
    .await
}

async fn send_pieces(
    socket: &mut BufferedSocket<impl Socket>,
    mut pieces: mpsc::Receiver<Data>,
    length: Option<u64>,
    delimiter: Delimiter,
) -> io::Result<Result<(), StreamError>> {
    let mut remaining = length;
    while let Some(piece) = socket.run_watched(pieces.recv()).await? {
        let piece = match piece {
            Ok(piece) => piece,
            Err(error) => return Ok(Err(error)),
        };
        let length = piece.len() as u64;
        if remaining.is_some_and(|remaining| remaining < length) {
            return Ok(Err("it is longer than was announced".into()));
        }
        remaining = remaining.map(|remaining| remaining - length);
        // A chunk of length zero would be the last chunk.
        if delimiter == Delimiter::LastChunk && length > 0 {
            chunked::push_size(socket.output(), piece.len());
            socket.flush_with(piece.chain(&b"\r\n"[..])).await?;
        } else {
            socket.flush_with(piece).await?;
        }
    }
    if remaining.is_some_and(|remaining| remaining > 0) {
        return Ok(Err("it is shorter than was announced".into()));
    }
    if delimiter == Delimiter::LastChunk {
        socket.output().extend_from_slice(chunked::LAST_CHUNK);
    }
    Ok(Ok(()))
}

/// Sends a range of a file, block by block: large blocks if the memory budget has space for
/// one, small ones otherwise.
async fn send_file(
    socket: &mut BufferedSocket<impl Socket>,
    mut file: Box<FileBody>,
) -> io::Result<Result<(), StreamError>> {
    let mut reservation = socket.admission.empty_reservation();
    let wanted = usize::try_from(file.length()).unwrap_or(READ_SIZE).min(READ_SIZE);
    socket.holds_file = socket.admission.grow(&mut reservation, wanted);
    let read_size = if socket.holds_file { READ_SIZE } else { SMALL_READ_SIZE };
    while file.length() > 0 {
        match socket.run_watched(file.read(read_size)).await? {
            Ok(block) => socket.flush_with(block).await?,
            Err(error) => return Ok(Err(error.into())),
        }
    }
    socket.holds_file = false;
    Ok(Ok(()))
}

/// Aborts the connection in the middle of a response. Output queued before, such as earlier
/// pipelined responses, is still flushed. If the response is close-delimited (RFC 9112 section
/// 6.3), a normal close would make it look complete, so the connection is reset; that discards
/// what the kernel has not delivered.
async fn abort_response(
    socket: &mut BufferedSocket<impl Socket>,
    delimiter: Delimiter,
    error: StreamError,
) -> io::Result<()> {
    let (address, why) = (socket.admission.peer().ip(), escape::log(error));
    warn!(target: "dustdevil::general", "response to {address} aborted: {why}");
    socket.flush().await?;
    match delimiter {
        Delimiter::Close => socket.reset_on_close(),
        _ => socket.linger().await?,
    }
    Err(io::Error::other("the content could not be made"))
}
