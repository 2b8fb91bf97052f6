//! Whose sessions are where.
//!
//! This index has locks of its own. Whoever changes it holds the lock of the session's shard, so
//! it says of no session what is not so; and whoever reads it holds none, so what it says may be
//! over by the time the session is looked at.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};

use crate::session::id::Key;
use crate::session::memory::clock::Millis;
use crate::session::memory::lock::Lock;

/// A session's place among all sessions of its user: a later login has a larger number.
pub(crate) type Login = u64;

/// A hash of a user's name, of so many bits that no two users will ever share one.
type User = [u64; 2];

pub(crate) struct Users {
    shards: Box<[Lock<Logins>]>,
    /// Keyed with a secret, so that nobody can choose names that meet.
    hasher: RandomState,
}

#[derive(Default)]
struct Logins {
    sorted: BTreeMap<(User, Login), Place>,
    last: Login,
}

/// What is known of a session without looking at it.
struct Place {
    key: Key,
    /// It lives until then, and longer if it is used.
    until: Millis,
}

/// What a user has beyond a number of sessions, as far as that can be told without looking at them.
pub(crate) enum Beyond {
    /// These.
    These(Vec<Key>),
    /// That depends on whether these still live.
    DependsOn(Vec<Key>),
}

impl Users {
    pub(crate) fn new(shards: usize) -> Users {
        let shards = (0..shards).map(|_| Lock::new(Logins::default())).collect();
        Users { shards, hasher: RandomState::new() }
    }

    /// Enters a session as the latest of its user's.
    pub(crate) fn add(&self, user: &str, key: Key, until: Millis) -> Login {
        let (user, shard) = self.find(user);
        let mut logins = shard.lock();
        logins.last += 1;
        let login = logins.last;
        logins.sorted.insert((user, login), Place { key, until });
        login
    }

    pub(crate) fn remove(&self, user: &str, login: Login) {
        let (user, shard) = self.find(user);
        shard.lock().sorted.remove(&(user, login));
    }

    /// A session goes by this key from now on, or has been seen to live longer.
    pub(crate) fn update(&self, user: &str, login: Login, key: Key, until: Millis) {
        let (user, shard) = self.find(user);
        shard.lock().sorted.insert((user, login), Place { key, until });
    }

    /// The sessions of a user, the latest login first.
    pub(crate) fn of(&self, user: &str) -> Vec<Key> {
        let (user, shard) = self.find(user);
        shard.lock().latest_first(user).map(|place| place.key).collect()
    }

    /// The live sessions of a user but for the latest so many, the latest login first.
    pub(crate) fn beyond(&self, user: &str, most: usize, now: Millis) -> Beyond {
        let (user, shard) = self.find(user);
        let (mut beyond, mut in_doubt) = (Vec::new(), Vec::new());
        for (before, place) in shard.lock().latest_first(user).enumerate() {
            if place.until <= now {
                in_doubt.push(place.key);
            }
            if before >= most {
                beyond.push(place.key);
            }
        }
        match beyond.is_empty() || in_doubt.is_empty() {
            true => Beyond::These(beyond),
            false => Beyond::DependsOn(in_doubt),
        }
    }

    fn find(&self, user: &str) -> (User, &Lock<Logins>) {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(user.as_bytes());
        let first = hasher.finish();
        hasher.write_u8(0);
        // The remainder fits, for it is less than the number of shards.
        let index = usize::try_from(first % self.shards.len() as u64).unwrap_or_default();
        ([first, hasher.finish()], &self.shards[index])
    }
}

impl Logins {
    fn latest_first(&self, user: User) -> impl Iterator<Item = &Place> {
        let logins = self.sorted.range((user, Login::MIN)..=(user, Login::MAX));
        logins.rev().map(|(_, place)| place)
    }
}
