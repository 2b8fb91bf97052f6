//! Conditional requests (RFC 9110 section 13): preconditions on the current version of a
//! resource.
//!
//! A cache revalidates its copy with `If-None-Match` or `If-Modified-Since` and gets 304 if the
//! copy is current. An editor prevents a lost update with `If-Match` or `If-Unmodified-Since`
//! and gets 412 if another client has changed the resource.

use std::time::SystemTime;

use crate::http::date;
use crate::http::method::Method;
use crate::http::request::Request;

/// The validators of a resource, which distinguish its versions (RFC 9110 section 8.8).
#[derive(Clone, Debug)]
pub struct Validators {
    /// The entity tag with its quotes: `"5d41402a"`, or `W/"5d41402a"` for a weak one.
    pub etag: String,
    /// Time of the last modification.
    pub last_modified: Option<SystemTime>,
    /// `true` if the resource is known to have changed only once within the second of
    /// `last_modified`. Otherwise the date is a weak validator (RFC 9110 section 8.8.2.2),
    /// because two versions may share it.
    pub date_is_strong: bool,
}

/// The result of evaluating the preconditions of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There are no preconditions, or all are true: the request is processed normally.
    Proceed,
    /// 304 (Not Modified): the client's copy is current.
    NotModified,
    /// 412 (Precondition Failed): the resource is not in the state that the client requires.
    PreconditionFailed,
}

/// Evaluates the preconditions in the order of RFC 9110 section 13.2.2: If-Match, or else
/// If-Unmodified-Since; then If-None-Match, or else If-Modified-Since.
pub fn evaluate(request: &Request, current: &Validators) -> Outcome {
    // Fast path: most requests have no precondition, so the fields are searched once and not
    // four times.
    if !request.fields().any(|(name, _)| is_condition(name)) {
        return Outcome::Proceed;
    }
    let is_get_or_head = matches!(request.method(), Method::Get | Method::Head);
    let changed_since = |field: &'static str| {
        let since = single_value(request, field).and_then(date::parse)?;
        Some(date::whole_seconds(current.last_modified?) > since)
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
            true if is_get_or_head => Outcome::NotModified,
            true => Outcome::PreconditionFailed,
        };
    }
    if is_get_or_head && changed_since("If-Modified-Since") == Some(false) {
        return Outcome::NotModified;
    }
    Outcome::Proceed
}

/// Returns `true` if a Range field applies: there is no If-Range (RFC 9110 section 13.1.5), or
/// it matches the current version. The client combines the range with ranges it already has, so
/// both must come from the same sequence of bytes. So the comparison is strong: a weak tag
/// never matches, and a date matches only if it equals the last modification exactly and is a
/// strong validator.
pub fn if_range_matches(request: &Request, current: &Validators) -> bool {
    if !has(request, "If-Range") {
        return true;
    }
    let Some(value) = single_value(request, "If-Range") else { return false };
    if value.starts_with('"') || value.starts_with("W/") {
        return strongly_equal(value.as_bytes(), current.etag.as_bytes());
    }
    let last_modified = current.last_modified.map(date::whole_seconds);
    current.date_is_strong && last_modified.is_some() && date::parse(value) == last_modified
}

/// Returns `true` if the name begins with `If-`, as the names of all preconditions do.
fn is_condition(name: &[u8]) -> bool {
    name.get(..3).is_some_and(|begin| begin.eq_ignore_ascii_case(b"If-"))
}

fn has(request: &Request, field: &str) -> bool {
    request.field_values(field).next().is_some()
}

/// Returns the value of a singleton field (RFC 9110 section 5.5). If it occurs twice, both
/// lines are ignored.
fn single_value<'r>(request: &'r Request, field: &'static str) -> Option<&'r str> {
    let mut values = request.field_values(field);
    let (value, another) = (values.next(), values.next());
    value.filter(|_| another.is_none()).and_then(|value| std::str::from_utf8(value).ok())
}

/// Returns `true` if a list of entity tags contains the current one, or is `*`, which matches
/// any.
fn matches_any(
    request: &Request,
    field: &str,
    current: &Validators,
    equal: fn(&[u8], &[u8]) -> bool,
) -> bool {
    let mut tags = request.field_values(field).flat_map(tags);
    tags.any(|tag| tag == b"*" || equal(tag, current.etag.as_bytes()))
}

/// Returns the entity tags of a list. A tag may contain commas within its quotes, so the list
/// is parsed tag by tag and not split at commas. The first malformed tag ends it.
fn tags(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let separators = rest.iter().take_while(|byte| b" \t,".contains(byte)).count();
        rest = &rest[separators..];
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

/// Strong comparison (RFC 9110 section 8.8.3.2): the tags are equal, and neither is weak.
fn strongly_equal(left: &[u8], right: &[u8]) -> bool {
    !left.starts_with(b"W/") && left == right
}

/// Weak comparison (RFC 9110 section 8.8.3.2): the tags are equal apart from `W/`.
fn weakly_equal(left: &[u8], right: &[u8]) -> bool {
    opaque_tag(left) == opaque_tag(right)
}

/// Removes the `W/` of a weak tag.
fn opaque_tag(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}
