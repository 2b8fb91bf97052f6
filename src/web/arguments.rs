//! Arguments: the names and values of a query or a form.

use std::fmt;
use std::ops::Range;

use percent_encoding::percent_decode;

use crate::error::{Error, Result};
use crate::http::content_buffer::out_of_memory;
use crate::http::grammar;
use crate::http::status::Status;

/// Names and values in the order in which they were sent. Values are bytes until somebody asks
/// for one as text.
#[derive(Default)]
pub struct Arguments {
    pairs: Vec<Pair>,
    /// All names and values, one behind the other: a form has many, and most are short.
    bytes: Vec<u8>,
}

/// Where a name and its value are.
#[derive(Debug)]
struct Pair {
    name: Range<usize>,
    value: Range<usize>,
}

/// Shows names, and no value: there may be a password among them.
impl fmt::Debug for Arguments {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |pair: &Pair| &self.bytes[pair.name.clone()];
        let names = self.pairs.iter().map(|pair| String::from_utf8_lossy(name(pair)));
        formatter.debug_list().entries(names).finish()
    }
}

impl Arguments {
    /// Reads `application/x-www-form-urlencoded`: `name=value&name=value`, with `+` for a space.
    pub fn parse_urlencoded(text: impl AsRef<[u8]>, limit: usize) -> Result<Arguments> {
        let text = text.as_ref();
        let mut arguments = Arguments::default();
        // What is decoded is never longer than it was before.
        arguments.reserve(text.len())?;
        let is_encoded = b"+%".iter().any(|&sign| grammar::position(text, sign).is_some());
        for pair in grammar::split(text, b'&').filter(|pair| !pair.is_empty()) {
            let (name, value) = match grammar::position(pair, b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &[][..]),
            };
            arguments.check_limit(limit)?;
            let append = if is_encoded { Arguments::decode } else { Arguments::append };
            let (name, value) =
                (append(&mut arguments, name), append(&mut arguments, value));
            to_text(&arguments.bytes[name.clone()])?;
            arguments.pairs.push(Pair { name, value });
        }
        Ok(arguments)
    }

    /// Adds one, if there is room for it.
    pub fn push(
        &mut self,
        name: impl AsRef<str>,
        value: impl AsRef<[u8]>,
        limit: usize,
    ) -> Result {
        let (name, value) = (name.as_ref().as_bytes(), value.as_ref());
        self.check_limit(limit)?;
        self.reserve(name.len() + value.len())?;
        let (name, value) = (self.append(name), self.append(value));
        self.pairs.push(Pair { name, value });
        Ok(())
    }

    fn check_limit(&self, limit: usize) -> Result {
        if self.pairs.len() >= limit {
            return Err(Error::http(Status::BAD_REQUEST, "There are too many arguments."));
        }
        Ok(())
    }

    /// Makes room for what a client has sent, and may be large.
    fn reserve(&mut self, bytes: usize) -> Result {
        self.bytes.try_reserve(bytes).map_err(|_| out_of_memory().into())
    }

    fn append(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    fn decode(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        for (number, between) in bytes.split(|&byte| byte == b'+').enumerate() {
            if number > 0 {
                self.bytes.push(b' ');
            }
            self.bytes.extend(percent_decode(between));
        }
        start..self.bytes.len()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Every value of one name, as bytes.
    pub fn values<'a>(
        &'a self,
        name: &'a str,
    ) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        let is_it = move |pair: &&Pair| self.bytes[pair.name.clone()] == *name.as_bytes();
        let pairs = self.pairs.iter().filter(is_it);
        pairs.map(|pair| &self.bytes[pair.value.clone()])
    }

    /// The last value of one name as text, as it was sent.
    pub fn last<'a>(&'a self, name: &'a str) -> Result<Option<&'a str>> {
        self.values(name).next_back().map(to_text).transpose()
    }
}

/// A value as text; 400 if it is none.
pub(crate) fn to_text(value: &[u8]) -> Result<&str> {
    std::str::from_utf8(value).map_err(|_| not_text())
}

fn not_text() -> Error {
    Error::http(Status::BAD_REQUEST, "An argument is not UTF-8.")
}

/// Tidies a value as Tornado's `get_argument` does: control characters become spaces, and the
/// white space around it goes.
pub(crate) fn tidy(value: &str) -> String {
    let is_control = |character| matches!(character, '\0'..='\x08' | '\x0e'..='\x1f');
    match value.contains(is_control) {
        true => value.replace(is_control, " ").trim().to_owned(),
        false => value.trim().to_owned(),
    }
}
