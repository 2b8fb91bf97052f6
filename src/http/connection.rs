//! One connection: reads requests, has them handled, and writes the responses.
//!
//! ```text
//!        +------------------------ keep-alive --------------------------+
//!        v                                                              |
//!   next_request --- request ---> handle (Service::respond) ---> write, send
//!     |      |                      |                                   |
//!     |      |                      |                                   | Connection: close
//!     |      |                      |                                   v
//!     |      +-- malformed or slow: error response, Connection: close -> lingering close
//!     |                             |
//!     | client closes, idle         | client disconnects:
//!     | timeout, shutdown,          | the handler is dropped
//!     | eviction                    v
//!     +-------------------------> closed without a response
//! ```
//! Requests may be pipelined (RFC 9112 section 9.3.2): a client sends several without waiting
//! for responses. They are handled one by one, in order, and the responses to the requests that
//! one read has brought are sent together, with one write if they are small and no handler waits.

use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use log::{debug, info};
use tokio::time::{Instant, sleep};

use crate::cached_clock::{self, now, with_cached_clock};
use crate::http::Service;
use crate::http::body::Body;
use crate::http::buffered::{BufferedSocket, FLUSH_THRESHOLD, Socket};
use crate::http::content::{self, Buffered, Upload};
use crate::http::content_buffer::out_of_memory;
use crate::http::eviction::EvictionClass;
use crate::http::framing::Framing;
use crate::http::lazy_timer::LazyTimer;
use crate::http::limits::Limits;
use crate::http::refusal::{Origin, Refusal};
use crate::http::request::{self, Request};
use crate::http::response::Response;
use crate::http::response_head::{Delimiter, RequestInfo};
use crate::http::send::send;
use crate::http::server_state::Admission;
use crate::http::status::Status;

/// Content up to this many bytes is copied to the output buffer, next to its head. Larger
/// content is sent from its own memory, in the same system call (`writev`).
const MAX_COPIED_CONTENT: usize = 8 * 1024;

/// Serves the requests of a connection until the client or the server closes it, the server
/// shuts down, or the connection is evicted.
///
/// If the client disconnects, the future of the handler or stream that works for it is dropped
/// at the `.await` where it waits. This is Rust's form of cancellation. Work that must not be
/// canceled belongs in a task of its own (`tokio::spawn`).
// Not an `async fn`: its future would store the arguments twice, as they came and in
// `connection`.
pub fn serve<S: Socket + 'static, V: Service>(
    socket: S,
    service: Arc<V>,
    admission: Admission,
) -> impl Future<Output = ()> + Send + 'static {
    let idle_timer = LazyTimer::after(admission.limits().min_idle_timeout);
    let socket = BufferedSocket::new(socket, admission);
    let mut connection = Connection { socket, service, idle_timer, has_responded: false };
    async move {
        let ended = {
            let mut run = pin!(connection.run());
            poll_fn(|context| with_cached_clock(|| run.as_mut().poll(context))).await
        };
        // Not a warning: clients disconnect all the time.
        if let Err(error) = ended {
            let peer = connection.socket.admission.peer();
            debug!("connection from {peer} failed: {error}");
        }
    }
}

struct Connection<S, V> {
    socket: BufferedSocket<S>,
    service: Arc<V>,
    /// The timer of [`wait_for_request`](Connection::wait_for_request). It keeps running while
    /// requests are handled: arming a timer for each request would cost as much as parsing a
    /// head.
    idle_timer: LazyTimer,
    /// `true` if a request has been handled.
    has_responded: bool,
}

/// The state of a connection after a response.
enum AfterResponse {
    /// The next request may follow (persistent connection, RFC 9112 section 9.3).
    KeepAlive,
    /// The next request may follow, after content that the handler has not read.
    Discard(Upload),
    /// The connection is closed, but reads on for a while: the client may still be sending.
    LingeringClose,
    /// The connection is closed immediately:
    /// [`may_skip_lingering`](Connection::may_skip_lingering).
    Close,
}

/// The result of waiting for a request.
enum ReadOutcome {
    /// The next request.
    Request(Request),
    /// A head that is malformed, too large or too slow.
    Rejected(Refusal),
    /// No request, and the connection must be closed.
    Closed,
}

