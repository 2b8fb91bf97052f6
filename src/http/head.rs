//! The parser of the request line and the field lines (RFC 9112 sections 3 and 5), and the
//! fields that concern the message itself: Host, Connection, Expect, and the framing fields.
//!
//! Field lines are split by the httparse crate. What httparse accepts and the RFC allows a
//! server to reject is rejected here, because each such leniency has been used for request
//! smuggling.

use crate::http::framing::{Framing, FramingFields};
use crate::http::grammar::is_tchar;
use crate::http::limits::Limits;
use crate::http::method::Method;
use crate::http::method::Version;
use crate::http::refusal::Refusal;
use crate::http::status::Status;
use crate::http::target::{self, Target};

/// Size of the header array for the first try of [`parse_with_growing_array`].
const USUAL_FIELDS: usize = 20;

/// A range of bytes of the head, as offsets into it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// A field line: name and value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) name: Span,
    pub(crate) value: Span,
}

impl Span {
    /// 32 bits are enough, because no head has 4 GiB, and halve the size of the list of fields.
    #[allow(clippy::cast_possible_truncation)]
    pub(crate) fn new(start: usize, end: usize) -> Span {
        Span { start: start as u32, end: end as u32 }
    }

    /// Returns the bytes of the span. `input` is the buffer that the offsets refer to.
    pub(crate) fn bytes(self, input: &[u8]) -> &[u8] {
        &input[self.start as usize..self.end as usize]
    }

    /// Returns the span of `part`, a slice of `whole`; `whole` begins at `offset` of
    /// the input. httparse returns slices, so the offset is the difference of two addresses.
    fn locate(part: &[u8], whole: &[u8], offset: usize) -> Span {
        let start = part.as_ptr() as usize - whole.as_ptr() as usize + offset;
        Span::new(start, start + part.len())
    }
}

/// The fields of a head, and the values of those that concern the message, collected in one
/// pass.
#[derive(Default)]
pub(crate) struct ParsedFields {
    pub(crate) fields: Vec<Field>,
    pub(crate) host: Option<Span>,
    framing_fields: FramingFields,
    pub(crate) close: bool,
    keep_alive: bool,
    expects_continue: bool,
}

impl ParsedFields {
    /// Parses the field lines at the front of `bytes`, which begin at `offset` of the input.
    /// Returns them with their length in bytes, including the empty line at their end, or
    /// `None` if they are incomplete.
    pub(crate) fn read(
        bytes: &[u8],
        offset: usize,
        limits: &Limits,
    ) -> Result<Option<(ParsedFields, usize)>, Refusal> {
        let mut usual = [httparse::EMPTY_HEADER; USUAL_FIELDS];
        let mut large = Vec::new();
        let parsed =
            parse_with_growing_array(bytes, limits.max_fields, &mut usual, &mut large)?;
        let Some((length, headers)) = parsed else { return Ok(None) };
        let fields = Vec::with_capacity(headers.len());
        let mut parsed = ParsedFields { fields, ..ParsedFields::default() };
        for header in headers {
            let name = Span::locate(header.name.as_bytes(), bytes, offset);
            let value = Span::locate(header.value, bytes, offset);
            parsed.fields.push(Field { name, value });
            parsed.record(header.name, header.value, value)?;
        }
        Ok(Some((parsed, length)))
    }

