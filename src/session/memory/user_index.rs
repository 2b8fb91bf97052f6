//! A secondary index: the sessions of each user, in the order of their logins.
//!
//! It serves the list of a user's sessions and the limit on their number. It is sharded like
//! the store, by a hash of the user name, and each shard has a mutex of its own. The mutexes
//! are last in the lock order: no code takes another lock while it holds one.
//!
//! Consistency: the index is changed through a [`Writer`], and each shard of the store owns
//! one. So a change to what the index says about a session is made under the lock of the
//! session's shard, together with the change of the session, and the two never contradict each
//! other. A reader of the index does not hold that lock. Its result may be stale by the time it
//! reads the session: the session may have ended, or have been rotated to another key. Readers
//! check again.
//!
//! The index also has a lower bound of each session's expiry. Uses only postpone an expiry, so
//! that a session whose bound is in the future is certainly live, and the limit can be enforced
//! without locking the shards of all sessions of the user.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use crate::session::id::Key;
use crate::session::memory::clock::Millis;
use crate::session::memory::lock::Lock;

/// A sequence number that each login gets. A later login has a larger one.
pub(crate) type LoginSeq = u64;

/// A 128-bit hash of a user name, in place of the name: it has a fixed size, and with so many
/// bits two users do not share one.
type UserHash = [u64; 2];

pub(crate) struct UserIndex {
    shards: Box<[Lock<UserShard>]>,
    /// `SipHash` with a secret key, so that a client cannot choose names with the same hash.
    hasher: RandomState,
}

#[derive(Default)]
struct UserShard {
    /// A B-tree, in which the sessions of one user are a range, sorted by login.
    sessions: BTreeMap<(UserHash, LoginSeq), IndexedSession>,
    last_login_seq: LoginSeq,
    /// Of the users who had many sessions when these were last iterated over.
    summaries: BTreeMap<UserHash, Summary>,
}

/// What the index knows about a session.
struct IndexedSession {
    key: Key,
    /// The earliest time at which the session may expire. A use makes it expire later.
    expires_at: Millis,
}

/// A cached summary of a user's sessions, so that a login need not iterate over them: with 100
/// sessions, a login takes a sixth less time. It is derived from `sessions`, and every change of
/// those changes it under the same lock.
struct Summary {
    count: usize,
    /// The earliest time at which any of the sessions may expire. It may be too early, after that
    /// session was removed or used; then the sessions are iterated over once more.
    expires_at: Millis,
}

/// Minimum number of sessions for which a summary is kept.
const MIN_SUMMARIZED: usize = 8;

/// The live sessions that a user has above a limit, as far as the index can tell.
pub(crate) enum Excess {
    /// Exactly these, the latest login first.
    Exactly(Vec<Key>),
    /// It depends on these sessions, which may have expired. After the caller has checked them,
    /// and so updated the index, it must ask again.
    CheckFirst(Vec<Key>),
}

impl UserIndex {
    pub(crate) fn new(shards: usize) -> UserIndex {
        let shards = (0..shards).map(|_| Lock::new(UserShard::default())).collect();
        UserIndex { shards, hasher: RandomState::new() }
    }

    /// Returns the keys of a user's sessions, the latest login first. Some may have expired.
    pub(crate) fn sessions_of(&self, user: &str) -> Vec<Key> {
        let (user, shard) = self.locate(user);
        shard.lock().sessions_of(user).rev().map(|session| session.key).collect()
    }

    /// Finds the live sessions of a user that come after the `max` latest logins.
    pub(crate) fn over_limit(&self, user: &str, max: usize, now: Millis) -> Excess {
        let (user, shard) = self.locate(user);
        let mut shard = shard.lock();
        match shard.summaries.get(&user) {
            // All of them are live.
            Some(summary) if summary.expires_at > now => {
                let oldest =
                    shard.sessions_of(user).take(summary.count.saturating_sub(max));
                let mut keys: Vec<Key> = oldest.map(|session| session.key).collect();
                keys.reverse();
                Excess::Exactly(keys)
            }
            _ => shard.find_excess(user, max, now),
        }
    }

    /// Returns the hash of a user name, and the shard that has the user.
    fn locate(&self, user: &str) -> (UserHash, &Lock<UserShard>) {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(user.as_bytes());
        let first = hasher.finish();
        hasher.write_u8(0);
        // The conversion does not fail: the remainder is less than the number of shards.
        let index = usize::try_from(first % self.shards.len() as u64).unwrap_or_default();
        ([first, hasher.finish()], &self.shards[index])
    }
}

impl UserShard {
    /// Returns the sessions of a user, the latest login last.
    fn sessions_of(
        &self,
        user: UserHash,
    ) -> impl DoubleEndedIterator<Item = &IndexedSession> {
        let range = (user, LoginSeq::MIN)..=(user, LoginSeq::MAX);
        self.sessions.range(range).map(|(_, session)| session)
    }

    /// Iterates over a user's sessions to find those over the limit, and caches their summary.
    fn find_excess(&mut self, user: UserHash, max: usize, now: Millis) -> Excess {
        let mut summary = Summary { count: 0, expires_at: Millis::MAX };
        let (mut excess, mut may_have_expired) = (Vec::new(), Vec::new());
        for session in self.sessions_of(user).rev() {
            if session.expires_at <= now {
                may_have_expired.push(session.key);
            }
            if summary.count >= max {
                excess.push(session.key);
            }
            summary.count += 1;
            summary.expires_at = summary.expires_at.min(session.expires_at);
        }
        if summary.count >= MIN_SUMMARIZED {
            self.summaries.insert(user, summary);
        }
        match excess.is_empty() || may_have_expired.is_empty() {
            true => Excess::Exactly(excess),
            false => Excess::CheckFirst(may_have_expired),
        }
    }
}

/// The right to change the index. It is owned by a shard of the store and its methods take
/// `&mut self`, so the compiler proves that the caller holds that shard's lock.
pub(crate) struct Writer {
    index: Arc<UserIndex>,
}

impl Writer {
    pub(crate) fn new(index: &Arc<UserIndex>) -> Writer {
        Writer { index: Arc::clone(index) }
    }

    /// Adds a session as the latest login of a user, and returns its sequence number.
    pub(crate) fn add(&mut self, user: &str, key: Key, expires_at: Millis) -> LoginSeq {
        let (user, shard) = self.index.locate(user);
        let mut shard = shard.lock();
        shard.last_login_seq += 1;
        let login_seq = shard.last_login_seq;
        shard.sessions.insert((user, login_seq), IndexedSession { key, expires_at });
        if let Some(summary) = shard.summaries.get_mut(&user) {
            summary.count += 1;
            summary.expires_at = summary.expires_at.min(expires_at);
        }
        login_seq
    }

    pub(crate) fn remove(&mut self, user: &str, login_seq: LoginSeq) {
        let (user, shard) = self.index.locate(user);
        let mut shard = shard.lock();
        let is_removed = shard.sessions.remove(&(user, login_seq)).is_some();
        if let Some(summary) = shard.summaries.get_mut(&user) {
            summary.count -= usize::from(is_removed);
            if summary.count == 0 {
                shard.summaries.remove(&user);
            }
        }
    }

    /// Replaces the key and the expiry of a session.
    pub(crate) fn update(
        &mut self,
        user: &str,
        login_seq: LoginSeq,
        key: Key,
        expires_at: Millis,
    ) {
        let (user, shard) = self.index.locate(user);
        if let Some(session) = shard.lock().sessions.get_mut(&(user, login_seq)) {
            *session = IndexedSession { key, expires_at };
        }
    }
}
