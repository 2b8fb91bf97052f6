//! Content (RFC 9112 section 6): reading it, within its limits.
//!
//! The connection reads content, and the handler waits for it: two futures of one task, joined by
//! a channel. So the connection keeps an eye on the client while the handler does something else.

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

/// A slow start is no slow client: the minimum rate counts from here on.
const RATE_GRACE_PERIOD: Duration = Duration::from_secs(15);

/// Bytes a second. An upload waits for its client, and may be evicted, since the time at which it would
/// have been where it is at this rate.
const HEALTHY_RATE: u64 = 16 * 1024;

/// How far that may be in the future: a burst is no pledge for a minute.
const MAX_CREDIT: Duration = Duration::from_secs(2);

/// Content that no handler wanted is read and discarded up to this size, so that the connection can
/// go on. Larger content ends it.
const MAX_DISCARDED: u64 = 64 * 1024;

/// The content of one request, which may not have arrived yet.
pub trait Incoming: Send {
    /// Reads it whole. A client that waits for `100 Continue` is told so now, and not before.
    /// What was read already is not read again: the second time there is nothing.
    fn read(&mut self) -> Reading<'_>;
}

/// Content on its way. Where the client is gone, this never completes: the connection drops the
/// handler that waits for it.
pub type Reading<'a> = Pin<Box<dyn Future<Output = Result<Bytes, Refusal>> + Send + 'a>>;

/// Content that is there already.
pub struct Buffered(pub Bytes);

impl Incoming for Buffered {
    fn read(&mut self) -> Reading<'_> {
        Box::pin(std::future::ready(Ok(std::mem::take(&mut self.0))))
    }
}

/// The handler's end of an upload.
pub(crate) struct Requester(Option<oneshot::Sender<Reply>>);

/// The connection's end of it.
pub(crate) struct Requested(oneshot::Receiver<Reply>);

/// The way back.
type Reply = oneshot::Sender<Result<Bytes, Refusal>>;

pub(crate) fn channel() -> (Requester, Requested) {
    let (sender, receiver) = oneshot::channel();
    (Requester(Some(sender)), Requested(receiver))
}

impl Incoming for Requester {
    fn read(&mut self) -> Reading<'_> {
        Box::pin(async {
            let Some(requester) = self.0.take() else { return Ok(Bytes::new()) };
            let (sender, receiver) = oneshot::channel();
            // If the connection has gone, so has this task, at its next `.await`.
            let _ = requester.send(sender);
            match receiver.await {
                Ok(content) => content,
                Err(_) => std::future::pending().await,
            }
        })
    }
}

impl Requested {
    /// Waits until the handler asks for the content; `None` if it never will.
    pub(crate) async fn request(&mut self) -> Option<Reply> {
        (&mut self.0).await.ok()
    }
}

/// The content of the request that a connection is at, as far as it has not been read.
#[derive(Debug)]
pub(crate) struct Upload {
    framing: Framing,
    expects_continue: bool,
    /// Reading it has begun, and has not come to its end.
    is_broken: bool,
}

/// Why content could not be read.
enum ReadError {
    /// It was malformed, too large or too slow: there is an answer to that.
    Refused(Refusal),
    /// The client is gone.
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
    pub(crate) fn of(request: &Request) -> Upload {
        let (framing, expects_continue) = (request.framing(), request.expects_continue());
        Upload { framing, expects_continue, is_broken: false }
    }

    /// Returns `true` if none of the content is left in the socket, so that the next request
    /// follows.
    pub(crate) fn is_read(&self) -> bool {
        self.framing == Framing::Empty
    }

