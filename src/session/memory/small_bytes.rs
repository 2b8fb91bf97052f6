//! Bytes that do not change. Where there are few they lie in the session itself: whoever has
//! found the session has them too, and does not wait for memory once more.

use std::ops::Deref;

pub(crate) enum Bytes {
    /// Here.
    Few { length: u8, bytes: [u8; FEW] },
    /// Elsewhere.
    Many(Box<[u8]>),
}

/// As many as lie here: a user's name of twenty letters, and what it is kept with. So a session
/// takes 136 bytes with its places in lists: little more than two lines of the processor's cache.
const FEW: usize = 30;

impl Default for Bytes {
    fn default() -> Bytes {
        Bytes::Few { length: 0, bytes: [0; FEW] }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Bytes {
        let mut few = [0; FEW];
        match (u8::try_from(bytes.len()), few.get_mut(..bytes.len())) {
            (Ok(length), Some(room)) => {
                room.copy_from_slice(&bytes);
                Bytes::Few { length, bytes: few }
            }
            _ => Bytes::Many(bytes.into()),
        }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Few { length, bytes } => &bytes[..usize::from(*length)],
            Bytes::Many(bytes) => bytes,
        }
    }
}
