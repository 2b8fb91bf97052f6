//! Randomness that nobody can guess, and comparison that tells nobody how far it got.

use std::cell::RefCell;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// `N` bytes from the operating system's random generator.
///
/// # Panics
/// If the operating system has none to give. A server that went on without would hand out
/// session ids that can be guessed.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has random bytes to give");
    bytes
}

/// 16 random bytes for what hides a secret on its way, and travels beside it. A token needs one
/// each time it is shown, and to ask the system for so few costs more than all else about it. So 32
/// of them are asked for at once; each is given out once. Whoever could read the rest in this
/// process's memory could read the secret itself.
pub(crate) fn mask() -> [u8; 16] {
    MASK_POOL.with_borrow_mut(|spare| {
        if spare.is_empty() {
            spare.extend_from_slice(random::<512>().as_chunks().0);
        }
        spare.pop().expect("there are some now")
    })
}

thread_local! {
    /// Masks that nobody was given yet.
    static MASK_POOL: RefCell<Vec<[u8; 16]>> = const { RefCell::new(Vec::new()) };
}

/// Whether the two are the same, in a time that depends on their lengths alone.
pub fn constant_time_eq(left: impl AsRef<[u8]>, right: impl AsRef<[u8]>) -> bool {
    left.as_ref().ct_eq(right.as_ref()).into()
}

/// Whether the two are the same, in a time that does not even tell how long the secret one is:
/// their hashes are compared.
pub fn constant_time_eq_hashed(secret: &str, guess: &str) -> bool {
    SecretHash::new(secret).matches(guess)
}

/// A secret that many guesses are compared with. All that is kept of it is its hash. That is no way
/// to keep passwords in a file: it is quick, and has no salt.
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// Hashes a secret.
    pub fn new(secret: &str) -> SecretHash {
        SecretHash(Sha256::digest(secret).into())
    }

    /// Whether a guess is right, in a time that depends on the length of the guess alone.
    pub fn matches(&self, guess: &str) -> bool {
        constant_time_eq(self.0, Sha256::digest(guess))
    }
}
