//! One connection, from its first octet to its last: requests in, responses out.
//!
//! ```text
//!            +--------------------------------- keep-alive ----+
//!            v                                                 |
//!   octets -> next_request -> answer (Service::respond) -> send -> linger, closed
//!                 |  |                                               ^
//!                 |  +- refused: a sentence, Connection: close ------+
//!                 +---- idle for too long, or asked to leave: closed without a word
//! ```
//! Requests that are sent without waiting for answers (pipelining, RFC 9112 section 9.3.2) are
//! answered in order, and the answers to all that one read brought leave in one write.

use std::fmt::Display;
use std::future::{pending, poll_fn};
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use bytes::Buf;
use log::{debug, warn};
use tokio::time::{Instant, sleep};

use crate::http::Service;
use crate::http::chunked;
use crate::http::content::{Content, NoContent};
use crate::http::file::FilePart;
use crate::http::framing::Framing;
use crate::http::limits::Limits;
use crate::http::notice::{Call, Notice};
use crate::http::refusal::Refusal;
use crate::http::request::{self, Request};
use crate::http::response::{Asked, Body, Delimiter, Response};
use crate::http::status::Status;
use crate::http::stream::Stream;
use crate::http::wire::{OUTPUT_FULL, Socket, Wire};
use crate::turn::{Alarm, now, turn};

/// Content up to this size is copied to its head; larger content is sent from where it is.
const SMALL: usize = 8 * 1024;

/// Serves the requests that come in on `socket` until either side has had enough, or there is
/// notice to leave.
// Not an `async fn`: that would keep its arguments twice, as they came and in the connection.
pub fn serve<'c, S: Socket + 'c, V: Service>(
    socket: S,
    peer: SocketAddr,
    service: &'c V,
    limits: &'c Limits,
    notice: &'c Notice,
) -> impl Future<Output = ()> + Send + 'c {
    let wire = Wire::new(socket, limits.write_time);
    let alarm = Alarm::after(limits.min_idle_time);
    let has_answered = false;
    let mut connection =
        Connection { wire, peer, service, limits, notice, alarm, has_answered };
    async move {
        let mut run = pin!(connection.run());
        let ended = poll_fn(|context| turn(|| run.as_mut().poll(context))).await;
        // Gone is silence: a client that left is no fault of anyone's.
        if let Err(error) = ended {
            debug!("the connection from {peer} broke: {error}");
        }
    }
}

struct Connection<'c, S, V> {
    wire: Wire<S>,
    peer: SocketAddr,
    service: &'c V,
    limits: &'c Limits,
    notice: &'c Notice,
    /// When to look for how long nothing was asked. It goes on whatever is asked: a timer that is
    /// set anew for each request would cost as much as taking its head apart.
    alarm: Alarm,
    /// Whether a request was answered.
    has_answered: bool,
}

/// What becomes of a connection after an answer.
enum Then {
    /// It may bring another request.
    Next,
    /// It is closed, with care: the client may still be sending.
    Linger,
    /// It is closed. The client has said that it sends no more (RFC 9112 section 9.6), and all that
    /// it is sent is one small answer, which is there before it could.
    Close,
}

/// What came of waiting for a request.
enum Next {
    /// A request.
    Request(Request),
    /// Something that is none, or was too slow to become one.
    Refused(Refusal),
    /// Nothing, and nothing is expected any more.
    Nothing,
}

/// The content of a response whose head was written.
struct Rest {
    content: Body,
    delimiter: Delimiter,
}

