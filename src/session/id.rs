//! The secret id of a session, and the key under which a store has the session.

use std::fmt;
use std::hash::{Hash, Hasher};

use md5::{Digest, Md5};

use crate::crypto;

/// The secret that the client presents: 128 random bits, written as 32 hex digits.
///
/// Its strength is the randomness alone. The tutorial hashes the time of day with MD5; that looks
/// the same and is guessed in seconds, because a hash does not add entropy to a guessable input.
#[derive(Clone)]
pub struct Id {
    text: [u8; 32],
    key: Key,
}

/// The key under which a store has a session: the MD5 of its id. A key that leaks, in a dump or a
/// log, gives no access, because the id cannot be computed from it. (MD5 is broken for collisions,
/// which need an attacker who chooses the inputs; ids are chosen here.)
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key([u8; 16]);

impl Id {
    /// Generates a new random id.
    #[expect(clippy::missing_panics_doc)] // It does not panic.
    pub fn generate() -> Id {
        let mut text = [0; 32];
        hex::encode_to_slice(crypto::random::<16>(), &mut text)
            .expect("16 bytes are 32 hex digits");
        Id::from_digits(text)
    }

    /// Parses an id as a client sends it: 32 lowercase hex digits. `None` for anything else.
    pub fn parse(text: &str) -> Option<Id> {
        let digits: [u8; 32] = text.as_bytes().try_into().ok()?;
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        // No early exit, so that the compiler can vectorise the loop.
        let are_digits = digits.iter().fold(true, |all, byte| all & is_digit(byte));
        are_digits.then(|| Id::from_digits(digits))
    }

    /// Hashes the id. The key is what the store has: a copy of it opens no session.
    fn from_digits(text: [u8; 32]) -> Id {
        Id { text, key: Key(Md5::digest(text).into()) }
    }

    /// Returns the secret text. It is for the `Set-Cookie` of its own client only.
    pub fn reveal(&self) -> &str {
        std::str::from_utf8(&self.text).unwrap_or_default()
    }

    /// Returns the key under which the store has the session.
    pub fn key(&self) -> Key {
        self.key
    }
}

/// Shows the key, so that a secret id never reaches a log.
impl fmt::Debug for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Id({})", self.key)
    }
}

impl Key {
    /// Returns the bytes of the key.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Parses a key from 32 hex digits. `None` for anything else.
    pub fn parse(text: &str) -> Option<Key> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).ok().map(|()| Key(bytes))
    }

    /// Returns the first 48 bits in hex, by which logs name a session.
    pub fn fingerprint(&self) -> String {
        hex::encode(&self.0[..6])
    }
}

/// A key is already a hash, so its first half serves as the hash value. A client cannot choose it
/// (hash flooding), because keys are the MD5 of ids that were generated here.
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
