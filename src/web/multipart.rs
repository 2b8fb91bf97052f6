//! Forms with uploaded files: a parser for `multipart/form-data` (RFC 7578).
//!
//! ```text
//! --boundary CRLF
//! Content-Disposition: form-data; name="picture"; filename="cat.png" CRLF
//! Content-Type: image/png CRLF
//! CRLF
//! (the file) CRLF
//! --boundary-- CRLF
//! ```
//! The whole form is in memory, at most `max_content` bytes. Files are slices of it ([`Bytes`]
//! is reference-counted), so they are not copied.
//!
//! Names are read as clients write them, each in its own way:
//! - In a quoted name, `%22`, `%0D` and `%0A` are a quote, CR and LF: browsers encode these
//!   three characters, and no other (WHATWG, HTML, "multipart/form-data encoding algorithm").
//!   A percent sign is not encoded, so a name that the user typed with a literal `%22` arrives
//!   in the same bytes as one with a quote, and is read as that. Tornado decodes none of them.
//!   The client aiohttp encodes more characters; those stay encoded.
//! - A backslash escapes a quote or another backslash, and is itself before anything else. At
//!   the end of a name it is a backslash, single (browsers, curl) or doubled (Go).
//!   So two backslashes in a row, which browsers send as they are, become one.
//! - Names that are not UTF-8 are ISO-8859-1. `filename*` (RFC 8187) has a charset of its own.

use std::fmt;

use bytes::Bytes;
use percent_encoding::percent_decode_str;

use crate::error::{Error, Result};
use crate::http::grammar::{position, skip_ows, skip_quoted_string, skip_token};
use crate::http::head::parse_fields;
use crate::http::status::Status;
use crate::web::arguments::Arguments;
use crate::web::settings::Settings;

/// Maximum number of header fields of one part. Browsers send two or three.
const MAX_PART_FIELDS: usize = 16;

/// An uploaded file. Tornado's `HTTPFile`.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpFile {
    /// The name of its field in the form.
    pub name: String,
    /// The file name on the client, decoded. It is untrusted input: used as a path on the
    /// server, it would allow path traversal. It may contain quotes and line breaks.
    pub filename: String,
    /// The media type that the client states; also untrusted.
    pub content_type: String,
    /// The content.
    pub body: Bytes,
}

/// Shows the length instead of the content.
impl fmt::Debug for HttpFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HttpFile")
            .field("name", &self.name)
            .field("filename", &self.filename)
            .field("content_type", &self.content_type)
            .field("length", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// A parsed form.
#[derive(Debug, Default)]
pub struct Form {
    /// Fields without a file. A file input without a choice is one: browsers send an empty file
    /// name and no content, which is an empty value here, as in Tornado.
    pub arguments: Arguments,
    /// Fields with one. An empty file has a name.
    pub files: Vec<HttpFile>,
}

/// Parses a form. `content_type` is the value of its Content-Type field, which has the
/// boundary. Fails with 400 if the form is malformed, or above `max_form_parts` or
/// `max_part_head`.
pub fn parse(content_type: &str, content: &Bytes, settings: &Settings) -> Result<Form> {
    let (_, parameters) = split_field(content_type.as_bytes())?;
    let boundary = parameter(&parameters, "boundary")?.filter(|boundary| {
        (1..=70).contains(&boundary.len()) && boundary.bytes().all(|byte| byte >= b' ')
    });
    let boundary = boundary.ok_or_else(|| malformed("The form has no valid boundary."))?;
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    // A preamble may come before the first delimiter, which begins a line, too.
    let start = match content.starts_with(&delimiter[2..]) {
        true => Some(delimiter.len() - 2),
        false => find(content, &delimiter).map(|at| at + delimiter.len()),
    };
    let mut offset =
        start.ok_or_else(|| malformed("The form does not begin with its boundary."))?;
    let mut form = Form::default();
    while !content[offset..].starts_with(b"--") {
        // RFC 2046 section 5.1.1: transport padding, white space that gateways may have added.
        offset = content.len() - skip_ows(&content[offset..]).len();
        if !content[offset..].starts_with(b"\r\n") {
            return Err(malformed("A boundary of the form does not end in CRLF."));
        }
        let start = offset + 2;
        let Some(length) = find(&content[start..], &delimiter) else {
            return Err(malformed("The form ends before its last boundary."));
        };
        form.push(&content.slice(start..start + length), settings)?;
        offset = start + length + delimiter.len();
    }
    Ok(form)
}

impl Form {
    /// Parses one part, and adds it to the files or to the arguments.
    fn push(&mut self, part: &Bytes, settings: &Settings) -> Result {
        if self.arguments.len() + self.files.len() >= settings.max_form_parts {
            return Err(malformed("The form has too many parts."));
        }
        let mut headers = [httparse::EMPTY_HEADER; MAX_PART_FIELDS];
        let head = &part[..part.len().min(settings.max_part_head)];
        let parsed = parse_fields(head, &mut headers);
        let parsed = parsed.map_err(|refusal| malformed(refusal.message))?;
        let Some((length, fields)) = parsed else {
            return Err(malformed("A part has a head that is incomplete or too long."));
        };
        let field = |name: &str| {
            let found = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
            found.map(|field| field.value)
        };
        let disposition = field("Content-Disposition").unwrap_or_default();
        let (kind, parameters) = split_field(disposition)?;
        let is_form_data = kind.eq_ignore_ascii_case(b"form-data");
        let Some(name) = parameter(&parameters, "name")?.filter(|_| is_form_data) else {
            return Err(malformed("A part of the form has no name."));
        };
        let body = part.slice(length..);
        let filename = parameter(&parameters, "filename")?;
        match filename.filter(|filename| !(filename.is_empty() && body.is_empty())) {
            Some(filename) => {
                let content_type =
                    field("Content-Type").unwrap_or(b"application/octet-stream");
                let content_type = text(content_type);
                self.files.push(HttpFile { name, filename, content_type, body });
                Ok(())
            }
            None => self.arguments.push(name, body),
        }
    }
}

/// Names and values of the parameters of a field, in their order. Quoted values still have
/// their quotes.
type Parameters<'f> = Vec<(&'f [u8], &'f [u8])>;

/// Splits a field into its value and its parameters: `form-data; name="a"; filename="b"`.
///
/// Two readings of a quoted string are tried. In the first, the next quote ends it: clients
/// that send a quote as `%22` do not escape, and write the name `report\` as `"report\"`. In
/// the second, `\"` is an escaped quote (RFC 9110 section 5.6.4). A field with one does not
/// parse by the first reading, because no quote that opens a string has a backslash before it.
fn split_field(field: &[u8]) -> Result<(&[u8], Parameters<'_>)> {
    let (value, rest) = field.split_at(position(field, b';').unwrap_or(field.len()));
    let found = split_parameters(rest, skip_to_next_quote);
    let found = found.or_else(|| split_parameters(rest, skip_quoted_string));
    let found = found.ok_or_else(|| malformed("The form has malformed parameters."))?;
    Ok((value.trim_ascii(), found))
}

/// Splits parameters, or returns `None` if they are malformed.
/// ```text
/// parameters = *( OWS ";" OWS [ token "=" ( value / quoted-string ) ] )
/// ```
/// `skip_quoted` returns the bytes after a quoted string. A value without quotes ends at the
/// next semicolon, because clients send more in it than a token.
fn split_parameters(
    mut rest: &[u8],
    skip_quoted: fn(&[u8]) -> Option<&[u8]>,
) -> Option<Parameters<'_>> {
    let mut parameters = Vec::new();
    loop {
        rest = skip_ows(rest);
        if rest.is_empty() {
            return Some(parameters);
        }
        rest = skip_ows(rest.strip_prefix(b";")?);
        let Some(after) = skip_token(rest) else { continue };
        let name = &rest[..rest.len() - after.len()];
        let value = skip_ows(skip_ows(after).strip_prefix(b"=")?);
        rest = match value.starts_with(b"\"") {
            true => skip_quoted(value)?,
            false => skip_unquoted(value),
        };
        parameters.push((name, value[..value.len() - rest.len()].trim_ascii()));
    }
}