    /// Records the value of a field that concerns the message. The length of the name is
    /// compared first, because that excludes most names.
    fn record(&mut self, name: &str, value: &[u8], span: Span) -> Result<(), Refusal> {
        match name.len() {
            4 if name.eq_ignore_ascii_case("host") => self.record_host(value, span),
            6 if name.eq_ignore_ascii_case("expect") => self.record_expect(value),
            10 if name.eq_ignore_ascii_case("connection") => {
                self.record_connection(value);
                Ok(())
            }
            14 if name.eq_ignore_ascii_case("content-length") => {
                self.framing_fields.content_length(value)
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                self.framing_fields.transfer_encoding(value);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Records Host, which decides about the application's allowed hosts and about redirects.
    /// Two Host fields could mean two hosts to two servers, so a second one is rejected (RFC
    /// 9112 section 3.2).
    fn record_host(&mut self, value: &[u8], span: Span) -> Result<(), Refusal> {
        if self.host.replace(span).is_some() {
            return Err(Refusal::bad("There is more than one Host field."));
        }
        if !target::is_authority(value) {
            return Err(Refusal::bad("Invalid Host field."));
        }
        Ok(())
    }

    /// Records Expect, a list. Unknown expectations are rejected with 417 (RFC 9110 section
    /// 10.1.1).
    fn record_expect(&mut self, value: &[u8]) -> Result<(), Refusal> {
        let members = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
        for expectation in members.filter(|member| !member.is_empty()) {
            if !expectation.eq_ignore_ascii_case(b"100-continue") {
                let message = "Unsupported expectation; only 100-continue is supported.";
                return Err(Refusal::new(Status::EXPECTATION_FAILED, message));
            }
            self.expects_continue = true;
        }
        Ok(())
    }

    /// Records Connection, a list of options. Unknown options are ignored.
    fn record_connection(&mut self, value: &[u8]) {
        for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// Rejects an HTTP/1.1 request without a Host field (RFC 9112 section 3.2). HTTP/1.0 does
    /// not require one.
    pub(crate) fn check_host(&self, version: Version) -> Result<(), Refusal> {
        if self.host.is_none() && version == Version::Http11 {
            return Err(Refusal::bad("There is no Host field."));
        }
        Ok(())
    }

    pub(crate) fn framing(&self, version: Version) -> Result<Framing, Refusal> {
        self.framing_fields.framing(version)
    }

    /// Returns `true` if the connection persists: by default in HTTP/1.1, and on request in
    /// HTTP/1.0 (RFC 9112 section 9.3).
    pub(crate) fn is_persistent(&self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep_alive)
    }

    /// Returns `true` if the client expects `100 Continue`. The expectation is ignored in
    /// HTTP/1.0 (RFC 9110 section 10.1.1).
    pub(crate) fn expects_continue(&self, version: Version) -> bool {
        self.expects_continue && version == Version::Http11
    }
}

/// Parses the request line.
/// ```text
/// request-line = method SP request-target SP HTTP-version
/// ```
pub(crate) fn request_line(line: &[u8]) -> Result<(Method, Target, Version), Refusal> {
    let mut parts = line.splitn(3, |&byte| byte == b' ');
    let (Some(method), Some(target), Some(version)) =
        (parts.next(), parts.next(), parts.next())
    else {
        return Err(not_three_parts());
    };
    let known = Method::from_token(method);
    // A line with more than two spaces is refused for that, below, and not for its method.
    let is_token = || !method.is_empty() && method.iter().copied().all(is_tchar);
    if known.is_none() && !version.contains(&b' ') && !is_token() {
        return Err(Refusal::bad("The method is not a token."));
    }
    // A higher minor version is a 1.1 that this server does not know (RFC 9110 section 2.5).
    let version = match version {
        b"HTTP/1.0" => Version::Http10,
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9'] => Version::Http11,
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            let message = "Unsupported HTTP version; use HTTP/1.1 or HTTP/1.0.";
            return Err(Refusal::new(Status::HTTP_VERSION_NOT_SUPPORTED, message));
        }
        more if more.contains(&b' ') => return Err(not_three_parts()),
        _ => return Err(Refusal::bad("Invalid HTTP version.")),
    };
    let method = known.ok_or(unknown_method())?;
    Ok((method, Target::parse(target, method == Method::Options)?, version))
}

#[track_caller]
fn not_three_parts() -> Refusal {
    Refusal::bad(
        "The request line is not a method, a target and a version with one space between.",
    )
}

#[track_caller]
pub(crate) fn unknown_method() -> Refusal {
    let message = "Unknown method.";
    Refusal::new(Status::NOT_IMPLEMENTED, message)
}

/// Returns the refusal for a request line, complete or not, that has an invalid byte. A client
/// of another protocol, such as TLS, gets its response immediately and not after
/// `head_timeout`.
pub(crate) fn check_line_bytes(line: &[u8]) -> Result<(), Refusal> {
    if !line.first().copied().is_none_or(is_tchar) {
        return Err(Refusal::bad("The request line does not begin with a method."));
    }
    if !line.iter().all(|&byte| byte.is_ascii_graphic() || byte == b' ') {
        return Err(Refusal::bad("Invalid character in the request line."));
    }
    Ok(())
}

/// The length of a section of field lines in bytes, including the empty line at its end, and
/// the fields; `None` if the section is incomplete.
type Headers<'h, 'o> = Option<(usize, &'h [httparse::Header<'o>])>;

/// Parses field lines with an array of [`USUAL_FIELDS`] headers, and again with a larger one if
/// there are more.
///
/// httparse writes to an array that the caller has initialized. Almost no head has more than 20
/// fields. One array for the default maximum of 100 would cost 3.0 % of the instructions of a
/// plain page if it were on the stack, and 2.2 % and an allocation if it were a `Vec`. The
/// caller owns both arrays, because the result borrows from one of them.
fn parse_with_growing_array<'h, 'o>(
    bytes: &'o [u8],
    max_fields: usize,
    usual: &'h mut [httparse::Header<'o>; USUAL_FIELDS],
    large: &'h mut Vec<httparse::Header<'o>>,
) -> Result<Headers<'h, 'o>, Refusal> {
    let first_max = max_fields.min(USUAL_FIELDS);
    match httparse::parse_headers(bytes, &mut usual[..first_max]) {
        Err(httparse::Error::TooManyHeaders) if max_fields > USUAL_FIELDS => {
            // The shortest field line has four bytes, so there cannot be more fields than this.
            large.resize(max_fields.min(bytes.len() / 4 + 1), httparse::EMPTY_HEADER);
            parse_fields(bytes, large)
        }
        parsed => check_fields(parsed, bytes, first_max),
    }
}

