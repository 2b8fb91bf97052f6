//! The chunked transfer coding (RFC 9112 section 7.1): decoder and encoder.
//!
//! ```text
//! 1a;note=any CRLF      chunk-size in hex, optional chunk extensions
//! (26 bytes) CRLF       chunk-data
//! 0 CRLF                last-chunk: size 0, no data
//! Digest: ... CRLF      optional trailer section
//! CRLF
//! ```
//! Chunk extensions and trailer fields are validated and discarded. They are not merged into
//! the header fields: a proxy that filters the head does not see trailers, so merging would let
//! a client bypass the filter.

use bytes::{Buf, BytesMut};

use crate::http::grammar::{
    is_field_value_byte, skip_ows, skip_quoted_string, skip_token, strip_cr,
};
use crate::http::head::parse_fields;
use crate::http::refusal::Refusal;
use crate::http::status::Status;

/// Maximum overhead of one message in bytes: chunk-size lines and CRLFs, minus one byte for
/// each byte of data. Without a limit, a client could keep the decoder busy with chunks of one
/// byte, or send endless chunk extensions that `max_content` does not count.
const MAX_OVERHEAD: usize = 16 * 1024;

/// Maximum size of the trailer section in bytes.
const MAX_TRAILER_BYTES: usize = 8 * 1024;

/// Maximum number of trailer fields.
const MAX_TRAILER_FIELDS: usize = 32;

/// An incremental decoder of chunked content.
///
/// ```text
///          size > 0            all data               CRLF
///   Size ------------> Data ------------> DataEnd ------------> Size
///     | size = 0
///     +------------> Trailers ---empty line---> end of the content
/// ```
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
    overhead: usize,
}

#[derive(Debug, Default)]
enum State {
    /// The next bytes are a chunk-size line.
    #[default]
    Size,
    /// The next bytes are data; so many bytes of the chunk are missing.
    Data(u64),
    /// The next bytes are the CRLF after the data.
    DataEnd,
    /// The next bytes are the trailer section, after the last chunk.
    Trailers,
}

impl Decoder {
    /// Returns the number of bytes of the current chunk that have not arrived yet.
    pub fn remaining_in_chunk(&self) -> u64 {
        match self.state {
            State::Data(left) => left,
            State::Size | State::DataEnd | State::Trailers => 0,
        }
    }

    /// Decodes the bytes in `input` and appends the data to `content`. Returns `true` at the
    /// end of the content. Removes what it has decoded from `input`; an incomplete line stays
    /// there, as do bytes after the end, which belong to the next request.
    pub fn decode(
        &mut self,
        input: &mut BytesMut,
        content: &mut Vec<u8>,
    ) -> Result<bool, Refusal> {
        let mut rest = &input[..];
        let is_whole = self.decode_from(&mut rest, content);
        let used = input.len() - rest.len();
        input.advance(used);
        is_whole
    }

    fn decode_from(
        &mut self,
        rest: &mut &[u8],
        content: &mut Vec<u8>,
    ) -> Result<bool, Refusal> {
        loop {
            match self.state {
                State::Size => {
                    let Some(size) = self.size(rest)? else { return Ok(false) };
                    self.state =
                        if size == 0 { State::Trailers } else { State::Data(size) };
                }
                State::Data(0) => self.state = State::DataEnd,
                State::Data(_) if rest.is_empty() => return Ok(false),
                State::Data(left) => {
                    let length =
                        usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    let (data, after) = rest.split_at(length);
                    content.extend_from_slice(data);
                    *rest = after;
                    self.state = State::Data(left - length as u64);
                }
                State::DataEnd => {
                    if !b"\r\n".starts_with(&rest[..rest.len().min(2)]) {
                        return Err(Refusal::bad("A chunk's data does not end in CRLF."));
                    }
                    if rest.len() < 2 {
                        return Ok(false);
                    }
                    *rest = &rest[2..];
                    self.state = State::Size;
                }
                State::Trailers => return skip_trailers(rest),
            }
        }
    }

    /// Parses a chunk-size line and removes it from `rest`. Returns `None` if it is incomplete.
    fn size(&mut self, rest: &mut &[u8]) -> Result<Option<u64>, Refusal> {
        let (digits, after) = split_size(rest);
        let (line, after) = match after.strip_prefix(b"\r\n") {
            // Fast path: almost no line has extensions.
            Some(after) => (digits, after),
            None => match self.extended_line(rest)? {
                Some(line) => line,
                None => return Ok(None),
            },
        };
        let size = chunk_size(line)?;
        let data = usize::try_from(size).unwrap_or(usize::MAX);
        self.overhead += (line.len() + CRLF_BYTES).saturating_sub(data);
        if self.overhead > MAX_OVERHEAD {
            return Err(too_much_overhead());
        }
        *rest = after;
        Ok(Some(size))
    }

