//! The map: shards, and which sessions are in which.

use std::net::IpAddr;
use std::sync::Arc;

use crate::session::id::Key;
use crate::session::memory::clock::{Clock, Millis};
use crate::session::memory::entry::Entry;
use crate::session::memory::lock::{Guard, Lock};
use crate::session::memory::shard::{Room, Shard};
use crate::session::memory::user_index::{Beyond, Users, Writer};
use crate::session::memory::values::Values;
use crate::session::store::StoreFuture;
use crate::session::store::{Counters, Lifetime, SessionInfo, Store, Visit};

/// How much a [`MemoryStore`] holds.
#[derive(Clone, Copy, Debug)]
pub struct MemoryLimits {
    /// Sessions in all. Past it the oldest anonymous one ends, or, where each is somebody's,
    /// the one that has been so for longest; one that moves counts as young again. From 4,096 on,
    /// this and the next limit are kept shard by shard: a session may end a little before them,
    /// and is the oldest of its shard. Default: 100,000.
    pub max_sessions: usize,
    /// Bytes of names and values in all sessions, and 32 for each value. Past it sessions end
    /// likewise, but never the one that was just written to. Default: 256 MiB.
    pub max_bytes: usize,
    /// Bytes of names and values in one session, and 32 for each value. Past it a write
    /// fails. Default: 16 KiB.
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

/// Sessions in memory.
pub struct MemoryStore {
    shards: Box<[Lock<Shard>]>,
    users: Arc<Users>,
    clock: Clock,
}

/// Shards of a store that is large enough for them to fill evenly.
const SHARDS: usize = 64;

/// A store smaller than this has one shard, and so keeps to its limits exactly.
const LARGE: usize = 64 * SHARDS;

/// Of the largest sessions, a shard holds at least so many: or one of them would push out too many
/// small ones.
const FEWEST: usize = 16;

impl MemoryStore {
    /// An empty store.
    pub fn new(limits: MemoryLimits) -> MemoryStore {
        let is_roomy = limits.max_bytes / SHARDS >= FEWEST * limits.max_session_bytes;
        let is_large = limits.max_sessions >= LARGE && is_roomy;
        MemoryStore::in_shards(limits, if is_large { SHARDS } else { 1 })
    }

    pub(crate) fn in_shards(limits: MemoryLimits, count: usize) -> MemoryStore {
        let room = Room {
            sessions: (limits.max_sessions / count).max(1),
            bytes: limits.max_bytes / count,
            max_session_bytes: limits.max_session_bytes,
        };
        let users = Arc::new(Users::new(count));
        let shard = |_| Lock::new(Shard::new(room, Writer::new(&users)));
        MemoryStore { shards: (0..count).map(shard).collect(), users, clock: Clock::new() }
    }

    /// How many sessions there are, those included whose time is up and that were not swept yet.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn index(&self, key: Key) -> usize {
        // A shard's index goes by the first bytes of a key; this goes by the last.
        usize::from(key.as_bytes()[15]) % self.shards.len()
    }

    fn shard(&self, key: Key) -> Guard<'_, Shard> {
        self.shards[self.index(key)].lock()
    }

    /// The two shards of two keys; only the first, if both are in one. Everybody locks the one
    /// that comes first in the row first, so that no two wait for each other.
    fn two_shards(
        &self,
        one: Key,
        other: Key,
    ) -> (Guard<'_, Shard>, Option<Guard<'_, Shard>>) {
        let (first, second) = (self.index(one), self.index(other));
        if first == second {
            return (self.shard(one), None);
        }
        if first < second {
            let one = self.shard(one);
            (one, Some(self.shard(other)))
        } else {
            let other = self.shard(other);
            (self.shard(one), Some(other))
        }
    }

    fn destroy_now(&self, mut key: Key) -> bool {
        loop {
            let mut shard = self.shard(key);
            let now = self.clock.now();
            if shard.end(key, now) {
                return true;
            }
            match shard.whereto(key, now) {
                Some(next) => key = next,
                None => return false,
            }
        }
    }

    fn rotate_now(&self, key: Key, new: Key, lifetime: Option<Lifetime>) -> bool {
        let (mut old_shard, mut new_shard) = self.two_shards(key, new);
        let Some(entry) = old_shard.leave(key, new, lifetime, self.clock.now()) else {
            return false;
        };
        new_shard.as_mut().unwrap_or(&mut old_shard).arrive(entry, lifetime);
        true
    }

    fn moves_now(&self, mut key: Key) -> Vec<Key> {
        let mut moves = Vec::new();
        while let Some(next) = self.shard(key).whereto(key, self.clock.now()) {
            moves.push(next);
            key = next;
        }
        moves
    }

    /// Looks at a session of a user, by the key that it had when it was looked for, or by the one
    /// that it has moved to since.
    fn look_at(&self, mut key: Key, user: &str, now: Millis) -> Option<SessionInfo> {
        loop {
            let mut shard = self.shard(key);
            if let Some(entry) = shard.users_entry(key, user, now) {
                return Some(entry.listed(now));
            }
            key = shard.whereto(key, now)?;
        }
    }

    /// Seldom is a session looked at for this: most are known to live longer.
    fn beyond_now(&self, user: &str, most: usize) -> Vec<Key> {
        let now = self.clock.now();
        loop {
            match self.users.beyond(user, most, now) {
                Beyond::These(keys) => return keys,
                Beyond::DependsOn(keys) => {
                    for key in keys {
                        self.shard(key).see_to(key, now);
                    }
                }
            }
        }
    }
}

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

    fn get<'a>(
        &'a self,
        key: Key,
        name: &'a str,
    ) -> StoreFuture<'a, Option<Option<String>>> {
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

    fn remove<'a>(
        &'a self,
        key: Key,
        name: &'a str,
    ) -> StoreFuture<'a, Option<Option<String>>> {
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
    ) -> StoreFuture<'a, Option<bool>> {
        let expected = expected.map(str::as_bytes);
        let swap = |values: &Values| match values.bytes_of(name) == expected {
            true => (Some(values.with(name, value)), true),
            false => (None, false),
        };
        StoreFuture::ready(self.shard(key).change(key, self.clock.now(), swap))
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

    fn successors(&self, key: Key) -> StoreFuture<'_, Vec<Key>> {
        StoreFuture::ready(Ok(self.moves_now(key)))
    }

    fn sessions_of<'a>(&'a self, user: &'a str) -> StoreFuture<'a, Vec<SessionInfo>> {
        // All are looked at as they are now: there may be many, and one look at the clock will do.
        let now = self.clock.now();
        let keys = self.users.of(user).into_iter();
        StoreFuture::ready(Ok(keys
            .filter_map(|key| self.look_at(key, user, now))
            .collect()))
    }

    fn sessions_over_limit<'a>(
        &'a self,
        user: &'a str,
        most: usize,
    ) -> StoreFuture<'a, Vec<Key>> {
        StoreFuture::ready(Ok(self.beyond_now(user, most)))
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
                // A bite of each in turn: whoever waits for a shard has it before the next.
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
