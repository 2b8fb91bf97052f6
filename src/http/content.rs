//! Reading request content (RFC 9112 section 6) within its limits of size, time, rate and memory.
//!
//! The connection reads the content, and the handler waits for it. They are two futures of one
//! task, connected by a channel:
//! ```text
//!   handler: Requester::read --- oneshot: "read it" ---> connection: Requests::next
//!   handler:     Reading     <--- oneshot: content ----- connection: Upload::read
//! ```
//! So the connection can watch the socket while the handler does something else, and drop the
//! handler when the client disconnects.

use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use crate::cached_clock::deadline;
use crate::future::poll_once;
use crate::http::buffered::{
    BUFFER_CAPACITY, BufferedSocket, READ_AHEAD, Socket, evicted_error,
};
use crate::http::chunked::Decoder;
use crate::http::content_buffer::{ContentBuffer, out_of_memory};
use crate::http::framing::Framing;
use crate::http::limits::Limits;
use crate::http::refusal::Refusal;
use crate::http::request::Request;
use crate::http::server_state::Eviction;
use crate::http::status::Status;

/// Grace period at the start of an upload, before the minimum data rate applies.
const RATE_GRACE_PERIOD: Duration = Duration::from_secs(15);

/// Data rate of a healthy upload in bytes per second. For eviction, an upload waits for its
/// client since the time at which this rate would have brought the bytes that have arrived.
const HEALTHY_RATE: u64 = 16 * 1024;

/// Maximum time by which that may be in the future. Otherwise one fast burst would protect a
/// stalled upload from eviction for minutes.
const MAX_CREDIT: Duration = Duration::from_secs(2);

/// Maximum bytes of content that are read and discarded after the response, if the handler did
/// not read them, to keep the connection alive. Larger content closes the connection.
const MAX_DISCARDED: u64 = 64 * 1024;

/// The content of one request, which may not have arrived yet.
pub trait Incoming: Send {
    /// Reads the whole content. A client that expects `100 Continue` receives it now. The
    /// second call returns empty content.
    fn read(&mut self) -> Reading<'_>;
}

/// A future that resolves to the content. If the client has disconnected, it stays pending, and
/// the connection drops the handler that waits for it.
pub type Reading<'a> = Pin<Box<dyn Future<Output = Result<Bytes, Refusal>> + Send + 'a>>;

/// Content that has already arrived.
pub struct Buffered(pub Bytes);

impl Incoming for Buffered {
    fn read(&mut self) -> Reading<'_> {
        Box::pin(std::future::ready(Ok(std::mem::take(&mut self.0))))
    }
}

/// The handler's end of an upload. `None` after it has requested the content.
pub(crate) struct Requester(Option<oneshot::Sender<Reply>>);

/// The connection's end of an upload.
pub(crate) struct Requests(oneshot::Receiver<Reply>);

/// The channel on which the connection returns the content.
type Reply = oneshot::Sender<Result<Bytes, Refusal>>;

pub(crate) fn channel() -> (Requester, Requests) {
    let (sender, receiver) = oneshot::channel();
    (Requester(Some(sender)), Requests(receiver))
}

impl Incoming for Requester {
    fn read(&mut self) -> Reading<'_> {
        Box::pin(async {
            let Some(requester) = self.0.take() else { return Ok(Bytes::new()) };
            let (sender, receiver) = oneshot::channel();
            // If the connection has dropped its end, it is about to drop this future, too.
            let _ = requester.send(sender);
            match receiver.await {
                Ok(content) => content,
                Err(_) => std::future::pending().await,
            }
        })
    }
}

impl Requests {
    /// Waits until the handler requests the content. Returns `None` if it has dropped its end.
    pub(crate) async fn next(&mut self) -> Option<Reply> {
        (&mut self.0).await.ok()
    }
}

/// The content of the current request, as far as the connection has not read it yet.
#[derive(Debug)]
pub(crate) struct Upload {
    framing: Framing,
    expects_continue: bool,
    /// `true` while a read is in progress. It stays `true` if the read fails, or if its future
    /// is dropped; the end of the content is then unknown, and the connection must close.
    is_broken: bool,
}

/// The reason why content could not be read.
enum ReadError {
    /// The content is malformed, too large or too slow. The client gets a response.
    Refused(Refusal),
    /// The client has disconnected, so there is no response.
    Disconnected(io::Error),
}

impl From<Refusal> for ReadError {
    fn from(refusal: Refusal) -> ReadError {
        ReadError::Refused(refusal)
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> ReadError {
        ReadError::Disconnected(error)
    }
}

impl Upload {
    pub(crate) fn new(request: &Request) -> Upload {
        let (framing, expects_continue) = (request.framing(), request.expects_continue());
        Upload { framing, expects_continue, is_broken: false }
    }