    /// Returns a line that may have extensions, and the bytes after it. Returns `None` if the
    /// line is incomplete but may become valid.
    fn extended_line<'o>(&self, rest: &'o [u8]) -> Result<Option<Parts<'o>>, Refusal> {
        let end = rest.iter().position(|&byte| byte == b'\n');
        if self.overhead + end.unwrap_or(rest.len()) > MAX_OVERHEAD {
            return Err(too_much_overhead());
        }
        let Some(end) = end else {
            return if may_become_size_line(rest) { Ok(None) } else { Err(not_a_size()) };
        };
        let line = rest[..end].strip_suffix(b"\r").ok_or(not_a_size())?;
        Ok(Some((line, &rest[end + 1..])))
    }
}

/// A line without its CRLF, and the bytes after it.
type Parts<'o> = (&'o [u8], &'o [u8]);

#[track_caller]
fn too_much_overhead() -> Refusal {
    let message = "The chunks are too small, or have too many extensions.";
    Refusal::new(Status::CONTENT_TOO_LARGE, message)
}

/// Size of the CRLF after a chunk's size and of the one after its data, in bytes.
const CRLF_BYTES: usize = 4;

/// ```text
/// chunk-size = 1*HEXDIG
/// ```
fn chunk_size(line: &[u8]) -> Result<u64, Refusal> {
    let (digits, extensions) = split_size(line);
    if digits.is_empty() || !are_extensions(extensions) {
        return Err(not_a_size());
    }
    // A size above `u64::MAX` is an error. Silent overflow would allow request smuggling.
    let digit = |digit: u8| char::from(digit).to_digit(16).map(u64::from);
    let add = |size: u64, next: u8| size.checked_mul(16)?.checked_add(digit(next)?);
    let size = digits.iter().try_fold(0, |size, next| add(size, *next));
    size.ok_or(not_a_size())
}

/// Splits a line after its leading hex digits.
fn split_size(line: &[u8]) -> (&[u8], &[u8]) {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    line.split_at(digits)
}

/// ```text
/// chunk-ext = *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )
/// ```
/// Returns `true` if `rest` is a valid sequence of chunk extensions. Extensions have no effect
/// here, but invalid ones are rejected: a parser that honours an unclosed quote would look for
/// the end of the line elsewhere, so two parsers would see different chunks (request
/// smuggling).
fn are_extensions(mut rest: &[u8]) -> bool {
    while !rest.is_empty() {
        let name = skip_ows(rest).strip_prefix(b";").map(skip_ows);
        let Some(after_name) = name.and_then(skip_token) else { return false };
        rest = after_name;
        if let Some(value) = skip_ows(rest).strip_prefix(b"=").map(skip_ows) {
            let after_value = skip_token(value).or_else(|| skip_quoted_string(value));
            let Some(after_value) = after_value else { return false };
            rest = after_value;
        }
    }
    true
}

/// Returns `true` if an incomplete line may become a valid chunk-size line. If it cannot, it is
/// rejected immediately instead of waiting for its end.
fn may_become_size_line(line: &[u8]) -> bool {
    let line = strip_cr(line);
    let (size, extensions) = split_size(line);
    let may_begin = skip_ows(extensions).first().is_none_or(|&byte| byte == b';');
    (!size.is_empty() || line.is_empty())
        && may_begin
        && line.iter().copied().all(is_field_value_byte)
}

#[track_caller]
fn not_a_size() -> Refusal {
    Refusal::bad("Invalid chunk-size line.")
}

/// Validates the trailer section and removes it from `rest`. Returns `false` if it is
/// incomplete.
fn skip_trailers(rest: &mut &[u8]) -> Result<bool, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_TRAILER_FIELDS];
    let end = parse_fields(rest, &mut headers)?.map(|(length, _)| length);
    if end.unwrap_or(rest.len()) > MAX_TRAILER_BYTES {
        let message = "The trailer section is too large.";
        return Err(Refusal::new(Status::REQUEST_HEADER_FIELDS_TOO_LARGE, message));
    }
    *rest = &rest[end.unwrap_or(0)..];
    Ok(end.is_some())
}

/// Writes the chunk-size line of a chunk of `length` bytes. The caller writes the data and a
/// CRLF after it.
pub fn push_size(output: &mut BytesMut, length: usize) {
    output.extend_from_slice(format!("{length:x}\r\n").as_bytes());
}

/// The last chunk, with an empty trailer section.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
