//! Randomness that nobody can guess, and comparison that tells nobody how far it got.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// `N` octets from the operating system's random generator.
///
/// # Panics
/// If the operating system has none to give. A server that went on without would hand out
/// session ids that can be guessed.
pub fn random<const N: usize>() -> [u8; N] {
    let mut octets = [0; N];
    getrandom::fill(&mut octets).expect("the operating system has random octets to give");
    octets
}

/// Whether the two are the same, in a time that depends on their lengths alone.
pub fn same(left: impl AsRef<[u8]>, right: impl AsRef<[u8]>) -> bool {
    left.as_ref().ct_eq(right.as_ref()).into()
}

/// Whether the two are the same, in a time that does not even tell how long the secret one is:
/// their hashes are compared.
pub fn same_secret(secret: &str, guess: &str) -> bool {
    same(Sha256::digest(secret), Sha256::digest(guess))
}
