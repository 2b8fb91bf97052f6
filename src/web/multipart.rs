//! Forms with files: `multipart/form-data` (RFC 7578).
//!
//! ```text
//! --boundary CRLF
//! Content-Disposition: form-data; name="picture"; filename="cat.png" CRLF
//! Content-Type: image/png CRLF
//! CRLF
//! (the file) CRLF
//! --boundary-- CRLF
//! ```

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::http::head::parse_fields;
use crate::http::status::Status;
use crate::web::arguments::Arguments;

/// Fields of one part's head. Forms have two or three.
const PART_FIELDS: usize = 16;

/// A file of a form. Tornado's `HTTPFile`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpFile {
    /// The name of its field in the form.
    pub name: String,
    /// What the client calls it. It is a name, and no path: whoever stores the file under it
    /// trusts a stranger.
    pub filename: String,
    /// What the client takes it for.
    pub content_type: String,
    /// Its octets.
    pub body: Bytes,
}

/// A form taken apart.
#[derive(Debug, Default)]
pub struct Form {
    /// Fields without a file.
    pub arguments: Arguments,
    /// Fields with one.
    pub files: Vec<HttpFile>,
}

/// Takes a form apart. `content_type` is the value of its Content-Type field; `limit` is for
/// arguments and files together.
pub fn parse(content_type: &str, content: &Bytes, limit: usize) -> Result<Form> {
    let boundary = parameter(content_type, "boundary").filter(|boundary| {
        (1..=70).contains(&boundary.len()) && boundary.bytes().all(|octet| octet >= b' ')
    });
    let boundary = boundary.ok_or_else(|| malformed("The form has no valid boundary."))?;
    let delimiter = format!("--{boundary}").into_bytes();
    let mut rest = match find(content, &delimiter) {
        Some(at) => at + delimiter.len(),
        None => return Err(malformed("The form does not begin with its boundary.")),
    };
    let inner = [b"\r\n", delimiter.as_slice()].concat();
    let mut form = Form::default();
    while !content[rest..].starts_with(b"--") {
        if !content[rest..].starts_with(b"\r\n") {
            return Err(malformed("A boundary of the form does not end in CRLF."));
        }
        let start = rest + 2;
        let Some(length) = find(&content[start..], &inner) else {
            return Err(malformed("The form ends before its last boundary."));
        };
        form.push(&content.slice(start..start + length), limit)?;
        rest = start + length + inner.len();
    }
    Ok(form)
}

impl Form {
    fn push(&mut self, part: &Bytes, limit: usize) -> Result {
        let mut room = [httparse::EMPTY_HEADER; PART_FIELDS];
        let Some((length, fields)) = parse_fields(part, &mut room)? else {
            return Err(malformed("A part of the form has no end to its head."));
        };
        let field = |name: &str| {
            let found = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
            found.and_then(|field| std::str::from_utf8(field.value).ok())
        };
        let disposition = field("Content-Disposition").unwrap_or_default();
        let is_form_data =
            disposition.split(';').next().map(str::trim) == Some("form-data");
        let Some(name) = parameter(disposition, "name").filter(|_| is_form_data) else {
            return Err(malformed("A part of the form has no name."));
        };
        let body = part.slice(length..);
        let room = limit - self.files.len();
        match parameter(disposition, "filename") {
            None => self.arguments.push(name, body.to_vec(), room),
            Some(_) if self.arguments.len() >= room => {
                Err(malformed("The form has too many parts."))
            }
            Some(filename) => {
                let content_type =
                    field("Content-Type").unwrap_or("application/octet-stream");
                let content_type = content_type.to_owned();
                self.files.push(HttpFile { name, filename, content_type, body });
                Ok(())
            }
        }
    }
}

/// The value of a parameter of a field: `form-data; name="a"; filename="b"`. Quotes
/// and backslashes before quotes are taken away.
fn parameter(field: &str, name: &str) -> Option<String> {
    let mut rest = field;
    loop {
        rest = &rest[rest.find(';')? + 1..];
        let end = rest.find([';', '=']).unwrap_or(rest.len());
        let (found, value) = rest.split_at(end);
        let Some(value) = value.strip_prefix('=') else { continue };
        let quoted = value.trim_start().strip_prefix('"');
        let (text, length) = match quoted {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let end = value.find(';').unwrap_or(value.len());
                (value[..end].trim().to_owned(), end)
            }
        };
        if found.trim().eq_ignore_ascii_case(name) {
            return Some(text);
        }
        rest = &quoted.unwrap_or(value)[length..];
    }
}

/// Reads up to the closing quote; gives the text, and how far that was. Browsers escape quotes
/// within a name as `%22` and leave backslashes alone, so only `\"` means something.
fn unquoted(quoted: &str) -> Option<(String, usize)> {
    let mut end = 0;
    loop {
        end += quoted[end..].find('"')?;
        if !quoted[..end].ends_with('\\') {
            return Some((quoted[..end].replace("\\\"", "\""), end + 1));
        }
        end += 1;
    }
}

fn find(octets: &[u8], wanted: &[u8]) -> Option<usize> {
    octets.windows(wanted.len()).position(|window| window == wanted)
}

fn malformed(sentence: &'static str) -> Error {
    Error::http(Status::BAD_REQUEST, sentence)
}
