//! One connection, from its first byte to its last: requests in, responses out.
//!
//! ```text
//!            +--------------------------------- keep-alive ----+
//!            v                                                 |
//!   bytes -> next_request -> answer (Service::respond) -> send -> linger, closed
//!                 |  |                                               ^
//!                 |  +- refused: a sentence, Connection: close ------+
//!                 +---- idle for too long, or asked to leave: closed without a word
//! ```
//! Requests that are sent without waiting for answers (pipelining, RFC 9112 section 9.3.2) are
//! answered in order, and the answers to all that one read brought leave in one write.

use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use log::{debug, warn};
use tokio::time::{Instant, sleep};

use crate::cached_clock::{self, now, with_cached_clock};
use crate::http::Service;
use crate::http::body::Body;
use crate::http::buffered::{BufferedSocket, FLUSH_THRESHOLD, Socket};
use crate::http::content::{self, Buffered, Upload};
use crate::http::content_buffer::out_of_memory;
use crate::http::eviction::Class;
use crate::http::framing::Framing;
use crate::http::lazy_timer::LazyTimer;
use crate::http::limits::Limits;
use crate::http::refusal::Refusal;
use crate::http::request::{self, Request};
use crate::http::response::Response;
use crate::http::response_head::{Delimiter, RequestInfo};
use crate::http::send::send;
use crate::http::server_state::Admission;
use crate::http::status::Status;

/// Content up to this size is copied to its head; larger content is sent from where it is.
const SMALL: usize = 8 * 1024;

/// Serves the requests that come in on `socket` until either side has had enough, the server shuts
/// down, or the connection is evicted.
///
/// Where the client disconnects, the handler or the stream that works for it is dropped at its next
/// `.await`: Rust's cancellation. Work that must not be cut off belongs in a task of its own
/// (`tokio::spawn`).
// Not an `async fn`: that would keep its arguments twice, as they came and in the connection.
pub fn serve<S: Socket + 'static, V: Service>(
    socket: S,
    service: Arc<V>,
    admission: Admission,
) -> impl Future<Output = ()> + Send + 'static {
    let idle_timer = LazyTimer::after(admission.limits().min_idle_timeout);
    let socket = BufferedSocket::new(socket, admission);
    let mut connection = Connection { socket, service, idle_timer, has_responded: false };
    async move {
        let mut run = pin!(connection.run());
        let ended =
            poll_fn(|context| with_cached_clock(|| run.as_mut().poll(context))).await;
        // A client that is gone is no fault of anyone's.
        if let Err(error) = ended {
            debug!("the connection broke: {error}");
        }
    }
}

struct Connection<S, V> {
    socket: BufferedSocket<S>,
    service: Arc<V>,
    /// When to look for how long nothing was asked. It goes on whatever is asked: a timer that is
    /// set anew for each request would cost as much as taking its head apart.
    idle_timer: LazyTimer,
    /// Whether a request was answered.
    has_responded: bool,
}

/// What becomes of a connection after a response.
enum AfterResponse {
    /// It may bring another request.
    KeepAlive,
    /// The same, behind content that nobody has read.
    Discard(Upload),
    /// It is closed, with care: the client may still be sending.
    LingeringClose,
    /// It is closed. The client has said that it sends no more (RFC 9112 section 9.6), and all that
    /// it is sent is one small response, which is there before it could.
    Close,
}

/// What came of waiting for a request.
enum ReadOutcome {
    /// A request.
    Request(Request),
    /// Something that is none, or was too slow to become one.
    Rejected(Refusal),
    /// Nothing, and nothing is expected any more.
    Closed,
}

impl<S: Socket, V: Service> Connection<S, V> {
    async fn run(&mut self) -> io::Result<()> {
        loop {
            let then = match self.next_request().await? {
                ReadOutcome::Request(request) => self.handle(request).await?,
                ReadOutcome::Rejected(refusal) => self.refuse(&refusal),
                ReadOutcome::Closed => return Ok(()),
            };
            match then {
                AfterResponse::KeepAlive => {}
                AfterResponse::Discard(upload) => {
                    if !Box::pin(self.discard(upload)).await? {
                        return Box::pin(self.socket.linger()).await;
                    }
                }
                AfterResponse::LingeringClose => {
                    self.socket.flush().await?;
                    return Box::pin(self.socket.linger()).await;
                }
                AfterResponse::Close => return self.socket.flush().await,
            }
        }
    }

