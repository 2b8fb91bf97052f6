//! A model of a strict RFC 9112 parser: the requests in the bytes that a client sends.
//!
//! It shares no code with the crate, so that the two can disagree. A disagreement means that
//! the same bytes are a request for one reader and not for another, which is how request
//! smuggling works. The server may refuse more than the model, because it has limits and is
//! stricter in some places. It must never see another request in the same bytes.

use std::collections::VecDeque;

/// Maximum number of empty lines before a request that the server ignores.
const EMPTY_LINES: usize = 4;

const METHODS: [&[u8]; 7] =
    [b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"];

/// A request with a valid head.
#[derive(Debug)]
pub struct Request<'o> {
    pub method: &'o [u8],
    pub target: &'o [u8],
    pub is_1_0: bool,
    pub fields: Vec<(&'o [u8], &'o [u8])>,
    /// The content without its framing; `None` if it is malformed or incomplete.
    pub content: Option<Vec<u8>>,
    pub size: Size,
}

/// The sizes that limits apply to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Size {
    /// Bytes of the request line, without its CRLF.
    pub line: usize,
    /// Bytes of the head.
    pub head: usize,
    /// Bytes of the content including its framing.
    pub content: usize,
    /// Number of trailer fields.
    pub trailers: usize,
}

/// The rest of the input after the last valid request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Nothing that requires a response.
    Nothing,
    /// Bytes that are not a valid request.
    NoRequest,
    /// Bytes that are not a valid request, but begin with the method HEAD.
    NoHeadRequest,
}

/// Parses all requests. After content whose end cannot be found, no further request can be
/// found.
pub fn read(bytes: &[u8]) -> (VecDeque<Request<'_>>, Rest) {
    let mut requests = VecDeque::new();
    let mut reader = Reader { rest: bytes };
    loop {
        reader.skip_empty_lines();
        if matches!(reader.rest, b"" | b"\r") {
            return (requests, Rest::Nothing);
        }
        let is_head = reader.rest.starts_with(b"HEAD ");
        let Some(mut request) = reader.head() else {
            return (requests, if is_head { Rest::NoHeadRequest } else { Rest::NoRequest });
        };
        reader.content(&mut request);
        let has_end = request.content.is_some();
        requests.push_back(request);
        if !has_end {
            return (requests, Rest::Nothing);
        }
    }
}

struct Reader<'o> {
    rest: &'o [u8],
}

impl<'o> Reader<'o> {
    fn skip_empty_lines(&mut self) {
        for _ in 0..EMPTY_LINES {
            self.rest = self.rest.strip_prefix(b"\r\n").unwrap_or(self.rest);
        }
    }

    /// Returns the next line without its CRLF; `None` if it is incomplete or contains another
    /// CR or LF.
    fn line(&mut self) -> Option<&'o [u8]> {
        let end = self.rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'))?;
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest.strip_prefix(b"\r\n")?;
        Some(line)
    }

    fn take(&mut self, length: usize) -> Option<&'o [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    fn head(&mut self) -> Option<Request<'o>> {
        let length = self.rest.len();
        let line = self.line()?;
        let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
        let [method, target, version] = words[..] else { return None };
        let minor = version.strip_prefix(b"HTTP/1.")?;
        let is_1_0 = minor == b"0";
        let fields = self.fields()?;
        let head = length - self.rest.len();
        let size = Size { line: line.len(), head, ..Size::default() };
        let is_digit = minor.len() == 1 && minor[0].is_ascii_digit();
        let request = Request { method, target, is_1_0, fields, content: None, size };
        (is_digit && request.is_in_order()).then_some(request)
    }

    /// Parses field lines up to the empty line: RFC 9112 section 5.
    fn fields(&mut self) -> Option<Vec<(&'o [u8], &'o [u8])>> {
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Some(fields);
            }
            let colon = line.iter().position(|&byte| byte == b':')?;
            let (name, value) = (&line[..colon], &line[colon + 1..]);
            if !is_token(name) || !is_text(value) {
                return None;
            }
            fields.push((name, value.trim_ascii()));
        }
    }

    fn content(&mut self, request: &mut Request) {
        let length = self.rest.len();
        if request.value("Transfer-Encoding").is_some() {
            let chunks = self.chunks();
            request.size.trailers = chunks.as_ref().map_or(0, |(_, trailers)| *trailers);
            request.content = chunks.map(|(content, _)| content);
        } else {
            let digits = request.value("Content-Length").unwrap_or(b"0");
            let content = number(digits, 10).and_then(|length| self.take(length));
            request.content = content.map(<[u8]>::to_vec);
        }
        request.size.content = length - self.rest.len();
    }

    /// Parses chunked content: RFC 9112 section 7.1. Returns its data and the number of trailer
    /// fields.
    fn chunks(&mut self) -> Option<(Vec<u8>, usize)> {
        let mut content = Vec::new();
        loop {
            let line = self.line()?;
            let digits = line.iter().position(|byte| !byte.is_ascii_hexdigit());
            let (size, extensions) = line.split_at(digits.unwrap_or(line.len()));
            let size = number(size, 16).filter(|_| are_extensions(extensions))?;
            if size == 0 {
                return self.fields().map(|trailers| (content, trailers.len()));
            }
            content.extend_from_slice(self.take(size)?);
            if self.take(2)? != b"\r\n" {
                return None;
            }
        }
    }
}

