//! Responses: from a [`Response`] to bytes.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::http::body::Body;
use crate::http::date;
use crate::http::grammar::{is_field_value_byte, is_tchar};
use crate::http::method::Method;
use crate::http::method::Version;
use crate::http::refusal::Refusal;
use crate::http::request::{self, Request};
use crate::http::status::Status;

/// What a request is answered with.
pub struct Response {
    /// The status.
    pub status: Status,
    /// Its content.
    pub body: Body,
    /// Whether the connection ends after it.
    pub close: bool,
    /// The fields that it begins with, as long as none of them is changed.
    default_fields: Option<Arc<DefaultFields>>,
    /// Fields behind the preface that were written at compile time, as long as none is changed.
    static_fields: &'static [StaticField],
    fields: Vec<(Text, Text)>,
    /// Its Content-Type, as long as no field says another.
    default_type: Option<&'static StaticField>,
}

type Text = Cow<'static, str>;

/// Fields that all responses of an application begin with. They are checked and written once, and
/// not for each response.
#[derive(Debug, Default)]
pub(crate) struct DefaultFields {
    fields: Vec<(Text, Text)>,
    lines: Vec<u8>,
    /// Whether a Content-Type is among them.
    has_content_type: bool,
}

impl DefaultFields {
    /// These fields, if they may be sent.
    pub(crate) fn new(
        fields: impl IntoIterator<Item = (&'static str, &'static str)>,
    ) -> Result<DefaultFields, InvalidField> {
        let mut default_fields = Response::new(Status::OK);
        for (name, value) in fields {
            default_fields.set_field(name, value)?;
        }
        let mut lines = BytesMut::new();
        push_lines(&mut lines, &default_fields.fields);
        let has_content_type = has(&default_fields.fields, "Content-Type");
        Ok(DefaultFields {
            fields: default_fields.fields,
            lines: lines.into(),
            has_content_type,
        })
    }
}

/// A field that was written when this was compiled.
#[derive(Debug)]
pub(crate) struct StaticField {
    name: &'static str,
    value: &'static str,
    written: &'static str,
}

impl StaticField {
    fn pair(&self) -> (&str, &str) {
        (self.name, self.value)
    }
}

macro_rules! static_field {
    ($name:literal, $value:literal) => {
        StaticField {
            name: $name,
            value: $value,
            written: concat!($name, ": ", $value, "\r\n"),
        }
    };
}

/// What most content is.
pub(crate) static HTML: StaticField =
    static_field!("Content-Type", "text/html; charset=UTF-8");

/// What is for one visitor alone, and for no cache.
static NO_STORE_FIELDS: [StaticField; 2] =
    [static_field!("Vary", "Cookie"), static_field!("Cache-Control", "no-store")];

/// Shows no value of a field, and no content: there may be a cookie or a token in it.
impl fmt::Debug for Response {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.fields().map(|(name, _)| name).collect();
        formatter
            .debug_struct("Response")
            .field("status", &self.status)
            .field("fields", &names)
            .field("body", &self.body)
            .field("close", &self.close)
            .finish_non_exhaustive()
    }
}

/// A field that may not be sent. Its name is no token; or its value has a control character in it,
/// and a line break would begin a field of the client's choice; or the server writes it itself; or
/// it is no list, and stands there already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidField {
    name: String,
}

impl fmt::Display for InvalidField {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "invalid header {:?}", self.name)
    }
}

impl std::error::Error for InvalidField {}

impl Response {
    /// An empty response.
    pub fn new(status: Status) -> Response {
        let body = Body::Bytes(Bytes::new());
        let (default_fields, fields, default_type) = (None, Vec::new(), None);
        Response {
            status,
            body,
            close: false,
            default_fields,
            fields,
            static_fields: &[],
            default_type,
        }
    }

    /// An empty response that begins with these fields.
    pub(crate) fn with_defaults(default_fields: &Arc<DefaultFields>) -> Response {
        Response {
            default_fields: Some(Arc::clone(default_fields)),
            ..Response::new(Status::OK)
        }
    }

    /// A sentence as plain text.
    pub fn plain_text(status: Status, message: &str) -> Response {
        let mut response = Response::new(status);
        response.set_unchecked("Content-Type", "text/plain; charset=UTF-8");
        response.body = Body::Bytes(format!("{status}\n{message}\n").into());
        response
    }

