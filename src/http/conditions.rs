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
pub enum Verdict {
    /// Answer as if there were none.
    Proceed,
    /// 304: what the client has is what it would get.
    NotModified,
    /// 412: it is not what the client thought it was.
    PreconditionFailed,
}

/// Weighs the conditions in the order of RFC 9110 section 13.2.2.
pub fn weigh(request: &Request, current: &Validators) -> Verdict {
    let looks = matches!(request.method(), Method::Get | Method::Head);
    let changed_since = |field: &str| {
        let since = request.field(field).and_then(date::parse);
        current
            .last_modified
            .zip(since)
            .map(|(last, since)| date::whole_seconds(last) > since)
    };

    if has(request, "If-Match") {
        if !lists(request, "If-Match", current, strongly_equal) {
            return Verdict::PreconditionFailed;
        }
    } else if changed_since("If-Unmodified-Since") == Some(true) {
        return Verdict::PreconditionFailed;
    }

    if has(request, "If-None-Match") {
        return match lists(request, "If-None-Match", current, weakly_equal) {
            false => Verdict::Proceed,
            true if looks => Verdict::NotModified,
            true => Verdict::PreconditionFailed,
        };
    }
    if looks && changed_since("If-Modified-Since") == Some(false) {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// Whether a Range field counts: there is no If-Range (RFC 9110 section 13.1.5), or it names the
/// current state. A part may only be joined to parts that are the same octet for octet, so a
/// weak tag never does, and a date only if it is exactly the one that was given out, and was given
/// out for one state alone.
pub fn range_counts(request: &Request, current: &Validators) -> bool {
    let mut values = request.field_values("If-Range");
    let (value, another) = (values.next(), values.next());
    let Some(value) = value else { return true };
    let Ok(value) = std::str::from_utf8(value) else {
        return false;
    };
    if another.is_some() {
        return false;
    }
    if value.starts_with('"') || value.starts_with("W/") {
        return strongly_equal(value, &current.etag);
    }
    let last_modified = current.last_modified.map(date::whole_seconds);
    current.date_is_strong && last_modified.is_some() && date::parse(value) == last_modified
}

fn has(request: &Request, field: &str) -> bool {
    request.field_values(field).next().is_some()
}

/// Whether a list of tags holds one that equals the current one, or is `*`: any at all.
fn lists(
    request: &Request,
    field: &str,
    current: &Validators,
    equal: fn(&str, &str) -> bool,
) -> bool {
    let values =
        request.field_values(field).filter_map(|value| std::str::from_utf8(value).ok());
    let mut tags = values.flat_map(tags);
    tags.any(|tag| tag == "*" || equal(tag, &current.etag))
}

/// The tags of a list. A comma may stand within the quotes of one, so the list is not split at
/// commas but read tag by tag; what is malformed ends it.
fn tags(list: &str) -> impl Iterator<Item = &str> {
    let mut rest = list;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let opaque = rest.strip_prefix("W/").unwrap_or(rest);
        let length = if opaque.starts_with('*') {
            1
        } else {
            opaque.strip_prefix('"')?.find('"')? + 2
        };
        let (tag, after) = rest.split_at(rest.len() - opaque.len() + length);
        rest = after;
        Some(tag)
    })
}

/// RFC 9110 section 8.8.3.2: both strong, and the same.
fn strongly_equal(left: &str, right: &str) -> bool {
    !left.starts_with("W/") && left == right
}

/// The same, weak or not.
fn weakly_equal(left: &str, right: &str) -> bool {
    left.trim_start_matches("W/") == right.trim_start_matches("W/")
}