/// Returns the bytes after the next quote. `quoted` begins with one.
fn skip_to_next_quote(quoted: &[u8]) -> Option<&[u8]> {
    position(&quoted[1..], b'"').map(|length| &quoted[length + 2..])
}

/// Returns the bytes after a value without quotes.
fn skip_unquoted(value: &[u8]) -> &[u8] {
    let end = value.iter().position(|byte| b";\"".contains(byte));
    &value[end.unwrap_or(value.len())..]
}

/// Returns the value of a parameter, or `None` if it is missing. `filename*` (RFC 8187) takes
/// precedence over `filename`.
fn parameter(parameters: &Parameters<'_>, name: &str) -> Result<Option<String>> {
    let value = |name: &str| {
        let mut found = parameters.iter();
        let found = found.find(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, value)| *value)
    };
    match value(&format!("{name}*")) {
        Some(value) => extended(&unquoted(value)).map(Some),
        None => Ok(value(name).map(unquoted)),
    }
}

/// Decodes a value in the extended notation. Fails with 400 if it is malformed, or in another
/// charset than UTF-8 and ISO-8859-1.
/// ```text
/// ext-value = charset "'" [ language ] "'" value-chars
/// ```
fn extended(value: &str) -> Result<String> {
    let mut parts = value.splitn(3, '\'');
    let charset = parts.next().unwrap_or_default();
    let decoded = parts.nth(1).map(|encoded| percent_decode_str(encoded).collect());
    let text = decoded.and_then(|bytes: Vec<u8>| match &*charset.to_ascii_lowercase() {
        "utf-8" => String::from_utf8(bytes).ok(),
        "iso-8859-1" => Some(latin_1(&bytes)),
        _ => None,
    });
    text.ok_or_else(|| malformed("The form has an invalid extended parameter."))
}

/// Removes the quotes of a value, if it has them, and decodes what is between them.
fn unquoted(value: &[u8]) -> String {
    let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    let Some(quoted) = quoted else { return text(value) };
    let encoded =
        [("\\\\", "\\"), ("\\\"", "\""), ("%22", "\""), ("%0D", "\r"), ("%0A", "\n")];
    encoded.iter().fold(text(quoted), |text, (encoded, plain)| text.replace(encoded, plain))
}

/// Decodes UTF-8, or ISO-8859-1 (Latin-1) if the bytes are not UTF-8.
fn text(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| latin_1(bytes), str::to_owned)
}

fn latin_1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn malformed(message: &'static str) -> Error {
    Error::http(Status::BAD_REQUEST, message)
}
