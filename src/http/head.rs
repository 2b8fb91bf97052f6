//! The lines of a head (RFC 9112 sections 3 and 5): the request line and the fields, and what they
//! say of the message itself.

use crate::http::framing::Framing;
use crate::http::limits::Limits;
use crate::http::method::Method;
use crate::http::refusal::Refusal;
use crate::http::status::Status;
use crate::http::target::{self, Target};

/// How many fields are looked for at first. Nearly no head has more, and room for few is made
/// ready faster than room for many.
const USUAL_FIELDS: usize = 32;

/// The version of a request, as far as it changes anything (RFC 9112 section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// No chunked content; connections end unless `keep-alive` is asked for.
    Http10,
    /// And whatever minor version may come behind it.
    Http11,
}

/// Some octets of the head.
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
    /// Heads are far smaller than 4 GiB, so 32 bits do.
    #[allow(clippy::cast_possible_truncation)]
    pub(crate) fn new(start: usize, end: usize) -> Span {
        Span { start: start as u32, end: end as u32 }
    }

    /// What stands there.
    pub(crate) fn octets(self, input: &[u8]) -> &[u8] {
        &input[self.start as usize..self.end as usize]
    }

    /// The place of `part` in what begins `offset` octets before `whole`.
    fn of(part: &[u8], whole: &[u8], offset: usize) -> Span {
        let start = part.as_ptr() as usize - whole.as_ptr() as usize + offset;
        Span::new(start, start + part.len())
    }
}

/// What the fields say about the message itself, gathered in one pass over them.
#[derive(Default)]
pub(crate) struct Facts {
    pub(crate) fields: Vec<Field>,
    hosts: usize,
    pub(crate) host: Option<Span>,
    content_lengths: usize,
    content_length: Option<u64>,
    transfer_codings: Vec<Span>,
    close: bool,
    keep_alive: bool,
    pub(crate) expects_continue: bool,
}

impl Facts {
    /// Reads the field lines at the front of `octets`, which begin at `offset` of the input.
    /// Gives their length, the empty line at their end included.
    pub(crate) fn read_fields(
        &mut self,
        octets: &[u8],
        offset: usize,
        limits: &Limits,
    ) -> Result<Option<usize>, Refusal> {
        let mut few = [httparse::EMPTY_HEADER; USUAL_FIELDS];
        match parse_fields(octets, &mut few[..limits.fields.min(USUAL_FIELDS)]) {
            Err(refusal)
                if refusal.status == Status::REQUEST_HEADER_FIELDS_TOO_LARGE
                    && limits.fields > USUAL_FIELDS =>
            {
                let mut many = vec![httparse::EMPTY_HEADER; limits.fields];
                self.note_all(parse_fields(octets, &mut many)?, octets, offset)
            }
            parsed => self.note_all(parsed?, octets, offset),
        }
    }

