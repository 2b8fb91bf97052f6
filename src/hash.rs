//! A hash for maps whose keys have one already, which nobody can aim at one bucket: it is taken as it
//! is, and not hashed once more.

use std::hash::{BuildHasherDefault, Hasher};

pub(crate) type AsItIs = BuildHasherDefault<Taken>;

#[derive(Default)]
pub(crate) struct Taken(u64);

impl Hasher for Taken {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, octets: &[u8]) {
        for &octet in octets {
            self.0 = self.0.rotate_left(8) ^ u64::from(octet);
        }
    }
}
