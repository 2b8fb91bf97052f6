//! Routes: which path goes to which handler.
//!
//! ```text
//! /login            this path and no other
//! /story/{id}       one segment in its place
//! /files/{path...}  one or more, to the end
//! ```
//! Paths are compared after their percent escapes are undone, segment by segment: `/%6cogin` is
//! `/login`, but `/a%2Fb` is one segment with a slash in it. `/login/` is another path.

use std::any::Any;
use std::borrow::Cow;
use std::sync::Arc;

use percent_encoding::percent_decode_str;

use crate::error::{Error, Result};
use crate::web::handler::Handler;
use crate::web::template::is_name;

/// A line of the route table.
pub struct Route {
    pub(crate) handler: Handler,
    pub(crate) arguments: Option<Arc<dyn Any + Send + Sync>>,
    pattern: String,
    segments: Vec<Segment>,
    /// What a path that is not encoded must begin with: all that stands before the first name.
    start: String,
    is_literal: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    One(String),
    Rest(String),
}

/// Names and values of the arguments in a path.
type PathArguments = Vec<(String, String)>;

impl Route {
    /// A route from a pattern to a handler.
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
            start: pattern.split('{').next().unwrap_or_default().to_owned(),
            is_literal,
        }
    }

    /// With arguments for the handler's `initialize`, which asks for them by their type: the
    /// third item of a line in Tornado's table.
    #[must_use]
    pub fn with<T: Any + Send + Sync>(mut self, arguments: T) -> Route {
        self.arguments = Some(Arc::new(arguments));
        self
    }

    /// Finds what is wrong with the pattern.
    pub(crate) fn check(&self) -> Result {
        let wrong =
            |what: &str| Error::Config(format!("the route {:?}: {what}", self.pattern));
        if !self.pattern.starts_with('/') {
            return Err(wrong("a path begins with a slash"));
        }
        let last = self.segments.len() - 1;
        for (at, segment) in self.segments.iter().enumerate() {
            match segment {
                Segment::Literal(text) if text.contains(['{', '}']) => {
                    return Err(wrong("a {name} takes a whole segment"));
                }
                Segment::Rest(_) if at < last => {
                    return Err(wrong("a {name...} can only be the last segment"));
                }
                Segment::One(name) | Segment::Rest(name) if !is_name(name) => {
                    return Err(wrong("what stands in braces is a name"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether a path as it was sent is this route's, and the arguments that are in it.
    /// `is_encoded` says whether there are percent escapes in it.
    pub(crate) fn matches(&self, path: &str, is_encoded: bool) -> Option<PathArguments> {
        if !is_encoded && !path.starts_with(&self.start) {
            return None;
        }
        if !is_encoded && self.is_literal {
            return (path == self.pattern).then(Vec::new);
        }
        let mut arguments = Vec::new();
        let mut rest = path.strip_prefix('/');
        for segment in &self.segments {
            let path = rest?;
            let (one, after) = match path.split_once('/') {
                Some((one, after)) => (one, Some(after)),
                None => (path, None),
            };
            rest = after;
            match segment {
                Segment::Literal(text) if decode(one)? == *text => {}
                Segment::One(name) if !one.is_empty() => {
                    arguments.push((name.clone(), argument(one, is_encoded)?));
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

/// `path` with its percent escapes undone, if that is text.
pub(crate) fn decode(path: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(path).decode_utf8().ok()
}

/// Most paths have no percent escapes, and need not be looked through for them.
fn argument(text: &str, is_encoded: bool) -> Option<String> {
    match is_encoded {
        true => decode(text).map(Cow::into_owned),
        false => Some(text.to_owned()),
    }
}

/// Undone, it would become one slash more.
fn has_encoded_slash(path: &str) -> bool {
    path.contains("%2F") || path.contains("%2f")
}
