//! The values of a session, with their names: one behind the other, in one piece of memory. Most
//! sessions have few and small ones, so that looking through them is faster than any map, and
//! two allocations for each would be most of what a session takes.

/// What a value takes of its session's room besides the octets of its name and its own.
const OVERHEAD: usize = 32;

/// Octets of a length.
const LENGTH: usize = size_of::<u32>();

/// They do not change: whoever wants others makes others.
///
/// Each is the length of its name, the length of the value, the name, and the value.
#[derive(Default)]
pub(crate) struct Values {
    octets: Box<[u8]>,
}

impl Values {
    /// These values, with another in place of the one that has its name, or behind them.
    pub(crate) fn with(&self, name: &str, value: &str) -> Values {
        let mut octets =
            Vec::with_capacity(self.octets.len() + 2 * LENGTH + name.len() + value.len());
        self.copy_all_but(name, &mut octets);
        append(&mut octets, name.as_bytes(), value.as_bytes());
        Values { octets: octets.into() }
    }

    /// These values, but for the one of a name.
    pub(crate) fn without(&self, name: &str) -> Values {
        let mut octets = Vec::with_capacity(self.octets.len());
        self.copy_all_but(name, &mut octets);
        Values { octets: octets.into() }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.iter().find(|(found, _)| *found == name.as_bytes());
        found.map(|(_, value)| text(value))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(name, _)| text(name))
    }

    /// What they take of their session's room.
    pub(crate) fn cost(&self) -> usize {
        self.octets.len() + self.iter().count() * (OVERHEAD - 2 * LENGTH)
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = &*self.octets;
        std::iter::from_fn(move || {
            let (name_length, behind) = rest.split_first_chunk()?;
            let (value_length, behind) = behind.split_first_chunk()?;
            let (name, behind) = behind.split_at_checked(length(*name_length))?;
            let (value, behind) = behind.split_at_checked(length(*value_length))?;
            rest = behind;
            Some((name, value))
        })
    }

    fn copy_all_but(&self, name: &str, octets: &mut Vec<u8>) {
        for (other, value) in self.iter().filter(|(other, _)| *other != name.as_bytes()) {
            append(octets, other, value);
        }
    }
}

fn append(octets: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for part in [name, value] {
        let length = u32::try_from(part.len()).expect("a session has less than 4 GiB");
        octets.extend_from_slice(&length.to_ne_bytes());
    }
    octets.extend_from_slice(name);
    octets.extend_from_slice(value);
}

fn length(octets: [u8; LENGTH]) -> usize {
    u32::from_ne_bytes(octets) as usize
}

/// What was put in as text is text.
fn text(octets: &[u8]) -> &str {
    std::str::from_utf8(octets).unwrap_or_default()
}
