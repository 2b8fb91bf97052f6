//! A request's head: from bytes to a [`Request`].
//!
//! ```text
//! GET /main?page=2 HTTP/1.1 CRLF     request line
//! Host: example.com CRLF             fields
//! CRLF                               end of the head
//! ```
//! The request keeps the bytes of its head, and everything it knows is a place in them:
//! no name and no value is copied.

use std::fmt;
use std::ops::Range;

use bytes::{Buf, BytesMut};

use crate::http::framing::Framing;
use crate::http::grammar::{self, is_field_value_byte, strip_cr};
use crate::http::head::{
    Field, ParsedFields, Span, check_line_bytes, request_line, unknown_method,
};
use crate::http::limits::Limits;
use crate::http::method::{Method, Version};
use crate::http::refusal::Refusal;
use crate::http::status::Status;
use crate::http::target::{Scheme, is_same_authority};

/// Empty lines before a request line that are put up with (RFC 9112 section 2.2 asks for one).
const EMPTY_LINES: usize = 4;
/// A request whose head has arrived. Its content has not: see
/// [`Incoming`](crate::http::content::Incoming).
pub struct Request {
    head: Box<[u8]>,
    method: Method,
    version: Version,
    scheme: Option<Scheme>,
    path: Span,
    query: Option<Span>,
    authority: Option<Span>,
    fields: Vec<Field>,
    framing: Framing,
    persistent: bool,
    says_close: bool,
    expects_continue: bool,
}

/// Shows no value of a field, and no query: there may be a cookie, a token or a password in it.
impl fmt::Debug for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.fields().map(|(name, _)| String::from_utf8_lossy(name));
        formatter
            .debug_struct("Request")
            .field("method", &self.method)
            .field("path", &self.path())
            .field("version", &self.version)
            .field("fields", &names.collect::<Vec<_>>())
            .field("framing", &self.framing)
            .finish_non_exhaustive()
    }
}

impl Request {
    /// Takes one head from the front of `input`. `None` means that its end has not arrived yet,
    /// and leaves `input` as it is. `seen` remembers how much was there the last time, and is 0
    /// for a new head: a head that trickles in is not read again for every byte, but for every
    /// line, so that a line which is wrong is refused as soon as it is there, or as soon as an
    /// byte is that no line has.
    pub fn parse(
        input: &mut BytesMut,
        seen: &mut usize,
        limits: &Limits,
    ) -> Result<Option<Request>, Refusal> {
        let is_new = *seen == 0 || !input[*seen..].iter().copied().all(is_field_value_byte);
        if is_new && let Some(request) = Request::parse_lines(input, limits)? {
            *seen = 0;
            return Ok(Some(request));
        }
        *seen = input.len();
        check_unfinished(input, limits)?;
        Ok(None)
    }

    fn parse_lines(
        input: &mut BytesMut,
        limits: &Limits,
    ) -> Result<Option<Request>, Refusal> {
        let start = empty_lines(input);
        let Some(line) = first_line(&input[start..], limits)? else { return Ok(None) };
        // What a whole line is made of shows while it is taken apart; if that fails, it is looked
        // for what was wrong first.
        let (method, target, version) = request_line(line)
            .map_err(|refusal| check_line(line, limits).err().unwrap_or(refusal))?;
        let fields_start = start + line.len() + "\r\n".len();
        let parsed = ParsedFields::read(&input[fields_start..], fields_start, limits)?;
        let Some((parsed, fields_length)) = parsed else { return Ok(None) };
        let end = fields_start + fields_length;
        if end - start > limits.max_head {
            return Err(head_too_large());
        }
        parsed.check_host(version)?;
        let target_start = start + method.as_str().len() + " ".len();
        let span = |range: Range<usize>| {
            Span::new(target_start + range.start, target_start + range.end)
        };
        let authority = target.authority.map(span);
        if let (Some(scheme), Some(authority), Some(host)) =
            (target.scheme, authority, parsed.host)
        {
            check_agreement(authority.bytes(input), host.bytes(input), scheme)?;
        }
        let request = Request {
            method,
            version,
            scheme: target.scheme,
            path: span(target.path),
            query: target.query.map(span),
            authority: authority.or(parsed.host),
            framing: parsed.framing(version)?,
            persistent: parsed.is_persistent(version),
            says_close: parsed.close,
            expects_continue: parsed.expects_continue(version),
            fields: parsed.fields,
            head: input[..end].into(),
        };
        input.advance(end);
        Ok(Some(request))
    }

    /// The method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The path as it was sent, still percent-encoded; `*` in OPTIONS of the whole server.
    pub fn path(&self) -> &str {
        match self.text(self.path) {
            "" => "/",
            path => path,
        }
    }

    /// The query as it was sent, without its question mark.
    pub fn query(&self) -> Option<&str> {
        self.query.map(|span| self.text(span))
    }

