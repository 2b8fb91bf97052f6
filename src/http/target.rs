//! Request targets (RFC 9112 section 3.2): what a request asks for.

use std::ops::Range;

use crate::http::grammar::ByteSet;
use crate::http::refusal::Refusal;

/// Where the parts of a target lie within its bytes.
///
/// ```text
/// /main?page=2                       origin-form:   path, and maybe a query
/// http://example.com/main?page=2     absolute-form: the same after an authority
/// *                                  asterisk-form: OPTIONS, of the server as a whole
/// ```
/// Authority-form belongs to CONNECT, which no handler answers.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    /// The scheme, where the target is absolute.
    pub scheme: Option<Scheme>,
    /// Host and port, likewise.
    pub authority: Option<Range<usize>>,
    /// From the first slash to the query. Empty where an absolute target has none: it means `/`.
    pub path: Range<usize>,
    /// What stands after the question mark.
    pub query: Option<Range<usize>>,
}

/// What a URI begins with.
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

    /// The port that is meant, behind its colon: the scheme's own where none is given.
    fn port(self, given: &[u8]) -> &[u8] {
        match (given, self) {
            (b"" | b":", Scheme::Http) => b":80",
            (b"" | b":", Scheme::Https) => b":443",
            (given, _) => given,
        }
    }
}

impl Target {
    /// Takes a target apart. `asterisk` says whether `*` may stand for the server.
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
        // An authority has no question mark, so the first one is where the path ends.
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

/// The authority of an absolute target behind its scheme; none if it is not absolute.
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

/// RFC 3986 has visible ASCII only, and keeps `#` for fragments, which are never sent. Of the
/// rest, browsers do send `|`, `^` and the like as they are, but never these: `"`, `<`, `>`.
static TARGET: ByteSet = ByteSet::alphanumeric_and(b"!$%&'()*+,-./:;=?@[\\]^_`{|}~");

/// What a name is made of, but for percent escapes:
/// ```text
/// reg-name = *( unreserved / pct-encoded / sub-delims )
/// ```
static HOST: ByteSet = ByteSet::alphanumeric_and(b"-._~!$&'()*+,;=");

fn percent_escapes_are_whole(path: &[u8]) -> bool {
    path.iter().enumerate().filter(|&(_, &byte)| byte == b'%').all(|(at, _)| {
        path[at + 1..].first_chunk().is_some_and(|digits| are_hex_digits(*digits))
    })
}

/// What stands behind the sign of an escape:
/// ```text
/// pct-encoded = "%" HEXDIG HEXDIG
/// ```
fn are_hex_digits(bytes: [u8; 2]) -> bool {
    bytes.iter().all(u8::is_ascii_hexdigit)
}

/// Whether `bytes` are what a Host field may hold (RFC 9110 section 7.2):
/// ```text
/// Host = uri-host [ ":" port ]
/// ```
/// There is always a host (RFC 9110 section 4.2.1); an address of version 6 stands in brackets;
/// nobody logs in here, so there is no `user@`.
pub fn is_authority(bytes: &[u8]) -> bool {
    let (host_is_valid, port) = if bytes.starts_with(b"[") {
        let (host, port) = split_port(bytes);
        (is_address_in_brackets(host), port)
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

/// What stands behind the name that `bytes` begin with.
fn skip_reg_name(mut bytes: &[u8]) -> &[u8] {
    loop {
        let end = bytes.iter().position(|&byte| !HOST.has(byte));
        bytes = match &bytes[end.unwrap_or(bytes.len())..] {
            [b'%', one, other, behind @ ..] if are_hex_digits([*one, *other]) => behind,
            behind => return behind,
        };
    }
}

fn is_address_in_brackets(host: &[u8]) -> bool {
    let [b'[', address @ .., b']'] = host else { return false };
    let address = std::str::from_utf8(address);
    address.is_ok_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
}

/// The grammar lets a port be empty, which means the scheme's own.
fn is_port(digits: &[u8]) -> bool {
    let port = digits.iter().try_fold(0_u16, |port, digit| match digit {
        b'0'..=b'9' => port.checked_mul(10)?.checked_add(u16::from(digit - b'0')),
        _ => None,
    });
    port.is_some()
}

/// A host, and the port behind it with its colon, if there is one.
pub(crate) fn split_port(authority: &[u8]) -> (&[u8], &[u8]) {
    // The colons of an address of version 6 stand in brackets.
    let end = match authority.first() {
        Some(b'[') => authority.iter().position(|&byte| byte == b']').map(|at| at + 1),
        _ => authority.iter().rposition(|&byte| byte == b':'),
    };
    authority.split_at(end.unwrap_or(authority.len()))
}

/// Whether two authorities name the same host and port (RFC 9110 section 4.2.3).
pub(crate) fn is_same_authority(left: &[u8], right: &[u8], scheme: Scheme) -> bool {
    let ((left, left_port), (right, right_port)) = (split_port(left), split_port(right));
    left.eq_ignore_ascii_case(right) && scheme.port(left_port) == scheme.port(right_port)
}
