//! Octets that do not change. Where there are few they lie in the session itself: whoever has
//! found the session has them too, and does not wait for memory once more.

use std::ops::Deref;

pub(crate) enum Octets {
    /// Here.
    Few { length: u8, octets: [u8; FEW] },
    /// Elsewhere.
    Many(Box<[u8]>),
}

/// As many as lie here: a user's name of twenty letters, and what it is kept with. So a session
/// takes 136 octets with its places in lists: little more than two lines of the processor's cache.
const FEW: usize = 30;

impl Default for Octets {
    fn default() -> Octets {
        Octets::Few { length: 0, octets: [0; FEW] }
    }
}

impl From<Vec<u8>> for Octets {
    fn from(octets: Vec<u8>) -> Octets {
        let mut few = [0; FEW];
        match (u8::try_from(octets.len()), few.get_mut(..octets.len())) {
            (Ok(length), Some(room)) => {
                room.copy_from_slice(&octets);
                Octets::Few { length, octets: few }
            }
            _ => Octets::Many(octets.into()),
        }
    }
}

impl Deref for Octets {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Octets::Few { length, octets } => &octets[..usize::from(*length)],
            Octets::Many(octets) => octets,
        }
    }
}