    /// The scheme of an absolute target; no other says which it means.
    pub fn scheme(&self) -> Option<Scheme> {
        self.scheme
    }

    /// The host and port that the client meant: an absolute target's, or else the Host field's.
    pub fn authority(&self) -> Option<&str> {
        self.authority.map(|span| self.text(span))
    }

    pub(crate) fn authority_bytes(&self) -> Option<&[u8]> {
        self.authority.map(|span| self.bytes(span))
    }

    /// How its content is framed.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the client would use the connection again (RFC 9112 section 9.3).
    pub fn is_persistent(&self) -> bool {
        self.persistent
    }

    /// Whether the client says that it sends nothing after this: `Connection: close`.
    pub fn says_close(&self) -> bool {
        self.says_close
    }

    /// Whether the client waits for `100 Continue` before it sends its content.
    pub fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// Every field line in order, names as they were sent.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|field| (self.bytes(field.name), self.bytes(field.value)))
    }

    /// The values of every line of one field; names know no case.
    pub fn field_values<'r, 'n>(
        &'r self,
        name: &'n str,
    ) -> impl Iterator<Item = &'r [u8]> + 'n
    where
        'r: 'n,
    {
        let is_named = move |found: &[u8]| found.eq_ignore_ascii_case(name.as_bytes());
        self.fields().filter(move |(found, _)| is_named(found)).map(|(_, value)| value)
    }

    /// The value of the first line of a field, if it is text.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.field_values(name).next().and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The length of the head in bytes.
    pub(crate) fn head_length(&self) -> usize {
        self.head.len()
    }

    fn bytes(&self, span: Span) -> &[u8] {
        span.bytes(&self.head)
    }

    /// For what was found to be ASCII when it was read: targets and hosts.
    fn text(&self, span: Span) -> &str {
        std::str::from_utf8(self.bytes(span)).unwrap_or_default()
    }
}

/// By RFC 9112 section 3.2.2 a server must ignore Host when the target is absolute. A request that
/// names two hosts is meant to be read differently by two servers; it is refused here.
fn check_agreement(target: &[u8], host: &[u8], scheme: Scheme) -> Result<(), Refusal> {
    match is_same_authority(target, host, scheme) {
        true => Ok(()),
        false => Err(Refusal::bad("The Host field and the request target disagree.")),
    }
}

/// The method that a refused request begins with, if it has come that far.
pub(crate) fn first_method(input: &[u8]) -> Option<Method> {
    let line = &input[empty_lines(input)..];
    let end = line.iter().position(|&byte| byte == b' ')?;
    Method::from_token(&line[..end])
}

/// The first line without its CRLF, once that is there.
fn first_line<'o>(input: &'o [u8], limits: &Limits) -> Result<Option<&'o [u8]>, Refusal> {
    let Some(end) = grammar::position(input, b'\n') else { return Ok(None) };
    let line = strip_cr(&input[..end]);
    let is_crlf = line.len() < end;
    if line.len() > limits.max_request_line || !is_crlf {
        check_line(line, limits)?;
    }
    match is_crlf {
        true => Ok(Some(line)),
        false => Err(Refusal::bad("The request line does not end in CRLF.")),
    }
}

/// The length of the empty lines at the front.
fn empty_lines(input: &[u8]) -> usize {
    2 * input.chunks_exact(2).take(EMPTY_LINES).take_while(|pair| pair == b"\r\n").count()
}

/// Whether nothing but empty lines has arrived: the client has not begun a request.
pub(crate) fn is_only_empty_lines(input: &[u8]) -> bool {
    input.chunks(2).all(|pair| b"\r\n".starts_with(pair))
}

/// Whether a head that has not ended yet may go on.
fn check_unfinished(input: &[u8], limits: &Limits) -> Result<(), Refusal> {
    let head = &input[empty_lines(input)..];
    if !head.contains(&b'\n') {
        check_line(strip_cr(head), limits)?;
    }
    if head.len() > limits.max_head {
        return Err(head_too_large());
    }
    Ok(())
}

/// Finds what is wrong with a request line, which may not have ended yet, within its limit, and
/// whether it is within its limit.
fn check_line(line: &[u8], limits: &Limits) -> Result<(), Refusal> {
    let within = &line[..line.len().min(limits.max_request_line)];
    check_line_bytes(within)?;
    if within.len() == line.len() {
        return Ok(());
    }
    // RFC 9112 section 3: too long a target is 414, too long a method is none of ours.
    Err(if within.contains(&b' ') {
        Refusal::new(Status::URI_TOO_LONG, "The request line is too long.")
    } else {
        unknown_method()
    })
}

fn head_too_large() -> Refusal {
    let message = "The head of the request is too large.";
    Refusal::new(Status::REQUEST_HEADER_FIELDS_TOO_LARGE, message)
}
