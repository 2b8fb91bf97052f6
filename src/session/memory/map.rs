//! The memory store: an array of shards, and the [`Store`] operations over it.
//!
//! An operation locks the shard of its key, and computes its result while it holds the lock. So
//! the operations on a session are linearizable, and every future is ready when it is returned.
//!
//! Lock order: shards by index, then at most one shard of the user index or one lineage. Code
//! that holds a lock takes only locks after it in this order, so no two threads can wait for
//! each other (deadlock).

use std::cmp::Ordering;
use std::net::IpAddr;
use std::sync::Arc;

use crate::session::id::Key;
use crate::session::memory::clock::{Clock, Millis};
use crate::session::memory::entry::Entry;
use crate::session::memory::lock::{Guard, Lock};
use crate::session::memory::shard::{Capacity, Shard};
use crate::session::memory::user_index::{Excess, UserIndex, Writer};
use crate::session::memory::values::Values;
use crate::session::store::{
    CompareAndSet, Counters, Lifetime, Lookup, SessionInfo, Store, StoreFuture, Visit,
    add_to_text,
};

/// The limits of a [`MemoryStore`].
///
/// From 4,096 sessions on the store is sharded, and each shard enforces its part of
/// `max_sessions` and `max_bytes`. A session may then be evicted a little before the limit is
/// reached, and it is the oldest of its shard.
#[derive(Clone, Copy, Debug)]
pub struct MemoryLimits {
    /// Maximum number of sessions. Above the limit the oldest anonymous session is evicted, or
    /// if there is none, the session with the oldest login; a rotation makes a session the
    /// newest. Default: 100,000.
    pub max_sessions: usize,
    /// Maximum size of the names and values of all sessions in bytes, plus 32 for each value.
    /// Above the limit sessions are evicted in the same order, except for the one that was just
    /// written. Default: 256 MiB.
    pub max_bytes: usize,
    /// Maximum size of the names and values of one session in bytes, plus 32 for each value.
    /// Above the limit a write fails. Default: 16 KiB.
    pub max_session_bytes: usize,
}

impl Default for MemoryLimits {
    fn default() -> MemoryLimits {
        MemoryLimits {
            max_sessions: 100_000,
            max_bytes: 256 * 1024 * 1024,
            max_session_bytes: 16 * 1024,
        }
    }
}

/// A [`Store`] in the memory of this process.
pub struct MemoryStore {
    shards: Box<[Lock<Shard>]>,
    users: Arc<UserIndex>,
    clock: Clock,
}

/// Number of shards of a large store. With many more shards than threads, two threads rarely
/// need the same lock.
const SHARDS: usize = 64;

/// A store for fewer sessions than this has one shard, so its limits are exact. A larger one
/// has enough sessions to fill its shards evenly.
const SHARDING_THRESHOLD: usize = 64 * SHARDS;

/// Minimum number of sessions of the maximum size that a shard must hold. With fewer, one large
/// session could evict too many small ones, so the store is not sharded.
const MIN_LARGE_SESSIONS_PER_SHARD: usize = 16;

impl MemoryStore {
    /// Creates an empty store.
    pub fn new(limits: MemoryLimits) -> MemoryStore {
        let min_bytes = MIN_LARGE_SESSIONS_PER_SHARD * limits.max_session_bytes;
        let is_sharded = limits.max_sessions >= SHARDING_THRESHOLD
            && limits.max_bytes / SHARDS >= min_bytes;
        MemoryStore::with_shards(limits, if is_sharded { SHARDS } else { 1 })
    }

    pub(crate) fn with_shards(limits: MemoryLimits, count: usize) -> MemoryStore {
        let capacity = Capacity {
            sessions: (limits.max_sessions / count).max(1),
            bytes: limits.max_bytes / count,
            max_session_bytes: limits.max_session_bytes,
        };
        let users = Arc::new(UserIndex::new(count));
        let shard = |_| Lock::new(Shard::new(capacity, Writer::new(&users)));
        MemoryStore { shards: (0..count).map(shard).collect(), users, clock: Clock::new() }
    }

