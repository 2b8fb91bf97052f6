//! A socket and its two buffers: octets in, octets out.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use log::debug;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use crate::at_once::{at_once, in_time};

/// What a new buffer has room for: nearly every head, and nearly every page.
const ROOM: usize = 4 * 1024;

/// A buffer that grew larger than this is let go instead of being kept for others.
const MOST_ROOM: usize = 64 * 1024;

/// Buffers a thread keeps for whoever needs one next.
const SPARE: usize = 64;

/// Output that is held back for the sake of fewer writes goes out when there is this much.
pub(crate) const OUTPUT_FULL: usize = 64 * 1024;

thread_local! {
    static SPARE_BUFFERS: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// What a connection is served on; a `TcpStream`, as a rule.
pub trait Socket: AsyncRead + AsyncWrite + Unpin + Send {
    /// Has the socket, when it is closed, end in a way that nobody takes for a good end.
    fn end_badly(&mut self) {}
}

impl Socket for TcpStream {
    /// With a reset, instead of the word that no more will come.
    fn end_badly(&mut self) {
        if let Err(error) = self.set_zero_linger() {
            debug!("a connection could not be reset: {error}");
        }
    }
}

impl Socket for DuplexStream {}

/// A connection owns its buffers while there is something in them. While it waits it has none:
/// ten thousand idle clients cost their sockets, and not ten thousand buffers.
pub(crate) struct Wire<S> {
    socket: S,
    /// What has arrived and was not taken yet.
    pub(crate) input: BytesMut,
    /// What is to be sent.
    pub(crate) output: BytesMut,
    /// How much of it has been sent: whoever waits for that may give up, and another go on.
    sent: usize,
    /// Whether `input` was grown past `ROOM`. What remains after a split reports little capacity
    /// but holds all of the memory, so it is not kept for others.
    input_is_large: bool,
    write_time: Duration,
}

impl<S: Socket> Wire<S> {
    pub(crate) fn new(socket: S, write_time: Duration) -> Wire<S> {
        Wire {
            socket,
            input: BytesMut::new(),
            output: BytesMut::new(),
            sent: 0,
            input_is_large: false,
            write_time,
        }
    }

    /// Waits until more octets have come in, and says how many. 0 is the end: the client will
    /// send no more. `wanted` is how many would be welcome; 0 is as many as come.
    pub(crate) async fn fill(&mut self, wanted: usize) -> io::Result<usize> {
        poll_fn(|context| {
            if self.input.capacity() == 0 {
                self.input = spare_buffer();
            }
            self.input_is_large |= wanted > ROOM;
            self.input.reserve(if wanted == 0 { ROOM / 2 } else { wanted });
            let read = pin!(self.socket.read_buf(&mut self.input)).poll(context);
            if read.is_pending() && self.input.is_empty() {
                let input = mem::take(&mut self.input);
                if !mem::take(&mut self.input_is_large) {
                    give_back(input);
                }
            }
            read
        })
        .await
    }

    /// Makes room for so many octets more, all at once: a buffer that grows as they come is copied
    /// each time, and ends up larger than they are. The system gives memory for what is filled.
    pub(crate) fn make_room(&mut self, octets: usize) {
        self.input_is_large |= octets > ROOM;
        self.input.reserve(octets);
    }

    /// Room to write a response in.
    pub(crate) fn output(&mut self) -> &mut BytesMut {
        if self.output.capacity() == 0 {
            self.output = spare_buffer();
        }
        &mut self.output
    }

    /// Sends what is to be sent.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        while self.sent < self.output.len() {
            let write = self.socket.write(&self.output[self.sent..]);
            let written = in_time(self.write_time, pin!(write)).await;
            self.sent += taken(&mut self.socket, written)?;
        }
        self.let_go_of_output();
        Ok(())
    }

    /// Sends what is to be sent, and `content` after it without copying it: one system call
    /// for both, as long as the socket takes them.
    pub(crate) async fn flush_with(&mut self, content: impl Buf) -> io::Result<()> {
        let mut octets = Buf::chain(&self.output[self.sent..], content);
        while octets.has_remaining() {
            let write = self.socket.write_buf(&mut octets);
            let written = in_time(self.write_time, pin!(write)).await;
            let taken = taken(&mut self.socket, written)?;
            self.sent = self.output.len().min(self.sent + taken);
        }
        self.let_go_of_output();
        Ok(())
    }

    fn let_go_of_output(&mut self) {
        self.output.clear();
        self.sent = 0;
        give_back(mem::take(&mut self.output));
    }

    /// Waits for `work`. Most work is done as soon as it is asked for; other work must not hold
    /// up what is to be sent, such as the answers to earlier requests.
    pub(crate) async fn wait_for<W: Future>(&mut self, work: W) -> io::Result<W::Output> {
        let mut work = pin!(work);
        if let Poll::Ready(done) = at_once(work.as_mut()).await {
            return Ok(done);
        }
        self.flush().await?;
        Ok(work.await)
    }

    /// See [`Socket::end_badly`].
    pub(crate) fn end_badly(&mut self) {
        self.socket.end_badly();
    }

    /// Closes in two steps (RFC 9112 section 9.6). A socket that is closed with octets unread
    /// resets the connection, and the reset may overtake the last answer. So: say that no more
    /// will come, and read until the client has seen it.
    pub(crate) async fn linger(&mut self, time: Duration) -> io::Result<()> {
        self.socket.shutdown().await?;
        let rest = async {
            self.input.clear();
            while self.fill(ROOM).await? > 0 {
                self.input.clear();
            }
            Ok(())
        };
        // Whoever is not done by then is left to it.
        timeout(time, rest).await.unwrap_or(Ok(()))
    }
}

/// How much a client has taken of a write. Each write has the time anew, so that it is standing
/// still which is limited, and a large answer may take its time.
fn taken<S: Socket>(
    socket: &mut S,
    written: Result<io::Result<usize>, Elapsed>,
) -> io::Result<usize> {
    match written {
        Ok(Ok(0)) => Err(io::ErrorKind::WriteZero.into()),
        Ok(written) => written,
        Err(_) => {
            // Who takes nothing is not to have it kept by the system, either.
            socket.end_badly();
            Err(io::ErrorKind::TimedOut.into())
        }
    }
}

fn spare_buffer() -> BytesMut {
    let spare = SPARE_BUFFERS.with_borrow_mut(Vec::pop);
    spare.unwrap_or_else(|| BytesMut::with_capacity(ROOM))
}

fn give_back(buffer: BytesMut) {
    SPARE_BUFFERS.with_borrow_mut(|spare| {
        if spare.len() < SPARE && buffer.capacity() <= MOST_ROOM {
            spare.push(buffer);
        }
    });
}
