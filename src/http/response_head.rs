//! The head of a response, from a [`Response`] to bytes, and the delimiter of its content.
//!
//! ```text
//! HTTP/1.1 200 OK CRLF                          status line (RFC 9112 section 4)
//! Date: Sun, 06 Nov 1994 08:49:37 GMT CRLF      cached for one second
//! Content-Type: text/html CRLF                  the fields of the response
//! Content-Length: 13 CRLF                       or Transfer-Encoding, from the body
//! Connection: close CRLF                        if the connection does not persist
//! CRLF                                          end of the head
//! ```

use bytes::BytesMut;

use crate::http::date;
use crate::http::method::{Method, Version};
use crate::http::request::{self, Request};
use crate::http::response::{Response, push_lines};

/// How the end of a response's content is determined (RFC 9112 section 6.3). Unlike a request,
/// a response may also end with its head, or with the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delimiter {
    /// The end of the head: 204, 304, and every response to HEAD.
    Head,
    /// Content-Length, in bytes.
    Length(u64),
    /// The last chunk of the chunked transfer coding.
    LastChunk,
    /// The end of the connection (close-delimited), for content of unknown length in HTTP/1.0,
    /// which has no chunked transfer coding.
    Close,
}

/// The properties of a request on which the head of its response depends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestInfo {
    pub(crate) method: Method,
    pub(crate) version: Version,
    pub(crate) persistent: bool,
}

impl RequestInfo {
    pub(crate) fn new(request: &Request) -> RequestInfo {
        RequestInfo {
            method: request.method(),
            version: request.version(),
            persistent: request.is_persistent(),
        }
    }

    /// Returns the properties of a rejected request at the front of `input`. Its version may be
    /// unknown; the response is HTTP/1.1, because the request was parsed as HTTP/1.1.
    pub(crate) fn for_rejected(input: &[u8]) -> RequestInfo {
        let method = request::first_method(input).unwrap_or(Method::Get);
        RequestInfo { method, version: Version::Http11, persistent: false }
    }
}

impl Response {
    /// Returns how the content is delimited in the response to this request.
    pub(crate) fn delimiter(&self, info: RequestInfo) -> Delimiter {
        if info.method == Method::Head || self.status.has_no_content() {
            return Delimiter::Head;
        }
        match self.body.length() {
            Some(length) => Delimiter::Length(length),
            None if info.version == Version::Http10 => Delimiter::Close,
            None => Delimiter::LastChunk,
        }
    }

    /// Writes the head. `keep_alive` is `true` if the connection persists after the response.
    pub(crate) fn write_head(
        &self,
        output: &mut BytesMut,
        info: RequestInfo,
        keep_alive: bool,
    ) {
        match (self.status.known_line(), &self.reason) {
            (Some(line), None) => output.extend_from_slice(line.as_bytes()),
            _ => output.extend_from_slice(
                format!("HTTP/1.1 {} {}\r\n", self.status.code(), self.reason()).as_bytes(),
            ),
        }
        date::with_date_line(|line| output.extend_from_slice(line.as_bytes()));
        if let Some(default_fields) = &self.default_fields {
            output.extend_from_slice(&default_fields.lines);
        }
        for field in self.static_fields() {
            output.extend_from_slice(field.line.as_bytes());
        }
        push_lines(output, &self.fields);
        if let Some(field) = self.default_type {
            output.extend_from_slice(field.line.as_bytes());
        }
        if !self.status.has_no_content() {
            // A response to HEAD has the Content-Length of the response to GET (RFC 9110
            // section 8.6).
            match self.body.length() {
                Some(length) => {
                    output.extend_from_slice(b"Content-Length: ");
                    push_decimal(output, length);
                    output.extend_from_slice(b"\r\n");
                }
                None if info.version == Version::Http11 => {
                    output.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
                }
                None => {}
            }
        }
        match (keep_alive, info.version) {
            (false, _) => output.extend_from_slice(b"Connection: close\r\n"),
            (true, Version::Http10) => {
                output.extend_from_slice(b"Connection: keep-alive\r\n");
            }
            (true, Version::Http11) => {}
        }
        output.extend_from_slice(b"\r\n");
    }
}

/// Writes a decimal number. Cheaper than `format!`, which would allocate a string for every
/// response.
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
