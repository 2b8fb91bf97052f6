//! The values of a session: pairs of a value name and a value, in one buffer.
//!
//! The encoding is length-prefixed. Each pair is the name and then the value, and each of these
//! is a length followed by the text:
//!
//! ```text
//!  +---+----------+---+-------+---+-------+-----+-----------+------ - - ---+
//!  | 8 | username | 3 | ann   | 5 | theme | 255 | 300 (u32) | 300 bytes    |
//!  +---+----------+---+-------+---+-------+-----+-----------+------ - - ---+
//! ```
//!
//! Most sessions have few and small values, so a linear search is faster than a map. A map
//! would also need two allocations per value, more memory than all the rest of a session.

use crate::session::memory::small_bytes::SmallBytes;

/// Bytes that each value counts for the limits in addition to its name and its text.
const OVERHEAD: usize = 32;

/// A length byte below this is the length itself. This byte is followed by the length in four
/// bytes.
const LONG_MARKER: u8 = u8::MAX;

/// Immutable: a change builds new values. The old ones stay in use if the new ones exceed a
/// limit.
#[derive(Default)]
pub(crate) struct Values {
    bytes: SmallBytes,
}

impl Values {
    /// Returns these values with one set. A pair of this name is replaced, and moves to the
    /// end.
    pub(crate) fn with(&self, name: &str, value: &str) -> Values {
        let (before, after) = self.split_around(name);
        let (name, value) = (name.as_bytes(), value.as_bytes());
        // The exact capacity: `Box<[u8]>` would reallocate to give back any excess.
        let capacity = before.len() + after.len() + encoded_len(name) + encoded_len(value);
        let mut bytes = Vec::with_capacity(capacity);
        bytes.extend_from_slice(before);
        bytes.extend_from_slice(after);
        append(&mut bytes, name);
        append(&mut bytes, value);
        Values { bytes: bytes.into() }
    }

    /// Returns these values without the one of this name.
    pub(crate) fn without(&self, name: &str) -> Values {
        let (before, after) = self.split_around(name);
        Values { bytes: [before, after].concat().into() }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.bytes_of(name).map(text)
    }

    /// Returns a value as bytes, for a comparison, which needs no check that they are UTF-8.
    pub(crate) fn bytes_of(&self, name: &str) -> Option<&[u8]> {
        let found = self.iter().find(|(found, _)| *found == name.as_bytes());
        found.map(|(_, value)| value)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(name, _)| text(name))
    }

    /// Returns the bytes that these values count for the limits.
    pub(crate) fn size(&self) -> usize {
        self.iter().map(|(name, value)| name.len() + value.len() + OVERHEAD).sum()
    }

    /// Returns the encoded pairs before and after the one of this name. Without such a pair all
    /// are before it.
    fn split_around(&self, name: &str) -> (&[u8], &[u8]) {
        let mut start = 0;
        for (found, value) in self.iter() {
            let end = start + encoded_len(found) + encoded_len(value);
            if found == name.as_bytes() {
                return (&self.bytes[..start], &self.bytes[end..]);
            }
            start = end;
        }
        (&self.bytes, &[])
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = &*self.bytes;
        std::iter::from_fn(move || {
            let (name, after) = decode_first(rest)?;
            let (value, after) = decode_first(after)?;
            rest = after;
            Some((name, value))
        })
    }
}

/// Appends a text with its length prefix.
fn append(bytes: &mut Vec<u8>, text: &[u8]) {
    match u8::try_from(text.len()) {
        Ok(short) if short < LONG_MARKER => bytes.push(short),
        _ => {
            let long = u32::try_from(text.len()).expect("a session has less than 4 GiB");
            bytes.push(LONG_MARKER);
            bytes.extend_from_slice(&long.to_ne_bytes());
        }
    }
    bytes.extend_from_slice(text);
}

/// Returns the number of bytes that [`append`] adds.
fn encoded_len(text: &[u8]) -> usize {
    let prefix =
        if text.len() < usize::from(LONG_MARKER) { 1 } else { 1 + size_of::<u32>() };
    prefix + text.len()
}

/// Splits off the first text. Returns it without its length prefix, and the bytes after it.
fn decode_first(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&first, after) = bytes.split_first()?;
    if first < LONG_MARKER {
        return after.split_at_checked(usize::from(first));
    }
    let (length, after) = after.split_first_chunk()?;
    after.split_at_checked(u32::from_ne_bytes(*length) as usize)
}

/// The bytes are UTF-8, because they were a `&str` when they were set.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}
