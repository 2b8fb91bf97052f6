//! Sending the content of a response whose head was written: from memory, from a file, or as it is made.
//!
//! Where content fails half way, or is of another length than was announced, the connection breaks
//! off there and then: without its last chunk, or short of its length, the response cannot be taken
//! for a whole one.

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

/// Sends the content of a response whose head was written.
pub(crate) async fn send(
    socket: &mut BufferedSocket<impl Socket>,
    content: Body,
    delimiter: Delimiter,
) -> io::Result<()> {
    let sent = match content {
        Body::Bytes(content) => return socket.flush_with(content).await,
        Body::Stream(stream) => send_stream(socket, stream, delimiter).await,
        Body::File(part) => send_file(socket, part).await,
    };
    match sent? {
        Ok(()) => Ok(()),
        Err(why) => abort_response(socket, delimiter, why).await,
    }
}

/// Why content breaks off: what it was made of failed.
type Broken = StreamError;

/// Sends content as it is made. As in [`BufferedSocket::run`], the future that makes it is polled
/// whenever it is woken, also while a write is blocked; it is dropped before anything else is waited
/// for.
async fn send_stream(
    socket: &mut BufferedSocket<impl Socket>,
    stream: Stream,
    delimiter: Delimiter,
) -> io::Result<Result<(), Broken>> {
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
) -> io::Result<Result<(), Broken>> {
    let mut left = length;
    while let Some(piece) = socket.run(pieces.recv()).await? {
        let piece = match piece {
            Ok(piece) => piece,
            Err(error) => return Ok(Err(error)),
        };
        let length = piece.len() as u64;
        if left.is_some_and(|left| left < length) {
            return Ok(Err("it is longer than was announced".into()));
        }
        left = left.map(|left| left - length);
        if delimiter == Delimiter::LastChunk && length > 0 {
            chunked::push_size(socket.output(), piece.len());
            socket.flush_with(piece.chain(&b"\r\n"[..])).await?;
        } else {
            socket.flush_with(piece).await?;
        }
    }
    if left.is_some_and(|left| left > 0) {
        return Ok(Err("it is shorter than was announced".into()));
    }
    if delimiter == Delimiter::LastChunk {
        socket.output().extend_from_slice(chunked::LAST_CHUNK);
    }
    Ok(Ok(()))
}

/// Sends a part of a file, piece by piece: large ones, if there is memory for them.
async fn send_file(
    socket: &mut BufferedSocket<impl Socket>,
    mut part: Box<FileBody>,
) -> io::Result<Result<(), Broken>> {
    let mut memory = socket.admission.empty_reservation();
    let wanted = usize::try_from(part.length()).unwrap_or(READ_SIZE).min(READ_SIZE);
    let is_there = socket.admission.grow(&mut memory, wanted);
    socket.holds_file = is_there;
    let most = if is_there { READ_SIZE } else { SMALL_READ_SIZE };
    while part.length() > 0 {
        match socket.run(part.read(most)).await? {
            Ok(piece) => socket.flush_with(piece).await?,
            Err(error) => return Ok(Err(error.into())),
        }
    }
    socket.holds_file = false;
    Ok(Ok(()))
}

/// Ends the connection within a response. What stands before that point is owed all the same,
/// and the responses to other requests may be among it. Where the end of the connection would
/// be the end of the response, it is made a bad end, which takes with it what the system has not
/// delivered yet.
async fn abort_response(
    socket: &mut BufferedSocket<impl Socket>,
    delimiter: Delimiter,
    why: Broken,
) -> io::Result<()> {
    let address = socket.admission.peer().ip();
    warn!(target: "dustdevil::general", "an answer to {address} broke off: {}", escape::log(why));
    socket.flush().await?;
    match delimiter {
        Delimiter::Close => socket.reset_on_close(),
        _ => socket.linger().await?,
    }
    Err(io::Error::other("the content could not be made"))
}
