//! The lines of a head (RFC 9112 sections 3 and 5): the request line and the fields, and what they
//! say of the message itself.

use crate::http::framing::{Framing, FramingFields};
use crate::http::grammar::is_tchar;
use crate::http::limits::Limits;
use crate::http::method::Method;
use crate::http::method::Version;
use crate::http::refusal::Refusal;
use crate::http::status::Status;
use crate::http::target::{self, Target};

/// How many fields are looked for at first. Nearly no head has more, and room for few is made
/// ready faster than room for many.
const USUAL_FIELDS: usize = 20;

/// Some bytes of the head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// A field line: a name and a value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) name: Span,
    pub(crate) value: Span,
}

impl Span {
    /// 32 bits do: no head is 4 GiB, whatever its limit says.
    #[allow(clippy::cast_possible_truncation)]
    pub(crate) fn new(start: usize, end: usize) -> Span {
        Span { start: start as u32, end: end as u32 }
    }

    /// What stands there.
    pub(crate) fn bytes(self, input: &[u8]) -> &[u8] {
        &input[self.start as usize..self.end as usize]
    }

    /// Where `part`, a slice of `whole`, lies in the input; `whole` begins at `offset`.
    fn of(part: &[u8], whole: &[u8], offset: usize) -> Span {
        let start = part.as_ptr() as usize - whole.as_ptr() as usize + offset;
        Span::new(start, start + part.len())
    }
}

/// The fields of a head, and what they say of the message itself, gathered in one pass.
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
    /// Reads the field lines at the front of `bytes`, which begin at `offset` of the input.
    /// Gives them with their length, the empty line at their end included; `None` if that has
    /// not arrived.
    pub(crate) fn read(
        bytes: &[u8],
        offset: usize,
        limits: &Limits,
    ) -> Result<Option<(ParsedFields, usize)>, Refusal> {
        let mut few = [httparse::EMPTY_HEADER; USUAL_FIELDS];
        match parse_fields(bytes, &mut few[..limits.max_fields.min(USUAL_FIELDS)]) {
            Err(refusal)
                if refusal.status == Status::REQUEST_HEADER_FIELDS_TOO_LARGE
                    && limits.max_fields > USUAL_FIELDS =>
            {
                // The shortest field line has four bytes, so there can be no more than this.
                let most = limits.max_fields.min(bytes.len() / 4 + 1);
                let mut many = vec![httparse::EMPTY_HEADER; most];
                ParsedFields::record_all(parse_fields(bytes, &mut many)?, bytes, offset)
            }
            parsed => ParsedFields::record_all(parsed?, bytes, offset),
        }
    }

    fn record_all(
        parsed: Option<(usize, &[httparse::Header<'_>])>,
        bytes: &[u8],
        offset: usize,
    ) -> Result<Option<(ParsedFields, usize)>, Refusal> {
        let Some((length, headers)) = parsed else { return Ok(None) };
        let fields = Vec::with_capacity(headers.len());
        let mut parsed = ParsedFields { fields, ..ParsedFields::default() };
        for header in headers {
            let name = Span::of(header.name.as_bytes(), bytes, offset);
            let value = Span::of(header.value, bytes, offset);
            parsed.fields.push(Field { name, value });
            parsed.record(header.name, header.value, value)?;
        }
        Ok(Some((parsed, length)))
    }

    /// Takes notice of the few fields that concern the message itself. Lengths are compared
    /// first, for few names get past that.
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

    fn record_host(&mut self, value: &[u8], span: Span) -> Result<(), Refusal> {
        if self.host.replace(span).is_some() {
            return Err(Refusal::bad("There is more than one Host field."));
        }
        if !target::is_authority(value) {
            return Err(Refusal::bad("Invalid Host field."));
        }
        Ok(())
    }

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

    fn record_connection(&mut self, value: &[u8]) {
        for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// RFC 9112 section 3.2: there is a Host field, but in version 1.0 there need not be.
    pub(crate) fn check_host(&self, version: Version) -> Result<(), Refusal> {
        if self.host.is_none() && version == Version::Http11 {
            return Err(Refusal::bad("There is no Host field."));
        }
        Ok(())
    }

    pub(crate) fn framing(&self, version: Version) -> Result<Framing, Refusal> {
        self.framing_fields.framing(version)
    }

    /// RFC 9112 section 9.3.
    pub(crate) fn is_persistent(&self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep_alive)
    }

    /// RFC 9110 section 10.1.1: `100-continue` is ignored in version 1.0.
    pub(crate) fn expects_continue(&self, version: Version) -> bool {
        self.expects_continue && version == Version::Http11
    }
}

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
    let is_token = || !method.is_empty() && method.iter().copied().all(is_tchar);
    if known.is_none() && !version.contains(&b' ') && !is_token() {
        return Err(Refusal::bad("The method is not a token."));
    }
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
    let method = known.ok_or_else(unknown_method)?;
    Ok((method, Target::parse(target, method == Method::Options)?, version))
}

