//! Masks secrets byte for byte, so that the offsets of all other bytes stay true.

use std::ops::Range;

use crate::split::position;

/// The byte that a masked byte becomes.
pub const MASK: u8 = b'*';

/// Length from which a run of hexadecimal digits counts as a secret: ids, keys and tokens.
const MIN_HEX_RUN: usize = 32;

/// Maximum length of a name that is looked at, in bytes.
const MAX_NAME: usize = 256;

/// Header fields with a secret value.
const SECRET_FIELDS: [&str; 7] = [
    "x-api-key",
    "cookie",
    "set-cookie",
    "authorization",
    "proxy-authorization",
    "x-xsrftoken",
    "x-csrftoken",
];

/// Parts of the names of arguments and session values that are secret.
const SECRET_NAMES: [&str; 8] =
    ["password", "passwd", "_xsrf", "token", "secret", "api_key", "apikey", "session_id"];

/// Returns `true` if a value of this name must not be shown.
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|secret| name.contains(secret))
}

/// Masks the secrets in the bytes of one message. Field lines are looked for in all of it: empty
/// lines and interim responses may come before the head, and trailers after the content.
pub fn mask(message: &mut [u8]) {
    let mut ranges = Vec::new();
    let mut start = 0;
    let mut is_secret_field = false;
    for line in message.split_inclusive(|&byte| byte == b'\n') {
        if is_secret_field && matches!(line, [b' ' | b'\t', ..]) {
            // A folded line (RFC 9112 section 5.2) goes on with the value.
            ranges.push(start..start + line.len());
        } else {
            let found = line_secrets(line, start);
            is_secret_field = !found.is_empty();
            ranges.extend(found);
        }
        start += line.len();
    }
    ranges.extend(argument_secrets(message));
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

/// Returns the values of secret arguments: `password=...` in a query or a form, and
/// `password%3D...` in a URL that is an argument itself.
fn argument_secrets(bytes: &[u8]) -> Vec<Range<usize>> {
    let is_name = |byte: &&u8| byte.is_ascii_alphanumeric() || b"_-%.[]".contains(byte);
    // In a form, a value may have any byte but an ampersand.
    let content = position(bytes, b"\r\n\r\n").map_or(bytes.len(), |end| end + 4);
    let is_form = position(bytes, b"x-www-form-urlencoded").is_some_and(|at| at < content);
    let mut found = Vec::new();
    for at in 0..bytes.len() {
        let length = equals_sign(&bytes[at..]);
        if length == 0 {
            continue;
        }
        let name = bytes[..at].iter().rev().take(MAX_NAME).take_while(is_name).count();
        let name = String::from_utf8_lossy(&bytes[at - name..at]);
        if is_secret(&percent_decoded(&percent_decoded(&name))) {
            let ends: &[u8] = if is_form && at > content { b"&" } else { b"& \r\n\"<" };
            let start = at + length;
            let end = bytes[start..].iter().position(|byte| ends.contains(byte));
            found.push(start..end.map_or(bytes.len(), |end| start + end));
        }
    }
    found
}

/// Returns the length of the equals sign at the start of `bytes`, which may be percent-encoded
/// once or twice; 0 if there is none.
fn equals_sign(bytes: &[u8]) -> usize {
    let forms: [&[u8]; 3] = [b"=", b"%3D", b"%253D"];
    let starts = |form: &&&[u8]| {
        bytes.get(..form.len()).is_some_and(|start| start.eq_ignore_ascii_case(form))
    };
    forms.iter().find(starts).map_or(0, |form| form.len())
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

/// Returns the contents of secret parts of a form with files, and of hidden fields in a page.
fn part_secrets(bytes: &[u8]) -> Vec<Range<usize>> {
    let is_end = |byte: &u8| b"\"; \t\r\n>".contains(byte);
    let mut found = Vec::new();
    for at in 0..bytes.len() {
        let is_name =
            bytes.get(at..at + 4).is_some_and(|name| name.eq_ignore_ascii_case(b"name"));
        let rest = if is_name { bytes[at + 4..].trim_ascii_start() } else { &[] };
        let Some(rest) = rest.strip_prefix(b"=") else { continue };
        let rest = rest.trim_ascii_start();
        let rest = rest.strip_prefix(b"\"").unwrap_or(rest);
        let length = rest.iter().position(is_end).unwrap_or(rest.len());
        if !is_secret(&String::from_utf8_lossy(&rest[..length])) {
            continue;
        }
        let after = bytes.len() - rest.len() + length;
        // In a page, the value of a hidden field follows its name.
        if let Some(value) = bytes[after..].strip_prefix(b"\" value=\"") {
            let end = value.iter().position(|&byte| byte == b'"').unwrap_or(value.len());
            found.push(after + 9..after + 9 + end);
        } else if let Some(head) = position(&bytes[after..], b"\r\n\r\n") {
            let content = after + head + 4;
            let end = position(&bytes[content..], &delimiter(&bytes[..at]));
            found.push(content..end.map_or(bytes.len(), |end| content + end));
        }
    }
    found
}

/// Returns the delimiter that begins the part at the end of `bytes`, after its CRLF.
fn delimiter(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.windows(4).rposition(|window| window == b"\r\n--").unwrap_or(0);
    let line = bytes[start..].trim_ascii_start();
    let length = position(line, b"\r\n").unwrap_or(line.len());
    [b"\r\n", &line[..length]].concat()
}

/// Returns the values in JSON that have a secret name: `"password": "..."`, a number, a list.
fn json_secrets(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for colon in (0..bytes.len()).filter(|&at| bytes[at] == b':') {
        let Some(name) = bytes[..colon].trim_ascii_end().strip_suffix(b"\"") else {
            continue;
        };
        let length =
            name.iter().rev().take(MAX_NAME).take_while(|&&byte| byte != b'"').count();
        if is_secret(&String::from_utf8_lossy(&name[name.len() - length..])) {
            let spaces =
                bytes[colon + 1..].iter().take_while(|byte| byte.is_ascii_whitespace());
            let start = colon + 1 + spaces.count();
            let value = &bytes[start.min(bytes.len())..];
            let end = match value.first() {
                Some(b'"') => 1 + string_end(&value[1..]),
                Some(b'[') => {
                    value.iter().position(|&byte| byte == b']').unwrap_or(value.len())
                }
                _ => value
                    .iter()
                    .position(|byte| b",}\r\n".contains(byte))
                    .unwrap_or(value.len()),
            };
            let first = usize::from(matches!(value.first(), Some(b'"' | b'[')));
            found.push((start + first).min(start + end)..start + end);
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
