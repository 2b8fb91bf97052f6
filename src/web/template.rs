//! Templates with placeholders: `{{ name }}` is replaced by a value, escaped for HTML.
//!
//! ```text
//! <p>Good day, {{ username }}!</p>     placeholder: safe in text and in quoted attributes
//! {{! name }}                          the literal text {{ name }}
//! ```
//! There are no conditions, loops or expressions (a logic-less template): decisions are made in
//! the handler. Escaping prevents cross-site scripting (XSS) in HTML text and in quoted
//! attributes, but not in scripts, style sheets or URLs: a placeholder does not belong there.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use crate::error::{Error, Result};
use crate::escape;

/// A template, parsed into segments when the application starts, so that rendering only
/// concatenates them.
#[derive(Debug)]
pub struct Template {
    name: String,
    segments: Vec<Segment>,
    /// Length of the source in bytes: an estimate of the length of a rendered page.
    length: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum Segment {
    Text(String),
    Placeholder(String),
}

impl Template {
    /// Parses `source`. Errors refer to the template by `name`. Fails if a placeholder is not
    /// closed or is not a name.
    pub fn parse(name: &str, source: &str) -> Result<Template> {
        let mut segments = Vec::new();
        let mut rest = source;
        while let Some(open) = rest.find("{{") {
            let (text, tag) = rest.split_at(open);
            if let Some(literal) = tag.strip_prefix("{{!") {
                segments.push(Segment::Text(format!("{text}{{{{")));
                rest = literal;
                continue;
            }
            let line = 1 + source[..source.len() - tag.len()].matches('\n').count();
            let Some(close) = tag.find("}}") else {
                return Err(Error::Config(format!("{name}:{line}: {{{{ without }}}}")));
            };
            let inner = tag[2..close].trim();
            if !is_name(inner) {
                let message = format!("{name}:{line}: invalid placeholder {inner:?}");
                return Err(Error::Config(message));
            }
            segments.push(Segment::Text(text.to_owned()));
            segments.push(Segment::Placeholder(inner.to_owned()));
            rest = &tag[close + 2..];
        }
        segments.push(Segment::Text(rest.to_owned()));
        Ok(Template { name: name.to_owned(), segments, length: source.len() })
    }

    /// Returns the names of the placeholders, with repetitions.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Placeholder(name) => Some(name.as_str()),
            Segment::Text(_) => None,
        })
    }

    /// Returns the page, with each placeholder replaced by its escaped `value`. Fails if
    /// `value` returns `None`.
    pub fn render<'v>(&self, value: impl Fn(&str) -> Option<&'v str>) -> Result<String> {
        step!("template: {}", self.name);
        let mut page = String::with_capacity(self.length + CAPACITY_FOR_VALUES);
        for segment in &self.segments {
            match segment {
                Segment::Text(text) => page.push_str(text),
                Segment::Placeholder(name) => match value(name) {
                    Some(value) => escape::push_html(&mut page, value),
                    None => return Err(Error::other(self.undefined(name))),
                },
            }
        }
        Ok(page)
    }

    fn undefined(&self, name: &str) -> String {
        format!("{}: undefined placeholder {name:?}", self.name)
    }
}

/// Buffer capacity for the values of a page, in bytes; enough for most pages. The buffer grows
/// if the values are longer.
const CAPACITY_FOR_VALUES: usize = 256;

/// ```text
/// name = ( ALPHA / "_" ) *( ALPHA / DIGIT / "_" )
/// ```
pub(crate) fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The templates of a directory.
#[derive(Debug, Default)]
pub struct Templates {
    by_name: BTreeMap<String, Template>,
}

impl Templates {
    /// Reads all files below `directory`, except hidden ones. The name of a template is its
    /// path relative to the directory, with slashes.
    pub fn load(directory: &Path) -> Result<Templates> {
        let mut templates = Templates::default();
        templates.load_directory(directory, "")?;
        Ok(templates)
    }

    fn load_directory(&mut self, directory: &Path, prefix: &str) -> Result {
        let unreadable = |error| {
            Error::Config(format!("the template folder {}: {error}", directory.display()))
        };
        for entry in fs::read_dir(directory).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let Some(file_name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            let name = format!("{prefix}{file_name}");
            if file_name.starts_with('.') {
                continue;
            }
            if path.is_dir() {
                self.load_directory(&path, &format!("{name}/"))?;
                continue;
            }
            let unreadable = |error: io::Error| {
                Error::Config(format!("the template {}: {error}", path.display()))
            };
            // Opening a named pipe (FIFO) would block until a writer opens it.
            if !fs::metadata(&path).map_err(unreadable)?.is_file() {
                return Err(unreadable(io::Error::other("it is no regular file")));
            }
            let source = fs::read_to_string(&path).map_err(unreadable)?;
            let template = Template::parse(&path.display().to_string(), &source)?;
            self.by_name.insert(name, template);
        }
        Ok(())
    }

    /// Fails if a template has a placeholder whose name is not in `known`.
    pub fn check_names(&self, known: &[&str]) -> Result {
        for template in self.by_name.values() {
            if let Some(name) = template.placeholders().find(|name| !known.contains(name)) {
                return Err(Error::Config(template.undefined(name)));
            }
        }
        Ok(())
    }

    /// Returns a template by its name. Fails if there is none.
    pub fn find(&self, name: &str) -> Result<&Template> {
        let missing = || Error::other(format!("there is no template {name:?}"));
        self.by_name.get(name).ok_or_else(missing)
    }
}
