//! Arguments: the names and values of a query or a form.

use percent_encoding::percent_decode;

use crate::error::{Error, Result};
use crate::http::status::Status;

/// Names and values in the order in which they were sent. Values are octets until somebody asks
/// for one as text.
#[derive(Debug, Default)]
pub struct Arguments {
    pairs: Vec<(String, Vec<u8>)>,
}

impl Arguments {
    /// Reads `application/x-www-form-urlencoded`: `name=value&name=value`, with `+` for a space.
    pub fn parse_urlencoded(text: impl AsRef<[u8]>, limit: usize) -> Result<Arguments> {
        let mut arguments = Arguments::default();
        for pair in
            text.as_ref().split(|&octet| octet == b'&').filter(|pair| !pair.is_empty())
        {
            let equals = pair.iter().position(|&octet| octet == b'=');
            let (name, value) = match equals {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &[][..]),
            };
            let name = String::from_utf8(decode(name)).map_err(|_| not_text())?;
            arguments.push(name, decode(value), limit)?;
        }
        Ok(arguments)
    }

    /// Adds one, if there is room for it.
    pub fn push(&mut self, name: String, value: Vec<u8>, limit: usize) -> Result {
        if self.pairs.len() >= limit {
            return Err(Error::http(Status::BAD_REQUEST, "There are too many arguments."));
        }
        self.pairs.push((name, value));
        Ok(())
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
        let pairs = self.pairs.iter().filter(move |(found, _)| found == name);
        pairs.map(|(_, value)| value.as_slice())
    }

    /// The last value of one name as text, as it was sent.
    pub fn last<'a>(&'a self, name: &'a str) -> Result<Option<&'a str>> {
        self.values(name).next_back().map(to_text).transpose()
    }
}

fn decode(octets: &[u8]) -> Vec<u8> {
    if !octets.iter().any(|&octet| octet == b'+' || octet == b'%') {
        return octets.to_vec();
    }
    let spaced: Vec<u8> =
        octets.iter().map(|&octet| if octet == b'+' { b' ' } else { octet }).collect();
    percent_decode(&spaced).collect()
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
