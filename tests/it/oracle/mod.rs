//! A test oracle for whole connections: for any bytes that a client may send, it decides
//! whether the server's responses are right, and says what is wrong with them.
//!
//! It parses the bytes sent with its own [`model`] of HTTP/1.1, parses the [`responses`]
//! strictly, and compares the two. It needs neither a test harness nor a socket, so that
//! property tests and the fuzzer can both use it.

mod application;
mod model;
mod responses;

use std::future::poll_fn;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use dustdevil::Application;
use dustdevil::http::connection;
use dustdevil::http::server_state::{ServerLimits, ServerState};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, split};
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;
use tokio::time::timeout;

use application::{ABORTING, HANDLER_FIELD, description, limits};
use model::{Request, Rest};
use responses::{RequestContext, Response};

/// The input of one connection, and how it is sent.
#[derive(Clone, Debug)]
pub struct Sending<'o> {
    /// All bytes that the client sends.
    pub bytes: &'o [u8],
    /// Lengths of the pieces in which they are sent, repeated cyclically.
    pub lengths: &'o [usize],
    /// `true` if the client waits for the server to close, instead of half-closing after the
    /// last byte.
    pub waits: bool,
}

/// A server on a paused clock. Time passes only when all tasks wait for it, so timeouts take no
/// real time, and a connection that waits without a timer is found to hang.
pub struct Oracle {
    application: Arc<Application>,
    state: Arc<ServerState>,
    runtime: Runtime,
}

/// Statuses of bytes that are not a valid request.
const REFUSALS: [u16; 8] = [400, 408, 413, 414, 417, 431, 501, 505];

/// Statuses of a request whose content was not read, or could not be.
const UNREAD: [u16; 10] = [400, 404, 405, 408, 413, 414, 417, 421, 431, 501];

/// Statuses that depend on how much has arrived when the server parses it.
const LIMITS: [u16; 3] = [413, 414, 431];

impl Oracle {
    /// An oracle whose application serves the static files of a directory.
    pub fn new(static_path: PathBuf) -> Oracle {
        let runtime =
            Builder::new_current_thread().enable_time().start_paused(true).build();
        let application = application::application(static_path);
        let connection = application.settings().limits.clone();
        let limits = ServerLimits { connection, ..ServerLimits::default() };
        Oracle {
            state: Arc::new(ServerState::new(limits, application.shutdown().clone())),
            application: Arc::new(application),
            runtime: runtime.expect("a runtime"),
        }
    }

    /// Sends the bytes in one write, and again in pieces. The error says what was wrong with
    /// the responses.
    pub fn examine(&self, sending: &Sending) -> Result<(), String> {
        let whole = Sending { lengths: &[usize::MAX], ..sending.clone() };
        let all = self.responses(&whole, 16 * 1024)?;
        let in_pieces = self.responses(sending, 100)?;
        check_same(sending, &all, &in_pieces).map_err(|what| {
            format!("{what}\nin one write: {all:#?}\nin pieces: {in_pieces:#?}")
        })
    }

    /// Returns the checked responses. Each direction of the connection buffers `buffer_size`
    /// bytes.
    fn responses(
        &self,
        sending: &Sending,
        buffer_size: usize,
    ) -> Result<Vec<Response>, String> {
        let bytes = self.converse(sending, buffer_size)?;
        check(sending.bytes, &bytes).map_err(|what| {
            let (sent, received) = (sending.bytes.escape_ascii(), bytes.escape_ascii());
            format!("{what}\nsent: {sent}\nreceived: {received}\n")
        })
    }

    fn converse(&self, sending: &Sending, buffer_size: usize) -> Result<Vec<u8>, String> {
        self.runtime.block_on(async {
            let (client, socket) = duplex(buffer_size);
            let (mut receiver, mut sender) = split(client);
            let send = async {
                for piece in pieces(sending.bytes, sending.lengths) {
                    // The server may have closed already.
                    let _ = sender.write_all(piece).await;
                    yield_now().await;
                }
                if !sending.waits {
                    let _ = sender.shutdown().await;
                }
            };
            let receive = async {
                let mut bytes = Vec::new();
                receiver.read_to_end(&mut bytes).await.map(|_| bytes)
            };
            let peer = "127.0.0.1:50000".parse().expect("an address");
            let serve = connection::serve(
                socket,
                Arc::clone(&self.application),
                self.state.admit(peer),
            );
            // After a half-close the server has nothing to wait for.
            let limit = Duration::from_secs(if sending.waits { 600 } else { 1 });
            let conversation = async { tokio::join!(send, receive, serve).1 };
            let conversation = unless_busy_looping(conversation, sending.bytes.len());
            let bytes = timeout(limit, conversation).await;
            bytes.unwrap_or_else(|_| Err("the connection hangs".into()))
        })
    }
}

