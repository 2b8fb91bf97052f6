//! Routes: patterns of paths, with the placeholders of Go's `ServeMux`.
//!
//! ```text
//! /login            this path only
//! /story/{id}       {id}: one segment
//! /files/{path...}  {path...}: one or more segments, to the end of the path
//! ```
//! Paths are compared segment by segment after percent-decoding: `/%6cogin` is `/login`, but
//! `/a%2Fb` is one segment that contains a slash. `/login/` is another path than `/login`.

use std::any::Any;
use std::borrow::Cow;
use std::sync::Arc;

use percent_encoding::percent_decode_str;

use crate::error::{Error, Result};
use crate::web::handler::Handler;
use crate::web::template::is_name;

/// An entry of the route table: a pattern, a handler, and the handler's arguments.
pub struct Route {
    pub(crate) handler: Handler,
    pub(crate) arguments: Option<Arc<dyn Any + Send + Sync>>,
    pattern: String,
    segments: Vec<Segment>,
    /// The pattern up to its first placeholder. A path without percent escapes that does not
    /// begin with it cannot match, which rejects most routes with one comparison.
    prefix: String,
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
    /// Creates a route from a pattern to a handler.
    pub fn new(pattern: &str, handler: Handler) -> Route {
        let segments: Vec<Segment> =
            pattern.split('/').skip(1).map(Segment::parse).collect();
        let is_literal =
            segments.iter().all(|segment| matches!(segment, Segment::Literal(_)));
        Route {
            handler,
            arguments: None,
            pattern: pattern.to_owned(),
            segments,
            prefix: pattern.split('{').next().unwrap_or_default().to_owned(),
            is_literal,
        }
    }

    /// Adds arguments for the handler's `initialize`, which gets them by their type
    /// ([`route_arguments`](crate::Exchange::route_arguments)): the third item of a route in
    /// Tornado's table.
    #[must_use]
    pub fn with<T: Any + Send + Sync>(mut self, arguments: T) -> Route {
        self.arguments = Some(Arc::new(arguments));
        self
    }

    /// Returns the pattern.
    pub(crate) fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Fails if the pattern is invalid.
    pub(crate) fn check(&self) -> Result {
        let invalid =
            |reason: &str| Error::Config(format!("the route {:?}: {reason}", self.pattern));
        if !self.pattern.starts_with('/') {
            return Err(invalid("a path begins with a slash"));
        }
        let last = self.segments.len() - 1;
        for (index, segment) in self.segments.iter().enumerate() {
            match segment {
                Segment::Literal(text) if text.contains(['{', '}']) => {
                    return Err(invalid("a {name} takes a whole segment"));
                }
                Segment::Rest(_) if index < last => {
                    return Err(invalid("a {name...} can only be the last segment"));
                }
                Segment::One(name) | Segment::Rest(name) if !is_name(name) => {
                    return Err(invalid("what stands in braces is a name"));
                }
                _ => {}
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
                Segment::Rest(name) if !path.is_empty() && !has_encoded_slash(path) => {
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
            None => Segment::Literal(text.to_owned()),
        }
    }
}

/// Percent-decodes a path. Returns `None` if the result is not UTF-8.
pub(crate) fn decode(path: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(path).decode_utf8().ok()
}

/// Decodes an argument; most paths have no percent escapes, and are only copied.
fn argument(text: &str, is_encoded: bool) -> Option<String> {
    match is_encoded {
        true => decode(text).map(Cow::into_owned),
        false => Some(text.to_owned()),
    }
}

/// Returns `true` if a path has a slash that only decoding would reveal. Decoded into the value
/// of `{name...}`, it could not be told from a separator.
fn has_encoded_slash(path: &str) -> bool {
    path.contains("%2F") || path.contains("%2f")
}