    /// Returns the number of sessions, including expired ones that have not been swept yet.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Returns `true` if the store has no session.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the index of the shard of a key. It depends on the last byte, because the hash
    /// table of a shard uses the first four. If both used the same byte, the keys of a shard
    /// would have only 1 in 64 of its buckets as their home.
    fn shard_index(&self, key: Key) -> usize {
        usize::from(key.as_bytes()[15]) % self.shards.len()
    }

    fn shard(&self, key: Key) -> Guard<'_, Shard> {
        self.shards[self.shard_index(key)].lock()
    }

    /// Locks the shards of two keys; the second is `None` if both keys are in the same one.
    ///
    /// The locks are taken in the order of the shards' indices, not of the arguments. Otherwise
    /// two rotations in opposite directions could deadlock: each would hold the lock that the
    /// other one waits for.
    fn two_shards(
        &self,
        one: Key,
        other: Key,
    ) -> (Guard<'_, Shard>, Option<Guard<'_, Shard>>) {
        match self.shard_index(one).cmp(&self.shard_index(other)) {
            Ordering::Equal => (self.shard(one), None),
            Ordering::Less => (self.shard(one), Some(self.shard(other))),
            Ordering::Greater => {
                let other = self.shard(other);
                (self.shard(one), Some(other))
            }
        }
    }

    /// Destroys a session by its key or by one that it had until a rotation. If another task
    /// rotates the session between two steps of the loop, the next step follows it.
    fn destroy_now(&self, mut key: Key) -> bool {
        loop {
            let mut shard = self.shard(key);
            let now = self.clock.now();
            if shard.destroy(key, now) {
                return true;
            }
            match shard.successor(key, now) {
                Some(new) => key = new,
                None => return false,
            }
        }
    }

    /// Rotates a session under the locks of both shards, so that no other task can see it
    /// missing from both.
    fn rotate_now(&self, key: Key, new: Key, lifetime: Option<Lifetime>) -> bool {
        let (mut old_shard, mut new_shard) = self.two_shards(key, new);
        let now = self.clock.now();
        let Some(entry) = old_shard.take_for_rotation(key, new, lifetime, now) else {
            return false;
        };
        new_shard.as_mut().unwrap_or(&mut old_shard).insert_rotated(entry, lifetime);
        true
    }

    /// Returns the session that the user index had under this key. It may have been rotated
    /// since the index was read, so its successors are tried, too. Only one shard is locked at
    /// a time: a list of sessions is not a snapshot.
    fn session_info(&self, mut key: Key, user: &str, now: Millis) -> Option<SessionInfo> {
        loop {
            let mut shard = self.shard(key);
            if let Some(entry) = shard.entry_of_user(key, user, now) {
                return Some(entry.info(now));
            }
            key = shard.successor(key, now)?;
        }
    }

    /// Asks the user index until it knows exactly. Usually that is the first time, because most
    /// sessions are known to expire later than now.
    fn over_limit_now(&self, user: &str, max: usize) -> Vec<Key> {
        let now = self.clock.now();
        loop {
            match self.users.over_limit(user, max, now) {
                Excess::Exactly(keys) => return keys,
                Excess::CheckFirst(keys) => {
                    for key in keys {
                        self.shard(key).refresh_or_expire(key, now);
                    }
                }
            }
        }
    }
}