    /// Takes content that has arrived whole, with its head, from the front of `input`.
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
        // Content that does not fit a small buffer is counted, as all large content is.
        if length > input.len().min(max_content).min(BUFFER_CAPACITY) {
            return None;
        }
        let content = Bytes::copy_from_slice(&input[..length]);
        input.advance(length);
        self.framing = Framing::Empty;
        Some(content)
    }

    /// Reads the content whole.
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

    /// Tells a client that waits for it to go on. One whose content comes already did not wait.
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

    /// Returns `true` if the connection can go on behind the content, which no handler may have
    /// read: it was read, or it is small enough to be [discarded](Upload::discard). How large chunks
    /// are, only time can tell.
    pub(crate) fn may_discard(&self) -> bool {
        let is_small = match self.framing {
            Framing::Empty => return !self.is_broken,
            Framing::Length(length) => length <= MAX_DISCARDED,
            Framing::Chunked => true,
        };
        // A client that waits for `100 Continue` may send its content now, or may not.
        is_small && !self.is_broken && !self.expects_continue
    }

    /// Reads what no handler has read, and discards it. Returns `false` if that cannot be done: it
    /// is malformed, too large or too slow, and the response to it was sent already.
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
            let (eviction, late) =
                (socket.admission.eviction(), pace.late(socket.limits()));
            match read_within(pin!(socket.fill()), &pace, eviction, late).await {
                Ok(read) => pace.arrived += read as u64,
                Err(ReadError::Refused(_)) => return Ok(false),
                Err(ReadError::Disconnected(error)) => return Err(error),
            }
        }
    }
}

async fn read_length(
    socket: &mut BufferedSocket<impl Socket>,
    length: usize,
) -> Result<Bytes, ReadError> {
    let mut content = ContentBuffer::new(&socket.admission);
    let mut pace = Pace::begin();
    let arrived = length.min(socket.input.len());
    content.make_room(&socket.admission, arrived, length)?;
    content.bytes.extend_from_slice(&socket.input[..arrived]);
    socket.input.advance(arrived);
    while content.bytes.len() < length {
        content.make_room(&socket.admission, 1, length)?;
        pace.arrived = content.bytes.len() as u64;
        let (eviction, late) = (socket.admission.eviction(), pace.late(socket.limits()));
        let read = pin!(socket.read_to(&mut content.bytes));
        read_within(read, &pace, eviction, late).await?;
    }
    Ok(Bytes::from_owner(content))
}

async fn read_chunks(
    socket: &mut BufferedSocket<impl Socket>,
    max_content: usize,
) -> Result<Bytes, ReadError> {
    let mut content = ContentBuffer::new(&socket.admission);
    let mut pace = Pace::begin();
    let mut decoder = Decoder::default();
    loop {
        // Decoded content is never longer than the chunks that it comes in.
        let most = socket.input.len();
        content.make_room(&socket.admission, most, max_content.saturating_add(most))?;
        let is_whole = decoder.decode(&mut socket.input, &mut content.bytes)?;
        let length = (content.bytes.len() as u64).saturating_add(decoder.announced());
        if length > max_content as u64 {
            return Err(too_large().into());
        }
        if is_whole {
            return Ok(Bytes::from_owner(content));
        }
        if pace.arrived >= READ_AHEAD as u64 {
            // A large upload is read in fewer system calls. If there is no memory, it is not.
            socket.read_ahead();
        }
        let (eviction, late) = (socket.admission.eviction(), pace.late(socket.limits()));
        let read = read_within(pin!(socket.fill()), &pace, eviction, late).await?;
        pace.arrived += read as u64;
    }
}

/// Waits for a read, as long as the client may take for it.
async fn read_within(
    mut read: Pin<&mut (impl Future<Output = io::Result<usize>> + Send)>,
    pace: &Pace,
    eviction: Eviction,
    late: Instant,
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
                    () = sleep_until(late) => None,
                }
            };
            Box::pin(slow_read).await.ok_or_else(too_slow)?
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

/// How fast content arrives.
struct Pace {
    began: Instant,
    arrived: u64,
}

impl Pace {
    fn begin() -> Pace {
        Pace { began: Instant::now(), arrived: 0 }
    }

    /// When the client is too slow, unless more arrives before: past the minimum rate, or past
    /// the time for all of it.
    fn late(&self, limits: &Limits) -> Instant {
        let seconds = self.arrived / u64::from(limits.min_content_rate.max(1));
        let by_rate = RATE_GRACE_PERIOD + Duration::from_secs(seconds);
        deadline(self.began, by_rate.min(limits.content_timeout))
    }

    /// See [`HEALTHY_RATE`].
    fn waits_since(&self) -> Instant {
        let on_time =
            Duration::from_millis(self.arrived.saturating_mul(1000) / HEALTHY_RATE);
        deadline(self.began, on_time).min(Instant::now() + MAX_CREDIT)
    }
}

fn too_slow() -> Refusal {
    Refusal::new(Status::REQUEST_TIMEOUT, "The content did not arrive in time.")
}

fn too_large() -> Refusal {
    Refusal::new(Status::CONTENT_TOO_LARGE, "The content is too large.")
}
