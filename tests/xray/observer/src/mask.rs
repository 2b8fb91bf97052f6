//! Masks secrets byte for byte, so that the offsets of all other bytes stay true.

use std::ops::Range;

/// The byte that a masked byte becomes.
pub const MASK: u8 = b'*';

/// Length from which a run of hexadecimal digits counts as a secret: ids, keys and tokens.
const MIN_HEX_RUN: usize = 32;

/// Header fields with a secret value.
const SECRET_FIELDS: [&str; 6] = [
    "cookie",
    "set-cookie",
    "authorization",
    "proxy-authorization",
    "x-xsrftoken",
    "x-csrftoken",
];

/// Parts of the names of arguments and session values that are secret.
const SECRET_NAMES: [&str; 4] = ["password", "_xsrf", "token", "secret"];

/// Returns `true` if a value of this name must not be shown.
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|secret| name.contains(secret))
}

/// Masks the secrets in the bytes of one message: a head and its content.
pub fn mask(message: &mut [u8]) {
    let mut ranges = Vec::new();
    let head_end = position(message, b"\r\n\r\n").unwrap_or(message.len());
    let mut start = 0;
    for line in message[..head_end].split_inclusive(|&byte| byte == b'\n') {
        ranges.extend(line_secrets(line, start));
        start += line.len();
    }
    ranges.extend(argument_secrets(message, 0));
    ranges.extend(part_secrets(message));
    ranges.extend(json_secrets(message));
    ranges.extend(hex_runs(message));
    for range in ranges {
        for byte in &mut message[range] {
            if !matches!(byte, b'\r' | b'\n') {
                *byte = MASK;
            }
        }
    }
}

/// Returns a text with its secrets masked.
pub fn masked(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    mask(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns the secret values in a field line. Of a cookie, its name and its attributes are shown.
#[allow(clippy::single_range_in_vec_init)]
fn line_secrets(line: &[u8], start: usize) -> Vec<Range<usize>> {
    let Some(colon) = line.iter().position(|&byte| byte == b':') else { return Vec::new() };
    let name = String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase();
    // A line of a conversation, in the notation of the transcripts, is one, too.
    let name = name.trim_start_matches(['>', '<', ' ']);
    if !SECRET_FIELDS.contains(&name.trim()) {
        return Vec::new();
    }
    if !name.contains("cookie") {
        return vec![start + colon + 1..start + line.len()];
    }
    let mut found = Vec::new();
    let mut at = colon + 1;
    for pair in line[at..].split_inclusive(|&byte| byte == b';') {
        if let Some(equals) = pair.iter().position(|&byte| byte == b'=') {
            let pair_name = String::from_utf8_lossy(&pair[..equals]).trim().to_lowercase();
            let is_attribute = name == "set-cookie"
                && ["path", "domain", "max-age", "expires", "samesite"]
                    .contains(&&*pair_name);
            let end = pair.len() - usize::from(pair.ends_with(b";"));
            if !is_attribute {
                found.push(start + at + equals + 1..start + at + end);
            }
        } else if name == "cookie" {
            found.push(start + at..start + at + pair.len());
        }
        at += pair.len();
    }
    found
}

/// Returns the values of secret arguments, in a query or in a form: `password=...`.
fn argument_secrets(bytes: &[u8], start: usize) -> Vec<Range<usize>> {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-%.[]".contains(byte);
    let mut found = Vec::new();
    for (equals, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'=') {
        let length = bytes[..equals].iter().rev().take_while(|byte| is_name(byte)).count();
        let name = String::from_utf8_lossy(&bytes[equals - length..equals]);
        if is_secret(&percent_decoded(&name)) {
            let ends = |byte: &u8| b"& \r\n\"<".contains(byte);
            let rest = &bytes[equals + 1..];
            let end = rest.iter().position(ends).unwrap_or(rest.len());
            found.push(start + equals + 1..start + equals + 1 + end);
        }
    }
    found
}

fn percent_decoded(text: &str) -> String {
    let mut decoded = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let digits = (byte == b'%').then(|| (ahead.next(), ahead.next()));
        match digits {
            Some((Some(high), Some(low))) => {
                let pair = [high, low];
                let pair = std::str::from_utf8(&pair).unwrap_or_default();
                match u8::from_str_radix(pair, 16) {
                    Ok(value) => {
                        decoded.push(value);
                        bytes = ahead;
                    }
                    Err(_) => decoded.push(byte),
                }
            }
            _ => decoded.push(byte),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Returns the contents of secret parts of a form with files.
fn part_secrets(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = position(&bytes[from..], b"name=\"") {
        let start = from + at + 6;
        let quote = bytes[start..].iter().position(|&byte| byte == b'"');
        let Some(length) = quote else { break };
        let name = String::from_utf8_lossy(&bytes[start..start + length]);
        from = start + length;
        if is_secret(&name) {
            // In a page, the value of a hidden field follows its name.
            if let Some(value) = bytes[from..].strip_prefix(b"\" value=\"") {
                let end =
                    value.iter().position(|&byte| byte == b'"').unwrap_or(value.len());
                found.push(from + 9..from + 9 + end);
            } else if let Some(head) = position(&bytes[from..], b"\r\n\r\n") {
                let content = from + head + 4;
                let end = position(&bytes[content..], b"\r\n--");
                found.push(content..end.map_or(bytes.len(), |end| content + end));
            }
        }
    }
    found
}

/// Returns the strings in JSON that have a secret name: `"password": "..."`.
fn json_secrets(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(colon) = position(&bytes[from..], b"\":").map(|at| from + at) {
        from = colon + 2;
        let name = bytes[..colon].iter().rev().take_while(|&&byte| byte != b'"').count();
        let name = String::from_utf8_lossy(&bytes[colon - name..colon]);
        let spaces = bytes[from..].iter().take_while(|byte| byte.is_ascii_whitespace());
        let start = from + spaces.count() + 1;
        if is_secret(&name) && bytes.get(start - 1) == Some(&b'"') {
            let end = string_end(&bytes[start..]);
            found.push(start..start + end);
        }
    }
    found
}

/// Returns the length of a JSON string up to its quote. A backslash escapes the next byte.
fn string_end(bytes: &[u8]) -> usize {
    let mut at = 0;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at.min(bytes.len())
}

/// Returns the runs of hexadecimal digits that are as long as an id.
fn hex_runs(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    for (index, byte) in bytes.iter().chain([&0]).enumerate() {
        if !byte.is_ascii_hexdigit() {
            if index - start >= MIN_HEX_RUN {
                found.push(start..index);
            }
            start = index + 1;
        }
    }
    found
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
