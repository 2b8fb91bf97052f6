//! The values of a session, with their names: one behind the other, in one piece of memory. Most
//! sessions have few and small ones, so that looking through them is faster than any map, and
//! two allocations for each would be most of what a session takes.

use crate::session::memory::small_bytes::Bytes;

/// What a value takes of its session's room besides the bytes of its name and its own.
const OVERHEAD: usize = 32;

/// What is as long as this or longer has this first, and then its length in four bytes. What is
/// shorter has its length in one.
const LONG: u8 = u8::MAX;

/// They do not change: whoever wants others makes others.
///
/// Each is its name and the value, and both have their length before them.
#[derive(Default)]
pub(crate) struct Values {
    bytes: Bytes,
}

impl Values {
    /// These values, with another in place of the one that has its name, or behind them.
    pub(crate) fn with(&self, name: &str, value: &str) -> Values {
        let (before, behind) = self.around(name);
        let (name, value) = (name.as_bytes(), value.as_bytes());
        // No more room than they take, for it would have to be given back.
        let room = before.len() + behind.len() + taken(name) + taken(value);
        let mut bytes = Vec::with_capacity(room);
        bytes.extend_from_slice(before);
        bytes.extend_from_slice(behind);
        append(&mut bytes, name);
        append(&mut bytes, value);
        Values { bytes: bytes.into() }
    }

    /// These values, but for the one of a name.
    pub(crate) fn without(&self, name: &str) -> Values {
        let (before, behind) = self.around(name);
        Values { bytes: [before, behind].concat().into() }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.bytes_of(name).map(text)
    }

    /// A value for whoever only compares it, and need not be told again that it is text.
    pub(crate) fn bytes_of(&self, name: &str) -> Option<&[u8]> {
        let found = self.iter().find(|(found, _)| *found == name.as_bytes());
        found.map(|(_, value)| value)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(name, _)| text(name))
    }

    /// What they take of their session's room.
    pub(crate) fn cost(&self) -> usize {
        self.iter().map(|(name, value)| name.len() + value.len() + OVERHEAD).sum()
    }

    /// What stands before the value of a name, and behind it; if there is none, all is before it.
    fn around(&self, name: &str) -> (&[u8], &[u8]) {
        let mut start = 0;
        for (found, value) in self.iter() {
            let end = start + taken(found) + taken(value);
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
            let (name, behind) = split(rest)?;
            let (value, behind) = split(behind)?;
            rest = behind;
            Some((name, value))
        })
    }
}

fn append(bytes: &mut Vec<u8>, text: &[u8]) {
    match u8::try_from(text.len()) {
        Ok(short) if short < LONG => bytes.push(short),
        _ => {
            let long = u32::try_from(text.len()).expect("a session has less than 4 GiB");
            bytes.push(LONG);
            bytes.extend_from_slice(&long.to_ne_bytes());
        }
    }
    bytes.extend_from_slice(text);
}

/// What a text takes when it is appended.
fn taken(text: &[u8]) -> usize {
    let length = if text.len() < usize::from(LONG) { 1 } else { 1 + size_of::<u32>() };
    length + text.len()
}

/// What was appended first, and what is behind it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&first, behind) = bytes.split_first()?;
    if first < LONG {
        return behind.split_at_checked(usize::from(first));
    }
    let (length, behind) = behind.split_first_chunk()?;
    behind.split_at_checked(u32::from_ne_bytes(*length) as usize)
}

/// What was put in as text is text.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}
