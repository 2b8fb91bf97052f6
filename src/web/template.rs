//! Templates by substitution: `{{ name }}` is replaced, escaped, and nothing else happens.
//!
//! ```text
//! <p>Good day, {{ username }}!</p>     the value of `username`, safe in text and in quotes
//! {{! name }}                          {{ name }}, as it stands
//! ```
//! Whatever a page has to decide, its handler decides; a template only says where it goes.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use crate::error::{Error, Result};
use crate::escape;

/// A page, cut at its names when the application starts, so that rendering is only joining.
#[derive(Debug)]
pub struct Template {
    name: String,
    pieces: Vec<Piece>,
    /// How long it is as it was written, and about what a page that is made of it will be.
    length: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Name(String),
}

impl Template {
    /// Cuts `source` up. `name` is what it is called in errors.
    pub fn parse(name: &str, source: &str) -> Result<Template> {
        let mut pieces = Vec::new();
        let mut rest = source;
        while let Some(open) = rest.find("{{") {
            let (text, tag) = rest.split_at(open);
            if let Some(literal) = tag.strip_prefix("{{!") {
                pieces.push(Piece::Text(format!("{text}{{{{")));
                rest = literal;
                continue;
            }
            let line = 1 + source[..source.len() - tag.len()].matches('\n').count();
            let Some(close) = tag.find("}}") else {
                return Err(Error::Config(format!("{name}:{line}: {{{{ without }}}}")));
            };
            let inner = tag[2..close].trim();
            if !is_name(inner) {
                let message = format!("{name}:{line}: {inner:?} is no name");
                return Err(Error::Config(message));
            }
            pieces.push(Piece::Text(text.to_owned()));
            pieces.push(Piece::Name(inner.to_owned()));
            rest = &tag[close + 2..];
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Template { name: name.to_owned(), pieces, length: source.len() })
    }

    /// The names that it asks for, some of them perhaps twice.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Name(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// Puts the values in. A name that nobody gave is an error.
    pub fn render<'v>(&self, value: impl Fn(&str) -> Option<&'v str>) -> Result<String> {
        let mut page = String::with_capacity(self.length + ROOM_FOR_VALUES);
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => page.push_str(text),
                Piece::Name(name) => match value(name) {
                    Some(value) => escape::push_html(&mut page, value),
                    None => return Err(Error::other(self.nobody_gives(name))),
                },
            }
        }
        Ok(page)
    }

    fn nobody_gives(&self, name: &str) -> String {
        format!("{}: nobody gives the name {name:?}", self.name)
    }
}

/// What most pages need for their values. One that needs more grows.
const ROOM_FOR_VALUES: usize = 256;

/// ```text
/// name = ( ALPHA / "_" ) *( ALPHA / DIGIT / "_" )
/// ```
pub(crate) fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// All the templates of a folder.
#[derive(Debug, Default)]
pub struct Templates {
    by_name: BTreeMap<String, Template>,
}

impl Templates {
    /// Reads every file below `folder`, hidden ones left out. A template is called by its path
    /// below the folder, with slashes.
    pub fn load(folder: &Path) -> Result<Templates> {
        let mut templates = Templates::default();
        templates.load_folder(folder, "")?;
        Ok(templates)
    }

    fn load_folder(&mut self, folder: &Path, prefix: &str) -> Result {
        let unreadable = |error| {
            Error::Config(format!("the template folder {}: {error}", folder.display()))
        };
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let Some(file_name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            let name = format!("{prefix}{file_name}");
            if file_name.starts_with('.') {
                continue;
            }
            if path.is_dir() {
                self.load_folder(&path, &format!("{name}/"))?;
                continue;
            }
            let unreadable = |error: io::Error| {
                Error::Config(format!("the template {}: {error}", path.display()))
            };
            // To open a pipe would be to wait for somebody to write to it.
            if !fs::metadata(&path).map_err(unreadable)?.is_file() {
                return Err(unreadable(io::Error::other("it is no regular file")));
            }
            let source = fs::read_to_string(&path).map_err(unreadable)?;
            let template = Template::parse(&path.display().to_string(), &source)?;
            self.by_name.insert(name, template);
        }
        Ok(())
    }

    /// Finds a template that asks for a name which is not among these.
    pub fn check_names(&self, known: &[&str]) -> Result {
        for template in self.by_name.values() {
            if let Some(name) = template.names().find(|name| !known.contains(name)) {
                return Err(Error::Config(template.nobody_gives(name)));
            }
        }
        Ok(())
    }

    /// A template by its name.
    pub fn find(&self, name: &str) -> Result<&Template> {
        let missing = || Error::other(format!("there is no template {name:?}"));
        self.by_name.get(name).ok_or_else(missing)
    }
}
