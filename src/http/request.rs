//! [`Request`]: a parsed request head.
//!
//! ```text
//! GET /main?page=2 HTTP/1.1 CRLF     request line
//! Host: example.com CRLF             field lines
//! CRLF                               end of the head
//! ```
//! The head is copied once, as a whole, out of the input buffer. No name and no value is copied
//! after that: each part is a [`Span`], a pair of offsets into the head:
//!
//! ```text
//! GET /main?page=2 HTTP/1.1 CRLF Host: example.com CRLF CRLF
//!     ^^^^^ ^^^^^^               ^^^^  ^^^^^^^^^^^
//!     path  query                name  value, which is also the authority
//! ```

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

/// Maximum number of empty lines before the request line, which are ignored. RFC 9112 section
/// 2.2 asks for at least one, because some clients send a CRLF after their content.
const MAX_EMPTY_LINES: usize = 4;

/// A request, from the arrival of its head on. Its content is read through
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

/// Shows the names of the fields but not their values, and not the query: they may contain
/// cookies, tokens or passwords.
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
    /// Parses one head and removes it from the front of `input`. Returns `None`, and leaves
    /// `input` unchanged, if the head is incomplete.
    ///
    /// `seen` is the number of bytes that the call before has seen; it starts at 0 for each
    /// head. The parser is not incremental, so a head that arrives byte by byte would take
    /// quadratic time if each call parsed it again. It is parsed again only if the new bytes
    /// contain a line end or a byte that no field value may contain. So an invalid line is
    /// rejected as soon as it is complete.
    pub fn parse(
        input: &mut BytesMut,
        seen: &mut usize,
        limits: &Limits,
    ) -> Result<Option<Request>, Refusal> {
        let may_decide =
            *seen == 0 || !input[*seen..].iter().copied().all(is_field_value_byte);
        if may_decide && let Some(request) = Request::parse_lines(input, limits)? {
            *seen = 0;
            return Ok(Some(request));
        }
        *seen = input.len();
        check_unfinished(input, limits)?;
        Ok(None)
    }

    /// Parses a complete head, or returns `None`. The request line is checked as soon as it is
    /// complete, before the fields are parsed.
    fn parse_lines(
        input: &mut BytesMut,
        limits: &Limits,
    ) -> Result<Option<Request>, Refusal> {
        let start = empty_lines(input);
        let Some(line) = first_line(&input[start..], limits)? else { return Ok(None) };
        // A valid request line is scanned only once, by `request_line`. If that fails,
        // `check_line` runs first, so that the first error in the line decides, as in an
        // incomplete line.
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
            check_same_authority(authority.bytes(input), host.bytes(input), scheme)?;
        }
        let framing = parsed.framing(version)?;
        step!("head: {method}, {} fields, {end} bytes", parsed.fields.len());
        step!("framing: {framing:?}");
        let request = Request {
            method,
            version,
            scheme: target.scheme,
            path: span(target.path),
            query: target.query.map(span),
            authority: authority.or(parsed.host),
            framing,
            persistent: parsed.is_persistent(version),
            says_close: parsed.close,
            expects_continue: parsed.expects_continue(version),
            fields: parsed.fields,
            head: input[..end].into(),
        };
        input.advance(end);
        Ok(Some(request))
    }

    /// Returns the method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Returns the protocol version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns the path as the client sent it, percent-encoded; `*` for an OPTIONS request to
    /// the server as a whole.
    pub fn path(&self) -> &str {
        match self.text(self.path) {
            "" => "/",
            path => path,
        }
    }

    /// Returns the query as the client sent it, percent-encoded and without the question mark.
    pub fn query(&self) -> Option<&str> {
        self.query.map(|span| self.text(span))
    }

    /// Returns the scheme, if the target is in absolute-form. Other forms have none.
    pub fn scheme(&self) -> Option<Scheme> {
        self.scheme
    }

    /// Returns the host and port of the request: those of the target if it is in absolute-form,
    /// otherwise the value of the Host field.
    pub fn authority(&self) -> Option<&str> {
        self.authority.map(|span| self.text(span))
    }

    pub(crate) fn authority_bytes(&self) -> Option<&[u8]> {
        self.authority.map(|span| self.bytes(span))
    }

    /// Returns how the end of the content is determined.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Returns `true` if the connection persists after this request, as far as the client is
    /// concerned (keep-alive, RFC 9112 section 9.3).
    pub fn is_persistent(&self) -> bool {
        self.persistent
    }

    /// Returns `true` if the request has `Connection: close`: the client sends no request after
    /// it.
    pub fn says_close(&self) -> bool {
        self.says_close
    }

    /// Returns `true` if the client waits for `100 Continue` before it sends the content.
    pub fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// Returns name and value of every field line, in order; names are as the client sent them.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|field| (self.bytes(field.name), self.bytes(field.value)))
    }

    /// Returns the values of all lines of one field. Names are case-insensitive.
    pub fn field_values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let is_named = move |found: &[u8]| found.eq_ignore_ascii_case(name.as_bytes());
        self.fields().filter(move |(found, _)| is_named(found)).map(|(_, value)| value)
    }

    /// Returns the value of the first line of a field, if it is UTF-8.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.field_values(name).next().and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Returns the length of the head in bytes.
    pub(crate) fn head_length(&self) -> usize {
        self.head.len()
    }

    fn bytes(&self, span: Span) -> &[u8] {
        span.bytes(&self.head)
    }

    /// Returns a part that the parser has found to be ASCII: the target or the host.
    fn text(&self, span: Span) -> &str {
        std::str::from_utf8(self.bytes(span)).unwrap_or_default()
    }
}