    /// Takes the next request from what has arrived, and waits for more until there is one.
    async fn next_request(&mut self) -> io::Result<ReadOutcome> {
        let mut seen = 0;
        let mut head_began = None;
        if self.socket.output.len() >= FLUSH_THRESHOLD {
            self.socket.flush().await?;
        }
        loop {
            match Request::parse(
                &mut self.socket.input,
                &mut seen,
                self.socket.admission.limits(),
            ) {
                Ok(Some(request)) => return Ok(ReadOutcome::Request(request)),
                Ok(None) => {}
                Err(refusal) => return Ok(ReadOutcome::Rejected(refusal)),
            }
            self.socket.flush().await?;
            if request::is_only_empty_lines(&self.socket.input) {
                if !self.wait_for_request().await? {
                    return Ok(ReadOutcome::Closed);
                }
                continue;
            }
            let began = *head_began.get_or_insert_with(now);
            if let Some(next) = Box::pin(self.wait_for_head(began)).await? {
                return Ok(next);
            }
        }
    }

    /// Waits, as long as an idle connection may, for the first bytes of a request; says whether
    /// any came. For a while it stays in any case, for a request may be on its way that would be
    /// lost with it.
    async fn wait_for_request(&mut self) -> io::Result<bool> {
        let Connection { socket, idle_timer, .. } = self;
        let min_idle_timeout = socket.limits().min_idle_timeout;
        let began = now();
        loop {
            if let Some(read) = idle_timer.run_until_expiry(pin!(socket.fill())).await {
                return Ok(read? > 0);
            }
            match min_idle_timeout.saturating_sub(began.elapsed()) {
                Duration::ZERO => break,
                left => idle_timer.set(left),
            }
        }
        // Busy connections do not come here, and have no room for it.
        let has_come = Box::pin(self.stay_idle(began)).await;
        self.idle_timer.set(min_idle_timeout);
        has_come
    }

    /// The same, now that the connection has been idle for a while. It leaves when the server shuts
    /// down, and may be evicted.
    async fn stay_idle(&mut self, began: Instant) -> io::Result<bool> {
        let admission = &self.socket.admission;
        let Limits { min_idle_timeout, idle_timeout, .. } = *admission.limits();
        let evicted = admission.evicted(Class::Idle, began, false);
        let shutdown = admission.shutdown().clone();
        tokio::select! {
            biased;
            read = self.socket.fill() => Ok(read? > 0),
            () = evicted => Ok(false),
            () = sleep(idle_timeout.saturating_sub(began.elapsed())) => Ok(false),
            // It may have begun just now, so the same time begins again.
            () = async { shutdown.begun().await; sleep(min_idle_timeout).await } => Ok(false),
        }
    }

    /// Waits for more of a head that began then; says what is next if no more comes. It may be
    /// evicted as an idle connection may, by the time since which it waits for all of the head: else
    /// a crowd of heads that never end would hold all places.
    async fn wait_for_head(&mut self, began: Instant) -> io::Result<Option<ReadOutcome>> {
        let head_timeout = self.socket.limits().head_timeout;
        let has_buffers = self.socket.has_buffers();
        let evicted = self.socket.admission.evicted(Class::Idle, began, has_buffers);
        let read = tokio::select! {
            biased;
            read = self.socket.fill() => read,
            () = evicted => return Ok(Some(ReadOutcome::Closed)),
            () = sleep(head_timeout.saturating_sub(began.elapsed())) => {
                let message = "The head of the request did not arrive in time.";
                let refusal = Refusal::new(Status::REQUEST_TIMEOUT, message);
                return Ok(Some(ReadOutcome::Rejected(refusal)));
            }
        };
        let refusal = match read {
            Ok(0) => Refusal::bad("The connection ended before the head did."),
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::OutOfMemory => out_of_memory(),
            Err(error) => return Err(error),
        };
        Ok(Some(ReadOutcome::Rejected(refusal)))
    }

