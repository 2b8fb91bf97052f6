//! Cryptographic randomness, and comparison in constant time.

use std::cell::RefCell;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Returns `N` bytes from the random generator of the operating system.
///
/// # Panics
/// If the operating system returns an error. Continuing without randomness would issue session
/// ids that an attacker can guess.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has random bytes");
    bytes
}

/// Returns 16 random bytes that mask an XSRF token in a page, against BREACH: with a new mask
/// in each response, a compressed page does not reveal the token by its length.
///
/// A system call for so few bytes would be the most expensive step of a masked token, so one
/// call fetches 32 masks, and each is used once. The pool is thread-local, so it needs no lock.
/// An attacker that could read the unused masks in memory could read the token itself.
pub(crate) fn mask() -> [u8; 16] {
    MASK_POOL.with_borrow_mut(|pool| {
        if pool.is_empty() {
            pool.extend_from_slice(random::<512>().as_chunks().0);
        }
        pool.pop().expect("the pool was just filled")
    })
}

thread_local! {
    /// Masks that have not been used yet.
    static MASK_POOL: RefCell<Vec<[u8; 16]>> = const { RefCell::new(Vec::new()) };
}

/// Returns `true` if both are equal. The time depends only on their lengths, not on the first
/// position at which they differ: `==` stops there, and the time would reveal how much of a
/// guess is right (timing attack).
pub fn constant_time_eq(left: impl AsRef<[u8]>, right: impl AsRef<[u8]>) -> bool {
    left.as_ref().ct_eq(right.as_ref()).into()
}

/// The SHA-256 of a secret, to compare guesses with. Hashes have equal lengths, so the
/// comparison does not reveal the length of the secret either.
///
/// Not for stored passwords: SHA-256 is fast and this has no salt. Those need a password hash
/// such as Argon2.
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// Hashes a secret.
    pub fn new(secret: &str) -> SecretHash {
        SecretHash(Sha256::digest(secret).into())
    }

    /// Returns `true` if the guess is the secret, in a time that depends only on the length of
    /// the guess.
    pub fn matches(&self, guess: &str) -> bool {
        constant_time_eq(self.0, Sha256::digest(guess))
    }
}