impl Request<'_> {
    pub fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let is_named = |found: &[u8]| found.eq_ignore_ascii_case(name.as_bytes());
        self.fields
            .iter()
            .filter(move |(found, _)| is_named(found))
            .map(|(_, value)| *value)
    }

    pub fn value(&self, name: &str) -> Option<&[u8]> {
        self.values(name).next()
    }

    pub fn is_head(&self) -> bool {
        self.method == b"HEAD"
    }

    /// RFC 9112 section 9.3.
    pub fn is_persistent(&self) -> bool {
        let has = |option: &[u8]| {
            let mut options = self
                .values("Connection")
                .flat_map(|value| value.split(|&byte| byte == b','));
            options.any(|found| found.trim_ascii().eq_ignore_ascii_case(option))
        };
        !has(b"close") && (!self.is_1_0 || has(b"keep-alive"))
    }

    /// Returns `true` if a server may read and discard unwanted content to keep the connection:
    /// the announced length is small or the content is chunked, and the client does not wait
    /// for `100 Continue`.
    pub fn may_be_discarded(&self) -> bool {
        let length = self.value("Content-Length").and_then(|digits| number(digits, 10));
        length.is_none_or(|length| length <= 64 * 1024) && !self.may_be_continued()
    }

    /// Returns `true` if `100 Continue` may be sent: RFC 9110 section 10.1.1.
    pub fn may_be_continued(&self) -> bool {
        let has_content = self.value("Transfer-Encoding").is_some()
            || self
                .value("Content-Length")
                .is_some_and(|digits| number(digits, 10) != Some(0));
        let values = self.values("Expect");
        let mut members = values
            .flat_map(|value| value.split(|&byte| byte == b','))
            .map(<[u8]>::trim_ascii);
        let expects = members.any(|member| member.eq_ignore_ascii_case(b"100-continue"));
        expects && has_content && !self.is_1_0
    }

    /// The target without scheme and authority.
    pub fn path_and_query(&self) -> Vec<u8> {
        match self.after_authority() {
            [b'/', ..] => self.after_authority().to_vec(),
            query => [b"/", query].concat(),
        }
    }

    fn is_in_order(&self) -> bool {
        METHODS.contains(&self.method)
            && self.target.iter().all(u8::is_ascii_graphic)
            && self.has_one_host()
            && self.has_one_framing()
    }

    /// RFC 9112 section 3.2. An absolute target must not name another host than Host does.
    fn has_one_host(&self) -> bool {
        let hosts: Vec<&[u8]> = self.values("Host").collect();
        let is_host = |host: &[u8]| {
            !host.is_empty() && !host.iter().any(|byte| b" \t/?#@\\".contains(byte))
        };
        let authority = self.authority();
        let is_target = authority.is_some_and(is_host)
            || self.target.starts_with(b"/")
            || (self.target == b"*" && self.method == b"OPTIONS");
        let is_named = match hosts[..] {
            [] => self.is_1_0,
            [host] => {
                let port = if self.target.get(4) == Some(&b':') { 80 } else { 443 };
                let normalized = |authority| host_and_port(authority, port);
                let agrees =
                    authority.is_none_or(|named| normalized(named) == normalized(host));
                is_host(host) && agrees
            }
            _ => false,
        };
        is_target && is_named
    }

    /// RFC 9112 section 6.3: at most one of the two fields, once, with an unambiguous value.
    fn has_one_framing(&self) -> bool {
        let lengths: Vec<&[u8]> = self.values("Content-Length").collect();
        let codings: Vec<&[u8]> = self.values("Transfer-Encoding").collect();
        match (&lengths[..], &codings[..]) {
            ([], []) => true,
            ([length], []) => !length.is_empty() && length.iter().all(u8::is_ascii_digit),
            ([], [coding]) => coding.eq_ignore_ascii_case(b"chunked") && !self.is_1_0,
            _ => false,
        }
    }

    fn authority(&self) -> Option<&[u8]> {
        let length = self.target.len() - self.after_authority().len();
        let authority = &self.target[..length];
        let slashes = authority.windows(2).position(|pair| pair == b"//")?;
        Some(&authority[slashes + 2..])
    }

    fn after_authority(&self) -> &[u8] {
        let is = |scheme: &&str| {
            let start = self.target.get(..scheme.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()))
        };
        let Some(scheme) = ["http://", "https://"].into_iter().find(is) else {
            return self.target;
        };
        let after_scheme = &self.target[scheme.len()..];
        let end = after_scheme.iter().position(|byte| b"/?".contains(byte));
        &after_scheme[end.unwrap_or(after_scheme.len())..]
    }
}

