//! [`Response`]: status, fields and content.
//!
//! Most responses consist of fields that are known before the request, so they are kept
//! serialized and are copied instead of built. A response has its fields in four places, in the
//! order in which they are sent:
//!
//! ```text
//! default_fields   those of the application's settings, serialized once at startup
//! static_fields    `no-store` fields, serialized at compile time
//! fields           a list of names and values, for all other fields
//! default_type     Content-Type of an HTML page, serialized at compile time
//! ```
//! A change to a field of the first two moves all fields of that place to the list. What each
//! place gains was measured alone, as instructions per request: `static_fields` 3.8 % and an
//! allocation on a page behind the login; `default_type` 3.8 % and an allocation on a plain
//! page.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::http::body::Body;
use crate::http::grammar::{is_field_value_byte, is_tchar};
use crate::http::status::Status;

/// The response to a request.
pub struct Response {
    /// The status.
    pub status: Status,
    /// The content.
    pub body: Body,
    /// `true` if the connection must close after the response.
    pub close: bool,
    /// Default fields of the application, until one of them is changed.
    pub(super) default_fields: Option<Arc<DefaultFields>>,
    /// Fields that are serialized at compile time, until one of them is changed.
    pub(super) static_fields: Option<&'static [StaticField; 2]>,
    pub(super) fields: Vec<(Text, Text)>,
    /// The Content-Type, until a field sets another.
    pub(super) default_type: Option<&'static StaticField>,
    /// A reason phrase other than that of the status. Boxed, because it is rare.
    pub(super) reason: Option<Box<Text>>,
}

/// The name or the value of a field. A string literal is not copied.
pub type Text = Cow<'static, str>;

type Result<T = (), E = InvalidField> = std::result::Result<T, E>;

/// The fields that begin all responses of an application. They are validated and serialized
/// once, at startup.
#[derive(Debug, Default)]
pub(crate) struct DefaultFields {
    fields: Vec<(Text, Text)>,
    pub(super) lines: Vec<u8>,
    /// `true` if one of them is Content-Type.
    has_content_type: bool,
}

impl DefaultFields {
    /// Validates and serializes the fields.
    pub(crate) fn new(
        fields: impl IntoIterator<Item = (&'static str, &'static str)>,
    ) -> Result<DefaultFields> {
        let mut response = Response::new(Status::OK);
        for (name, value) in fields {
            response.set_field(name, value)?;
        }
        let (fields, mut lines) = (response.fields, BytesMut::new());
        push_lines(&mut lines, &fields);
        let has_content_type = has(&fields, "Content-Type");
        Ok(DefaultFields { fields, lines: lines.into(), has_content_type })
    }
}

/// A field that is serialized at compile time.
#[derive(Debug)]
pub(crate) struct StaticField {
    name: &'static str,
    value: &'static str,
    pub(super) line: &'static str,
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
            line: concat!($name, ": ", $value, "\r\n"),
        }
    };
}

/// The Content-Type of HTML pages, the default.
pub(crate) static HTML: StaticField =
    static_field!("Content-Type", "text/html; charset=UTF-8");

/// The fields of a response that depends on the session: caches must not store it (RFC 9111
/// section 5.2.2.5).
static NO_STORE_FIELDS: [StaticField; 2] =
    [static_field!("Vary", "Cookie"), static_field!("Cache-Control", "no-store")];

/// Shows the names of the fields but neither values nor content, which may contain cookies or
/// tokens.
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

/// The error for a field that must not be set: the name is not a token, the value contains a
/// control character, the connection manages the field itself, or a second line of a singleton
/// field was added. Also for a reason phrase that contains a control character, and for a
/// [cookie](crate::SetCookie) that browsers would reject. Its text is for the developer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidField(pub(crate) String);

impl InvalidField {
    fn header(name: &str) -> InvalidField {
        InvalidField(format!("invalid header {name:?}"))
    }
}

impl fmt::Display for InvalidField {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for InvalidField {}

impl Response {
    /// Creates a response without fields and content.
    pub fn new(status: Status) -> Response {
        Response {
            status,
            body: Body::Bytes(Bytes::new()),
            close: false,
            default_fields: None,
            static_fields: None,
            fields: Vec::new(),
            default_type: None,
            reason: None,
        }
    }

    /// Creates a response without content that begins with the default fields.
    pub(crate) fn with_defaults(default_fields: &Arc<DefaultFields>) -> Response {
        Response {
            default_fields: Some(Arc::clone(default_fields)),
            ..Response::new(Status::OK)
        }
    }

    /// Creates a plain-text response with the status and a message.
    pub fn plain_text(status: Status, message: &str) -> Response {
        let mut response = Response::new(status);
        response.set_unchecked("Content-Type", "text/plain; charset=UTF-8");
        response.body = Body::Bytes(format!("{status}\n{message}\n").into());
        response
    }

    /// Creates the plain-text response to a request that could not be parsed.
    pub(crate) fn of_refusal(status: Status, message: &str) -> Response {
        let mut response = Response::plain_text(status, message);
        if status == Status::SERVICE_UNAVAILABLE {
            response.set_unchecked("Retry-After", "1");
        }
        response
    }

    /// Sets the status, with its own reason phrase.
    pub fn set_status(&mut self, status: Status) {
        self.status = status;
        self.reason = None;
    }