    /// Returns `true` if the content has been read completely, so that the next bytes on the
    /// socket belong to the next request.
    pub(crate) fn is_read(&self) -> bool {
        self.framing == Framing::Empty
    }

    /// Removes the content from the front of `input` if it has arrived completely together with
    /// the head. Returns `None` if not; the content is then read through the channel.
    pub(crate) fn take_buffered(
        &mut self,
        input: &mut BytesMut,
        max_content: usize,
    ) -> Option<Bytes> {
        let length = match self.framing {
            Framing::Empty => return Some(Bytes::new()),
            Framing::Length(length) if !self.expects_continue => {
                usize::try_from(length).ok()?
            }
            Framing::Length(_) | Framing::Chunked => return None,
        };
        // Larger content is counted against the memory budget, which `read` does.
        if length > input.len().min(max_content).min(BUFFER_CAPACITY) {
            return None;
        }
        let content = Bytes::copy_from_slice(&input[..length]);
        input.advance(length);
        self.framing = Framing::Empty;
        Some(content)
    }

    /// Reads the whole content. The outer error means that the client has disconnected.
    pub(crate) async fn read(
        &mut self,
        socket: &mut BufferedSocket<impl Socket>,
    ) -> io::Result<Result<Bytes, Refusal>> {
        match self.read_whole(socket).await {
            Ok(content) => Ok(Ok(content)),
            Err(ReadError::Refused(refusal)) => Ok(Err(refusal)),
            Err(ReadError::Disconnected(error)) => Err(error),
        }
    }

    async fn read_whole(
        &mut self,
        socket: &mut BufferedSocket<impl Socket>,
    ) -> Result<Bytes, ReadError> {
        let max_content = socket.limits().max_content;
        self.is_broken = true;
        let content = match self.framing {
            Framing::Empty => Bytes::new(),
            Framing::Length(length) => {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                if length > max_content {
                    return Err(too_large().into());
                }
                self.send_continue(socket).await?;
                read_length(socket, length).await?
            }
            Framing::Chunked => {
                self.send_continue(socket).await?;
                read_chunks(socket, max_content).await?
            }
        };
        (self.framing, self.is_broken) = (Framing::Empty, false);
        Ok(content)
    }

    /// Sends the interim response `100 Continue` if the client expects it (RFC 9110 section
    /// 10.1.1), but not if content has begun to arrive, because the client did not wait then.
    async fn send_continue(
        &mut self,
        socket: &mut BufferedSocket<impl Socket>,
    ) -> io::Result<()> {
        if self.expects_continue && socket.input.is_empty() {
            socket.output().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            socket.flush().await?;
        }
        Ok(())
    }

    /// Returns `true` if the connection can be kept alive: the content was read, or is small
    /// enough to be [discarded](Upload::discard). Chunked content has no declared size, so
    /// `discard` decides.
    pub(crate) fn may_discard(&self) -> bool {
        let is_small = match self.framing {
            Framing::Empty => return !self.is_broken,
            Framing::Length(length) => length <= MAX_DISCARDED,
            Framing::Chunked => true,
        };
        // After a final response, a client that expects `100 Continue` may send or skip its
        // content.
        is_small && !self.is_broken && !self.expects_continue
    }

