//! Framing: where the content of a request ends (RFC 9112 section 6.3).
//!
//! Nobody gets the benefit of a doubt here. Where two readers could see two lengths, there is no
//! request: what one of them takes for content, the other would take for another request, and so
//! requests are smuggled past a proxy that was to stop them.

use crate::http::refusal::Refusal;
use crate::http::status::Status;
use crate::http::version::Version;

/// How the end of a request's content is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no content.
    Empty,
    /// It is so many octets.
    Length(u64),
    /// It comes in chunks, the last of which is empty.
    Chunked,
}

/// What the fields of a head have said of it so far.
#[derive(Debug, Default)]
pub(crate) struct FramingFields {
    content_length: Option<u64>,
    chunked: bool,
}

impl FramingFields {
    /// ```text
    /// Content-Length = 1*DIGIT
    /// ```
    pub(crate) fn content_length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        let digits = std::str::from_utf8(value).unwrap_or_default();
        // `parse` alone would take a sign.
        let is_digits = digits.bytes().all(|octet| octet.is_ascii_digit());
        let length = digits.parse().ok().filter(|_| is_digits);
        let length = length.ok_or(Refusal::bad("The Content-Length is not one number."))?;
        match self.content_length.replace(length) {
            None => Ok(()),
            Some(_) => Err(Refusal::bad("There is more than one Content-Length.")),
        }
    }

    /// ```text
    /// Transfer-Encoding = #transfer-coding
    /// ```
    /// Chunked is the only coding known here, and it must be the last of a request and stand
    /// there once.
    pub(crate) fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.chunked {
            return Err(Refusal::bad("There is more than one Transfer-Encoding."));
        }
        self.chunked = true;
        if is_chunked(value) {
            return Ok(());
        }
        let mut codings = value.split(|&octet| octet == b',').map(<[u8]>::trim_ascii);
        if codings.next_back().is_some_and(is_chunked) && !codings.any(is_chunked) {
            let sentence = "The only transfer coding known here is chunked.";
            return Err(Refusal::new(Status::NOT_IMPLEMENTED, sentence));
        }
        Err(Refusal::bad(
            "The last transfer coding of a request must be chunked, and only it.",
        ))
    }

    /// What they come to.
    pub(crate) fn framing(&self, version: Version) -> Result<Framing, Refusal> {
        match (self.chunked, self.content_length) {
            (true, Some(_)) => {
                Err(Refusal::bad("Both Content-Length and Transfer-Encoding are there."))
            }
            (true, None) if version == Version::Http10 => {
                Err(Refusal::bad("HTTP/1.0 has no Transfer-Encoding."))
            }
            (true, None) => Ok(Framing::Chunked),
            (false, None | Some(0)) => Ok(Framing::Empty),
            (false, Some(length)) => Ok(Framing::Length(length)),
        }
    }
}

fn is_chunked(coding: &[u8]) -> bool {
    coding.eq_ignore_ascii_case(b"chunked")
}
