//! Request targets (RFC 9112 section 3.2): the part of a URI that a request line contains.

use std::ops::Range;

use crate::http::grammar::ByteSet;
use crate::http::refusal::Refusal;

/// A parsed target: the ranges of its parts within its bytes.
///
/// ```text
/// /main?page=2                       origin-form:   path and optional query
/// http://example.com/main?page=2     absolute-form: scheme, authority, path and optional query
/// *                                  asterisk-form: OPTIONS for the server as a whole
/// ```
/// The fourth form, authority-form, is for CONNECT, which this server does not support.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    /// The scheme, in absolute-form.
    pub scheme: Option<Scheme>,
    /// Host and port, in absolute-form.
    pub authority: Option<Range<usize>>,
    /// The path, from the first slash on. It may be empty in absolute-form, which means `/`.
    pub path: Range<usize>,
    /// The query, without the question mark.
    pub query: Option<Range<usize>>,
}

/// The scheme of a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `http`.
    Http,
    /// `https`.
    Https,
}

impl Scheme {
    fn prefix(self) -> &'static str {
        match self {
            Scheme::Http => "http://",
            Scheme::Https => "https://",
        }
    }

    /// Returns the port with its colon, or the default port of the scheme if `port` is empty.
    fn port_or_default(self, port: &[u8]) -> &[u8] {
        match (port, self) {
            (b"" | b":", Scheme::Http) => b":80",
            (b"" | b":", Scheme::Https) => b":443",
            (port, _) => port,
        }
    }
}

impl Target {
    /// Parses a target in one pass over its bytes. `asterisk` allows the asterisk-form.
    pub fn parse(bytes: &[u8], asterisk: bool) -> Result<Target, Refusal> {
        let (mut question_mark, mut has_escapes) = (None, false);
        for (at, &byte) in bytes.iter().enumerate() {
            match byte {
                b'?' if question_mark.is_none() => question_mark = Some(at),
                b'%' => has_escapes = true,
                byte if TARGET.has(byte) => {}
                _ => {
                    let message = "Invalid character in the request target.";
                    return Err(Refusal::bad(message));
                }
            }
        }
        if bytes == b"*" {
            return if asterisk {
                Ok(Target { scheme: None, authority: None, path: 0..1, query: None })
            } else {
                Err(Refusal::bad("The target * is only valid with OPTIONS."))
            };
        }
        let is_absolute = bytes.first() != Some(&b'/');
        let authority = if is_absolute { authority(bytes)? } else { None };
        let (scheme, authority) = authority.unzip();
        let start = authority.as_ref().map_or(0, |authority| authority.end);
        // An authority contains no question mark, so the first one ends the path.
        let path = start..question_mark.unwrap_or(bytes.len());
        if is_absolute && authority.is_none() {
            return Err(Refusal::bad("The request target does not begin with a slash."));
        }
        if has_escapes && !percent_escapes_are_whole(&bytes[path.clone()]) {
            return Err(Refusal::bad("The path has a % without two hex digits after it."));
        }
        let query = question_mark.map(|at| at + 1..bytes.len());
        Ok(Target { scheme, authority, path, query })
    }
}

/// Returns the scheme and the range of the authority of a target in absolute-form. Returns
/// `None` for other forms.
fn authority(bytes: &[u8]) -> Result<Option<(Scheme, Range<usize>)>, Refusal> {
    let scheme = [Scheme::Http, Scheme::Https].into_iter().find(|scheme| {
        let start = bytes.get(..scheme.prefix().len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme.prefix().as_bytes()))
    });
    let Some(scheme) = scheme else { return Ok(None) };
    let start = scheme.prefix().len();
    let length = bytes[start..].iter().position(|&byte| matches!(byte, b'/' | b'?'));
    let end = length.map_or(bytes.len(), |length| start + length);
    if !is_authority(&bytes[start..end]) {
        return Err(Refusal::bad("Invalid host in the request target."));
    }
    Ok(Some((scheme, start..end)))
}