/// Parses field lines, at most as many as `headers` has elements.
///
/// httparse rejects whitespace before the colon, folded lines (obs-fold), and names that are
/// not tokens. It accepts lines that end in LF alone; this function does not. Two servers that
/// disagree about the end of a line disagree about the fields, which allows request smuggling.
pub(crate) fn parse_fields<'h, 'o>(
    bytes: &'o [u8],
    headers: &'h mut [httparse::Header<'o>],
) -> Result<Headers<'h, 'o>, Refusal> {
    let max_fields = headers.len();
    check_fields(httparse::parse_headers(bytes, headers), bytes, max_fields)
}

/// Accepts what httparse has parsed if every line ends in CRLF, and converts its errors.
fn check_fields<'h, 'o>(
    parsed: httparse::Result<(usize, &'h [httparse::Header<'o>])>,
    bytes: &[u8],
    max_fields: usize,
) -> Result<Headers<'h, 'o>, Refusal> {
    let refusal = match parsed {
        Ok(httparse::Status::Complete((length, headers)))
            if all_end_in_crlf(headers, &bytes[..length]) =>
        {
            return Ok(Some((length, headers)));
        }
        Ok(httparse::Status::Partial) if !has_bare_lf(bytes) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => {
            let message = "There are too many fields.";
            Refusal::new(Status::REQUEST_HEADER_FIELDS_TOO_LARGE, message)
        }
        Err(httparse::Error::HeaderName) => Refusal::bad("A field name is not a token."),
        Err(httparse::Error::HeaderValue) => {
            Refusal::bad("Invalid character in a field value.")
        }
        Ok(_) | Err(_) => not_crlf(),
    };
    Err(first_error(bytes, max_fields).unwrap_or(refusal))
}

/// Returns the refusal for the first bare LF or folded line (obs-fold), if everything before it
/// is valid. httparse accepts the one and does not distinguish the other.
///
/// They are looked for so that the first error in a head decides, no matter how the head is
/// split across reads. Only a limit that is exceeded before that error has arrived takes
/// precedence.
fn first_error(bytes: &[u8], max_fields: usize) -> Option<Refusal> {
    let before = |at: usize| at.checked_sub(1).map(|before| bytes[before]);
    let is_bare_lf = |at: usize| bytes[at] == b'\n' && before(at) != Some(b'\r');
    let is_fold = |at: usize| b" \t".contains(&bytes[at]) && before(at) == Some(b'\n');
    let at = (0..bytes.len()).find(|&at| is_bare_lf(at) || is_fold(at))?;
    let mut headers = vec![httparse::EMPTY_HEADER; max_fields];
    httparse::parse_headers(&bytes[..at], &mut headers).ok()?;
    Some(if is_fold(at) {
        Refusal::bad("Folded field lines (obs-fold) are not allowed.")
    } else {
        not_crlf()
    })
}

#[track_caller]
fn not_crlf() -> Refusal {
    Refusal::bad("A field line does not end in CRLF.")
}

/// Returns `true` if all lines end in CRLF, and not in LF alone. httparse accepts LF only at
/// the end of a line, so the bytes before each name and at the end are checked.
fn all_end_in_crlf(headers: &[httparse::Header<'_>], bytes: &[u8]) -> bool {
    let start = |header: &httparse::Header<'_>| {
        Span::locate(header.name.as_bytes(), bytes, 0).start
    };
    let ends = |at: usize| bytes[..at].ends_with(b"\r\n");
    let names_follow = headers.iter().skip(1).all(|header| ends(start(header) as usize));
    let end: &[u8] = if headers.is_empty() { b"\r\n" } else { b"\r\n\r\n" };
    names_follow && bytes.ends_with(end)
}

fn has_bare_lf(bytes: &[u8]) -> bool {
    let is_bare = |pair: &[u8]| pair[1] == b'\n' && pair[0] != b'\r';
    bytes.first() == Some(&b'\n') || bytes.windows(2).any(is_bare)
}
