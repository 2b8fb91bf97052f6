//! A brake for whatever must not be tried too often, such as passwords.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::identity_hasher::BuildIdentityHasher;

/// Keys that are remembered at once. Whoever comes with more of them makes the throttle forget the
/// ones that began earliest, and not run out of memory.
const MOST_KEYS: usize = 10_000;

/// Allows so many attempts for each key within a span of time, which begins with the first.
///
/// An attempt is counted before it is made: a hundred guesses sent at once are a hundred
/// attempts, and not one that nobody had counted yet.
#[derive(Debug)]
pub struct Throttle {
    limit: u32,
    span: Duration,
    attempts: Mutex<ByKey>,
    /// Hashes with a secret of its own: nobody can look for two keys that have the same hash.
    hasher: RandomState,
}

/// By the hash of each key: a key may be as long as whoever sends it likes; its hash is not.
type ByKey = HashMap<u64, Attempts, BuildIdentityHasher>;

#[derive(Debug)]
struct Attempts {
    count: u32,
    first: Instant,
}

impl Throttle {
    /// `limit` attempts for each key in `span`.
    pub fn new(limit: u32, span: Duration) -> Throttle {
        Throttle { limit, span, attempts: Mutex::default(), hasher: RandomState::new() }
    }

    /// Counts an attempt. If it is one too many, tells how long to wait for the next.
    pub fn attempt(&self, key: &(impl Hash + ?Sized)) -> Result<(), Duration> {
        let (now, key) = (Instant::now(), self.hasher.hash_one(key));
        let mut attempts = self.lock();
        if attempts.len() >= MOST_KEYS && !attempts.contains_key(&key) {
            self.forget_some(&mut attempts, now);
        }
        let entry = attempts.entry(key).or_insert(Attempts { count: 0, first: now });
        if now - entry.first >= self.span {
            *entry = Attempts { count: 0, first: now };
        }
        if entry.count >= self.limit {
            return Err(self.span.saturating_sub(now - entry.first));
        }
        entry.count += 1;
        Ok(())
    }

    /// Forgets all attempts of a key: whoever made them has shown that they may.
    pub fn forget(&self, key: &(impl Hash + ?Sized)) {
        self.lock().remove(&self.hasher.hash_one(key));
    }

    /// Takes one attempt back: it was a good one, and does not count.
    pub fn forgive(&self, key: &(impl Hash + ?Sized)) {
        if let Some(entry) = self.lock().get_mut(&self.hasher.hash_one(key)) {
            entry.count = entry.count.saturating_sub(1);
        }
    }

    /// Forgets what is over, or else the earliest half: seldom, so that it costs each attempt
    /// next to nothing.
    fn forget_some(&self, attempts: &mut ByKey, now: Instant) {
        attempts.retain(|_, entry| now - entry.first < self.span);
        if attempts.len() >= MOST_KEYS {
            let mut firsts: Vec<Instant> =
                attempts.values().map(|entry| entry.first).collect();
            let (_, middle, _) = firsts.select_nth_unstable(MOST_KEYS / 2);
            let middle = *middle;
            attempts.retain(|_, entry| entry.first > middle);
        }
    }

    fn lock(&self) -> MutexGuard<'_, ByKey> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