    /// The plain response to what could not be read.
    pub(crate) fn of_refusal(refusal: &Refusal) -> Response {
        let mut response = Response::plain_text(refusal.status, refusal.message);
        if refusal.status == Status::SERVICE_UNAVAILABLE {
            response.set_unchecked("Retry-After", "1");
        }
        response
    }

    /// Every field, in the order in which they will be sent.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let default_fields = self
            .default_fields
            .iter()
            .flat_map(|default_fields| default_fields.fields.iter().map(pair));
        let static_fields = self.static_fields.iter().map(StaticField::pair);
        let fields = self.fields.iter().map(pair);
        default_fields
            .chain(static_fields)
            .chain(fields)
            .chain(self.default_type.map(StaticField::pair))
    }

    /// The first value of a field; names know no case.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields();
        fields.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Sets a field, instead of whatever stood there under its name.
    pub fn set_field(
        &mut self,
        name: impl Into<Text>,
        value: impl Into<Text>,
    ) -> Result<(), InvalidField> {
        let (name, value) = valid(name.into(), value.into())?;
        self.remove_field(&name);
        self.fields.push((name, value));
        Ok(())
    }

    /// Adds a field line beside those that stand there under its name. A field that is no list
    /// has one line (RFC 9110 section 5.3).
    pub fn add_field(
        &mut self,
        name: impl Into<Text>,
        value: impl Into<Text>,
    ) -> Result<(), InvalidField> {
        let (name, value) = valid(name.into(), value.into())?;
        if is_one_of(&SINGLETON_FIELDS, &name) && self.field(&name).is_some() {
            return Err(InvalidField { name: name.into_owned() });
        }
        self.fields.push((name, value));
        Ok(())
    }

    /// Sets a field that needs no check: it stands in this crate, or was checked at the start.
    pub(crate) fn set_unchecked(&mut self, name: &'static str, value: impl Into<Text>) {
        self.remove_field(name);
        self.fields.push((Cow::Borrowed(name), value.into()));
    }

    /// Adds a line of such a field, which is a list.
    pub(crate) fn add_unchecked(&mut self, name: &'static str, value: impl Into<Text>) {
        self.fields.push((Cow::Borrowed(name), value.into()));
    }

    /// Says that it is for one visitor alone, and for no cache.
    pub(crate) fn forbid_caching(&mut self) {
        self.static_fields = &[];
        self.remove_field("Cache-Control");
        self.static_fields = &NO_STORE_FIELDS;
    }

    /// Says what its content is, unless a field does.
    pub(crate) fn set_default_type(&mut self, line: &'static StaticField) {
        let is_said_first = self
            .default_fields
            .as_ref()
            .is_some_and(|default_fields| default_fields.has_content_type);
        if !is_said_first && !has(&self.fields, "Content-Type") {
            self.default_type = Some(line);
        }
    }

    /// Takes every line of a field away.
    pub fn remove_field(&mut self, name: &str) {
        if self.static_fields.iter().any(|line| line.name.eq_ignore_ascii_case(name)) {
            let static_fields = std::mem::take(&mut self.static_fields).iter();
            let fields = static_fields.map(|line| (line.name.into(), line.value.into()));
            self.fields.splice(0..0, fields);
        }
        if let Some(default_fields) =
            self.default_fields.take_if(|default_fields| has(&default_fields.fields, name))
        {
            self.fields.splice(0..0, default_fields.fields.iter().cloned());
        }
        self.fields.retain(|(found, _)| !found.eq_ignore_ascii_case(name));
        self.default_type.take_if(|_| name.eq_ignore_ascii_case("Content-Type"));
    }
}

/// What the end of a response's content is told by (RFC 9112 section 6.3). Beside what requests
/// may use, it may be the end of the head or of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delimiter {
    /// The end of the head: 204, 304, and whatever answers HEAD.
    Head,
    /// A Content-Length.
    Length(u64),
    /// The last chunk.
    LastChunk,
    /// The end of the connection: HTTP/1.0 has no chunks.
    Close,
}

/// What of a request its response depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestInfo {
    pub(crate) method: Method,
    pub(crate) version: Version,
    pub(crate) persistent: bool,
}

impl RequestInfo {
    pub(crate) fn of(request: &Request) -> RequestInfo {
        RequestInfo {
            method: request.method(),
            version: request.version(),
            persistent: request.is_persistent(),
        }
    }

