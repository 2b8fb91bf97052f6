//! Immutable bytes with the small-buffer optimisation: up to 30 bytes are stored inline, in the
//! session itself, and need no allocation and no second cache miss. Longer ones are on the
//! heap.
//!
//! Why not smallvec: a `SmallVec<[u8; 30]>`, with its feature `union`, also has a capacity,
//! which immutable bytes do not need. With it a session without its links is 128 bytes instead
//! of 120, and one of a million sessions takes 238 bytes instead of 230. At the same size as
//! here, `SmallVec<[u8; 24]>`, a user name longer than 14 letters would be on the heap.

use std::ops::Deref;

pub(crate) enum SmallBytes {
    Inline { length: u8, bytes: [u8; INLINE_CAPACITY] },
    Heap(Box<[u8]>),
}

/// Maximum number of bytes that are stored inline: enough for a user name of twenty letters
/// with its value name and the length prefixes. With it a session is 136 bytes, links included,
/// little more than two cache lines.
const INLINE_CAPACITY: usize = 30;

impl Default for SmallBytes {
    fn default() -> SmallBytes {
        SmallBytes::Inline { length: 0, bytes: [0; INLINE_CAPACITY] }
    }
}

impl From<Vec<u8>> for SmallBytes {
    fn from(bytes: Vec<u8>) -> SmallBytes {
        let mut inline = [0; INLINE_CAPACITY];
        match (u8::try_from(bytes.len()), inline.get_mut(..bytes.len())) {
            (Ok(length), Some(target)) => {
                target.copy_from_slice(&bytes);
                SmallBytes::Inline { length, bytes: inline }
            }
            _ => SmallBytes::Heap(bytes.into()),
        }
    }
}

impl Deref for SmallBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            SmallBytes::Inline { length, bytes } => &bytes[..usize::from(*length)],
            SmallBytes::Heap(bytes) => bytes,
        }
    }
}
