//! Arguments: the names and values of a query or a form.

use std::borrow::Cow;
use std::ops::Range;

use percent_encoding::percent_decode;

use crate::error::{Error, Result};
use crate::http::octets;
use crate::http::status::Status;

/// Names and values in the order in which they were sent. Values are octets until somebody asks
/// for one as text.
#[derive(Debug, Default)]
pub struct Arguments {
    pairs: Vec<Pair>,
    /// All names and values, one behind the other: a form has many, and most are short.
    octets: Vec<u8>,
}

/// Where a name and its value are.
#[derive(Debug)]
struct Pair {
    name: Range<usize>,
    value: Range<usize>,
}

impl Arguments {
    /// Reads `application/x-www-form-urlencoded`: `name=value&name=value`, with `+` for a space.
    pub fn parse_urlencoded(text: impl AsRef<[u8]>, limit: usize) -> Result<Arguments> {
        let text = text.as_ref();
        let mut arguments = Arguments::default();
        arguments.octets.reserve(text.len());
        let is_encoded = b"+%".iter().any(|&sign| octets::position(text, sign).is_some());
        let decoded =
            |part| if is_encoded { Cow::Owned(decode(part)) } else { Cow::Borrowed(part) };
        for pair in octets::split(text, b'&').filter(|pair| !pair.is_empty()) {
            let (name, value) = match octets::position(pair, b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &[][..]),
            };
            arguments.push(to_text(&decoded(name))?, decoded(value), limit)?;
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
        if self.pairs.len() >= limit {
            return Err(Error::http(Status::BAD_REQUEST, "There are too many arguments."));
        }
        let name = self.append(name.as_ref().as_bytes());
        let value = self.append(value.as_ref());
        self.pairs.push(Pair { name, value });
        Ok(())
    }

    fn append(&mut self, octets: &[u8]) -> Range<usize> {
        let start = self.octets.len();
        self.octets.extend_from_slice(octets);
        start..self.octets.len()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Every value of one name, as octets.
    pub fn values<'a>(
        &'a self,
        name: &'a str,
    ) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        let is_it = move |pair: &&Pair| self.octets[pair.name.clone()] == *name.as_bytes();
        let pairs = self.pairs.iter().filter(is_it);
        pairs.map(|pair| &self.octets[pair.value.clone()])
    }

    /// The last value of one name as text, as it was sent.
    pub fn last<'a>(&'a self, name: &'a str) -> Result<Option<&'a str>> {
        self.values(name).next_back().map(to_text).transpose()
    }
}

fn decode(octets: &[u8]) -> Vec<u8> {
    let spaced = octets.iter().map(|&octet| if octet == b'+' { b' ' } else { octet });
    percent_decode(&spaced.collect::<Vec<u8>>()).collect()
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
