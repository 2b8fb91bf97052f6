//! Randomness that nobody can guess, and comparison that tells nobody how far it got.

use std::cell::RefCell;

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

/// 16 random octets for what hides a secret on its way, and travels beside it. A token needs one
/// each time it is shown, and to ask the system for so few costs more than all else about it. So 32
/// of them are asked for at once; each is given out once. Whoever could read the rest in this
/// process's memory could read the secret itself.
pub(crate) fn mask() -> [u8; 16] {
    SPARE_MASKS.with_borrow_mut(|spare| {
        if spare.is_empty() {
            spare.extend_from_slice(random::<512>().as_chunks().0);
        }
        spare.pop().expect("there are some now")
    })
}

thread_local! {
    /// Masks that nobody was given yet.
    static SPARE_MASKS: RefCell<Vec<[u8; 16]>> = const { RefCell::new(Vec::new()) };
}

/// Octets as hex digits. `hex::encode` comes to the same, a character at a time; this, many digits
/// at once.
pub(crate) fn hex(octets: &[u8]) -> String {
    let mut digits = vec![0; 2 * octets.len()];
    write_hex(octets, &mut digits);
    String::from_utf8(digits).expect("digits are text")
}

/// The same, into a place that is twice as long, or as many as there is room for.
pub(crate) fn write_hex(octets: &[u8], digits: &mut [u8]) {
    for (pair, octet) in digits.as_chunks_mut().0.iter_mut().zip(octets) {
        let digit = |half: u8| half + if half < 10 { b'0' } else { b'a' - 10 };
        *pair = [digit(octet >> 4), digit(octet & 0xf)];
    }
}

/// `N` octets from twice as many hex digits, in capitals or not; `None` from anything else.
pub(crate) fn from_hex<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let (pairs, []) = digits.as_bytes().as_chunks() else { return None };
    let pairs: &[[u8; 2]; N] = pairs.try_into().ok()?;
    // Not to stop at the first that is none lets the processor look at many at once.
    let are_digits =
        digits.bytes().fold(true, |all, digit| all & digit.is_ascii_hexdigit());
    let value = |digit: u8| (digit & 0xf) + if digit < b'A' { 0 } else { 9 };
    are_digits.then(|| pairs.map(|[high, low]| (value(high) << 4) | value(low)))
}

/// Whether the two are the same, in a time that depends on their lengths alone.
pub fn same(left: impl AsRef<[u8]>, right: impl AsRef<[u8]>) -> bool {
    let (left, right) = (left.as_ref(), right.as_ref());
    if left.len() != right.len() {
        return false;
    }
    // Eight octets at once, and one by one those that are left over.
    let ((left, left_over), (right, right_over)) = (left.as_chunks(), right.as_chunks());
    let mut are_same = left_over.ct_eq(right_over);
    for (left, right) in left.iter().zip(right) {
        are_same &= u64::from_ne_bytes(*left).ct_eq(&u64::from_ne_bytes(*right));
    }
    are_same.into()
}

/// Whether the two are the same, in a time that does not even tell how long the secret one is:
/// their hashes are compared.
pub fn same_secret(secret: &str, guess: &str) -> bool {
    Hashed::new(secret).is(guess)
}

/// A secret that many guesses are compared with. All that is kept of it is its hash. That is no way
/// to keep passwords in a file: it is quick, and has no salt.
pub struct Hashed([u8; 32]);

impl Hashed {
    /// Hashes a secret.
    pub fn new(secret: &str) -> Hashed {
        Hashed(Sha256::digest(secret).into())
    }

    /// Whether a guess is right, in a time that depends on the length of the guess alone.
    pub fn is(&self, guess: &str) -> bool {
        same(self.0, Sha256::digest(guess))
    }
}