/// Runs `work`, and fails if it is polled too often for so many bytes. A future that wakes
/// itself without making progress (a busy loop) never lets the paused clock advance, so no
/// timeout could detect it.
async fn unless_busy_looping<T>(
    work: impl Future<Output = io::Result<T>>,
    bytes: usize,
) -> Result<T, String> {
    let mut work = pin!(work);
    let mut polls = 10_000 + 10 * bytes;
    poll_fn(|context| {
        polls -= 1;
        match work.as_mut().poll(context) {
            Poll::Ready(outcome) => Poll::Ready(outcome.map_err(|error| error.to_string())),
            Poll::Pending if polls == 0 => {
                Poll::Ready(Err("the connection is busy looping".into()))
            }
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Splits bytes into pieces of these lengths, repeated cyclically.
fn pieces<'o>(mut bytes: &'o [u8], lengths: &'o [usize]) -> impl Iterator<Item = &'o [u8]> {
    lengths.iter().cycle().map_while(move |&length| {
        let (piece, rest) = bytes.split_at(length.max(1).min(bytes.len()));
        bytes = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Parses the responses and checks each against its request.
fn check(sent: &[u8], mut received: &[u8]) -> Result<Vec<Response>, String> {
    let (mut requests, rest) = model::read(sent);
    let mut responses = Vec::new();
    // Unread content above the limits ends the connection, after the response to its request.
    let mut may_end = false;
    loop {
        let request = requests.pop_front();
        if received.is_empty() {
            return match (request, rest) {
                (None, Rest::Nothing) => Ok(responses),
                _ if may_end => Ok(responses),
                (request, _) => Err(format!("no response to {request:?}")),
            };
        }
        may_end = request.as_ref().is_some_and(|request| !has_small_chunks(request));
        let response = match request {
            Some(request) => response_to(&request, &mut received)?,
            None => refusal(rest, &mut received)?,
        };
        let is_last = response.closes()? || response.is_aborted;
        responses.push(response);
        if is_last {
            let is_end = received.is_empty();
            return is_end
                .then_some(responses)
                .ok_or("bytes after the last response".into());
        }
    }
}

/// Takes the response to invalid bytes: they are refused, and it is the last response.
fn refusal(rest: Rest, received: &mut &[u8]) -> Result<Response, String> {
    if rest == Rest::Nothing {
        return Err("a response to nothing".into());
    }
    let context = RequestContext { is_head: rest == Rest::NoHeadRequest, is_1_0: false };
    let response = Response::take(received, context)?;
    if !is_refusal(&response)? {
        return Err(format!("{} for an invalid request", response.status));
    }
    Ok(response)
}

/// Takes the response to a valid request.
fn response_to(request: &Request, received: &mut &[u8]) -> Result<Response, String> {
    let context = RequestContext { is_head: request.is_head(), is_1_0: request.is_1_0 };
    let mut response = Response::take(received, context)?;
    if response.status == 100 && request.may_be_continued() {
        response = Response::take(received, context)?;
    }
    check_response(request, &response).map_err(|what| format!("{what}: {response:?}"))?;
    Ok(response)
}

fn check_response(request: &Request, response: &Response) -> Result<(), String> {
    let closes = response.closes()?;
    if response.status < 200
        || (response.status >= 500 && !REFUSALS.contains(&response.status))
    {
        return Err("an impossible status".into());
    }
    let may_go_on = closes || request.may_be_discarded();
    if request.content.is_none() && !(may_go_on && UNREAD.contains(&response.status)) {
        return Err("a response to content without an end".into());
    }
    if !closes && !request.is_persistent() {
        return Err("the client wanted the connection closed".into());
    }
    let keeps_alive = response.value("Connection")? == Some("keep-alive");
    if keeps_alive != (request.is_1_0 && !closes) {
        return Err("Connection: keep-alive belongs in HTTP/1.0 responses only".into());
    }
    check_range(request, response)?;
    match response.value(HANDLER_FIELD)? {
        Some(handled_by) => check_handled(request, response, handled_by),
        None if is_plain(request) => Err("a plain request was not answered".into()),
        None if response.is_aborted => Err("the response is incomplete".into()),
        None => Ok(()),
    }
}

/// Checks a response of one of our handlers: the request is within all limits, and the handler
/// received what was sent.
fn check_handled(
    request: &Request,
    response: &Response,
    handled_by: &str,
) -> Result<(), String> {
    let content =
        request.content.as_ref().ok_or("a handler response to a malformed request")?;
    let fields = request.fields.iter().copied();
    let target = request.path_and_query();
    let expected = description(request.method, &target, fields, content);
    if !is_within_limits(request) {
        return Err("the request exceeds a limit".into());
    }
    if response.status != 200 || (is_plain(request) && !ends_correctly(request, response)?)
    {
        return Err("a plain request got a wrong response".into());
    }
    if request.is_head() {
        let length = response.value("Content-Length")?;
        let agrees = length.is_none_or(|length| length == expected.len().to_string());
        let is_right = agrees && !response.is_aborted;
        return is_right.then_some(()).ok_or("HEAD and GET differ".into());
    }
    if response.is_aborted != (handled_by == ABORTING && !request.is_1_0) {
        return Err("the response ends in the wrong way".into());
    }
    if response.content != expected {
        let expected = expected.escape_ascii();
        return Err(format!("the handler saw another request than {expected}"));
    }
    Ok(())
}

/// Returns `true` if the connection ends exactly when the client asked for it, or when only the
/// close delimits the content.
fn ends_correctly(request: &Request, response: &Response) -> Result<bool, String> {
    let is_framed = response.value("Content-Length")?.is_some()
        || response.value("Transfer-Encoding")?.is_some()
        || request.is_head();
    Ok(response.closes()? != (request.is_persistent() && is_framed))
}

fn is_within_limits(request: &Request) -> bool {
    let (limits, content) = (limits(), request.content.as_ref());
    request.size.line <= limits.max_request_line
        && request.size.head <= limits.max_head
        && request.fields.len() <= limits.max_fields
        && content.is_none_or(|content| content.len() <= limits.max_content)
}

/// Returns `true` if a server has no reason to refuse the request.
fn is_plain(request: &Request) -> bool {
    let path_fits = match request.method {
        b"GET" | b"HEAD" => [&b"/hello"[..], b"/echo", b"/stream", b"/broken-stream"]
            .contains(&request.target),
        b"POST" => [&b"/echo"[..], b"/stream"].contains(&request.target),
        b"PUT" => request.target == b"/echo",
        _ => false,
    };
    // Other fields may ask for something unsupported, or mark a cross-site request.
    let harmless =
        ["Connection", "Content-Length", "Transfer-Encoding", "Cookie", "Field", "X"];
    let field_fits = |(name, value): &(&[u8], &[u8])| {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        let is_plain_host = is("Host") && value.iter().all(u8::is_ascii_alphabetic);
        is_plain_host || harmless.into_iter().any(is)
    };
    path_fits
        && request.content.is_some()
        && is_within_limits(request)
        && has_small_chunks(request)
        && request.fields.iter().all(field_fits)
}

/// Returns `true` if chunk extensions and trailers are within the limits of the server.
fn has_small_chunks(request: &Request) -> bool {
    request.size.trailers <= 32 && request.size.content <= 8 * 1024
}

/// RFC 9110 sections 14.4 and 15.3.7: a part has the announced length, and was requested.
fn check_range(request: &Request, response: &Response) -> Result<(), String> {
    if response.status != 206 {
        return Ok(());
    }
    let range =
        response.value("Content-Range")?.and_then(|range| range.strip_prefix("bytes "));
    let parts = range.and_then(|range| range.split_once('/'));
    let ends = parts.and_then(|(range, _)| range.split_once('-'));
    let (first, last) = ends.ok_or("a 206 without a valid Content-Range")?;
    let position = |digits: &str| model::number(digits.as_bytes(), 10);
    let (first, last) =
        position(first).zip(position(last)).ok_or("a 206 without a valid Content-Range")?;
    let was_requested = request.method == b"GET" && request.value("Range").is_some();
    let is_right = was_requested && last + 1 == first + response.content.len();
    is_right.then_some(()).ok_or("not the requested range".into())
}

/// How bytes arrive changes no response. Only the final refusal may differ: a truncated line
/// may have been invalid already, and whether the server finds that first, or that a limit is
/// exceeded, depends on how much has arrived when it looks.
fn check_same(
    sending: &Sending,
    all: &[Response],
    in_pieces: &[Response],
) -> Result<(), String> {
    if all.len() != in_pieces.len() {
        return Err("how bytes arrive changes the number of responses".into());
    }
    let is_whole = sending.bytes.ends_with(b"\n");
    for (one, other) in all.iter().zip(in_pieces).filter(|(one, other)| one != other) {
        let is_limit = LIMITS.contains(&one.status) || LIMITS.contains(&other.status);
        let are_refusals = is_refusal(one)? && is_refusal(other)?;
        if !are_refusals || (is_whole && !is_limit) {
            return Err("how bytes arrive changes a response".into());
        }
    }
    Ok(())
}

fn is_refusal(response: &Response) -> Result<bool, String> {
    Ok(REFUSALS.contains(&response.status) && response.closes()?)
}
