//! The id that names a session, and the key under which it is kept.

use std::fmt;
use std::hash::{Hash, Hasher};

use md5::{Digest, Md5};

use crate::crypto;

/// What the client shows to prove that a session is its own: 128 random bits, as 32 hex digits.
///
/// That nobody can guess it lies in the randomness alone. The tutorial takes the MD5 of the time
/// of day. That looks the same, and is found out in seconds, because a hash hides nothing that can
/// be guessed before it is hashed.
#[derive(Clone)]
pub struct Id {
    text: [u8; 32],
    key: Key,
}

/// Where the store has the session: the MD5 of its id. Whoever reads it, in a dump, a log or on
/// an administrator's page, cannot come back from it to the id. (MD5 is weak where an attacker
/// chooses what is hashed; a session's id is chosen here.)
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key([u8; 16]);

impl Id {
    /// A new one.
    #[expect(clippy::missing_panics_doc)] // It does not panic.
    pub fn generate() -> Id {
        let mut text = [0; 32];
        hex::encode_to_slice(crypto::random::<16>(), &mut text)
            .expect("16 octets are 32 hex digits");
        Id::from_digits(text)
    }

    /// An id as a client sends it: 32 hex digits, in lower case. Anything else is none.
    pub fn parse(text: &str) -> Option<Id> {
        let digits: [u8; 32] = text.as_bytes().try_into().ok()?;
        let is_digit = |octet: &u8| matches!(octet, b'0'..=b'9' | b'a'..=b'f');
        // Not to stop at the first that is none lets the processor look at many at once.
        let are_digits = digits.iter().fold(true, |all, octet| all & is_digit(octet));
        are_digits.then(|| Id::from_digits(digits))
    }

    fn from_digits(text: [u8; 32]) -> Id {
        Id { text, key: Key(Md5::digest(text).into()) }
    }

    /// As it is sent to the client whose it is, and to nobody else.
    pub fn reveal(&self) -> &str {
        std::str::from_utf8(&self.text).unwrap_or_default()
    }

    /// Where the store has its session.
    pub fn key(&self) -> Key {
        self.key
    }
}

/// Shows the key: an id does not belong in a log.
impl fmt::Debug for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Id({})", self.key)
    }
}

impl Key {
    /// Its octets.
    pub fn octets(&self) -> &[u8; 16] {
        &self.0
    }

    /// A key as it is written: 32 hex digits. Anything else is none.
    pub fn parse(text: &str) -> Option<Key> {
        let mut octets = [0; 16];
        hex::decode_to_slice(text, &mut octets).ok().map(|()| Key(octets))
    }

    /// Enough of it to know a session by in a log.
    pub fn fingerprint(&self) -> String {
        hex::encode(&self.0[..6])
    }
}

/// A key is a hash already, so its first half will do as one. It is an MD5, and of ids that were
/// issued here alone, so nobody can aim it.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let first = self.0.first_chunk().copied().unwrap_or_default();
        state.write_u64(u64::from_ne_bytes(first));
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Key({self})")
    }
}
