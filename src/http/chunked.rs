//! The chunked transfer coding (RFC 9112 section 7.1), both ways.
//!
//! ```text
//! 1a;note=any CRLF      size in hex, and maybe extensions
//! (26 bytes) CRLF      data
//! 0 CRLF                the last chunk has none
//! Digest: ... CRLF      maybe trailer fields
//! CRLF
//! ```
//! Extensions and trailers are checked and thrown away: they never become fields, so they
//! cannot carry one past whoever looked at the head.

use bytes::{Buf, BytesMut};

use crate::http::grammar::{
    is_field_value_byte, skip_ows, skip_quoted_string, skip_token, strip_cr,
};
use crate::http::head::parse_fields;
use crate::http::refusal::Refusal;
use crate::http::status::Status;

/// Bytes of framing (size lines, and the line ends around data) beyond one for each byte of data.
/// Chunks of one byte would take a thousand times as long as their data.
const OVERHEAD: usize = 16 * 1024;

/// Bytes of a trailer section.
const TRAILERS: usize = 8 * 1024;

/// Fields of a trailer section.
const TRAILER_FIELDS: usize = 32;

/// Takes chunked content apart, as far as it has arrived.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
    overhead: usize,
}

#[derive(Debug, Default)]
enum State {
    /// Before the line with a chunk's size.
    #[default]
    Size,
    /// Within a chunk's data, with so many bytes to come.
    Data(u64),
    /// Behind the data, where a CRLF must be.
    DataEnd,
    /// Behind the last chunk.
    Trailers,
}

impl Decoder {
    /// Bytes of the chunk at hand that have been announced and have not arrived.
    pub fn announced(&self) -> u64 {
        match self.state {
            State::Data(left) => left,
            State::Size | State::DataEnd | State::Trailers => 0,
        }
    }

    /// Moves the data that stands in `input` to the end of `content`, and says whether that was
    /// the last of it. What comes after it stays in `input`.
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
                    let Some(size) = self.size(rest)? else {
                        return Ok(false);
                    };
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
                State::Trailers => return trailers(rest),
            }
        }
    }

    /// Takes the line with a chunk's size.
    fn size(&mut self, rest: &mut &[u8]) -> Result<Option<u64>, Refusal> {
        let (digits, after) = split_size(rest);
        let (line, after) = match after.strip_prefix(b"\r\n") {
            // Nearly no line has more than its digits.
            Some(after) => (digits, after),
            None => match self.line_with_more(rest)? {
                Some(line) => line,
                None => return Ok(None),
            },
        };
        let size = chunk_size(line)?;
        let paid = usize::try_from(size).unwrap_or(usize::MAX);
        self.overhead += (line.len() + LINE_ENDS).saturating_sub(paid);
        if self.overhead > OVERHEAD {
            return Err(too_much_overhead());
        }
        *rest = after;
        Ok(Some(size))
    }

    /// A line with extensions, and what comes behind it; `None` if its end has not arrived.
    fn line_with_more<'o>(&self, rest: &'o [u8]) -> Result<Option<Parts<'o>>, Refusal> {
        let end = rest.iter().position(|&byte| byte == b'\n');
        if self.overhead + end.unwrap_or(rest.len()) > OVERHEAD {
            return Err(too_much_overhead());
        }
        let Some(end) = end else {
            return if may_become_size(rest) { Ok(None) } else { Err(not_a_size()) };
        };
        let line = rest[..end].strip_suffix(b"\r").ok_or_else(not_a_size)?;
        Ok(Some((line, &rest[end + 1..])))
    }
}

/// A line without its end, and what comes behind it.
type Parts<'o> = (&'o [u8], &'o [u8]);

fn too_much_overhead() -> Refusal {
    let message = "The chunks are too small, or have too many extensions.";
    Refusal::new(Status::CONTENT_TOO_LARGE, message)
}

/// The CRLF behind a chunk's size, and the one behind its data.
const LINE_ENDS: usize = 4;

/// ```text
/// chunk-size = 1*HEXDIG
/// ```
fn chunk_size(line: &[u8]) -> Result<u64, Refusal> {
    let (digits, extensions) = split_size(line);
    if digits.is_empty() || !are_extensions(extensions) {
        return Err(not_a_size());
    }
    let digit = |digit: u8| char::from(digit).to_digit(16).map(u64::from);
    let add = |size: u64, next: u8| size.checked_mul(16)?.checked_add(digit(next)?);
    let size = digits.iter().try_fold(0, |size, next| add(size, *next));
    size.ok_or_else(not_a_size)
}

/// The digits that a line begins with, and what stands behind them.
fn split_size(line: &[u8]) -> (&[u8], &[u8]) {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    line.split_at(digits)
}

/// ```text
/// chunk-ext = *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )
/// ```
/// Nothing is done with them, but they must be what they seem: whoever takes an open quote at its
/// word looks for the end of the line somewhere else.
fn are_extensions(mut rest: &[u8]) -> bool {
    while !rest.is_empty() {
        let name = skip_ows(rest).strip_prefix(b";").map(skip_ows);
        let Some(behind_name) = name.and_then(skip_token) else { return false };
        rest = behind_name;
        if let Some(value) = skip_ows(rest).strip_prefix(b"=").map(skip_ows) {
            let behind_value = skip_token(value).or_else(|| skip_quoted_string(value));
            let Some(behind_value) = behind_value else { return false };
            rest = behind_value;
        }
    }
    true
}

/// Whether a line that has not ended may become one with a size: what never can is not waited
/// for.
fn may_become_size(line: &[u8]) -> bool {
    let line = strip_cr(line);
    let (size, extensions) = split_size(line);
    let may_begin = skip_ows(extensions).first().is_none_or(|&byte| byte == b';');
    (!size.is_empty() || line.is_empty())
        && may_begin
        && line.iter().copied().all(is_field_value_byte)
}

fn not_a_size() -> Refusal {
    Refusal::bad("Invalid chunk-size line.")
}

/// Takes the trailer section away; `false` if its end has not arrived.
fn trailers(rest: &mut &[u8]) -> Result<bool, Refusal> {
    let mut room = [httparse::EMPTY_HEADER; TRAILER_FIELDS];
    let end = parse_fields(rest, &mut room)?.map(|(length, _)| length);
    if end.unwrap_or(rest.len()) > TRAILERS {
        let message = "The trailer section is too large.";
        return Err(Refusal::new(Status::REQUEST_HEADER_FIELDS_TOO_LARGE, message));
    }
    *rest = &rest[end.unwrap_or(0)..];
    Ok(end.is_some())
}

/// Writes the line before a chunk of `length` bytes. CRLF follows the data.
pub fn push_size(output: &mut BytesMut, length: usize) {
    output.extend_from_slice(format!("{length:x}\r\n").as_bytes());
}

/// The chunk that ends content: empty, with no trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
