//! Whose sessions are where.
//!
//! This index has locks of its own. Whoever changes it holds the lock of the session's shard, so
//! it says of no session what is not so; and whoever reads it holds none, so what it says may be
//! over by the time the session is looked at.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::ops::RangeInclusive;

use crate::session::id::Key;
use crate::session::memory::lock::Lock;

/// A session's place among all sessions of its user: a later login has a larger number.
type Login = u64;

pub(crate) struct Users {
    shards: Box<[Lock<Sessions>]>,
    /// Keyed with a secret, so that nobody can choose names that meet.
    hasher: RandomState,
}

#[derive(Default)]
struct Sessions {
    /// By the hash of the user's name. Two users may share one: a session knows whose it is.
    sorted: BTreeMap<(u64, Key), Login>,
    logins: Login,
}

impl Users {
    pub(crate) fn new(shards: usize) -> Users {
        let shards = (0..shards).map(|_| Lock::new(Sessions::default())).collect();
        Users { shards, hasher: RandomState::new() }
    }

    pub(crate) fn add(&self, user: &str, key: Key) {
        let (hash, shard) = self.find(user);
        shard.lock().enter(hash, key);
    }

    pub(crate) fn remove(&self, user: &str, key: Key) {
        let (hash, shard) = self.find(user);
        shard.lock().sorted.remove(&(hash, key));
    }

    /// A session goes by another key from now on.
    pub(crate) fn rename(&self, user: &str, key: Key, new: Key) {
        let (hash, shard) = self.find(user);
        let mut sessions = shard.lock();
        if let Some(login) = sessions.sorted.remove(&(hash, key)) {
            sessions.sorted.insert((hash, new), login);
        }
    }

    /// The same, and it is the latest of its user's from now on.
    pub(crate) fn renew(&self, user: &str, key: Key, new: Key) {
        let (hash, shard) = self.find(user);
        let mut sessions = shard.lock();
        sessions.sorted.remove(&(hash, key));
        sessions.enter(hash, new);
    }

    /// The sessions of a user, the latest login first, and perhaps some of another.
    pub(crate) fn of(&self, user: &str) -> Vec<Key> {
        let (hash, shard) = self.find(user);
        let mut logins: Vec<(Login, Key)> = {
            let sessions = shard.lock();
            sessions
                .sorted
                .range(whole(hash))
                .map(|(&(_, key), &login)| (login, key))
                .collect()
        };
        logins.sort_unstable();
        logins.into_iter().rev().map(|(_, key)| key).collect()
    }

    /// Whether a user may have more sessions than so many.
    pub(crate) fn may_exceed(&self, user: &str, most: usize) -> bool {
        let (hash, shard) = self.find(user);
        shard.lock().sorted.range(whole(hash)).nth(most).is_some()
    }

    fn find(&self, user: &str) -> (u64, &Lock<Sessions>) {
        let hash = self.hasher.hash_one(user);
        // The remainder fits, for it is less than the number of shards.
        let index = usize::try_from(hash % self.shards.len() as u64).unwrap_or_default();
        (hash, &self.shards[index])
    }
}

impl Sessions {
    /// Enters a session as the latest.
    fn enter(&mut self, hash: u64, key: Key) {
        self.logins += 1;
        self.sorted.insert((hash, key), self.logins);
    }
}

fn whole(hash: u64) -> RangeInclusive<(u64, Key)> {
    (hash, Key::FIRST)..=(hash, Key::LAST)
}
