//! A rate limit for operations that must not be tried too often, such as guessing passwords.
//!
//! The algorithm is a fixed window: per key, at most `limit` attempts within `span` after the
//! first one; after it, the next attempt starts a new window. It needs one counter and one time
//! per key. Its known weakness is the boundary of two windows, where up to twice the limit may
//! pass in a short time. A sliding window or a token bucket would prevent that; for password
//! guessing the factor of two does not matter.
//!
//! ```text
//! limit 3    |x x x . .|x x . . .|          x  attempt counted
//!            |<- span ->|                   .  attempt rejected
//! ```

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::identity_hasher::BuildIdentityHasher;

/// Maximum number of keys. It bounds the memory: an attacker can use any number of keys, such
/// as invented user names. Above it, the windows that started earliest are evicted.
const MAX_KEYS: usize = 10_000;

/// A fixed-window rate limiter.
///
/// Call [`attempt`](Throttle::attempt) before the operation, so that concurrent attempts are
/// all counted. A limiter that counts failures afterwards lets a hundred guesses pass that are
/// sent at the same time (a time-of-check to time-of-use race).
#[derive(Debug)]
pub struct Throttle {
    limit: u32,
    span: Duration,
    windows: Mutex<Windows>,
    /// `SipHash` with a random key, so that a client cannot construct two keys with the same
    /// hash.
    hasher: RandomState,
}

/// Windows by the hash of their key. The key itself is not kept, because its length is up to
/// the client.
type Windows = HashMap<u64, Window, BuildIdentityHasher>;

#[derive(Debug)]
struct Window {
    /// Attempts in this window.
    count: u32,
    /// Time of the first one.
    start: Instant,
}

impl Throttle {
    /// Creates a limiter that allows `limit` attempts per key within `span`.
    pub fn new(limit: u32, span: Duration) -> Throttle {
        Throttle { limit, span, windows: Mutex::default(), hasher: RandomState::new() }
    }

    /// Counts an attempt. Above the limit, fails with the time until the next window.
    pub fn attempt(&self, key: &(impl Hash + ?Sized)) -> Result<(), Duration> {
        let (now, key) = (Instant::now(), self.hasher.hash_one(key));
        let mut windows = self.lock();
        if windows.len() >= MAX_KEYS && !windows.contains_key(&key) {
            self.evict(&mut windows, now);
        }
        let window = windows.entry(key).or_insert(Window { count: 0, start: now });
        if now - window.start >= self.span {
            *window = Window { count: 0, start: now };
        }
        if window.count >= self.limit {
            return Err(self.span.saturating_sub(now - window.start));
        }
        window.count += 1;
        Ok(())
    }

    /// Resets the window of a key, for example after a login with the right password.
    pub fn reset(&self, key: &(impl Hash + ?Sized)) {
        self.lock().remove(&self.hasher.hash_one(key));
    }

    /// Gives one attempt back: it was legitimate and does not count.
    pub fn refund(&self, key: &(impl Hash + ?Sized)) {
        if let Some(window) = self.lock().get_mut(&self.hasher.hash_one(key)) {
            window.count = window.count.saturating_sub(1);
        }
    }

    /// Removes the windows that have passed and, if there are none, the half that started
    /// earliest. O(n), but only if the map is full and the key is new. Half, and not one, so
    /// that this does not run for each new key.
    fn evict(&self, windows: &mut Windows, now: Instant) {
        windows.retain(|_, window| now - window.start < self.span);
        if windows.len() >= MAX_KEYS {
            let mut starts: Vec<Instant> =
                windows.values().map(|window| window.start).collect();
            let middle = *starts.select_nth_unstable(MAX_KEYS / 2).1;
            windows.retain(|_, window| window.start > middle);
        }
    }

    /// A std mutex, because it is never held across `.await`. Nothing panics while it is held.
    fn lock(&self) -> MutexGuard<'_, Windows> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
