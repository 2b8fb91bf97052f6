//! Framing of requests: how the end of the content is determined (RFC 9112 section 6.3).
//!
//! Framing is where request smuggling happens (RFC 9112 section 11.2). If a proxy and this
//! server see different ends of the content, then bytes that the proxy forwards as content are
//! the next request here, and no rule of the proxy was applied to them:
//!
//! ```text
//! POST / HTTP/1.1
//! Content-Length: 35              a proxy that uses this forwards 35 bytes of content
//! Transfer-Encoding: chunked      a server that uses this ends the content after "0"
//!
//! 0
//!
//! GET /admin HTTP/1.1 ...         and reads this as the next request
//! ```
//! So every ambiguity is rejected with 400, also where the RFC allows a server to repair it:
//! two Content-Length fields even if they are equal, Content-Length together with
//! Transfer-Encoding, chunked in HTTP/1.0, chunked more than once or not last.

use crate::http::grammar::is_tchar;
use crate::http::method::Version;
use crate::http::refusal::Refusal;
use crate::http::status::Status;

/// How the end of a request's content is determined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no content.
    Empty,
    /// Content-Length: the content has so many bytes.
    Length(u64),
    /// Transfer-Encoding: the content ends with the last chunk, which is empty.
    Chunked,
}

/// The framing fields of a head, as far as they have been parsed.
#[derive(Debug, Default)]
pub(crate) struct FramingFields {
    content_length: Option<u64>,
    codings: Codings,
}

/// The transfer codings of all Transfer-Encoding lines, which form one list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Codings {
    /// There is no Transfer-Encoding.
    #[default]
    None,
    /// Chunked is the last coding. `alone`: it is also the only one.
    Chunked { alone: bool },
    /// Only other codings so far. Chunked may follow.
    Others,
    /// An element is not a transfer coding, or one follows chunked.
    Malformed,
}

impl FramingFields {
    /// Parses a Content-Length line.
    /// ```text
    /// Content-Length = 1*DIGIT
    /// ```
    pub(crate) fn content_length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        let digits = std::str::from_utf8(value).unwrap_or_default();
        // `str::parse` alone would accept a leading `+`.
        let is_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
        let length = digits.parse().ok().filter(|_| is_digits);
        let length = length.ok_or(Refusal::bad("Invalid Content-Length."))?;
        match self.content_length.replace(length) {
            None => Ok(()),
            Some(_) => Err(Refusal::bad("There is more than one Content-Length.")),
        }
    }

    /// Parses a Transfer-Encoding line.
    /// ```text
    /// Transfer-Encoding = #transfer-coding
    /// transfer-coding   = token *( OWS ";" OWS transfer-parameter )
    /// ```
    pub(crate) fn transfer_encoding(&mut self, value: &[u8]) {
        for coding in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            self.codings = match self.codings {
                Codings::None | Codings::Others if is_chunked(coding) => {
                    Codings::Chunked { alone: self.codings == Codings::None }
                }
                Codings::None | Codings::Others if is_other(coding) => Codings::Others,
                _ => Codings::Malformed,
            };
        }
    }

    /// Returns the framing, or the refusal for an invalid combination of fields.
    pub(crate) fn framing(&self, version: Version) -> Result<Framing, Refusal> {
        match (self.codings, self.content_length) {
            (Codings::None, None | Some(0)) => Ok(Framing::Empty),
            (Codings::None, Some(length)) => Ok(Framing::Length(length)),
            (_, Some(_)) => Err(Refusal::bad(
                "Content-Length and Transfer-Encoding must not be combined.",
            )),
            _ if version == Version::Http10 => {
                Err(Refusal::bad("HTTP/1.0 has no Transfer-Encoding."))
            }
            (Codings::Chunked { alone: true }, None) => Ok(Framing::Chunked),
            (Codings::Chunked { alone: false }, None) => {
                let message = "Unsupported transfer coding; only chunked is supported.";
                Err(Refusal::new(Status::NOT_IMPLEMENTED, message))
            }
            (Codings::Others | Codings::Malformed, None) => Err(Refusal::bad(
                "The final transfer coding must be chunked, and chunked must not be repeated.",
            )),
        }
    }
}

fn is_chunked(coding: &[u8]) -> bool {
    coding.eq_ignore_ascii_case(b"chunked")
}

/// Returns `true` if `coding` is a valid transfer coding other than chunked. `chunked;x=y` is
/// neither, because chunked has no parameters.
fn is_other(coding: &[u8]) -> bool {
    let end = coding.iter().position(|&byte| byte == b';');
    let name = coding[..end.unwrap_or(coding.len())].trim_ascii_end();
    !name.is_empty() && name.iter().copied().all(is_tchar) && !is_chunked(name)
}
