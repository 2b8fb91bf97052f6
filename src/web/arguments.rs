//! Arguments: the names and values of a query or a form, in the encoding
//! `application/x-www-form-urlencoded`.
//!
//! ```text
//! name=value&name=value      "+" is a space, %XX a byte
//! ```

use std::fmt;
use std::ops::Range;

use percent_encoding::percent_decode;

use crate::error::{Error, Result};
use crate::http::content_buffer::out_of_memory;
use crate::http::grammar;
use crate::http::status::Status;

/// Names and values in the order in which they were sent. Names are UTF-8. Values are bytes, and
/// are checked for UTF-8 when they are read as text.
#[derive(Default)]
pub struct Arguments {
    pairs: Vec<Pair>,
    /// All decoded names and values, concatenated. One buffer saves an allocation for each of
    /// the many short strings of a form.
    bytes: Vec<u8>,
}

/// The ranges of a name and its value in `bytes`.
#[derive(Debug)]
struct Pair {
    name: Range<usize>,
    value: Range<usize>,
}

/// Shows the names only, because a value may be a password.
impl fmt::Debug for Arguments {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |pair: &Pair| &self.bytes[pair.name.clone()];
        let names = self.pairs.iter().map(|pair| String::from_utf8_lossy(name(pair)));
        formatter.debug_list().entries(names).finish()
    }
}

impl Arguments {
    /// Parses and decodes a query or a form. Fails with 400 if there are more than `limit`
    /// arguments or if a name is not UTF-8.
    pub fn parse_urlencoded(text: impl AsRef<[u8]>, limit: usize) -> Result<Arguments> {
        let text = text.as_ref();
        let mut arguments = Arguments::default();
        // Decoding never makes a text longer.
        arguments.reserve(text.len())?;
        let is_encoded = b"+%".iter().any(|&byte| grammar::position(text, byte).is_some());
        for pair in grammar::split(text, b'&').filter(|pair| !pair.is_empty()) {
            let (name, value) = match grammar::position(pair, b'=') {
                Some(equals) => (&pair[..equals], &pair[equals + 1..]),
                None => (pair, &[][..]),
            };
            if arguments.len() >= limit {
                let message = "There are too many arguments.";
                return Err(Error::http(Status::BAD_REQUEST, message));
            }
            let append = if is_encoded { Arguments::decode } else { Arguments::append };
            let (name, value) =
                (append(&mut arguments, name), append(&mut arguments, value));
            to_text(&arguments.bytes[name.clone()])?;
            arguments.pairs.push(Pair { name, value });
        }
        Ok(arguments)
    }

    /// Appends an argument. Fails with 503 if there is no memory for it.
    pub fn push(&mut self, name: impl AsRef<str>, value: impl AsRef<[u8]>) -> Result {
        let (name, value) = (name.as_ref().as_bytes(), value.as_ref());
        self.reserve(name.len() + value.len())?;
        let (name, value) = (self.append(name), self.append(value));
        self.pairs.push(Pair { name, value });
        Ok(())
    }

    /// Reserves capacity. The size is up to the client, so a failed allocation becomes a 503
    /// and does not abort the process.
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
        for (index, text) in bytes.split(|&byte| byte == b'+').enumerate() {
            if index > 0 {
                self.bytes.push(b' ');
            }
            self.bytes.extend(percent_decode(text));
        }
        start..self.bytes.len()
    }

    /// Returns the number of arguments.
    pub(crate) fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Returns all values of a name, as bytes.
    pub fn values(&self, name: &str) -> impl DoubleEndedIterator<Item = &[u8]> {
        let has_name =
            move |pair: &&Pair| self.bytes[pair.name.clone()] == *name.as_bytes();
        let pairs = self.pairs.iter().filter(has_name);
        pairs.map(|pair| &self.bytes[pair.value.clone()])
    }

    /// Returns the last value of a name, as it was sent. Fails with 400 if it is not UTF-8.
    pub fn last(&self, name: &str) -> Result<Option<&str>> {
        self.values(name).next_back().map(to_text).transpose()
    }
}

/// Returns a value as text. Fails with 400 if it is not UTF-8.
pub(crate) fn to_text(value: &[u8]) -> Result<&str> {
    let invalid = |_| Error::http(Status::BAD_REQUEST, "An argument is not UTF-8.");
    std::str::from_utf8(value).map_err(invalid)
}

/// Cleans a value as Tornado's `get_argument` does: replaces control characters by spaces, and
/// strips leading and trailing white space.
pub(crate) fn strip_controls(value: &str) -> String {
    let is_control = |character| matches!(character, '\0'..='\x08' | '\x0e'..='\x1f');
    match value.contains(is_control) {
        true => value.replace(is_control, " ").trim().to_owned(),
        false => value.trim().to_owned(),
    }
}