impl<S: Socket, V: Service> Connection<S, V> {
    async fn run(&mut self) -> io::Result<()> {
        loop {
            let next = match self.next_request().await? {
                ReadOutcome::Request(request) => self.handle(request).await?,
                ReadOutcome::Rejected(refusal) => self.refuse(&refusal),
                ReadOutcome::Closed => return Ok(()),
            };
            match next {
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

    /// Returns the next request: from the input buffer if it has arrived, otherwise after
    /// waiting for more input. Before it waits, all queued responses are flushed; a client that
    /// has got no response yet may not send more.
    async fn next_request(&mut self) -> io::Result<ReadOutcome> {
        let mut seen = 0;
        let mut head_began = None;
        if self.socket.output.len() >= FLUSH_THRESHOLD {
            self.socket.flush().await?;
        }
        loop {
            let BufferedSocket { input, admission, .. } = &mut self.socket;
            match Request::parse(input, &mut seen, admission.limits()) {
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

    /// Waits for the first bytes of a request. Returns `false` if the connection must be closed
    /// without one.
    ///
    /// ```text
    ///   last response         min_idle_timeout                    idle_timeout
    ///     |--------- phase 1 --------|------------- phase 2 -----------|
    ///     | stays open in any case   | closed by shutdown or eviction  | closed
    /// ```
    /// Phase 1 protects requests in flight. A server that closes an idle connection cannot know
    /// whether a request is already on the network (RFC 9112 section 9.5), and that request
    /// would be lost. So a connection that was used a moment ago stays open.
    ///
    /// It also keeps a busy connection cheap: phase 1 needs neither the shutdown signal nor the
    /// eviction queue and its lock. And its timer is lazy: it is not rearmed per request. It was
    /// armed for an earlier wait, for example at 0 ms for 250 ms. If this wait began at 100 ms,
    /// the timer expires at 250 ms, and is rearmed for the 100 ms that remain.
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
        // Boxed: this large future takes memory while a connection is idle, and not in its
        // task.
        let has_input = Box::pin(self.wait_while_evictable(began)).await;
        self.idle_timer.set(min_idle_timeout);
        has_input
    }

    /// Phase 2 of [`wait_for_request`](Connection::wait_for_request). `biased`, here and below,
    /// polls the branches in order: input that has arrived wins over a reason to close.
    async fn wait_while_evictable(&mut self, began: Instant) -> io::Result<bool> {
        let admission = &self.socket.admission;
        let Limits { min_idle_timeout, idle_timeout, .. } = *admission.limits();
        let evicted = admission.evicted(EvictionClass::Idle, began, false);
        let shutdown = admission.shutdown().clone();
        tokio::select! {
            biased;
            read = self.socket.fill() => Ok(read? > 0),
            () = evicted => Ok(false),
            () = sleep(idle_timeout.saturating_sub(began.elapsed())) => Ok(false),
            // The client did not know of the shutdown, so a request may be in flight again.
            () = async { shutdown.begun().await; sleep(min_idle_timeout).await } => Ok(false),
        }
    }

    /// Waits for more bytes of a head that began at `began`. Returns `None` when some have
    /// arrived, otherwise how to go on without them.
    ///
    /// When connection slots are needed, an unfinished head gets no more time than an idle
    /// connection. Otherwise clients that never finish a head (slowloris) could occupy every
    /// slot.
    async fn wait_for_head(&mut self, began: Instant) -> io::Result<Option<ReadOutcome>> {
        let head_timeout = self.socket.limits().head_timeout;
        let has_buffers = self.socket.has_buffers();
        let evicted =
            self.socket.admission.evicted(EvictionClass::Idle, began, has_buffers);
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

    /// Has the service handle a request, and writes the response.
    async fn handle(&mut self, request: Request) -> io::Result<AfterResponse> {
        cached_clock::refresh();
        self.socket.begin_work(request.head_length(), now());
        let asked = RequestInfo::new(&request);
        let is_first = !mem::replace(&mut self.has_responded, true);
        // The only request that this connection will have.
        let is_only =
            is_first && request.framing() == Framing::Empty && request.says_close();
        let mut upload = Upload::new(&request);
        let max_content = self.socket.limits().max_content;
        // Most requests have no content, or it has arrived with the head. Otherwise it is read
        // while the handler runs, when the handler asks for it.
        let response = match upload.take_buffered(&mut self.socket.input, max_content) {
            Some(content) => {
                let Connection { socket, service, .. } = self;
                let mut content = Buffered(content);
                let peer = socket.admission.peer();
                socket.run_watched(service.respond(request, peer, &mut content)).await?
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
        let pending_body = self.write(response, asked, keep_alive);
        let is_small = pending_body.is_none();
        if let Some((content, delimiter)) = pending_body {
            // Boxed, because it is rare and large: it takes memory only while content is sent.
            Box::pin(send(&mut self.socket, content, delimiter)).await?;
            cached_clock::refresh();
        }
        Ok(match keep_alive {
            true if upload.is_read() => AfterResponse::KeepAlive,
            true => AfterResponse::Discard(upload),
            false if self.may_skip_lingering(is_only, is_small) => AfterResponse::Close,
            false => AfterResponse::LingeringClose,
        })
    }

    /// Returns `true` if the connection may be closed immediately after its last response. Safe
    /// only when the client sent `Connection: close` (RFC 9112 section 9.6) and gets one small
    /// response: it is delivered before the client could send anything that causes a reset.
    ///
    /// It saves shutdown(2), read(2) and a timer. If each request has a connection of its own,
    /// lingering takes 1.2 times the processor time per request.
    fn may_skip_lingering(&self, is_only: bool, is_small: bool) -> bool {
        is_only && is_small && self.socket.input.is_empty()
    }

    /// Has the service handle a request before all of its content has arrived. Two futures run
    /// in one task: `work`, the handler, and `read`, which watches the client, and reads the
    /// content when the handler asks for it. So a disconnect cancels the handler at any time.
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
                disconnected = socket.watch() => match disconnected? {},
            };
            if let Some(reply) = reply {
                let content = upload.read(socket).await?;
                // Fails if the handler no longer waits for it.
                let _ = reply.send(content);
            }
            socket.watch().await
        };
        tokio::select! {
            biased;
            response = work => Ok(response),
            disconnected = read => match disconnected? {},
        }
    }

    /// Reads and discards content that the handler has not read, after the response. Returns
    /// `false` if the connection must be closed instead.
    async fn discard(&mut self, mut upload: Upload) -> io::Result<bool> {
        self.socket.flush().await?;
        upload.discard(&mut self.socket).await
    }

    /// Writes a response to the output buffer. Returns the content if it is not small: the
    /// caller must [`send`] it. Small responses are not flushed here. `next_request` flushes
    /// before it waits, or when the buffer is full, so that pipelined responses share one
    /// system call.
    fn write(
        &mut self,
        response: Response,
        asked: RequestInfo,
        keep_alive: bool,
    ) -> Option<(Body, Delimiter)> {
        step!("response: {}, keep-alive: {keep_alive}", response.status);
        response.write_head(self.socket.output(), asked, keep_alive);
        match (response.delimiter(asked), response.body) {
            (Delimiter::Head, _) => None,
            (_, Body::Bytes(content)) if content.len() <= MAX_COPIED_CONTENT => {
                self.socket.output.extend_from_slice(&content);
                None
            }
            (delimiter, content) => Some((content, delimiter)),
        }
    }

    /// Writes the response to a head that could not be parsed. The end of this request is not
    /// known, so the connection is closed: bytes after it must not be parsed as a request,
    /// which would allow request smuggling.
    fn refuse(&mut self, refusal: &Refusal) -> AfterResponse {
        let admission = &self.socket.admission;
        let (code, address) = (refusal.status.code(), admission.peer().ip());
        let reason = format!("{}{}", refusal.message, Origin(refusal.location));
        step!("refused: {} {reason}", refusal.status);
        // Like the line of a handler's response, without what is not known.
        info!(target: "dustdevil::access", "{code} ({address}): {reason}");
        let asked = RequestInfo::for_rejected(&self.socket.input);
        let shown = if admission.is_debug() { &*reason } else { refusal.message };
        let response = Response::of_refusal(refusal.status, shown);
        self.write(response, asked, false);
        AfterResponse::LingeringClose
    }
}