/// The guard of a shard is dropped before each of these methods returns, and so before the
/// future is awaited. The closures read or replace the values of a session under the lock.
impl Store for MemoryStore {
    fn create<'a>(
        &'a self,
        key: Key,
        lifetime: Lifetime,
        ip: IpAddr,
        name: &'a str,
        value: &'a str,
    ) -> StoreFuture<'a, bool> {
        let mut shard = self.shard(key);
        let now = self.clock.now();
        let entry = Entry::new(key, lifetime, ip, now);
        StoreFuture::ready(shard.create(entry, name, value, now))
    }

    fn visit<'a>(&'a self, key: Key, ip: IpAddr, name: &'a str) -> StoreFuture<'a, Visit> {
        StoreFuture::ready(Ok(self.shard(key).visit(key, ip, name, self.clock.now())))
    }

    fn get<'a>(&'a self, key: Key, name: &'a str) -> StoreFuture<'a, Lookup> {
        let get = |values: &Values| values.get(name).map(str::to_owned);
        StoreFuture::ready(Ok(self.shard(key).read(key, self.clock.now(), get)))
    }

    fn set<'a>(
        &'a self,
        key: Key,
        name: &'a str,
        value: &'a str,
    ) -> StoreFuture<'a, Option<()>> {
        let set = |values: &Values| (Some(values.with(name, value)), ());
        StoreFuture::ready(self.shard(key).change(key, self.clock.now(), set))
    }

    fn remove<'a>(&'a self, key: Key, name: &'a str) -> StoreFuture<'a, Lookup> {
        let remove = |values: &Values| match values.get(name) {
            Some(value) => (Some(values.without(name)), Some(value.to_owned())),
            None => (None, None),
        };
        StoreFuture::ready(self.shard(key).change(key, self.clock.now(), remove))
    }

    fn compare_and_set<'a>(
        &'a self,
        key: Key,
        name: &'a str,
        expected: Option<&'a str>,
        value: &'a str,
    ) -> StoreFuture<'a, Option<CompareAndSet>> {
        let swap = |values: &Values| match values.get(name) {
            current if current == expected => {
                (Some(values.with(name, value)), CompareAndSet::Set)
            }
            current => (None, CompareAndSet::Differs(current.map(str::to_owned))),
        };
        StoreFuture::ready(self.shard(key).change(key, self.clock.now(), swap))
    }

    fn add<'a>(
        &'a self,
        key: Key,
        name: &'a str,
        amount: i64,
    ) -> StoreFuture<'a, Option<i64>> {
        let add = |values: &Values| match add_to_text(name, values.get(name), amount) {
            Ok(sum) => (Some(values.with(name, &sum.to_string())), Ok(sum)),
            Err(error) => (None, Err(error)),
        };
        let added = self.shard(key).change(key, self.clock.now(), add);
        StoreFuture::ready(added.and_then(Option::transpose))
    }

    fn keys(&self, key: Key) -> StoreFuture<'_, Option<Vec<String>>> {
        let names = |values: &Values| values.names().map(str::to_owned).collect();
        StoreFuture::ready(Ok(self.shard(key).read(key, self.clock.now(), names)))
    }

    fn clear(&self, key: Key) -> StoreFuture<'_, Option<()>> {
        let clear = |_: &Values| (Some(Values::default()), ());
        StoreFuture::ready(self.shard(key).change(key, self.clock.now(), clear))
    }

    fn destroy(&self, key: Key) -> StoreFuture<'_, bool> {
        StoreFuture::ready(Ok(self.destroy_now(key)))
    }

    fn rotate(
        &self,
        key: Key,
        new: Key,
        lifetime: Option<Lifetime>,
    ) -> StoreFuture<'_, bool> {
        StoreFuture::ready(Ok(self.rotate_now(key, new, lifetime)))
    }

    fn origin(&self, key: Key) -> StoreFuture<'_, Option<Key>> {
        StoreFuture::ready(Ok(self.shard(key).origin(key, self.clock.now())))
    }

    fn sessions_of<'a>(&'a self, user: &'a str) -> StoreFuture<'a, Vec<SessionInfo>> {
        let now = self.clock.now();
        let keys = self.users.sessions_of(user).into_iter();
        let sessions = keys.filter_map(|key| self.session_info(key, user, now)).collect();
        StoreFuture::ready(Ok(sessions))
    }

    fn sessions_over_limit<'a>(
        &'a self,
        user: &'a str,
        max: usize,
    ) -> StoreFuture<'a, Vec<Key>> {
        StoreFuture::ready(Ok(self.over_limit_now(user, max)))
    }

    fn counters(&self) -> StoreFuture<'_, Counters> {
        let shards = self.shards.iter().map(|shard| shard.lock().counters());
        StoreFuture::ready(Ok(shards.fold(Counters::default(), Counters::plus)))
    }

    fn sweep(&self) -> StoreFuture<'_, ()> {
        StoreFuture::boxed(async {
            let mut is_more = true;
            while is_more {
                is_more = false;
                // One batch per shard and round. The lock is released between two batches, and
                // the task yields, so that requests are handled in the meantime.
                for shard in &self.shards {
                    if shard.lock().sweep(self.clock.now()) {
                        is_more = true;
                        tokio::task::yield_now().await;
                    }
                }
            }
            Ok(())
        })
    }
}