    /// As much as is known of a request that was refused, and still stands in `input`. The
    /// grammar of HTTP/1.1 is what it was measured by, so its answer is in HTTP/1.1.
    pub(crate) fn of_rejected(input: &[u8]) -> RequestInfo {
        let method = request::first_method(input).unwrap_or(Method::Get);
        RequestInfo { method, version: Version::Http11, persistent: false }
    }
}

impl Response {
    /// How the content will be delimited in the answer to `asked`.
    pub(crate) fn delimiter(&self, asked: RequestInfo) -> Delimiter {
        if asked.method == Method::Head || self.status.has_no_content() {
            return Delimiter::Head;
        }
        match self.body.length() {
            Some(length) => Delimiter::Length(length),
            None if asked.version == Version::Http10 => Delimiter::Close,
            None => Delimiter::LastChunk,
        }
    }

    /// Writes the head. `keep_alive` says what becomes of the connection.
    pub(crate) fn write_head(
        &self,
        output: &mut BytesMut,
        asked: RequestInfo,
        keep_alive: bool,
    ) {
        match self.status.known_line() {
            Some(line) => output.extend_from_slice(line.as_bytes()),
            None => output.extend_from_slice(
                format!("HTTP/1.1 {} \r\n", self.status.code()).as_bytes(),
            ),
        }
        date::with_date_line(|line| output.extend_from_slice(line.as_bytes()));
        if let Some(default_fields) = &self.default_fields {
            output.extend_from_slice(&default_fields.lines);
        }
        for line in self.static_fields {
            output.extend_from_slice(line.written.as_bytes());
        }
        push_lines(output, &self.fields);
        if let Some(line) = self.default_type {
            output.extend_from_slice(line.written.as_bytes());
        }
        if !self.status.has_no_content() {
            // HEAD is told what GET would have been (RFC 9110 section 8.6).
            match self.body.length() {
                Some(length) => {
                    output.extend_from_slice(b"Content-Length: ");
                    push_decimal(output, length);
                    output.extend_from_slice(b"\r\n");
                }
                None if asked.version == Version::Http11 => {
                    output.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
                }
                None => {}
            }
        }
        match (keep_alive, asked.version) {
            (false, _) => output.extend_from_slice(b"Connection: close\r\n"),
            (true, Version::Http10) => {
                output.extend_from_slice(b"Connection: keep-alive\r\n");
            }
            (true, Version::Http11) => {}
        }
        output.extend_from_slice(b"\r\n");
    }
}

/// Fields that are written here, from what is true.
const CONNECTION_MANAGED: [&str; 4] =
    ["Content-Length", "Transfer-Encoding", "Connection", "Date"];

/// Fields that are no lists, of those that handlers may set.
const SINGLETON_FIELDS: [&str; 6] =
    ["Content-Range", "Content-Type", "ETag", "Last-Modified", "Location", "Retry-After"];

fn pair((name, value): &(Text, Text)) -> (&str, &str) {
    (name, value)
}

fn has(fields: &[(Text, Text)], name: &str) -> bool {
    fields.iter().any(|(found, _)| found.eq_ignore_ascii_case(name))
}

fn is_one_of(names: &[&str], name: &str) -> bool {
    names.iter().any(|one| one.eq_ignore_ascii_case(name))
}

/// RFC 9110 section 5.5: a value has no control character but HTAB.
fn valid(name: Text, value: Text) -> Result<(Text, Text), InvalidField> {
    let is_token = !name.is_empty() && name.bytes().all(is_tchar);
    let is_text = value.bytes().all(is_field_value_byte);
    if !is_token || !is_text || is_one_of(&CONNECTION_MANAGED, &name) {
        return Err(InvalidField { name: name.into_owned() });
    }
    Ok((name, value))
}

fn push_lines(output: &mut BytesMut, fields: &[(Text, Text)]) {
    for (name, value) in fields {
        push_line(output, name, value);
    }
}

fn push_line(output: &mut BytesMut, name: &str, value: &str) {
    output.extend_from_slice(name.as_bytes());
    output.extend_from_slice(b": ");
    output.extend_from_slice(value.as_bytes());
    output.extend_from_slice(b"\r\n");
}

/// Writes a number without the machinery of `format!`, which every response would pay for.
fn push_decimal(output: &mut BytesMut, mut number: u64) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    output.extend_from_slice(&digits[first..]);
}