    /// Reads content that the handler did not read, and discards it. Returns `false` if the
    /// content is malformed, too large or too slow. The connection must close then, without
    /// another response, because the response was sent before.
    pub(crate) async fn discard(
        &mut self,
        socket: &mut BufferedSocket<impl Socket>,
    ) -> io::Result<bool> {
        let mut pace = Pace::begin();
        let mut decoder = Decoder::default();
        loop {
            let is_whole = match &mut self.framing {
                Framing::Empty => return Ok(true),
                Framing::Length(left) => {
                    let arrived = socket.input.len();
                    let discarded = usize::try_from(*left).unwrap_or(arrived).min(arrived);
                    socket.input.advance(discarded);
                    *left -= discarded as u64;
                    Ok(*left == 0)
                }
                Framing::Chunked => decoder.decode(&mut socket.input, &mut Vec::new()),
            };
            match is_whole {
                Ok(true) => return Ok(true),
                Ok(false) if pace.arrived <= MAX_DISCARDED => {}
                _ => return Ok(false),
            }
            let (eviction, deadline) =
                (socket.admission.eviction(), pace.deadline(socket.limits()));
            match read_until(deadline, pin!(socket.fill()), &pace, eviction).await {
                Ok(read) => pace.arrived += read as u64,
                Err(ReadError::Refused(_)) => return Ok(false),
                Err(ReadError::Disconnected(error)) => return Err(error),
            }
        }
    }
}

/// Reads content with a Content-Length, directly into the buffer that the handler gets.
async fn read_length(
    socket: &mut BufferedSocket<impl Socket>,
    length: usize,
) -> Result<Bytes, ReadError> {
    let mut content = ContentBuffer::new(&socket.admission);
    let mut pace = Pace::begin();
    let arrived = length.min(socket.input.len());
    content.reserve(&socket.admission, arrived, length)?;
    content.bytes.extend_from_slice(&socket.input[..arrived]);
    socket.input.advance(arrived);
    socket.release_empty_input();
    while content.bytes.len() < length {
        content.reserve(&socket.admission, 1, length)?;
        pace.arrived = content.bytes.len() as u64;
        let (eviction, deadline) =
            (socket.admission.eviction(), pace.deadline(socket.limits()));
        let read = pin!(socket.read_to(&mut content.bytes));
        read_until(deadline, read, &pace, eviction).await?;
    }
    Ok(Bytes::from_owner(content))
}

/// Reads chunked content. The size is checked as chunks are announced, before their data
/// arrives.
async fn read_chunks(
    socket: &mut BufferedSocket<impl Socket>,
    max_content: usize,
) -> Result<Bytes, ReadError> {
    let mut content = ContentBuffer::new(&socket.admission);
    let mut pace = Pace::begin();
    let mut decoder = Decoder::default();
    loop {
        // Decoded content is never longer than its encoding.
        let max = socket.input.len();
        content.reserve(&socket.admission, max, max_content.saturating_add(max))?;
        let is_whole = decoder.decode(&mut socket.input, &mut content.bytes)?;
        let arrived = content.bytes.len() as u64;
        if arrived.saturating_add(decoder.remaining_in_chunk()) > max_content as u64 {
            return Err(too_large().into());
        }
        if is_whole {
            return Ok(Bytes::from_owner(content));
        }
        if pace.arrived >= READ_AHEAD as u64 {
            // A larger input buffer, if the budget allows, for fewer system calls.
            socket.read_ahead();
        }
        let (eviction, deadline) =
            (socket.admission.eviction(), pace.deadline(socket.limits()));
        let read = read_until(deadline, pin!(socket.fill()), &pace, eviction).await?;
        pace.arrived += read as u64;
    }
}

/// Runs a read of the socket until the deadline, or until the connection is evicted.
///
/// The read is polled once first. Data has usually arrived already, and then neither a timer
/// nor an entry in the eviction list is created. The future that needs both is boxed, because
/// it is large.
async fn read_until(
    deadline: Instant,
    mut read: Pin<&mut (impl Future<Output = io::Result<usize>> + Send)>,
    pace: &Pace,
    eviction: Eviction,
) -> Result<usize, ReadError> {
    let read = match poll_once(read.as_mut()).await {
        Poll::Ready(read) => read,
        Poll::Pending => {
            let evicted = eviction.of_busy(pace.began, pace.waits_since(), true);
            let slow_read = async {
                tokio::select! {
                    biased;
                    read = read => Some(read),
                    () = evicted => Some(Err(evicted_error())),
                    () = sleep_until(deadline) => None,
                }
            };
            let message = "The content did not arrive in time.";
            let read = Box::pin(slow_read).await;
            read.ok_or(Refusal::new(Status::REQUEST_TIMEOUT, message))?
        }
    };
    match read {
        Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
            Err(out_of_memory().into())
        }
        Err(error) => Err(error.into()),
        Ok(0) => Err(Refusal::bad("The connection ended before the content did.").into()),
        Ok(read) => Ok(read),
    }
}

/// The progress of an upload, for its timeout and its minimum data rate.
struct Pace {
    began: Instant,
    /// Bytes so far.
    arrived: u64,
}

impl Pace {
    fn begin() -> Pace {
        Pace { began: Instant::now(), arrived: 0 }
    }

    /// Returns the time at which the upload fails with 408 if no more data arrives: it has then
    /// fallen below `min_content_rate`, or has reached `content_timeout`. The minimum rate
    /// stops slow uploads (a form of slowloris) long before `content_timeout`.
    fn deadline(&self, limits: &Limits) -> Instant {
        let seconds = self.arrived / u64::from(limits.min_content_rate.max(1));
        let by_rate = RATE_GRACE_PERIOD + Duration::from_secs(seconds);
        deadline(self.began, by_rate.min(limits.content_timeout))
    }

    /// Returns the time since which eviction treats the upload as waiting for its client. See
    /// [`HEALTHY_RATE`].
    fn waits_since(&self) -> Instant {
        let on_time =
            Duration::from_millis(self.arrived.saturating_mul(1000) / HEALTHY_RATE);
        deadline(self.began, on_time).min(Instant::now() + MAX_CREDIT)
    }
}

#[track_caller]
fn too_large() -> Refusal {
    Refusal::new(Status::CONTENT_TOO_LARGE, "The content is too large.")
}
