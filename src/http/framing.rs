//! Framing: where the content of a request ends (RFC 9112 section 6.3).
//!
//! Nobody gets the benefit of a doubt here. Where two readers could see two lengths, there is no
//! request: what one of them takes for content, the other would take for another request, and so
//! requests are smuggled past a proxy that was to stop them.

use crate::http::grammar::is_tchar;
use crate::http::method::Version;
use crate::http::refusal::Refusal;
use crate::http::status::Status;

/// How the end of a request's content is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no content.
    Empty,
    /// It is so many bytes.
    Length(u64),
    /// It comes in chunks, the last of which is empty.
    Chunked,
}

/// What the fields of a head have said of it so far.
#[derive(Debug, Default)]
pub(crate) struct FramingFields {
    content_length: Option<u64>,
    codings: Codings,
}

/// Transfer codings, in all lines together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Codings {
    #[default]
    None,
    /// Chunked is the last, and it may be alone.
    Chunked { alone: bool },
    /// There are others, and chunked may still come.
    Others,
    /// One of them is none, or something comes behind chunked.
    Malformed,
}

impl FramingFields {
    /// ```text
    /// Content-Length = 1*DIGIT
    /// ```
    pub(crate) fn content_length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        let digits = std::str::from_utf8(value).unwrap_or_default();
        // `parse` alone would take a sign.
        let is_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
        let length = digits.parse().ok().filter(|_| is_digits);
        let length = length.ok_or(Refusal::bad("Invalid Content-Length."))?;
        match self.content_length.replace(length) {
            None => Ok(()),
            Some(_) => Err(Refusal::bad("There is more than one Content-Length.")),
        }
    }

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

    /// What they come to.
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

/// Whether it is a coding at all; chunked has no parameters.
fn is_other(coding: &[u8]) -> bool {
    let end = coding.iter().position(|&byte| byte == b';');
    let name = coding[..end.unwrap_or(coding.len())].trim_ascii_end();
    !name.is_empty() && name.iter().copied().all(is_tchar) && !is_chunked(name)
}