    /// Returns the reason phrase: that of the status, unless another was set.
    pub fn reason(&self) -> &str {
        self.reason.as_ref().map_or(self.status.reason(), |reason| &***reason)
    }

    /// Sets another reason phrase for the status. Fails if the grammar does not allow it, which
    /// prevents response splitting.
    /// ```text
    /// reason-phrase = 1*( HTAB / SP / VCHAR / obs-text )       RFC 9112 section 4
    /// ```
    pub fn set_reason(&mut self, reason: impl Into<Text>) -> Result {
        let reason = reason.into();
        if !reason.bytes().all(is_field_value_byte) {
            return Err(InvalidField::header("reason-phrase"));
        }
        self.reason = Some(Box::new(reason));
        Ok(())
    }

    pub(super) fn static_fields(&self) -> impl Iterator<Item = &StaticField> {
        self.static_fields.into_iter().flatten()
    }

    /// Returns all fields, in the order in which they are sent.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let defaults = self.default_fields.iter().flat_map(|it| it.fields.iter().map(pair));
        let static_fields = self.static_fields().map(StaticField::pair);
        let fields = defaults.chain(static_fields).chain(self.fields.iter().map(pair));
        fields.chain(self.default_type.map(StaticField::pair))
    }

    /// Returns the first value of a field. Names are case-insensitive.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields();
        fields.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Sets a field and replaces all lines with its name.
    pub fn set_field(&mut self, name: impl Into<Text>, value: impl Into<Text>) -> Result {
        let (name, value) = valid(name.into(), value.into())?;
        self.remove_field(&name);
        self.fields.push((name, value));
        Ok(())
    }

    /// Adds a field line after those with its name. Fails for a second line of a singleton
    /// field (RFC 9110 section 5.5).
    pub fn add_field(&mut self, name: impl Into<Text>, value: impl Into<Text>) -> Result {
        let (name, value) = valid(name.into(), value.into())?;
        if is_one_of(&SINGLETON_FIELDS, &name) && self.field(&name).is_some() {
            return Err(InvalidField::header(&name));
        }
        self.fields.push((name, value));
        Ok(())
    }

    /// Sets a field without validation. The value must come from this crate or have been
    /// validated before.
    pub(crate) fn set_unchecked(&mut self, name: &'static str, value: impl Into<Text>) {
        self.remove_field(name);
        self.fields.push((Cow::Borrowed(name), value.into()));
    }

    /// Adds a field line without validation, of a field that may have several.
    pub(crate) fn add_unchecked(&mut self, name: &'static str, value: impl Into<Text>) {
        self.fields.push((Cow::Borrowed(name), value.into()));
    }

    /// Sets `Vary: Cookie` and `Cache-Control: no-store`, for a response that depends on the
    /// session.
    pub(crate) fn forbid_caching(&mut self) {
        self.static_fields = None;
        self.remove_field("Cache-Control");
        self.static_fields = Some(&NO_STORE_FIELDS);
    }

    /// Sets the Content-Type unless a field has set it.
    pub(crate) fn set_default_type(&mut self, field: &'static StaticField) {
        let is_default = self.default_fields.as_ref().is_some_and(|it| it.has_content_type);
        if !is_default && !has(&self.fields, "Content-Type") {
            self.default_type = Some(field);
        }
    }

    /// Removes all lines of a field.
    pub fn remove_field(&mut self, name: &str) {
        if self.static_fields().any(|field| field.name.eq_ignore_ascii_case(name)) {
            let static_fields = self.static_fields.take().into_iter().flatten();
            let fields = static_fields.map(|field| (field.name.into(), field.value.into()));
            self.fields.splice(0..0, fields);
        }
        if let Some(defaults) = self.default_fields.take_if(|it| has(&it.fields, name)) {
            self.fields.splice(0..0, defaults.fields.iter().cloned());
        }
        self.fields.retain(|(found, _)| !found.eq_ignore_ascii_case(name));
        self.default_type.take_if(|_| name.eq_ignore_ascii_case("Content-Type"));
    }
}

/// Fields that the connection writes itself. A handler that set them could contradict the
/// framing.
const CONNECTION_MANAGED: [&str; 4] =
    ["Content-Length", "Transfer-Encoding", "Connection", "Date"];

/// Singleton fields (RFC 9110 section 5.5) among those that handlers may set: not a list, so
/// there is at most one line.
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

/// Returns name and value if they may be set (RFC 9110 section 5.5: no control character but
/// HTAB).
///
/// This check prevents response splitting (CWE-113). If a value with CR LF were written, the
/// rest of it would be further fields, or a whole second response, of an attacker's choice.
fn valid(name: Text, value: Text) -> Result<(Text, Text)> {
    let is_token = !name.is_empty() && name.bytes().all(is_tchar);
    let is_text = value.bytes().all(is_field_value_byte);
    if !is_token || !is_text || is_one_of(&CONNECTION_MANAGED, &name) {
        return Err(InvalidField::header(&name));
    }
    Ok((name, value))
}

pub(super) fn push_lines(output: &mut BytesMut, fields: &[(Text, Text)]) {
    for (name, value) in fields {
        for part in [name, ": ", value, "\r\n"] {
            output.extend_from_slice(part.as_bytes());
        }
    }
}