fn not_three_parts() -> Refusal {
    Refusal::bad(
        "The request line is not a method, a target and a version with one space between.",
    )
}

pub(crate) fn unknown_method() -> Refusal {
    let message = "Unknown method.";
    Refusal::new(Status::NOT_IMPLEMENTED, message)
}

/// What is wrong with a request line as far as it has come, and cannot become right. Somebody who
/// speaks another protocol is told at once, and not when it is too late for a line to end.
pub(crate) fn check_line_bytes(line: &[u8]) -> Result<(), Refusal> {
    if !line.first().copied().is_none_or(is_tchar) {
        return Err(Refusal::bad("The request line does not begin with a method."));
    }
    if !line.iter().all(|&byte| byte.is_ascii_graphic() || byte == b' ') {
        return Err(Refusal::bad("Invalid character in the request line."));
    }
    Ok(())
}

/// Field lines as httparse reads them, which refuses a space before the colon, folded lines, and
/// names that are no tokens. It would let a line end in LF alone; this does not, for a line
/// that two servers end in two places is how requests are smuggled.
pub(crate) fn parse_fields<'h, 'o>(
    bytes: &'o [u8],
    room: &'h mut [httparse::Header<'o>],
) -> Result<Option<(usize, &'h [httparse::Header<'o>])>, Refusal> {
    let most_fields = room.len();
    let refusal = match httparse::parse_headers(bytes, room) {
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
    Err(first_error(bytes, most_fields).unwrap_or(refusal))
}

/// What httparse passes over or does not tell apart, if nothing else is wrong before it: however a
/// head arrives, it is refused for the first thing that is wrong with it, unless it grows past a
/// limit before that has come.
fn first_error(bytes: &[u8], most_fields: usize) -> Option<Refusal> {
    let before = |at: usize| at.checked_sub(1).map(|before| bytes[before]);
    let is_bare_lf = |at: usize| bytes[at] == b'\n' && before(at) != Some(b'\r');
    let is_fold = |at: usize| b" \t".contains(&bytes[at]) && before(at) == Some(b'\n');
    let at = (0..bytes.len()).find(|&at| is_bare_lf(at) || is_fold(at))?;
    let mut room = vec![httparse::EMPTY_HEADER; most_fields];
    httparse::parse_headers(&bytes[..at], &mut room).ok()?;
    let is_fold = is_fold(at);
    Some(if is_fold {
        Refusal::bad("Folded field lines (obs-fold) are not allowed.")
    } else {
        not_crlf()
    })
}

fn not_crlf() -> Refusal {
    Refusal::bad("A field line does not end in CRLF.")
}

/// Whether all lines of a head end in CRLF, and not in LF alone. httparse lets no LF into a name or
/// a value, so it will do to look before each name, and at the end.
fn all_end_in_crlf(headers: &[httparse::Header<'_>], bytes: &[u8]) -> bool {
    let start =
        |header: &httparse::Header<'_>| Span::of(header.name.as_bytes(), bytes, 0).start;
    let ends = |at: usize| bytes[..at].ends_with(b"\r\n");
    let names_follow = headers.iter().skip(1).all(|header| ends(start(header) as usize));
    let end: &[u8] = if headers.is_empty() { b"\r\n" } else { b"\r\n\r\n" };
    names_follow && bytes.ends_with(end)
}

fn has_bare_lf(bytes: &[u8]) -> bool {
    let is_bare = |pair: &[u8]| pair[1] == b'\n' && pair[0] != b'\r';
    bytes.first() == Some(&b'\n') || bytes.windows(2).any(is_bare)
}
