//! Content (RFC 9112 section 6): reading it, within its limits.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, timeout};

use crate::http::chunked::Decoder;
use crate::http::framing::Framing;
use crate::http::limits::Limits;
use crate::http::refusal::Refusal;
use crate::http::request::Request;
use crate::http::status::Status;
use crate::http::wire::{Socket, Wire};

/// A slow start is no slow client: the floor counts from here on.
const FLOOR_GRACE: Duration = Duration::from_secs(15);

/// The most that is asked of the socket at once.
const READ_AHEAD: usize = 64 * 1024;

/// The content of one request, still on the wire.
pub trait Incoming: Send {
    /// Reads it whole. A client that waits for `100 Continue` is told so now, and not before.
    /// What was read already is not read again: the second time there is nothing.
    fn read(&mut self) -> Reading<'_>;
}

/// Content on its way.
pub type Reading<'a> =
    Pin<Box<dyn Future<Output = Result<Bytes, ContentError>> + Send + 'a>>;

/// Why content did not arrive.
#[derive(Debug)]
pub enum ContentError {
    /// It was malformed, too large or too slow.
    Refused(Refusal),
    /// The client went away.
    Gone(io::Error),
}

impl From<Refusal> for ContentError {
    fn from(refusal: Refusal) -> ContentError {
        ContentError::Refused(refusal)
    }
}

impl From<io::Error> for ContentError {
    fn from(error: io::Error) -> ContentError {
        ContentError::Gone(error)
    }
}

/// What a request without content has coming, and a request that no socket brought.
pub struct NoContent;

impl Incoming for NoContent {
    fn read(&mut self) -> Reading<'_> {
        Box::pin(std::future::ready(Ok(Bytes::new())))
    }
}

/// The content of the request that a connection is at.
pub(crate) struct Content<'c, S> {
    wire: &'c mut Wire<S>,
    limits: &'c Limits,
    framing: Framing,
    expects_continue: bool,
}

impl<S: Socket> Incoming for Content<'_, S> {
    fn read(&mut self) -> Reading<'_> {
        Box::pin(self.read_whole())
    }
}

impl<'c, S: Socket> Content<'c, S> {
    pub(crate) fn of(
        request: &Request,
        wire: &'c mut Wire<S>,
        limits: &'c Limits,
    ) -> Content<'c, S> {
        let (framing, expects_continue) = (request.framing(), request.expects_continue());
        Content { wire, limits, framing, expects_continue }
    }

    /// Whether none of it is left on the wire, so that what follows is the next request.
    pub(crate) fn is_read(&self) -> bool {
        self.framing == Framing::Empty
    }

    async fn read_whole(&mut self) -> Result<Bytes, ContentError> {
        let content = match self.framing {
            Framing::Empty => return Ok(Bytes::new()),
            Framing::Length(length) => {
                let length = usize::try_from(length).map_err(|_| too_large())?;
                if length > self.limits.content {
                    return Err(too_large().into());
                }
                self.invite().await?;
                self.read_length(length).await?
            }
            Framing::Chunked => {
                self.invite().await?;
                self.read_chunks().await?
            }
        };
        self.framing = Framing::Empty;
        Ok(content)
    }

    /// Tells a client that waits for it to go on. One whose content comes already did not wait.
    async fn invite(&mut self) -> io::Result<()> {
        if self.expects_continue && self.wire.input.is_empty() {
            self.wire.output().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            self.wire.flush().await?;
        }
        Ok(())
    }

    async fn read_length(&mut self, length: usize) -> Result<Bytes, ContentError> {
        let begun = Instant::now();
        self.wire.make_room(length.saturating_sub(self.wire.input.len()));
        while self.wire.input.len() < length {
            let arrived = self.wire.input.len();
            self.read_more(begun, arrived, length - arrived).await?;
        }
        Ok(self.wire.input.split_to(length).freeze())
    }

    async fn read_chunks(&mut self) -> Result<Bytes, ContentError> {
        let begun = Instant::now();
        let mut decoder = Decoder::default();
        let mut content = BytesMut::new();
        loop {
            let is_whole = decoder.decode(&mut self.wire.input, &mut content)?;
            let length = (content.len() as u64).saturating_add(decoder.announced());
            if length > self.limits.content as u64 {
                return Err(too_large().into());
            }
            if is_whole {
                return Ok(content.freeze());
            }
            self.read_more(begun, content.len(), READ_AHEAD).await?;
        }
    }

    /// Waits for more octets, as long as the two time limits allow.
    async fn read_more(
        &mut self,
        begun: Instant,
        arrived: usize,
        wanted: usize,
    ) -> Result<(), ContentError> {
        let seconds = arrived as u64 / u64::from(self.limits.content_floor.max(1));
        let by_floor = FLOOR_GRACE + Duration::from_secs(seconds);
        let time_left =
            by_floor.min(self.limits.content_time).saturating_sub(begun.elapsed());
        let Ok(read) = timeout(time_left, self.wire.fill(wanted.min(READ_AHEAD))).await
        else {
            let sentence = "The content did not arrive in time.";
            return Err(Refusal::new(Status::REQUEST_TIMEOUT, sentence).into());
        };
        if read? == 0 {
            return Err(Refusal::bad("The connection ended before the content did.").into());
        }
        Ok(())
    }
}

fn too_large() -> Refusal {
    Refusal::new(Status::CONTENT_TOO_LARGE, "The content is larger than is taken here.")
}
