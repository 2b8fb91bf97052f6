//! Whose sessions are where.
//!
//! This index has locks of its own. It is changed by a [`Writer`], which each shard has one of, so that
//! only what holds the lock of a session's shard can change what the index says of the session. To read
//! it takes no shard, so what it says may be over by the time the session is looked at. What it keeps
//! of crowds is a sum of what stands in it.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

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
    /// Of users who had many sessions when these were counted.
    crowds: BTreeMap<User, Crowd>,
}

/// What is known of a session without looking at it.
struct Place {
    key: Key,
    /// It lives until then, and longer if it is used.
    until: Millis,
}

/// What is known of all sessions of a user, so that they need not be counted at each login.
struct Crowd {
    count: usize,
    /// All of them live until then.
    until: Millis,
}

/// From so many sessions on, what is known of all is kept.
const MANY: usize = 8;

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

    /// The sessions of a user, the latest login first.
    pub(crate) fn of(&self, user: &str) -> Vec<Key> {
        let (user, shard) = self.find(user);
        shard.lock().of(user).rev().map(|ip| ip.key).collect()
    }

    /// The live sessions of a user but for the latest so many, the latest login first.
    pub(crate) fn beyond(&self, user: &str, most: usize, now: Millis) -> Beyond {
        let (user, shard) = self.find(user);
        let mut logins = shard.lock();
        match logins.crowds.get(&user) {
            Some(crowd) if crowd.until > now => {
                let first = logins.of(user).take(crowd.count.saturating_sub(most));
                let mut keys: Vec<Key> = first.map(|ip| ip.key).collect();
                keys.reverse();
                Beyond::These(keys)
            }
            _ => logins.look_through(user, most, now),
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

/// What changes the index. It lies in a shard, and to change anything is to have the shard locked.
pub(crate) struct Writer {
    users: Arc<Users>,
}

impl Writer {
    pub(crate) fn new(users: &Arc<Users>) -> Writer {
        Writer { users: Arc::clone(users) }
    }

    /// Enters a session as the latest of its user's.
    pub(crate) fn add(&mut self, user: &str, key: Key, until: Millis) -> Login {
        let (user, shard) = self.users.find(user);
        let mut logins = shard.lock();
        logins.last += 1;
        let login = logins.last;
        logins.sorted.insert((user, login), Place { key, until });
        if let Some(crowd) = logins.crowds.get_mut(&user) {
            crowd.count += 1;
            crowd.until = crowd.until.min(until);
        }
        login
    }

    pub(crate) fn remove(&mut self, user: &str, login: Login) {
        let (user, shard) = self.users.find(user);
        let mut logins = shard.lock();
        let is_removed = logins.sorted.remove(&(user, login)).is_some();
        if let Some(crowd) = logins.crowds.get_mut(&user) {
            crowd.count -= usize::from(is_removed);
            if crowd.count == 0 {
                logins.crowds.remove(&user);
            }
        }
    }

    /// A session goes by this key from now on, or has been seen to live longer.
    pub(crate) fn update(&mut self, user: &str, login: Login, key: Key, until: Millis) {
        let (user, shard) = self.users.find(user);
        if let Some(ip) = shard.lock().sorted.get_mut(&(user, login)) {
            *ip = Place { key, until };
        }
    }
}

impl Logins {
    /// The sessions of a user, the latest login last.
    fn of(&self, user: User) -> impl DoubleEndedIterator<Item = &Place> {
        let logins = self.sorted.range((user, Login::MIN)..=(user, Login::MAX));
        logins.map(|(_, ip)| ip)
    }

    fn look_through(&mut self, user: User, most: usize, now: Millis) -> Beyond {
        let mut all = Crowd { count: 0, until: Millis::MAX };
        let (mut beyond, mut in_doubt) = (Vec::new(), Vec::new());
        for ip in self.of(user).rev() {
            if ip.until <= now {
                in_doubt.push(ip.key);
            }
            if all.count >= most {
                beyond.push(ip.key);
            }
            all = Crowd { count: all.count + 1, until: all.until.min(ip.until) };
        }
        if all.count >= MANY {
            self.crowds.insert(user, all);
        }
        match beyond.is_empty() || in_doubt.is_empty() {
            true => Beyond::These(beyond),
            false => Beyond::DependsOn(in_doubt),
        }
    }
}
