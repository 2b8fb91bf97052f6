//! The static map: sessions in the memory of this process, and gone with it.
//!
//! It is bounded, in sessions and in octets a session. It is cut into shards, each behind a lock
//! of its own, so that requests seldom wait for each other. Beside its map, each shard keeps two
//! lists in order: by when a session's time may be up, and by which is to go first when there is
//! no room. So no operation ever looks through all sessions.

use std::future::ready;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::session::error::Error;
use crate::session::id::Key;
use crate::session::shard::{Entry, Millis, Shard, millis};
use crate::session::store::{Answer, Counters, Lifetime, Listed, Store, Visit, Visited};

/// One map for the whole process, as the tutorial's `container` is one for its class.
static CONTAINER: LazyLock<Arc<MemoryStore>> =
    LazyLock::new(|| Arc::new(MemoryStore::new(MemoryLimits::default())));

/// The process's own map: where sessions live unless an application names another store.
pub fn container() -> Arc<MemoryStore> {
    Arc::clone(&CONTAINER)
}

/// How much a [`MemoryStore`] holds.
#[derive(Clone, Copy, Debug)]
pub struct MemoryLimits {
    /// Sessions in all. Past it the oldest anonymous one ends, or, where each is somebody's,
    /// the oldest. From 4,096 on the limit is kept shard by shard: a session may end a little
    /// before it, and is the oldest of its shard. Default: 100,000.
    pub sessions: usize,
    /// Octets of names and values in one session, and 32 for each value. Past it a write
    /// fails. Default: 16 KiB.
    pub session_octets: usize,
}

impl Default for MemoryLimits {
    fn default() -> MemoryLimits {
        MemoryLimits { sessions: 100_000, session_octets: 16 * 1024 }
    }
}

/// Sessions in memory.
pub struct MemoryStore {
    shards: Box<[Mutex<Shard>]>,
    limits: MemoryLimits,
    sessions_a_shard: usize,
    /// Times are counted in milliseconds from here, on a clock that nobody can set back.
    epoch: Instant,
}

/// Shards of a store that is large enough for them to fill evenly.
const SHARDS: usize = 64;

/// A store smaller than this has one shard, and so keeps to its limit exactly.
const LARGE: usize = 64 * SHARDS;

impl MemoryStore {
    /// An empty store.
    pub fn new(limits: MemoryLimits) -> MemoryStore {
        let count = if limits.sessions < LARGE { 1 } else { SHARDS };
        MemoryStore {
            shards: (0..count).map(|_| Mutex::default()).collect(),
            limits,
            sessions_a_shard: (limits.sessions / count).max(1),
            epoch: Instant::now(),
        }
    }

    /// How many sessions there are, those included whose time is up and that were not swept yet.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn now(&self) -> Millis {
        millis(Instant::now().saturating_duration_since(self.epoch))
    }

    fn index(&self, key: Key) -> usize {
        // The map hashes by the first octets of a key; this goes by the last.
        usize::from(key.octets()[15]) % self.shards.len()
    }

    fn shard(&self, key: Key) -> MutexGuard<'_, Shard> {
        lock(&self.shards[self.index(key)])
    }

    fn create_now(
        &self,
        key: Key,
        lifetime: Lifetime,
        place: IpAddr,
        name: &str,
        value: &str,
    ) -> Result<bool, Error> {
        let now = self.now();
        let mut shard = self.shard(key);
        if shard.live(key, now).is_some() {
            return Ok(false);
        }
        let mut entry = Entry {
            values: Vec::with_capacity(1),
            octets: 0,
            lifetime,
            place,
            began: now,
            used: now,
            told: now,
            look_at: 0,
            birth: shard.births,
        };
        entry.set(name, value, self.limits.session_octets)?;
        shard.births += 1;
        shard.make_room(self.sessions_a_shard);
        shard.put(key, entry);
        Ok(true)
    }

    fn visit_now(&self, key: Key, place: IpAddr, name: &str) -> Visit {
        let now = self.now();
        let mut shard = self.shard(key);
        let Some(entry) = shard.live(key, now) else { return Visit::Gone };
        entry.place = place;
        let renew = now.saturating_sub(entry.told) >= millis(entry.lifetime.renewal());
        if renew {
            entry.told = now;
        }
        let left = Duration::from_millis(entry.end().saturating_sub(now));
        let value = entry.value(name).map(str::to_owned);
        Visit::Live(Visited { value, renew, keep: entry.lifetime.keep(left) })
    }

    fn compare_and_set_now(
        &self,
        key: Key,
        name: &str,
        expected: Option<&str>,
        value: &str,
    ) -> Result<Option<bool>, Error> {
        let limit = self.limits.session_octets;
        let swapped = self.shard(key).change(key, self.now(), |entry| {
            if entry.value(name) != expected {
                return Ok(false);
            }
            entry.set(name, value, limit).map(|()| true)
        });
        swapped.transpose()
    }

    /// The two keys may lie in two shards. Only one lock is held at a time: in between, the
    /// session is in nobody's reach but ours, under neither key.
    fn rotate_now(&self, key: Key, new: Key, lifetime: Option<Lifetime>) -> bool {
        let now = self.now();
        let taken = {
            let mut shard = self.shard(key);
            shard.live(key, now).is_some().then(|| shard.take(key)).flatten()
        };
        let Some(mut entry) = taken else { return false };
        entry.told = now;
        if let Some(lifetime) = lifetime {
            (entry.lifetime, entry.began, entry.used) = (lifetime, now, now);
        }
        let mut shard = self.shard(new);
        entry.birth = shard.births;
        shard.births += 1;
        shard.make_room(self.sessions_a_shard);
        shard.put(new, entry);
        true
    }
}

