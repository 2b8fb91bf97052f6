//! An oracle for whole connections: holds a conversation with the server, and says what is wrong
//! with what comes back, whatever was sent.
//!
//! It reads the bytes that are sent by a [`model`] of its own, reads the [`answers`] by the
//! letter of the RFC, and holds the two against each other. It needs neither a test harness nor a
//! socket, so that property tests and a fuzzer can both ask it.

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

use application::{BREAKS_OFF, WITNESS, limits, testimony};
use model::{Request, Rest};
use responses::{RequestContext, Response};

/// How bytes are sent.
#[derive(Clone, Debug)]
pub struct Sending<'o> {
    /// What is sent.
    pub bytes: &'o [u8],
    /// The lengths of the pieces in which it is sent, again and again.
    pub lengths: &'o [usize],
    /// Whether the client waits at the end for the server to close, instead of saying that it
    /// sends no more.
    pub waits: bool,
}

/// A server to talk to, with a clock that stands still: time passes only when everybody waits for
/// it, so no time limit takes any, and whoever waits for nothing is found out.
pub struct Oracle {
    application: Arc<Application>,
    state: Arc<ServerState>,
    runtime: Runtime,
}

/// Statuses for bytes that are no request.
const REFUSALS: [u16; 8] = [400, 408, 413, 414, 417, 431, 501, 505];

/// Statuses for a request whose content was not read, or could not be.
const UNREAD: [u16; 10] = [400, 404, 405, 408, 413, 414, 417, 421, 431, 501];

/// Statuses that depend on how much has arrived by the time that somebody looks.
const LIMITS: [u16; 3] = [413, 414, 431];

impl Oracle {
    /// An oracle whose application has the static files of a folder.
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

    /// Sends bytes at once, and in pieces; says what was wrong with the answers.
    pub fn examine(&self, sending: &Sending) -> Result<(), String> {
        let at_once = Sending { lengths: &[usize::MAX], ..sending.clone() };
        let all = self.responses(&at_once, 16 * 1024)?;
        let in_pieces = self.responses(sending, 100)?;
        check_same(sending, &all, &in_pieces)
            .map_err(|what| format!("{what}\nat once: {all:#?}\nin pieces: {in_pieces:#?}"))
    }

    /// What comes back, checked; the ends of the connection hold as many bytes as `room` says.
    fn responses(&self, sending: &Sending, room: usize) -> Result<Vec<Response>, String> {
        let bytes = self.converse(sending, room)?;
        check(sending.bytes, &bytes).map_err(|what| {
            let (sent, came) = (sending.bytes.escape_ascii(), bytes.escape_ascii());
            format!("{what}\nsent: {sent}\ncame: {came}\n")
        })
    }

    fn converse(&self, sending: &Sending, room: usize) -> Result<Vec<u8>, String> {
        self.runtime.block_on(async {
            let (client, socket) = duplex(room);
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
            // Who is told that no more will come has nothing to wait for.
            let patience = Duration::from_secs(if sending.waits { 600 } else { 1 });
            let conversation = async { tokio::join!(send, receive, serve).1 };
            let conversation = unless_it_spins(conversation, sending.bytes.len());
            let bytes = timeout(patience, conversation).await;
            bytes.unwrap_or_else(|_| Err("the connection hangs".into()))
        })
    }
}

