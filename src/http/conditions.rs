//! Conditional requests (RFC 9110 section 13): is what the client has still the same?

use std::time::SystemTime;

use crate::http::date;
use crate::http::method::Method;
use crate::http::request::Request;

/// What tells one state of a resource from another (RFC 9110 section 8.8).
#[derive(Clone, Debug)]
pub struct Validators {
    /// The entity tag with its quotes: `"5d41402a"`, or `W/"5d41402a"` for a weak one.
    pub etag: String,
    /// When it changed last.
    pub last_modified: Option<SystemTime>,
    /// Whether that was its only change within that second, as far as is known. If it was not,
    /// the date is a weak validator (RFC 9110 section 8.8.2.2).
    pub date_is_strong: bool,
}

/// What the conditions of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Answer as if there were none.
    Proceed,
    /// 304: what the client has is what it would get.
    NotModified,
    /// 412: it is not what the client thought it was.
    PreconditionFailed,
}

/// Weighs the conditions in the order of RFC 9110 section 13.2.2.
pub fn evaluate(request: &Request, current: &Validators) -> Outcome {
    // Most requests have none, and need not be looked through for each.
    if !request.fields().any(|(name, _)| is_condition(name)) {
        return Outcome::Proceed;
    }
    let looks = matches!(request.method(), Method::Get | Method::Head);
    let changed_since = |field: &'static str| {
        let since = only_value(request, field).and_then(date::parse);
        current
            .last_modified
            .zip(since)
            .map(|(last, since)| date::whole_seconds(last) > since)
    };

    if has(request, "If-Match") {
        if !matches_any(request, "If-Match", current, strongly_equal) {
            return Outcome::PreconditionFailed;
        }
    } else if changed_since("If-Unmodified-Since") == Some(true) {
        return Outcome::PreconditionFailed;
    }

    if has(request, "If-None-Match") {
        return match matches_any(request, "If-None-Match", current, weakly_equal) {
            false => Outcome::Proceed,
            true if looks => Outcome::NotModified,
            true => Outcome::PreconditionFailed,
        };
    }
    if looks && changed_since("If-Modified-Since") == Some(false) {
        return Outcome::NotModified;
    }
    Outcome::Proceed
}

/// Whether a Range field counts: there is no If-Range (RFC 9110 section 13.1.5), or it names the
/// current state. A part may only be joined to parts that are the same byte for byte, so a
/// weak tag never does, and a date only if it is exactly the one that was given out, and was given
/// out for one state alone.
pub fn if_range_matches(request: &Request, current: &Validators) -> bool {
    if !has(request, "If-Range") {
        return true;
    }
    let Some(value) = only_value(request, "If-Range") else { return false };
    if value.starts_with('"') || value.starts_with("W/") {
        return strongly_equal(value.as_bytes(), current.etag.as_bytes());
    }
    let last_modified = current.last_modified.map(date::whole_seconds);
    current.date_is_strong && last_modified.is_some() && date::parse(value) == last_modified
}

/// All their names begin so.
fn is_condition(name: &[u8]) -> bool {
    name.get(..3).is_some_and(|begin| begin.eq_ignore_ascii_case(b"If-"))
}

fn has(request: &Request, field: &str) -> bool {
    request.field_values(field).next().is_some()
}

/// The value of a field that is no list: of two lines, neither counts.
fn only_value<'r>(request: &'r Request, field: &'static str) -> Option<&'r str> {
    let mut values = request.field_values(field);
    let (value, another) = (values.next(), values.next());
    value.filter(|_| another.is_none()).and_then(|value| std::str::from_utf8(value).ok())
}

/// Whether a list of tags holds one that equals the current one, or is `*`: any at all.
fn matches_any(
    request: &Request,
    field: &str,
    current: &Validators,
    equal: fn(&[u8], &[u8]) -> bool,
) -> bool {
    let mut tags = request.field_values(field).flat_map(tags);
    tags.any(|tag| tag == b"*" || equal(tag, current.etag.as_bytes()))
}

/// The tags of a list. A comma may stand within the quotes of one, so the list is not split at
/// commas but read tag by tag; what is malformed ends it.
fn tags(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let between = rest.iter().take_while(|byte| b" \t,".contains(byte)).count();
        rest = &rest[between..];
        let opaque = opaque_tag(rest);
        let length = match opaque.first()? {
            b'*' => 1,
            b'"' => opaque[1..].iter().position(|&byte| byte == b'"')? + 2,
            _ => return None,
        };
        let (tag, after) = rest.split_at(rest.len() - opaque.len() + length);
        rest = after;
        Some(tag)
    })
}

/// RFC 9110 section 8.8.3.2: both strong, and the same.
fn strongly_equal(left: &[u8], right: &[u8]) -> bool {
    !left.starts_with(b"W/") && left == right
}

/// The same, weak or not.
fn weakly_equal(left: &[u8], right: &[u8]) -> bool {
    opaque_tag(left) == opaque_tag(right)
}

/// A tag without the mark of a weak one.
fn opaque_tag(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}