/// Rejects a request if its target and its Host field name different hosts. RFC 9112 section
/// 3.2.2 says that a server ignores Host if the target is in absolute-form. But a proxy that
/// uses Host would see another host than this server, so the request is stopped, like an
/// ambiguous framing.
fn check_same_authority(target: &[u8], host: &[u8], scheme: Scheme) -> Result<(), Refusal> {
    match is_same_authority(target, host, scheme) {
        true => Ok(()),
        false => Err(Refusal::bad("The Host field and the request target disagree.")),
    }
}

/// Returns the method at the front of a rejected request, if it is complete and known.
pub(crate) fn first_method(input: &[u8]) -> Option<Method> {
    let line = &input[empty_lines(input)..];
    let end = line.iter().position(|&byte| byte == b' ')?;
    Method::from_token(&line[..end])
}

/// Returns the first line without its CRLF, or `None` if the line is incomplete.
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

/// Returns the length in bytes of the empty lines at the front.
fn empty_lines(input: &[u8]) -> usize {
    let pairs = input.chunks_exact(2).take(MAX_EMPTY_LINES);
    2 * pairs.take_while(|pair| pair == b"\r\n").count()
}

/// Returns `true` if only empty lines have arrived, so that the connection is still idle.
pub(crate) fn is_only_empty_lines(input: &[u8]) -> bool {
    input.chunks(2).all(|pair| b"\r\n".starts_with(pair))
}

/// Returns the refusal for an incomplete head that exceeds a limit or has an invalid first
/// line. Without this check, a head without an end would fill the input buffer.
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

/// Returns the refusal for a request line, complete or not, that has an invalid byte within the
/// limit or is longer than the limit.
fn check_line(line: &[u8], limits: &Limits) -> Result<(), Refusal> {
    let allowed = &line[..line.len().min(limits.max_request_line)];
    check_line_bytes(allowed)?;
    if allowed.len() == line.len() {
        return Ok(());
    }
    // RFC 9112 section 3: 414 if the target is too long; 501 if the method is, because it is
    // longer than any known one.
    Err(if allowed.contains(&b' ') {
        Refusal::new(Status::URI_TOO_LONG, "The request line is too long.")
    } else {
        unknown_method()
    })
}

#[track_caller]
fn head_too_large() -> Refusal {
    let message = "The head of the request is too large.";
    Refusal::new(Status::REQUEST_HEADER_FIELDS_TOO_LARGE, message)
}