impl<S: Socket, V: Service> Connection<'_, S, V> {
    async fn run(&mut self) -> io::Result<()> {
        loop {
            let then = match self.next_request().await? {
                Next::Request(request) => self.answer(request).await?,
                Next::Refused(refusal) => self.refuse(&refusal),
                Next::Nothing => return Ok(()),
            };
            match then {
                Then::Next => {}
                Then::Linger => {
                    self.wire.flush().await?;
                    return self.linger().await;
                }
                Then::Close => return self.wire.flush().await,
            }
        }
    }

    /// Takes the next request from what has arrived, and waits for more until there is one.
    async fn next_request(&mut self) -> io::Result<Next> {
        let mut seen = 0;
        let mut head_began = None;
        if self.wire.output.len() >= OUTPUT_FULL {
            self.wire.flush().await?;
        }
        loop {
            match Request::parse(&mut self.wire.input, &mut seen, self.limits) {
                Ok(Some(request)) => return Ok(Next::Request(request)),
                Ok(None) => {}
                Err(refusal) => return Ok(Next::Refused(refusal)),
            }
            self.wire.flush().await?;
            if request::is_only_empty_lines(&self.wire.input) {
                if !self.wait_for_request().await? {
                    return Ok(Next::Nothing);
                }
                continue;
            }
            let began = *head_began.get_or_insert_with(now);
            if let Some(next) = self.wait_for_head(began).await? {
                return Ok(next);
            }
        }
    }

    /// Waits, as long as an idle connection may, for the first octets of a request; says whether
    /// any came. For a while it stays in any case, for a request may be on its way that would be
    /// lost with it. After that it leaves when it has notice to.
    async fn wait_for_request(&mut self) -> io::Result<bool> {
        let Connection { wire, limits, notice, alarm, .. } = self;
        let Limits { min_idle_time, idle_time, .. } = **limits;
        let began = now();
        loop {
            if let Some(read) = alarm.unless_it_rings(pin!(wire.fill(0))).await {
                return Ok(read? > 0);
            }
            match min_idle_time.saturating_sub(began.elapsed()) {
                Duration::ZERO => break,
                left => alarm.set(left),
            }
        }
        let leave = async {
            match notice.call().await {
                Call::MakeRoom => {}
                // It may have been just now, so the same time begins again.
                Call::Last => sleep(min_idle_time).await,
            }
        };
        let read = pin!(async {
            tokio::select! {
                biased;
                read = wire.fill(0) => Ok(read? > 0),
                () = leave => Ok(false),
            }
        });
        alarm.set(idle_time.saturating_sub(min_idle_time));
        let read = alarm.unless_it_rings(read).await;
        alarm.set(min_idle_time);
        read.unwrap_or(Ok(false))
    }

    /// Waits for more of a head that began then; says what is next if no more comes. Where others
    /// need the room, it has no longer than who is idle, for else a crowd of heads that never end
    /// would hold it.
    async fn wait_for_head(&mut self, began: Instant) -> io::Result<Option<Next>> {
        let left_of = |time: Duration| time.saturating_sub(began.elapsed());
        let leave = room_needed(self.notice, left_of(self.limits.min_idle_time));
        let read = tokio::select! {
            biased;
            read = self.wire.fill(0) => read?,
            () = leave => return Ok(Some(Next::Nothing)),
            () = sleep(left_of(self.limits.head_time)) => {
                let sentence = "The head of the request did not arrive in time.";
                let refusal = Refusal::new(Status::REQUEST_TIMEOUT, sentence);
                return Ok(Some(Next::Refused(refusal)));
            }
        };
        let refusal = Refusal::bad("The connection ended before the head did.");
        Ok((read == 0).then_some(Next::Refused(refusal)))
    }

    /// Has the request answered, and writes the answer.
    async fn answer(&mut self, request: Request) -> io::Result<Then> {
        let asked = Asked::by(&request);
        let is_empty = request.framing() == Framing::Empty;
        let is_first = !mem::replace(&mut self.has_answered, true);
        let is_only = is_first && is_empty && request.says_close();
        let (response, all_read) = if is_empty {
            let mut no_content = NoContent;
            let work = self.service.respond(request, self.peer, &mut no_content);
            (self.wire.wait_for(work).await?, true)
        } else {
            Box::pin(self.respond_to_content(request)).await?
        };
        let keep_alive = asked.persistent
            && all_read
            && !response.close
            && response.delimiter(asked) != Delimiter::Close
            && !self.notice.is_last_answer();
        let rest = self.write(response, asked, keep_alive);
        let is_small = rest.is_none();
        if let Some(rest) = rest {
            // Seldom, and large: a connection has room for it only while it is sent.
            Box::pin(self.send(rest)).await?;
        }
        Ok(match keep_alive {
            true => Then::Next,
            false if is_only && is_small && self.wire.input.is_empty() => Then::Close,
            false => Then::Linger,
        })
    }

    /// Has a request answered that has content; says whether all of it was read.
    async fn respond_to_content(
        &mut self,
        request: Request,
    ) -> io::Result<(Response, bool)> {
        // What is owed goes out before the client is waited for.
        self.wire.flush().await?;
        let mut content = Content::of(&request, &mut self.wire, self.limits);
        let response = self.service.respond(request, self.peer, &mut content).await;
        Ok((response, content.is_read()))
    }

    /// Writes a response. Small ones wait for those that follow them; `next_request` sends them
    /// all before it waits for the client, or when there are many. Of others, the content is left
    /// to be sent.
    fn write(
        &mut self,
        response: Response,
        asked: Asked,
        keep_alive: bool,
    ) -> Option<Rest> {
        response.write_head(self.wire.output(), asked, keep_alive);
        match (response.delimiter(asked), response.body) {
            (Delimiter::Head, _) => None,
            (_, Body::Bytes(content)) if content.len() <= SMALL => {
                self.wire.output.extend_from_slice(&content);
                None
            }
            (delimiter, content) => Some(Rest { content, delimiter }),
        }
    }

    /// Sends the content of a response whose head was written.
    async fn send(&mut self, rest: Rest) -> io::Result<()> {
        let Rest { content, delimiter } = rest;
        match content {
            Body::Bytes(content) => self.wire.flush_with(content).await?,
            Body::Stream(stream) => self.send_stream(stream, delimiter).await?,
            Body::File(part) => self.send_file(part, delimiter).await?,
        }
        Ok(())
    }

    /// Sends content as it is made. If the making fails, or makes another length than was
    /// announced, the connection breaks off there and then: without its last chunk, or short of
    /// its length, the answer cannot be taken for a whole one.
    async fn send_stream(
        &mut self,
        mut stream: Stream,
        delimiter: Delimiter,
    ) -> io::Result<()> {
        let mut left = stream.length();
        let mut next = self.wire.wait_for(stream.next()).await?;
        while let Ok(Some(piece)) = &next {
            let length = piece.len() as u64;
            if left.is_some_and(|left| left < length) {
                return self.break_off(delimiter, "it is longer than was announced").await;
            }
            left = left.map(|left| left - length);
            if delimiter == Delimiter::LastChunk && length > 0 {
                chunked::push_size(self.wire.output(), piece.len());
                self.wire.flush_with(piece.as_ref().chain(&b"\r\n"[..])).await?;
            } else {
                self.wire.flush_with(piece.as_ref()).await?;
            }
            next = stream.next().await;
        }
        if let Err(error) = next {
            return self.break_off(delimiter, error).await;
        }
        if left.is_some_and(|left| left > 0) {
            return self.break_off(delimiter, "it is shorter than was announced").await;
        }
        if delimiter == Delimiter::LastChunk {
            self.wire.output().extend_from_slice(chunked::LAST_CHUNK);
        }
        Ok(())
    }

    /// Sends a part of a file, piece by piece.
    async fn send_file(
        &mut self,
        mut part: Box<FilePart>,
        delimiter: Delimiter,
    ) -> io::Result<()> {
        while part.length() > 0 {
            match self.wire.wait_for(part.read()).await? {
                Ok(piece) => self.wire.flush_with(piece).await?,
                Err(error) => return self.break_off(delimiter, error).await,
            }
        }
        Ok(())
    }

    /// Ends the connection within an answer. What stands before that point is owed all the same,
    /// and the answers to other requests may be among it. Where the end of the connection would
    /// be the end of the answer, it is made a bad end, which takes with it what the system has not
    /// delivered yet.
    async fn break_off(
        &mut self,
        delimiter: Delimiter,
        why: impl Display,
    ) -> io::Result<()> {
        warn!(target: "dustdevil::general", "an answer to {} broke off: {why}", self.peer.ip());
        self.wire.flush().await?;
        match delimiter {
            Delimiter::Close => self.wire.end_badly(),
            _ => self.linger().await?,
        }
        Err(io::Error::other("the content could not be made"))
    }

    /// Answers what could not be read. Where this request ends is not known, so nothing after
    /// it is read as another.
    fn refuse(&mut self, refusal: &Refusal) -> Then {
        let (code, address) = (refusal.status.code(), self.peer.ip());
        warn!(target: "dustdevil::general", "{code} {} ({address})", refusal.sentence);
        let asked = Asked::by_refused(&self.wire.input);
        let response = Response::sentence(refusal.status, refusal.sentence);
        self.write(response, asked, false);
        Then::Linger
    }

    /// Sees to it that the last answer arrives; see [`Wire::linger`].
    async fn linger(&mut self) -> io::Result<()> {
        tokio::select! {
            done = self.wire.linger(self.limits.linger_time) => done,
            () = room_needed(self.notice, self.limits.min_idle_time) => Ok(()),
        }
    }
}

/// Comes to its end when somebody else needs the room, though not before that time.
async fn room_needed(notice: &Notice, after: Duration) {
    sleep(after).await;
    if let Call::Last = notice.call().await {
        // What has begun has all of its time, even now.
        pending::<()>().await;
    }
}