/// The bytes that a target may contain: visible ASCII except `#`, which begins a fragment, and
/// fragments are never sent; and except `"`, `<` and `>`, which browsers encode. RFC 3986 also
/// excludes bytes such as `|` and `^`, but browsers send them unencoded, so they are accepted.
static TARGET: ByteSet = ByteSet::alphanumeric_and(b"!$%&'()*+,-./:;=?@[\\]^_`{|}~");

/// The bytes of a host name (RFC 3986 section 3.2.2) except percent-encoded ones:
/// ```text
/// reg-name = *( unreserved / pct-encoded / sub-delims )
/// ```
static HOST: ByteSet = ByteSet::alphanumeric_and(b"-._~!$&'()*+,;=");

fn percent_escapes_are_whole(path: &[u8]) -> bool {
    path.iter().enumerate().filter(|&(_, &byte)| byte == b'%').all(|(at, _)| {
        path[at + 1..].first_chunk().is_some_and(|digits| are_hex_digits(*digits))
    })
}

/// Returns `true` if the two bytes after a `%` are valid:
/// ```text
/// pct-encoded = "%" HEXDIG HEXDIG
/// ```
fn are_hex_digits(bytes: [u8; 2]) -> bool {
    bytes.iter().all(u8::is_ascii_hexdigit)
}

/// Returns `true` if `bytes` is a valid value of a Host field (RFC 9110 section 7.2):
/// ```text
/// Host = uri-host [ ":" port ]
/// ```
/// The host must not be empty (RFC 9110 section 4.2.1). An IPv6 address is in brackets.
/// Userinfo (`user@`) is not allowed (RFC 9110 section 4.2.4).
pub fn is_authority(bytes: &[u8]) -> bool {
    let (host_is_valid, port) = if bytes.starts_with(b"[") {
        let (host, port) = split_port(bytes);
        (is_ipv6_in_brackets(host), port)
    } else {
        let port = skip_reg_name(bytes);
        (port.len() < bytes.len(), port)
    };
    let port_is_valid = match port {
        [] => true,
        [b':', digits @ ..] => is_port(digits),
        _ => false,
    };
    host_is_valid && port_is_valid
}

/// Returns the bytes after the reg-name at the front of `bytes`.
fn skip_reg_name(mut bytes: &[u8]) -> &[u8] {
    loop {
        let end = bytes.iter().position(|&byte| !HOST.has(byte));
        bytes = match &bytes[end.unwrap_or(bytes.len())..] {
            [b'%', one, other, rest @ ..] if are_hex_digits([*one, *other]) => rest,
            rest => return rest,
        };
    }
}

fn is_ipv6_in_brackets(host: &[u8]) -> bool {
    let [b'[', address @ .., b']'] = host else { return false };
    let address = std::str::from_utf8(address);
    address.is_ok_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
}

/// Returns `true` for a decimal number up to 65535, or an empty port, which the grammar allows
/// and which means the default port of the scheme.
fn is_port(digits: &[u8]) -> bool {
    let port = digits.iter().try_fold(0_u16, |port, digit| match digit {
        b'0'..=b'9' => port.checked_mul(10)?.checked_add(u16::from(digit - b'0')),
        _ => None,
    });
    port.is_some()
}

/// Splits an authority into the host and the port, which keeps its colon and may be empty.
pub(crate) fn split_port(authority: &[u8]) -> (&[u8], &[u8]) {
    // An IPv6 address contains colons, but within brackets.
    let end = match authority.first() {
        Some(b'[') => authority.iter().position(|&byte| byte == b']').map(|at| at + 1),
        _ => authority.iter().rposition(|&byte| byte == b':'),
    };
    authority.split_at(end.unwrap_or(authority.len()))
}

/// Returns `true` if two authorities mean the same host and port: host names are
/// case-insensitive, and an absent port equals the default port of the scheme (RFC 9110 section
/// 4.2.3).
pub(crate) fn is_same_authority(left: &[u8], right: &[u8], scheme: Scheme) -> bool {
    let ((left, left_port), (right, right_port)) = (split_port(left), split_port(right));
    left.eq_ignore_ascii_case(right)
        && scheme.port_or_default(left_port) == scheme.port_or_default(right_port)
}