/// What `work` comes to. Where somebody is always about to go on and never does, no time passes,
/// and only the turns can be counted that it takes for so many bytes.
async fn unless_it_spins<T>(
    work: impl Future<Output = io::Result<T>>,
    bytes: usize,
) -> Result<T, String> {
    let mut work = pin!(work);
    let mut turns = 10_000 + 10 * bytes;
    poll_fn(|context| {
        turns -= 1;
        match work.as_mut().poll(context) {
            Poll::Ready(outcome) => Poll::Ready(outcome.map_err(|error| error.to_string())),
            Poll::Pending if turns == 0 => Poll::Ready(Err("the connection spins".into())),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Pieces of these lengths, again and again, until nothing is left.
fn pieces<'o>(mut bytes: &'o [u8], lengths: &'o [usize]) -> impl Iterator<Item = &'o [u8]> {
    lengths.iter().cycle().map_while(move |&length| {
        let (piece, rest) = bytes.split_at(length.max(1).min(bytes.len()));
        bytes = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Reads answers, and holds each against the request that it answers.
fn check(sent: &[u8], mut came: &[u8]) -> Result<Vec<Response>, String> {
    let (mut requests, rest) = model::read(sent);
    let mut responses = Vec::new();
    // Unread content above the limits ends the connection, after the response to its request.
    let mut may_end = false;
    loop {
        let request = requests.pop_front();
        if came.is_empty() {
            return match (request, rest) {
                (None, Rest::Nothing) => Ok(responses),
                _ if may_end => Ok(responses),
                (request, _) => Err(format!("no response to {request:?}")),
            };
        }
        may_end = request.as_ref().is_some_and(|request| !has_small_chunks(request));
        let response = match request {
            Some(request) => response_to(&request, &mut came)?,
            None => refusal(rest, &mut came)?,
        };
        let is_last = response.closes()? || response.is_broken_off;
        responses.push(response);
        if is_last {
            let is_end = came.is_empty();
            return is_end
                .then_some(responses)
                .ok_or("octets behind the last response".into());
        }
    }
}

/// The answer to bytes that are no request: they are refused, and it is the last.
fn refusal(rest: Rest, came: &mut &[u8]) -> Result<Response, String> {
    if rest == Rest::Nothing {
        return Err("an response to nothing".into());
    }
    let context = RequestContext { is_head: rest == Rest::NoHeadRequest, is_1_0: false };
    let response = Response::take(came, context)?;
    if !is_refusal(&response)? {
        return Err(format!("{} for what is no request", response.status));
    }
    Ok(response)
}

/// The answer to a request.
fn response_to(request: &Request, came: &mut &[u8]) -> Result<Response, String> {
    let context = RequestContext { is_head: request.is_head(), is_1_0: request.is_1_0 };
    let mut response = Response::take(came, context)?;
    if response.status == 100 && request.may_be_continued() {
        response = Response::take(came, context)?;
    }
    check_response(request, &response).map_err(|what| format!("{what}: {response:?}"))?;
    Ok(response)
}

fn check_response(request: &Request, response: &Response) -> Result<(), String> {
    let closes = response.closes()?;
    if response.status < 200
        || (response.status >= 500 && !REFUSALS.contains(&response.status))
    {
        return Err("a status that nothing here can have".into());
    }
    let may_go_on = closes || request.may_be_discarded();
    if request.content.is_none() && !(may_go_on && UNREAD.contains(&response.status)) {
        return Err("an response to content that has no end".into());
    }
    if !closes && !request.is_persistent() {
        return Err("the client wanted the connection closed".into());
    }
    let keeps_alive = response.value("Connection")? == Some("keep-alive");
    if keeps_alive != (request.is_1_0 && !closes) {
        return Err(
            "HTTP/1.0 keeps a connection where the response says so, 1.1 always".into()
        );
    }
    check_range(request, response)?;
    match response.value(WITNESS)? {
        Some(witness) => check_witness(request, response, witness),
        None if is_plain(request) => Err("a plain request was not answered".into()),
        None if response.is_broken_off => Err("the response is not whole".into()),
        None => Ok(()),
    }
}

/// A witness saw the request that was sent, and the request is within all limits.
fn check_witness(
    request: &Request,
    response: &Response,
    witness: &str,
) -> Result<(), String> {
    let content = request.content.as_ref().ok_or("a witness to no request")?;
    let fields = request.fields.iter().copied();
    let target = request.path_and_query();
    let expected = testimony(request.method, &target, fields, content);
    if !is_within_limits(request) {
        return Err("the request is larger than is taken".into());
    }
    if response.status != 200
        || (is_plain(request) && !has_right_ending(request, response)?)
    {
        return Err("a plain request was not answered as it should be".into());
    }
    if request.is_head() {
        let length = response.value("Content-Length")?;
        let agrees = length.is_none_or(|length| length == expected.len().to_string());
        let is_right = agrees && !response.is_broken_off;
        return is_right.then_some(()).ok_or("HEAD is not as GET is".into());
    }
    if response.is_broken_off != (witness == BREAKS_OFF && !request.is_1_0) {
        return Err("the response does not end as it should".into());
    }
    if response.content != expected {
        let expected = expected.escape_ascii();
        return Err(format!("another request was seen than {expected}"));
    }
    Ok(())
}

/// The connection of a request that was answered well ends only when the client wants it to, or
/// when nothing else says where the answer ends.
fn has_right_ending(request: &Request, response: &Response) -> Result<bool, String> {
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

/// Whether there is no reason in the world to refuse a request.
fn is_plain(request: &Request) -> bool {
    let path_fits = match request.method {
        b"GET" | b"HEAD" => [&b"/hello"[..], b"/echo", b"/stream", b"/broken-stream"]
            .contains(&request.target),
        b"POST" => [&b"/echo"[..], b"/stream"].contains(&request.target),
        b"PUT" => request.target == b"/echo",
        _ => false,
    };
    // Other fields may ask for what there is not, or come from another site.
    let innocent =
        ["Connection", "Content-Length", "Transfer-Encoding", "Cookie", "Field", "X"];
    let field_fits = |(name, value): &(&[u8], &[u8])| {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        let is_plain_host = is("Host") && value.iter().all(u8::is_ascii_alphabetic);
        is_plain_host || innocent.into_iter().any(is)
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

/// RFC 9110 sections 14.4 and 15.3.7: a part is as long as it says, and was asked for.
fn check_range(request: &Request, response: &Response) -> Result<(), String> {
    if response.status != 206 {
        return Ok(());
    }
    let range =
        response.value("Content-Range")?.and_then(|range| range.strip_prefix("bytes "));
    let parts = range.and_then(|range| range.split_once('/'));
    let ends = parts.and_then(|(range, _)| range.split_once('-'));
    let (first, last) = ends.ok_or("a part without its place")?;
    let place = |digits: &str| model::number(digits.as_bytes(), 10);
    let (first, last) = place(first).zip(place(last)).ok_or("a part without its place")?;
    let was_asked = request.method == b"GET" && request.value("Range").is_some();
    let is_right = was_asked && last + 1 == first + response.content.len();
    is_right.then_some(()).ok_or("not the part that was asked for".into())
}

/// How bytes arrive changes no answer. Only a refusal at the end may be another one: a line that
/// breaks off may have been wrong before it did, and whether that, or that something grows too
/// large, is noticed first depends on how much has arrived when the server looks.
fn check_same(
    sending: &Sending,
    all: &[Response],
    in_pieces: &[Response],
) -> Result<(), String> {
    if all.len() != in_pieces.len() {
        return Err("how bytes arrive changes how many responses there are".into());
    }
    let is_whole = sending.bytes.ends_with(b"\n");
    for (one, other) in all.iter().zip(in_pieces).filter(|(one, other)| one != other) {
        let is_limit = LIMITS.contains(&one.status) || LIMITS.contains(&other.status);
        let are_refusals = is_refusal(one)? && is_refusal(other)?;
        if !are_refusals || (is_whole && !is_limit) {
            return Err("how bytes arrive changes an response".into());
        }
    }
    Ok(())
}

fn is_refusal(response: &Response) -> Result<bool, String> {
    Ok(REFUSALS.contains(&response.status) && response.closes()?)
}
