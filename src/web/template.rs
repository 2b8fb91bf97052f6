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
use std::path::Path;

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
        while let Some(open) = find_opening(rest) {
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
            let failed = |_| format!("{}: the Display of {name:?} failed", self.name);
            written.map_err(failed).map_err(Error::other)?;
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
        match &tag[..2] {
            "{%" => return Err(String::from(NO_STATEMENTS)),
            "{#" => return Err(String::from(NO_COMMENTS)),
            _ => {}
        }
        let close = tag.find("}}").ok_or("{{ without }}")?;
        let (inner, after) = (tag[2..close].trim(), &tag[close + 2..]);
        let raw =
            inner.strip_prefix("raw").filter(|rest| rest.starts_with(char::is_whitespace));
        match raw.map(str::trim_start) {
            Some(name) if is_name(name) => Ok((Segment::Raw(name.to_owned()), after)),
            None if is_name(inner) => Ok((Segment::Placeholder(inner.to_owned()), after)),
            _ => Err(format!("invalid placeholder {inner:?}{NO_EXPRESSIONS}")),
        }
    }
}

const NO_STATEMENTS: &str = "{% is not supported: a template has no statements; decide in the \
    handler, and insert a list that it has rendered with {{ raw name }} (literally: {%!)";

const NO_COMMENTS: &str =
    "{# is not supported: write a comment as <!-- --> (literally: {#!)";

const NO_EXPRESSIONS: &str = ": only {{ name }} and {{ raw name }} are placeholders; \
    compute the value in the handler, and pass it to render by a name";

/// Returns the position of the first `{{`, `{%` or `{#`.
fn find_opening(text: &str) -> Option<usize> {
    text.bytes()
        .zip(text.bytes().skip(1))
        .position(|pair| matches!(pair, (b'{', b'{' | b'%' | b'#')))
}

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

fn is_template(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| ENDINGS.contains(&ending))
}

/// The templates of a directory.
#[derive(Debug, Default)]
pub struct Templates {
    by_name: BTreeMap<String, Template>,
}

impl Templates {
    /// Reads all files below `directory` that end in `.html`, `.htm`, `.xml`, `.svg`, `.txt`,
    /// `.json`, `.css` or `.js`, except hidden ones. The name of a template is its path relative
    /// to the directory, with slashes.
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
            if !is_template(&path) {
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
        let missing = || {
            let hint = match is_template(Path::new(name)) {
                true => String::new(),
                false => format!(": its ending is none of {}", ENDINGS.join(", ")),
            };
            Error::other(format!("there is no template {name:?}{hint}"))
        };
        self.by_name.get(name).ok_or_else(missing)
    }
}