/// ```text
/// chunk-ext = *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )
/// ```
/// A token contains neither blanks nor semicolons, so after quoted strings are replaced, the
/// rest can be split at semicolons.
fn are_extensions(bytes: &[u8]) -> bool {
    let Some(unquoted) = without_quotes(bytes) else { return false };
    let mut extensions = unquoted.split(|&byte| byte == b';');
    let before_the_first = extensions.next().unwrap_or_default();
    let ends_in_blank = unquoted.ends_with(b" ") || unquoted.ends_with(b"\t");
    let is_extension = |extension: &[u8]| {
        let mut sides = extension.splitn(2, |&byte| byte == b'=').map(trim);
        let is_named = sides.next().is_some_and(is_token);
        is_named && sides.next().is_none_or(|value| value == QUOTED || is_token(value))
    };
    trim(before_the_first).is_empty()
        && (bytes.is_empty() || unquoted.contains(&b';'))
        && !ends_in_blank
        && extensions.all(is_extension)
}

/// The replacement of a quoted string, which is neither a token nor a blank.
const QUOTED: &[u8] = b"\"";

/// Replaces each quoted string by one byte. Returns `None` if one of them does not end or
/// contains a control character.
fn without_quotes(bytes: &[u8]) -> Option<Vec<u8>> {
    let (mut unquoted, mut bytes) = (Vec::new(), bytes.iter());
    while let Some(&byte) = bytes.next() {
        unquoted.push(byte);
        if byte != b'"' {
            continue;
        }
        loop {
            match *bytes.next()? {
                b'"' => break,
                b'\\' if is_text(&[*bytes.next()?]) => {}
                b'\\' => return None,
                byte if is_text(&[byte]) => {}
                _ => return None,
            }
        }
    }
    Some(unquoted)
}

/// Removes OWS at both ends, which is space and HTAB only.
fn trim(bytes: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| !b" \t".contains(byte);
    let Some(start) = bytes.iter().position(is_text) else { return b"" };
    let end = bytes.iter().rposition(is_text).map_or(start, |last| last + 1);
    &bytes[start..end]
}

/// Returns the host in lower case and the port, if any. Colons within brackets belong to an
/// IPv6 address.
fn host_and_port(authority: &[u8], default_port: usize) -> (Vec<u8>, Option<usize>) {
    let colon = authority.iter().rposition(|byte| matches!(byte, b':' | b']'));
    let colon = colon.filter(|&at| authority[at] == b':').unwrap_or(authority.len());
    let port = match &authority[colon..] {
        b"" | b":" => Some(default_port),
        port => number(&port[1..], 10),
    };
    (authority[..colon].to_ascii_lowercase(), port)
}

/// ```text
/// tchar = "!" / "#" / "$" / "%" / "&" / "'" / "*" / "+" / "-" / "." /
///         "^" / "_" / "`" / "|" / "~" / DIGIT / ALPHA
/// ```
pub fn is_token(bytes: &[u8]) -> bool {
    let is_separator = |byte: &u8| b"\"(),/:;<=>?@[\\]{}".contains(byte);
    !bytes.is_empty()
        && bytes.iter().all(|byte| byte.is_ascii_graphic() && !is_separator(byte))
}

/// Returns `true` if a field value may contain these bytes: no control character except HTAB.
pub fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == b'\t' || !byte.is_ascii_control())
}

/// Parses a number of digits only; `None` if it is too large.
pub fn number(digits: &[u8], radix: u32) -> Option<usize> {
    let number = digits.iter().try_fold(0usize, |number, &digit| {
        let digit = char::from(digit).to_digit(radix)?;
        number.checked_mul(radix as usize)?.checked_add(digit as usize)
    });
    number.filter(|_| !digits.is_empty())
}