impl Store for MemoryStore {
    fn create<'a>(
        &'a self,
        key: Key,
        lifetime: Lifetime,
        place: IpAddr,
        name: &'a str,
        value: &'a str,
    ) -> Answer<'a, bool> {
        at_once(self.create_now(key, lifetime, place, name, value))
    }

    fn visit<'a>(&'a self, key: Key, place: IpAddr, name: &'a str) -> Answer<'a, Visit> {
        at_once(Ok(self.visit_now(key, place, name)))
    }

    fn get<'a>(&'a self, key: Key, name: &'a str) -> Answer<'a, Option<Option<String>>> {
        let mut shard = self.shard(key);
        let entry = shard.live(key, self.now());
        at_once(Ok(entry.map(|entry| entry.value(name).map(str::to_owned))))
    }

    fn set<'a>(
        &'a self,
        key: Key,
        name: &'a str,
        value: &'a str,
    ) -> Answer<'a, Option<()>> {
        let limit = self.limits.session_octets;
        let set = |entry: &mut Entry| entry.set(name, value, limit);
        at_once(self.shard(key).change(key, self.now(), set).transpose())
    }

    fn remove<'a>(&'a self, key: Key, name: &'a str) -> Answer<'a, Option<Option<String>>> {
        let removed = self.shard(key).change(key, self.now(), |entry| entry.remove(name));
        at_once(Ok(removed.map(|value| value.map(String::from))))
    }

    fn compare_and_set<'a>(
        &'a self,
        key: Key,
        name: &'a str,
        expected: Option<&'a str>,
        value: &'a str,
    ) -> Answer<'a, Option<bool>> {
        at_once(self.compare_and_set_now(key, name, expected, value))
    }

    fn keys(&self, key: Key) -> Answer<'_, Option<Vec<String>>> {
        let mut shard = self.shard(key);
        let entry = shard.live(key, self.now());
        let names = |entry: &mut Entry| {
            entry.values.iter().map(|(name, _)| name.to_string()).collect()
        };
        at_once(Ok(entry.map(names)))
    }

    fn clear(&self, key: Key) -> Answer<'_, Option<()>> {
        let clear = |entry: &mut Entry| {
            entry.values.clear();
            entry.octets = 0;
        };
        at_once(Ok(self.shard(key).change(key, self.now(), clear)))
    }

    fn destroy(&self, key: Key) -> Answer<'_, bool> {
        let mut shard = self.shard(key);
        let lives = shard.live(key, self.now()).is_some();
        shard.take(key);
        at_once(Ok(lives))
    }

    fn rotate(&self, key: Key, new: Key, lifetime: Option<Lifetime>) -> Answer<'_, bool> {
        at_once(Ok(self.rotate_now(key, new, lifetime)))
    }

    fn sessions_of<'a>(&'a self, _user: &'a str) -> Answer<'a, Vec<Listed>> {
        at_once(Ok(Vec::new()))
    }

    fn counters(&self) -> Answer<'_, Counters> {
        at_once(Ok(Counters::default()))
    }

    fn sweep(&self) -> Answer<'_, ()> {
        Box::pin(async {
            for shard in &self.shards {
                while lock(shard).sweep(self.now()) {
                    tokio::task::yield_now().await;
                }
            }
            Ok(())
        })
    }
}

/// No code but ours runs under a lock, and none of it panics half way; a poisoned lock is as
/// good as any.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn at_once<'a, T: Send + 'a>(answer: Result<T, Error>) -> Answer<'a, T> {
    Box::pin(ready(answer))
}
