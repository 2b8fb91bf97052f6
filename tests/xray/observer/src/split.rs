//! Splits the bytes of a connection into messages by their framing (RFC 9112 section 6): one
//! read may bring several requests, and one write may send several responses.

use std::ops::Range;

/// The extent of a message, as offsets in the bytes that were given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The head, with its empty line.
    pub head: Range<usize>,
    /// The end of the content; `None` if it ends with the connection, or has not arrived whole.
    pub end: Option<usize>,
}

/// Returns the extent of the request at the start of `bytes`, or `None` if its head is not
/// complete. Empty lines before it belong to it.
pub fn request(bytes: &[u8]) -> Option<Message> {
    let start = bytes.chunks(2).take_while(|line| line == b"\r\n").count() * 2;
    let head_end = start + position(&bytes[start..], b"\r\n\r\n")? + 4;
    let head = &bytes[start..head_end];
    let content = &bytes[head_end..];
    let length = match field(head, "transfer-encoding") {
        Some(_) => chunked(content),
        None => {
            let length = field(head, "content-length").map_or(Some(0), number)?;
            (content.len() >= length).then_some(length)
        }
    };
    Some(Message { head: start..head_end, end: length.map(|length| head_end + length) })
}

/// Returns the extent of the response at the start of `bytes`, with the interim responses before
/// it. `is_head` is `true` for the response to a HEAD request.
pub fn response(bytes: &[u8], is_head: bool) -> Option<Message> {
    let mut start = 0;
    loop {
        let head_end = start + position(&bytes[start..], b"\r\n\r\n")? + 4;
        let head = &bytes[start..head_end];
        let status = status(head);
        if (100..200).contains(&status) {
            start = head_end;
            continue;
        }
        let content = &bytes[head_end..];
        let length = match field(head, "transfer-encoding") {
            _ if is_head || matches!(status, 204 | 304) => Some(0),
            Some(_) => chunked(content),
            None => {
                let length = field(head, "content-length").and_then(number);
                length.filter(|length| content.len() >= *length)
            }
        };
        return Some(Message {
            head: start..head_end,
            end: length.map(|length| head_end + length),
        });
    }
}

/// Returns the status in a head, or 0.
pub fn status(head: &[u8]) -> u16 {
    let code = head.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
    std::str::from_utf8(code).ok().and_then(|code| code.parse().ok()).unwrap_or_default()
}

/// Returns the length of chunked content with its trailer, or `None` if it is not complete.
fn chunked(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = position(&bytes[at..], b"\r\n")?;
        let size = std::str::from_utf8(&bytes[at..at + line]).ok()?;
        let size = size.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        at += line + 2;
        if size == 0 {
            break;
        }
        at = at.checked_add(size)?.checked_add(2)?;
        if at > bytes.len() {
            return None;
        }
    }
    loop {
        let line = position(&bytes[at..], b"\r\n")?;
        at += line + 2;
        if line == 0 {
            return Some(at);
        }
    }
}

fn number(value: &[u8]) -> Option<usize> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Returns the value of a field, without white space around it.
pub fn field<'h>(head: &'h [u8], wanted: &str) -> Option<&'h [u8]> {
    head.split(|&byte| byte == b'\n').skip(1).find_map(|line| {
        let colon = line.iter().position(|&byte| byte == b':')?;
        let is_wanted = line[..colon].eq_ignore_ascii_case(wanted.as_bytes());
        is_wanted.then(|| line[colon + 1..].trim_ascii())
    })
}

/// Returns the first position of `wanted` in `bytes`.
pub fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
