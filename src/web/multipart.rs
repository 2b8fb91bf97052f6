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

use std::fmt;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::http::grammar::skip_ows;
use crate::http::head::parse_fields;
use crate::http::status::Status;
use crate::web::arguments::Arguments;

/// Maximum number of header fields of one part. Browsers send two or three.
const MAX_PART_FIELDS: usize = 16;

/// An uploaded file. Tornado's `HTTPFile`.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpFile {
    /// The name of its field in the form.
    pub name: String,
    /// The file name on the client. It is untrusted input: used as a path on the server, it
    /// would allow path traversal.
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
    /// Fields without a file.
    pub arguments: Arguments,
    /// Fields with one.
    pub files: Vec<HttpFile>,
}

/// Parses a form. `content_type` is the value of its Content-Type field, which has the
/// boundary. Fails with 400 if the form is malformed, or has more than `limit` arguments and
/// files together.
pub fn parse(content_type: &str, content: &Bytes, limit: usize) -> Result<Form> {
    let boundary = parameter(content_type, "boundary")?.filter(|boundary| {
        (1..=70).contains(&boundary.len()) && boundary.bytes().all(|byte| byte >= b' ')
    });
    let boundary = boundary.ok_or_else(|| malformed("The form has no valid boundary."))?;
    let delimiter = format!("--{boundary}").into_bytes();
    let mut offset = match find(content, &delimiter) {
        Some(start) => start + delimiter.len(),
        None => return Err(malformed("The form does not begin with its boundary.")),
    };
    let inner = [b"\r\n", delimiter.as_slice()].concat();
    let mut form = Form::default();
    while !content[offset..].starts_with(b"--") {
        // RFC 2046 section 5.1.1: transport padding, white space that gateways may have added.
        offset = content.len() - skip_ows(&content[offset..]).len();
        if !content[offset..].starts_with(b"\r\n") {
            return Err(malformed("A boundary of the form does not end in CRLF."));
        }
        let start = offset + 2;
        let Some(length) = find(&content[start..], &inner) else {
            return Err(malformed("The form ends before its last boundary."));
        };
        form.push(&content.slice(start..start + length), limit)?;
        offset = start + length + inner.len();
    }
    Ok(form)
}

impl Form {
    /// Parses one part, and adds it to the files if it has a file name, else to the arguments.
    fn push(&mut self, part: &Bytes, limit: usize) -> Result {
        let mut headers = [httparse::EMPTY_HEADER; MAX_PART_FIELDS];
        let parsed = parse_fields(part, &mut headers);
        let parsed = parsed.map_err(|refusal| malformed(refusal.message))?;
        let Some((length, fields)) = parsed else {
            return Err(malformed("A part of the form has incomplete headers."));
        };
        let field = |name: &str| {
            let found = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
            found.and_then(|field| std::str::from_utf8(field.value).ok())
        };
        let disposition = field("Content-Disposition").unwrap_or_default();
        let is_form_data =
            disposition.split(';').next().map(str::trim) == Some("form-data");
        let Some(name) = parameter(disposition, "name")?.filter(|_| is_form_data) else {
            return Err(malformed("A part of the form has no name."));
        };
        if self.arguments.len() + self.files.len() >= limit {
            return Err(malformed("The form has too many parts."));
        }
        let body = part.slice(length..);
        let Some(filename) = parameter(disposition, "filename")? else {
            return self.arguments.push(name, body, limit);
        };
        let content_type = field("Content-Type").unwrap_or("application/octet-stream");
        let content_type = content_type.to_owned();
        self.files.push(HttpFile { name, filename, content_type, body });
        Ok(())
    }
}

/// Returns the value of a parameter of a field, without its quotes, or `None` if the field does
/// not have it: `form-data; name="a"; filename="b"`.
fn parameter(field: &str, name: &str) -> Result<Option<String>> {
    let mut rest = field;
    while let Some(semicolon) = rest.find(';') {
        rest = &rest[semicolon + 1..];
        let end = rest.find([';', '=']).unwrap_or(rest.len());
        let (found, value) = rest.split_at(end);
        let Some(value) = value.strip_prefix('=') else { continue };
        let (text, after) = match value.trim_start().strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let (text, after) = value.split_at(value.find(';').unwrap_or(value.len()));
                (text.trim().to_owned(), after)
            }
        };
        if found.trim().eq_ignore_ascii_case(name) {
            return Ok(Some(text));
        }
        rest = after;
    }
    Ok(None)
}

/// Returns the text up to the closing quote, and the rest after it. Browsers encode a quote in
/// a name as `%22` and do not escape backslashes, so `\"` is the only escape sequence.
fn unquoted(quoted: &str) -> Result<(String, &str)> {
    let mut ends = quoted.match_indices('"').map(|(index, _)| index);
    let closing = ends.find(|&index| !quoted[..index].ends_with('\\'));
    let closing = closing.ok_or_else(|| malformed("A quote in the form is not closed."))?;
    Ok((quoted[..closing].replace("\\\"", "\""), &quoted[closing + 1..]))
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn malformed(message: &'static str) -> Error {
    Error::http(Status::BAD_REQUEST, message)
}
