//! Routes: patterns of paths, with the placeholders of Go's `ServeMux`.
//!
//! ```text
//! /login            this path only
//! /story/{id}       {id}: one segment
//! /files/{path...}  {path...}: the rest of the path, which may be empty: `/files/`
//! ```
//! Patterns and paths are compared segment by segment after percent-decoding: `/%6cogin` is
//! `/login`, but `/a%2Fb` is one segment that contains a slash. `/login/` is another path than
//! `/login`.
//!
//! A pattern is not a regular expression, as it is in Tornado's table, and has not the
//! placeholders of other frameworks (`/:id`, `/<id>`). One that looks like it would match no
//! path that a client sends, so it is an error at startup. Where a parenthesis, a bracket, a
//! star or another such character is plain, the pattern has it percent-encoded: `/f%28x%29` for
//! `/f(x)`, `/%3Aid` for `/:id`.

use std::any::Any;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use crate::error::{Error, Result};
use crate::escape;
use crate::web::handler::Handler;
use crate::web::template::is_name;

/// An entry of the route table: a pattern, a handler, and the handler's arguments. Tornado's
/// `URLSpec`.
#[must_use]
pub struct Route {
    pub(crate) handler: Handler,
    pub(crate) arguments: Option<Arc<dyn Any + Send + Sync>>,
    pub(crate) pattern: String,
    pub(crate) name: Option<String>,
    pub(crate) is_xsrf_exempt: bool,
    pub(crate) is_for_any_host: bool,
    segments: Vec<Segment>,
    /// The pattern up to its first placeholder or percent escape. A path without percent
    /// escapes that does not begin with it cannot match, which rejects most routes with one
    /// comparison.
    prefix: String,
    /// `true` if the pattern has neither placeholders nor percent escapes.
    is_literal: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    /// `{name}`
    One(String),
    /// `{name...}`
    Rest(String),
}

/// Names and decoded values of the placeholders.
type PathArguments = Vec<(String, String)>;

impl Route {
    /// Creates a route from a pattern to a handler. An invalid pattern is an [`Error::Config`]
    /// when the application is created.
    pub fn new(pattern: &str, handler: Handler) -> Route {
        let segments: Vec<Segment> =
            pattern.split('/').skip(1).map(Segment::parse).collect();
        Route {
            handler,
            arguments: None,
            pattern: pattern.to_owned(),
            name: None,
            is_xsrf_exempt: false,
            is_for_any_host: false,
            segments,
            prefix: pattern.split(['{', '%']).next().unwrap_or_default().to_owned(),
            is_literal: !pattern.contains(['{', '%']),
        }
    }

    /// Adds arguments for the handler's `initialize`, which gets them by their type
    /// ([`route_arguments`](crate::Exchange::route_arguments)): the third item of a route in
    /// Tornado's table.
    pub fn with<T: Any + Send + Sync>(self, arguments: T) -> Route {
        Route { arguments: Some(Arc::new(arguments)), ..self }
    }

    /// Names the route, for [`reverse_url`](crate::Exchange::reverse_url). Two routes with the
    /// same name are an [`Error::Config`] at startup. Default: no name. Tornado's `name`, the
    /// fourth item of a route.
    pub fn named(self, name: &str) -> Route {
        Route { name: Some(name.to_owned()), ..self }
    }

    /// Leaves out the check of the XSRF token, which
    /// [`xsrf_cookies`](crate::Settings::xsrf_cookies) turns on: for a webhook, which another
    /// server sends, and for any request that proves its sender by a signature of its own.
    /// Tornado's handlers override `check_xsrf_cookie` for this.
    ///
    /// [`check_origin`](crate::Settings::check_origin) still applies. A server sends neither
    /// `Origin` nor `Sec-Fetch-Site` and passes it; a page of another site in a browser gets
    /// 403. The handler must not trust the session's cookie alone.
    pub fn without_xsrf_check(self) -> Route {
        Route { is_xsrf_exempt: true, ..self }
    }

    /// Serves the route for any host, also one that
    /// [`allowed_hosts`](crate::Settings::allowed_hosts) does not name: for the health check of
    /// a load balancer, which sends the server's address as `Host`. Such a response can be read
    /// by any web page (DNS rebinding), so it must be public, and a request must change
    /// nothing. Tornado's `HostMatches` with `.*`.
    ///
    /// For a host that is not allowed, only these routes exist: all other paths are 421, and an
    /// earlier pattern that is not for any host does not hide a later one that is.
    pub fn for_any_host(self) -> Route {
        Route { is_for_any_host: true, ..self }
    }

    /// Returns the pattern.
    pub(crate) fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Fails if the pattern is invalid.
    pub(crate) fn check(&self) -> Result {
        let pattern = self.pattern.as_str();
        let invalid =
            |reason: &str| Err(Error::Config(format!("the route {pattern:?}: {reason}")));
        if is_of_another_syntax(pattern) {
            return invalid(OUR_SYNTAX);
        }
        if !pattern.starts_with('/') || decode(pattern).is_none() {
            return invalid("a path begins with a slash, and is UTF-8 when it is decoded");
        }
        let (mut names, last) = (Vec::new(), self.segments.len() - 1);
        let texts = pattern.split('/').skip(1);
        for (index, (text, segment)) in texts.zip(&self.segments).enumerate() {
            match segment {
                Segment::Literal(_) if text.contains(['{', '}']) => {
                    return invalid("a {name} takes a whole segment");
                }
                Segment::Literal(_) => {}
                Segment::Rest(_) if index < last => {
                    return invalid("a {name...} can only be the last segment");
                }
                Segment::One(name) | Segment::Rest(name) if !is_name(name) => {
                    return invalid("what stands in braces is a name");
                }
                Segment::One(name) | Segment::Rest(name) if names.contains(&name) => {
                    return invalid(&format!("the name {{{name}}} occurs twice"));
                }
                Segment::One(name) | Segment::Rest(name) => names.push(name),
            }
        }
        Ok(())
    }

