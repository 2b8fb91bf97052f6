//! Templates with placeholders: `{{ name }}` is replaced by a value, escaped for HTML.
//!
//! ```text
//! <p>Good day, {{ username }}!</p>     placeholder: safe in text and in quoted attributes
//! <ul>{{ raw rows }}</ul>              placeholder without escaping, for HTML from a template
//! {{! name }}                          the literal text {{ name }}
//! ```
//! There are no conditions, loops or expressions (a logic-less template): decisions are made in
//! the handler. Escaping prevents cross-site scripting (XSS) in HTML text and in quoted
//! attributes, but not in scripts, style sheets or URLs: a placeholder does not belong there.
//!
//! `raw` is for HTML that the handler has rendered itself, such as the rows of a list, with
//! [`render_string`](crate::Exchange::render_string). A raw value with text of a client is XSS.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::escape::HtmlWriter;

/// A template, parsed into segments when the application starts, so that rendering only
/// concatenates them.
#[derive(Debug)]
pub struct Template {
    name: String,
    segments: Vec<Segment>,
    /// Length of the source in bytes: an estimate of the length of a rendered page.
    length: usize,
}

/// The value of a placeholder: anything that implements `Display`, by reference, so that values
/// of different types fit into one list: `[("name", &name), ("visits", &5)]`. It is written
/// into the page without a `String` in between.
///
/// A literal is a reference, too: `&"Visits"`. A list in a `let` needs its type:
///
/// ```
/// use dustdevil::Value;
///
/// let name = String::from("Ann");
/// let values: [(&str, Value<'_>); 2] = [("name", &name), ("title", &"Visits")];
/// ```
pub type Value<'v> = &'v (dyn Display + Sync);

#[derive(Debug, PartialEq, Eq)]
enum Segment {
    Text(String),
    /// `{{ name }}`
    Placeholder(String),
    /// `{{ raw name }}`
    Raw(String),
}

impl Template {
    /// Parses `source`. Errors refer to the template by `name`, with the line. Fails if a
    /// placeholder is not closed or is not a name, and at `{%` and `{#`, with which statements
    /// and comments begin in Tornado's templates. `{{!`, `{%!` and `{#!` are the literal text
    /// `{{`, `{%` and `{#`.
    pub fn parse(name: &str, source: &str) -> Result<Template> {
        // Some editors begin a file with a byte order mark (BOM).
        let source = source.strip_prefix('\u{feff}').unwrap_or(source);
        let mut segments = Vec::new();
        let mut rest = source;
        let find =
            |rest: &str| OPENINGS.iter().filter_map(|opening| rest.find(opening)).min();
        while let Some(open) = find(rest) {
            let (text, tag) = rest.split_at(open);
            if let Some(literal) = tag[2..].strip_prefix('!') {
                segments.push(Segment::Text(format!("{text}{}", &tag[..2])));
                rest = literal;
                continue;
            }
            let (placeholder, after) = Segment::parse(tag).map_err(|reason| {
                let line = 1 + source[..source.len() - tag.len()].matches('\n').count();
                Error::Config(format!("{name}:{line}: {reason}"))
            })?;
            segments.push(Segment::Text(text.to_owned()));
            segments.push(placeholder);
            rest = after;
        }
        segments.push(Segment::Text(rest.to_owned()));
        Ok(Template { name: name.to_owned(), segments, length: source.len() })
    }

    /// Returns the names of the placeholders, with repetitions.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Placeholder(name) | Segment::Raw(name) => Some(name.as_str()),
            Segment::Text(_) => None,
        })
    }

    /// Returns the page, with each placeholder replaced by its `value`, which is escaped unless
    /// the placeholder is `raw`. Fails if `value` returns `None`, or if a `Display` fails.
    pub fn render<'v>(&self, value: impl Fn(&str) -> Option<Value<'v>>) -> Result<String> {
        step!("template: {}", self.name);
        let mut page = String::with_capacity(self.length + CAPACITY_FOR_VALUES);
        for segment in &self.segments {
            let (name, is_raw) = match segment {
                Segment::Text(text) => {
                    page.push_str(text);
                    continue;
                }
                Segment::Placeholder(name) => (name, false),
                Segment::Raw(name) => (name, true),
            };
            let value = value(name).ok_or_else(|| Error::other(self.undefined(name)))?;
            let written = match is_raw {
                true => write!(page, "{value}"),
                false => write!(HtmlWriter(&mut page), "{value}"),
            };
            let failed = || format!("{}: Display of {name:?} failed", self.name);
            written.map_err(|_| Error::other(failed()))?;
        }
        Ok(page)
    }

    fn undefined(&self, name: &str) -> String {
        format!("{}: undefined placeholder {name:?}", self.name)
    }
}

