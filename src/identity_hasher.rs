//! An identity hasher, for keys that are already hashes and that a client cannot choose.
//!
//! std's `HashMap` hashes keys with `SipHash`, so that a client which chooses keys cannot make
//! them collide (hash flooding). Keys that are random or keyed hashes do not need that.

use std::hash::{BuildHasherDefault, Hasher};

pub(crate) type BuildIdentityHasher = BuildHasherDefault<IdentityHasher>;

#[derive(Default)]
pub(crate) struct IdentityHasher(u64);

impl Hasher for IdentityHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    /// Called for keys that are not a single `u64`.
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }
}