    /// Returns the arguments in a path, as it was sent, or `None` if it does not match.
    /// `is_encoded` is `true` if it contains percent escapes.
    pub(crate) fn matches(&self, path: &str, is_encoded: bool) -> Option<PathArguments> {
        if !is_encoded && !path.starts_with(&self.prefix) {
            return None;
        }
        if !is_encoded && self.is_literal {
            return (path == self.pattern).then(Vec::new);
        }
        let mut arguments = Vec::new();
        let mut rest = path.strip_prefix('/');
        for segment in &self.segments {
            let path = rest?;
            let (first, after) = match path.split_once('/') {
                Some((first, after)) => (first, Some(after)),
                None => (path, None),
            };
            rest = after;
            match segment {
                Segment::Literal(text) if decode(first)? == *text => {}
                Segment::One(name) if !first.is_empty() => {
                    arguments.push((name.clone(), argument(first, is_encoded)?));
                }
                Segment::Rest(name) if !has_encoded_slash(path) => {
                    arguments.push((name.clone(), argument(path, is_encoded)?));
                    rest = None;
                }
                _ => return None,
            }
        }
        rest.is_none().then_some(arguments)
    }
}

impl Segment {
    fn parse(text: &str) -> Segment {
        let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
        match inner.map(|inner| (inner, inner.strip_suffix("..."))) {
            Some((_, Some(name))) => Segment::Rest(name.to_owned()),
            Some((name, None)) => Segment::One(name.to_owned()),
            None => Segment::Literal(decode(text).unwrap_or_default().into_owned()),
        }
    }
}

/// Returns `true` if a pattern has a character that no path has, such as a question mark, or
/// one that has another meaning in the patterns of Tornado and other frameworks. A `+`, a dot,
/// an inner `$` and an inner colon are plain.
fn is_of_another_syntax(pattern: &str) -> bool {
    pattern.contains(['(', ')', '[', ']', '\\', '*', '^', '|', '?', '#', '<', '>'])
        || pattern.contains(".+")
        || pattern.contains("/:")
        || pattern.ends_with('$')
}

const OUR_SYNTAX: &str = "a pattern is a path, and not a regular expression; write {name} for \
    ([^/]+), (\\d+), :name or <name>, {name...} for (.*), nothing for ^ and $, and %28 for a \
    plain (";

/// The ASCII characters that a pattern may have, and a URL may not.
const NOT_IN_URL: &AsciiSet = &CONTROLS.add(b' ').add(b'"');

/// Replaces each placeholder of a pattern with its argument, percent-encoded; `{name...}` keeps
/// the slashes. Fails if an argument is missing, or is empty and cannot be.
pub(crate) fn fill<S: AsRef<str>>(pattern: &str, arguments: &[(S, S)]) -> Result<String> {
    let mut url = String::new();
    // The braces are in pairs, so literals and placeholders alternate.
    for (index, part) in pattern.split(['{', '}']).enumerate() {
        if index % 2 == 0 {
            url.extend(utf8_percent_encode(part, NOT_IN_URL));
            continue;
        }
        let (name, is_rest) = (part.trim_end_matches("..."), part.ends_with("..."));
        let missing = || Error::other(format!("{pattern:?} needs the argument {name:?}"));
        let given = arguments.iter().find(|(given, _)| given.as_ref() == name);
        let given = given.map(|(_, value)| value.as_ref());
        let given = given.filter(|value| is_rest || !value.is_empty());
        let value = given.ok_or_else(missing)?;
        let push = if is_rest { escape::push_path } else { escape::push_url };
        push(&mut url, value);
    }
    Ok(url)
}

/// Returns the path of a named route. Fails if there is no such route, or if [`fill`] fails.
pub(crate) fn reverse_url(
    patterns: &BTreeMap<String, String>,
    name: &str,
    arguments: &[(&str, &str)],
) -> Result<String> {
    let unknown = || Error::other(format!("no route is named {name:?}"));
    fill(patterns.get(name).ok_or_else(unknown)?, arguments)
}

/// Percent-decodes a path. Returns `None` if the result is not UTF-8.
pub(crate) fn decode(path: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(path).decode_utf8().ok()
}

/// Decodes an argument; most paths have no percent escapes, and are only copied.
fn argument(text: &str, is_encoded: bool) -> Option<String> {
    if is_encoded { decode(text).map(Cow::into_owned) } else { Some(text.to_owned()) }
}

/// Returns `true` if a path has a slash that only decoding would reveal. Decoded into the value
/// of `{name...}`, it could not be told from a separator.
fn has_encoded_slash(path: &str) -> bool {
    path.contains("%2F") || path.contains("%2f")
}