    fn note_all(
        &mut self,
        parsed: Option<(usize, &[httparse::Header<'_>])>,
        octets: &[u8],
        offset: usize,
    ) -> Result<Option<usize>, Refusal> {
        let Some((length, headers)) = parsed else {
            return Ok(None);
        };
        self.fields.reserve_exact(headers.len());
        for header in headers {
            let value = Span::of(header.value, octets, offset);
            self.fields.push(Field {
                name: Span::of(header.name.as_bytes(), octets, offset),
                value,
            });
            self.note(header.name, header.value, value)?;
        }
        Ok(Some(length))
    }

    /// Takes notice of the few fields that concern the message itself.
    fn note(&mut self, name: &str, value: &[u8], span: Span) -> Result<(), Refusal> {
        match name.len() {
            4 if name.eq_ignore_ascii_case("host") => {
                if !target::is_authority(value) {
                    return Err(Refusal::bad("The Host field names no valid host."));
                }
                self.hosts += 1;
                self.host = Some(span);
            }
            6 if name.eq_ignore_ascii_case("expect") => {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    let sentence = "The only expectation met here is 100-continue.";
                    return Err(Refusal::new(Status::EXPECTATION_FAILED, sentence));
                }
                self.expects_continue = true;
            }
            10 if name.eq_ignore_ascii_case("connection") => {
                for option in value.split(|&octet| octet == b',').map(<[u8]>::trim_ascii) {
                    self.close |= option.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            14 if name.eq_ignore_ascii_case("content-length") => {
                self.content_lengths += 1;
                self.content_length = Some(content_length(value)?);
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                self.transfer_codings.push(span);
            }
            _ => {}
        }
        Ok(())
    }

    /// RFC 9112 section 3.2: exactly one Host; version 1.0 may do without.
    pub(crate) fn check(&self, version: Version) -> Result<(), Refusal> {
        if self.hosts > 1 {
            return Err(Refusal::bad("There is more than one Host field."));
        }
        if self.hosts == 0 && version == Version::Http11 {
            return Err(Refusal::bad("There is no Host field."));
        }
        Ok(())
    }

    /// RFC 9112 section 6.3, with no benefit of any doubt: where two readers could see two
    /// lengths, there is no request.
    pub(crate) fn framing(
        &self,
        version: Version,
        input: &[u8],
    ) -> Result<Framing, Refusal> {
        if self.content_lengths > 1 {
            return Err(Refusal::bad("There is more than one Content-Length."));
        }
        let [coding] = self.transfer_codings[..] else {
            if self.transfer_codings.len() > 1 {
                return Err(Refusal::bad("There is more than one Transfer-Encoding."));
            }
            return Ok(match self.content_length {
                None | Some(0) => Framing::Empty,
                Some(length) => Framing::Length(length),
            });
        };
        if self.content_length.is_some() {
            return Err(Refusal::bad(
                "Both Content-Length and Transfer-Encoding are there.",
            ));
        }
        if version == Version::Http10 {
            return Err(Refusal::bad("HTTP/1.0 has no Transfer-Encoding."));
        }
        let coding = coding.octets(input);
        if coding.eq_ignore_ascii_case(b"chunked") {
            return Ok(Framing::Chunked);
        }
        let mut codings = coding.split(|&octet| octet == b',').map(<[u8]>::trim_ascii);
        let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
        if codings.next_back().is_some_and(is_chunked) && !codings.any(is_chunked) {
            let sentence = "The only transfer coding known here is chunked.";
            return Err(Refusal::new(Status::NOT_IMPLEMENTED, sentence));
        }
        Err(Refusal::bad(
            "The last transfer coding of a request must be chunked, and only it.",
        ))
    }

    pub(crate) fn persistent(&self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep_alive)
    }
}

/// ```text
/// request-line = method SP request-target SP HTTP-version
/// ```
pub(crate) fn request_line(line: &[u8]) -> Result<(Method, Target, Version), Refusal> {
    let mut parts = line.split(|&octet| octet == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Refusal::bad(
            "The request line is not a method, a target and a version with one space between.",
        ));
    };
    if method.is_empty() || !method.iter().all(|&octet| is_token_octet(octet)) {
        return Err(Refusal::bad("The method is not a token."));
    }
    let version = match version {
        b"HTTP/1.0" => Version::Http10,
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9'] => Version::Http11,
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            let sentence = "Only HTTP/1.1 and HTTP/1.0 are spoken here.";
            return Err(Refusal::new(Status::HTTP_VERSION_NOT_SUPPORTED, sentence));
        }
        _ => return Err(Refusal::bad("The request line has no valid version.")),
    };
    let Some(method) = Method::from_token(method) else {
        let sentence = "The method is not one that is known here.";
        return Err(Refusal::new(Status::NOT_IMPLEMENTED, sentence));
    };
    Ok((method, Target::parse(target, method == Method::Options)?, version))
}

/// ```text
/// tchar = "!" / "#" / "$" / "%" / "&" / "'" / "*" / "+" / "-" / "." /
///         "^" / "_" / "`" / "|" / "~" / DIGIT / ALPHA
/// ```
pub(crate) fn is_token_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet)
}

/// ```text
/// Content-Length = 1*DIGIT
/// ```
fn content_length(value: &[u8]) -> Result<u64, Refusal> {
    let digits = std::str::from_utf8(value).unwrap_or_default();
    // `parse` would take a sign.
    if !digits.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(Refusal::bad("The Content-Length is not one number."));
    }
    digits.parse().map_err(|_| Refusal::bad("The Content-Length is not one number."))
}

/// Field lines as httparse reads them, which refuses a space before the colon, folded lines, and
/// names that are no tokens. It would let a line end in LF alone; this does not, for a line
/// that two servers end in two places is how requests are smuggled.
pub(crate) fn parse_fields<'h, 'o>(
    octets: &'o [u8],
    room: &'h mut [httparse::Header<'o>],
) -> Result<Option<(usize, &'h [httparse::Header<'o>])>, Refusal> {
    match httparse::parse_headers(octets, room) {
        Ok(httparse::Status::Partial) => Ok(None),
        Ok(httparse::Status::Complete((length, _))) if has_bare_lf(&octets[..length]) => {
            Err(Refusal::bad("A field line does not end in CRLF."))
        }
        Ok(httparse::Status::Complete((length, headers))) => Ok(Some((length, headers))),
        Err(httparse::Error::TooManyHeaders) => {
            let sentence = "There are too many fields.";
            Err(Refusal::new(Status::REQUEST_HEADER_FIELDS_TOO_LARGE, sentence))
        }
        Err(httparse::Error::HeaderName) => {
            Err(Refusal::bad("A field name is not a token."))
        }
        Err(httparse::Error::HeaderValue) => {
            Err(Refusal::bad("A field value has an octet that it may not have."))
        }
        Err(_) => Err(Refusal::bad("A field line does not end in CRLF.")),
    }
}

/// Counts instead of stopping at the first, so that the compiler can compare many octets at once.
fn has_bare_lf(octets: &[u8]) -> bool {
    let pairs = octets.iter().zip(octets.iter().skip(1));
    let bare = pairs.filter(|&(&before, &octet)| octet == b'\n' && before != b'\r').count();
    bare > 0 || octets.first() == Some(&b'\n')
}