impl Segment {
    /// Parses the placeholder with which `tag` begins, and returns it with the text after it.
    /// The error is the reason.
    fn parse(tag: &str) -> Result<(Segment, &str), String> {
        let (opening, rest) = tag.split_at(2);
        if opening != "{{" {
            return Err(format!("{opening} is not supported: {FORMS}"));
        }
        let (inner, after) = rest.split_once("}}").ok_or("a {{ is not closed by }}")?;
        match *inner.split_whitespace().collect::<Vec<_>>() {
            ["raw", name] if is_name(name) => Ok((Segment::Raw(name.to_owned()), after)),
            [name] if is_name(name) => Ok((Segment::Placeholder(name.to_owned()), after)),
            _ => Err(format!("invalid placeholder {:?}: {FORMS}", inner.trim())),
        }
    }
}

/// What a placeholder begins with, and what a statement and a comment of Tornado do.
const OPENINGS: [&str; 3] = ["{{", "{%", "{#"];

/// What to do instead, for the error message of a template with more than placeholders.
const FORMS: &str = "a template has only {{ name }} and {{ raw name }}, and the guide page \
    `tornado` says what to do instead; a comment is <!-- -->; {{!, {%! and {#! are literal";

/// The endings of the files that are templates. All other files in the directory are ignored:
/// backups of editors (`page.html~`, `.page.html.swp`), notes, images.
const ENDINGS: [&str; 8] = ["html", "htm", "xml", "svg", "txt", "json", "css", "js"];

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
    by_name: BTreeMap<String, Arc<Template>>,
    /// The directory, if the templates are read again at each use.
    reread_from: Option<PathBuf>,
}

impl Templates {
    /// Reads all files below `directory` that end in `.html`, `.htm`, `.xml`, `.svg`, `.txt`,
    /// `.json`, `.css` or `.js`, except hidden ones. The name of a template is its path
    /// relative to the directory, with slashes.
    pub fn load(directory: &Path) -> Result<Templates> {
        let mut templates = Templates::default();
        templates.load_directory(directory, "")?;
        Ok(templates)
    }

    /// Like [`load`](Templates::load), but all files are read again at each use, for `debug`
    /// mode. It blocks the thread for the time of reading.
    pub fn load_always(directory: &Path) -> Result<Templates> {
        let reread_from = Some(directory.to_owned());
        Ok(Templates { reread_from, ..Templates::load(directory)? })
    }

    fn load_directory(&mut self, directory: &Path, prefix: &str) -> Result {
        let unreadable = |error| {
            Error::Config(format!("the template folder {}: {error}", directory.display()))
        };
        for entry in fs::read_dir(directory).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let Some(name) = name.filter(|name| !name.starts_with('.')) else { continue };
            let name = format!("{prefix}{name}");
            if path.is_dir() {
                self.load_directory(&path, &format!("{name}/"))?;
                continue;
            }
            let ending = path.extension().and_then(|ending| ending.to_str());
            if !ending.is_some_and(|ending| ENDINGS.contains(&ending)) {
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
            self.by_name.insert(name, Arc::new(template));
        }
        Ok(())
    }

    /// Fails if a template has a placeholder with a name that is not in `known`.
    pub fn check_names(&self, known: &[&str]) -> Result {
        for template in self.by_name.values() {
            if let Some(name) = template.placeholders().find(|name| !known.contains(name)) {
                return Err(Error::Config(template.undefined(name)));
            }
        }
        Ok(())
    }

    /// Returns a template by its name. Fails if it does not exist, or if a template has been
    /// changed and is invalid now.
    pub fn find(&self, name: &str) -> Result<Arc<Template>> {
        let missing = || Error::other(format!("there is no template {name:?}"));
        let found = match &self.reread_from {
            Some(directory) => Templates::load(directory)?.by_name.remove(name),
            None => self.by_name.get(name).cloned(),
        };
        found.ok_or_else(missing)
    }
}