    /// Has the request answered, and writes the response.
    async fn handle(&mut self, request: Request) -> io::Result<AfterResponse> {
        cached_clock::refresh();
        self.socket.begin_work(request.head_length(), now());
        let asked = RequestInfo::new(&request);
        let is_first = !mem::replace(&mut self.has_responded, true);
        let is_only =
            is_first && request.framing() == Framing::Empty && request.says_close();
        let mut upload = Upload::new(&request);
        let max_content = self.socket.limits().max_content;
        let response = match upload.take_buffered(&mut self.socket.input, max_content) {
            Some(content) => {
                let Connection { socket, service, .. } = self;
                let mut content = Buffered(content);
                let peer = socket.admission.peer();
                socket.run(service.respond(request, peer, &mut content)).await?
            }
            None => Box::pin(self.respond_to_upload(request, &mut upload)).await?,
        };
        self.socket.end_work();
        cached_clock::refresh();
        let keep_alive = asked.persistent
            && !response.close
            && response.delimiter(asked) != Delimiter::Close
            && !self.socket.admission.must_close()
            && upload.may_discard();
        let rest = self.write(response, asked, keep_alive);
        let is_small = rest.is_none();
        if let Some((content, delimiter)) = rest {
            // Seldom, and large: a connection has room for it only while it is sent.
            Box::pin(send(&mut self.socket, content, delimiter)).await?;
            cached_clock::refresh();
        }
        Ok(match keep_alive {
            true if upload.is_read() => AfterResponse::KeepAlive,
            true => AfterResponse::Discard(upload),
            false if is_only && is_small && self.socket.input.is_empty() => {
                AfterResponse::Close
            }
            false => AfterResponse::LingeringClose,
        })
    }

    /// Has a request answered whose content is still on its way. The content is read when the
    /// handler asks for it.
    async fn respond_to_upload(
        &mut self,
        request: Request,
        upload: &mut Upload,
    ) -> io::Result<Response> {
        let Connection { socket, service, .. } = self;
        let (mut incoming, mut wanted) = content::channel();
        let work = service.respond(request, socket.admission.peer(), &mut incoming);
        let read = async {
            socket.flush().await?;
            let reply = tokio::select! {
                biased;
                reply = wanted.next() => reply,
                gone = socket.watch() => match gone? {},
            };
            if let Some(reply) = reply {
                let content = upload.read(socket).await?;
                // The handler may have given up.
                let _ = reply.send(content);
            }
            socket.watch().await
        };
        tokio::select! {
            biased;
            response = work => Ok(response),
            gone = read => match gone? {},
        }
    }

    /// Reads content that the handler did not want, behind the response to it. Returns `false` if
    /// the connection cannot go on.
    async fn discard(&mut self, mut upload: Upload) -> io::Result<bool> {
        self.socket.flush().await?;
        upload.discard(&mut self.socket).await
    }

    /// Writes a response. Small ones wait for those that follow them; `next_request` sends them
    /// all before it waits for the client, or when there are many. Of others, the content is left
    /// to be sent.
    fn write(
        &mut self,
        response: Response,
        asked: RequestInfo,
        keep_alive: bool,
    ) -> Option<(Body, Delimiter)> {
        response.write_head(self.socket.output(), asked, keep_alive);
        match (response.delimiter(asked), response.body) {
            (Delimiter::Head, _) => None,
            (_, Body::Bytes(content)) if content.len() <= SMALL => {
                self.socket.output.extend_from_slice(&content);
                None
            }
            (delimiter, content) => Some((content, delimiter)),
        }
    }

    /// Answers what could not be read. Where this request ends is not known, so nothing after
    /// it is read as another.
    fn refuse(&mut self, refusal: &Refusal) -> AfterResponse {
        let (code, address) = (refusal.status.code(), self.socket.admission.peer().ip());
        warn!(target: "dustdevil::general", "{code} {} ({address})", refusal.message);
        let asked = RequestInfo::for_rejected(&self.socket.input);
        let response = Response::from_refusal(refusal);
        self.write(response, asked, false);
        AfterResponse::LingeringClose
    }
}
