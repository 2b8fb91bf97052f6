//! A shard of the memory store: the sessions behind one lock.
//!
//! The session itself is in the slab. The key table finds it by its key, the timer wheel by its
//! next expiry check, and the eviction lists by its age; these three refer to it by slot. The
//! user index, which all shards share, refers to it by key. Each operation leaves all of them
//! in step. No other thread can see the shard in between, because it is locked; a reader of the
//! user index can, and checks the session again.
//!
//! Eviction: a shard above its capacity deletes the oldest anonymous session; if there is none,
//! the authenticated session that logged in first. Anonymous sessions are evicted first,
//! because a client can create any number of them without a password: in a single list they
//! would push out the sessions of logged-in users. Within each list the order is FIFO, by
//! creation, login or rotation, and not LRU. So a visit need not move the session in its list,
//! which would write to the nodes of its neighbors as well; the price is that a session in use
//! may be evicted before an idle one.

use std::net::IpAddr;

use crate::session::error::Error;
use crate::session::id::Key;
use crate::session::memory::clock::Millis;
use crate::session::memory::entry::Entry;
use crate::session::memory::key_table::KeyTable;
use crate::session::memory::rotated::{Lineage, RotatedKeys};
use crate::session::memory::slab::{List, Slab, Slot};
use crate::session::memory::timer_wheel::{Due, TimerWheel};
use crate::session::memory::user_index::Writer;
use crate::session::memory::values::Values;
use crate::session::store::{Counters, Lifetime, USERNAME, Visit};

/// Number of steps of a sweep under one lock, so that requests do not wait long for the lock.
const SWEEP_BATCH: usize = 128;

/// The links that the eviction lists use in the slab. A session is in one of the two lists.
const LINK: usize = 0;

/// The limits of one shard: its part of [`MemoryLimits`](super::MemoryLimits).
#[derive(Clone, Copy)]
pub(crate) struct Capacity {
    /// Maximum number of sessions.
    pub(crate) sessions: usize,
    /// Maximum size of the values of all sessions.
    pub(crate) bytes: usize,
    /// Maximum size of the values of one session.
    pub(crate) max_session_bytes: usize,
}

pub(crate) struct Shard {
    /// The slot of each session.
    slots: KeyTable,
    entries: Slab<Entry>,
    /// Anonymous sessions, oldest first. They are evicted before authenticated ones.
    anonymous: List<LINK>,
    /// Sessions of logged-in users, oldest login first. A rotation also moves a session to the
    /// end, because it is inserted again.
    authenticated: List<LINK>,
    wheel: TimerWheel,
    /// The successors of keys that were in this shard.
    rotated: RotatedKeys,
    /// Changes the user index, which all shards share.
    users: Writer,
    capacity: Capacity,
    /// Sum of the sizes of all values.
    bytes: usize,
    counters: Counters,
}

impl Shard {
    pub(crate) fn new(capacity: Capacity, users: Writer) -> Shard {
        Shard {
            slots: KeyTable::default(),
            entries: Slab::default(),
            anonymous: List::default(),
            authenticated: List::default(),
            wheel: TimerWheel::default(),
            rotated: RotatedKeys::default(),
            users,
            capacity,
            bytes: 0,
            counters: Counters::default(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn counters(&self) -> Counters {
        Counters { live: self.len() as u64, ..self.counters }
    }

    /// Adds a session with one value. Returns `false` if a live session has its key. The error
    /// comes before the first change, so a value that is too large leaves no trace.
    pub(crate) fn create(
        &mut self,
        mut entry: Entry,
        name: &str,
        value: &str,
        now: Millis,
    ) -> Result<bool, Error> {
        if self.get_live(entry.key, now).is_some() {
            return Ok(false);
        }
        entry.values = self.check_size(Values::default().with(name, value))?;
        entry.index_user(&mut self.users);
        self.counters.created += 1;
        self.insert(entry);
        Ok(true)
    }

    /// Records a visit to a live session, or counts the rejected key.
    pub(crate) fn visit(&mut self, key: Key, ip: IpAddr, name: &str, now: Millis) -> Visit {
        if let Some(slot) = self.get_live(key, now) {
            return Visit::Live(self.entries[slot].visit(ip, name, now));
        }
        self.counters.rejected_ids += 1;
        match self.rotated.lineage(key, now) {
            Some(_) => Visit::Moved,
            None => Visit::Gone,
        }
    }

    /// Applies `read` to the values of a live session.
    pub(crate) fn read<T>(
        &mut self,
        key: Key,
        now: Millis,
        read: impl FnOnce(&Values) -> T,
    ) -> Option<T> {
        let slot = self.get_live(key, now)?;
        Some(read(&self.entries[slot].values))
    }

    /// Applies `change` to the values of a live session. It returns new values, or `None` to
    /// keep the old ones, and the result of the operation.
    pub(crate) fn change<T>(
        &mut self,
        key: Key,
        now: Millis,
        change: impl FnOnce(&Values) -> (Option<Values>, T),
    ) -> Result<Option<T>, Error> {
        let Some(slot) = self.get_live(key, now) else { return Ok(None) };
        let (values, result) = change(&self.entries[slot].values);
        if let Some(values) = values {
            let values = self.check_size(values)?;
            self.replace(slot, values);
        }
        Ok(Some(result))
    }

    /// Returns a live session if it belongs to this user. This is not use.
    pub(crate) fn entry_of_user(
        &mut self,
        key: Key,
        user: &str,
        now: Millis,
    ) -> Option<&Entry> {
        let slot = self.find(key)?;
        if self.entries[slot].expiry() <= now {
            self.expire(slot);
            return None;
        }
        let entry = &self.entries[slot];
        (entry.user() == Some(user)).then_some(entry)
    }

    /// Updates the user index about a session: writes its current expiry, or deletes the
    /// session if it has expired.
    pub(crate) fn refresh_or_expire(&mut self, key: Key, now: Millis) {
        let Some(slot) = self.find(key) else { return };
        let entry = &self.entries[slot];
        if entry.expiry() > now {
            entry.update_index(&mut self.users);
        } else {
            self.expire(slot);
        }
    }

    /// Destroys a live session. Returns `false` if there is none.
    pub(crate) fn destroy(&mut self, key: Key, now: Millis) -> bool {
        let Some(slot) = self.get_live(key, now) else { return false };
        self.counters.ended += 1;
        self.delete(slot);
        true
    }

    /// Returns the key that a session has, or had when it ended, if it was rotated from this one
    /// within the grace period.
    pub(crate) fn successor(&mut self, key: Key, now: Millis) -> Option<Key> {
        self.rotated.lineage(key, now).map(Lineage::current)
    }

    /// Returns the origin of the session that has this key or was rotated from it. This is not
    /// use.
    pub(crate) fn origin(&mut self, key: Key, now: Millis) -> Option<Key> {
        let live = self.find(key).filter(|&slot| self.entries[slot].expiry() > now);
        match live {
            Some(slot) => Some(self.entries[slot].origin()),
            None => self.rotated.lineage(key, now).map(|lineage| lineage.origin),
        }
    }

    /// The first half of a rotation: takes a live session out of this shard and gives it its
    /// new key. Its entry in the user index stays, so the caller must insert it under the same
    /// locks.
    pub(crate) fn take_for_rotation(
        &mut self,
        key: Key,
        new: Key,
        lifetime: Option<Lifetime>,
        now: Millis,
    ) -> Option<Entry> {
        let slot = self.get_live(key, now)?;
        let mut entry = self.extract(slot);
        let lineage = entry.rotate(new, lifetime, now);
        self.rotated.add(key, lineage, now, self.capacity.sessions);
        self.counters.rotated += 1;
        Some(entry)
    }

    /// The second half of a rotation: inserts the session into the shard of its new key. A
    /// session that already has this key is destroyed. A new lifetime means a login, and makes
    /// the session the latest of its user.
    pub(crate) fn insert_rotated(&mut self, mut entry: Entry, lifetime: Option<Lifetime>) {
        if let Some(slot) = self.find(entry.key) {
            self.counters.ended += 1;
            self.delete(slot);
        }
        self.rotated.forget(entry.key);
        match lifetime {
            Some(_) => {
                entry.unindex_user(&mut self.users);
                entry.index_user(&mut self.users);
            }
            None => entry.update_index(&mut self.users),
        }
        self.insert(entry);
    }

    /// Frees expired sessions, in a batch of limited size. Returns `true` if there may be more.
    pub(crate) fn sweep(&mut self, now: Millis) -> bool {
        self.rotated.forget_old(now);
        for _ in 0..SWEEP_BATCH {
            match self.wheel.due(now) {
                Due::Check(slot) => self.check_expiry(slot, now),
                Due::BucketEmpty => {}
                Due::None => return false,
            }
        }
        true
    }

    /// Deletes a session if it has expired, or else inserts it into the timer wheel again.
    fn check_expiry(&mut self, slot: Slot, now: Millis) {
        let entry = &self.entries[slot];
        let (expiry, bucket) = (entry.expiry(), entry.wheel_bucket);
        if expiry <= now {
            self.expire(slot);
            return;
        }
        self.wheel.remove(&mut self.entries, slot, bucket);
        self.entries[slot].wheel_bucket =
            self.wheel.insert(&mut self.entries, slot, expiry);
    }

    /// Returns the slot of the session with this key, which may have expired.
    fn find(&self, key: Key) -> Option<Slot> {
        self.slots.get(key, |slot| self.entries[slot].key == key)
    }

    /// Returns the slot of the live session with this key, and marks the session as used.
    /// Deletes it if it has expired: expiry does not depend on the sweep.
    ///
    /// Two tasks may see times out of order (see [`clock`](crate::session::memory::clock)), so the
    /// last use never goes back, and a session that one task has found expired is gone for all.
    fn get_live(&mut self, key: Key, now: Millis) -> Option<Slot> {
        let slot = self.find(key)?;
        let entry = &mut self.entries[slot];
        if entry.expiry() > now {
            entry.last_used = entry.last_used.max(now);
            return Some(slot);
        }
        self.expire(slot);
        None
    }

    /// Deletes an expired session. All expired sessions go through here, and are counted once.
    fn expire(&mut self, slot: Slot) {
        self.counters.expired += 1;
        self.delete(slot);
    }

    /// Returns the values, or an error if they are too large for one session.
    fn check_size(&self, values: Values) -> Result<Values, Error> {
        let limit = self.capacity.max_session_bytes;
        if values.size() > limit { Err(Error::TooLarge { limit }) } else { Ok(values) }
    }

    /// Replaces the values of a session. The user may change with them.
    fn replace(&mut self, slot: Slot, values: Values) {
        self.bytes += values.size();
        let entry = &mut self.entries[slot];
        let old = std::mem::replace(&mut entry.values, values);
        self.bytes -= old.size();
        if old.bytes_of(USERNAME) != entry.values.bytes_of(USERNAME) {
            self.change_user(slot, old.get(USERNAME));
        }
        self.evict_to_fit(slot);
    }

    /// Updates the user index and the eviction lists after the user of a session has changed.
    fn change_user(&mut self, slot: Slot, old_user: Option<&str>) {
        let entry = &mut self.entries[slot];
        if let Some(user) = old_user {
            self.users.remove(user, entry.login_seq);
        }
        entry.index_user(&mut self.users);
        let is_authenticated = entry.user().is_some();
        self.unlink(slot, old_user.is_some());
        self.append(slot, is_authenticated);
    }

    /// Inserts a session into all data structures but the user index.
    fn insert(&mut self, entry: Entry) {
        let (key, size) = (entry.key, entry.values.size());
        let (expiry, is_authenticated) = (entry.expiry(), entry.user().is_some());
        let slot = self.entries.insert(entry);
        self.slots.insert(key, slot);
        self.entries[slot].wheel_bucket =
            self.wheel.insert(&mut self.entries, slot, expiry);
        self.append(slot, is_authenticated);
        self.bytes += size;
        self.evict_to_fit(slot);
    }

    /// Deletes a session, also from the user index. The caller counts the reason.
    fn delete(&mut self, slot: Slot) {
        let entry = self.extract(slot);
        entry.unindex_user(&mut self.users);
    }

    /// Removes a session from all data structures but the user index.
    fn extract(&mut self, slot: Slot) -> Entry {
        let entry = &self.entries[slot];
        let (bucket, is_authenticated) = (entry.wheel_bucket, entry.user().is_some());
        self.wheel.remove(&mut self.entries, slot, bucket);
        self.unlink(slot, is_authenticated);
        let entry = self.entries.remove(slot);
        self.slots.remove(entry.key, slot);
        self.bytes -= entry.values.size();
        entry
    }

    /// Evicts sessions until the shard is within its capacity. The session that was just
    /// written, `except`, is never evicted: its client would otherwise lose what it has just
    /// stored.
    fn evict_to_fit(&mut self, except: Slot) {
        while self.len() > self.capacity.sessions || self.bytes > self.capacity.bytes {
            let Some(slot) = self.oldest_except(except) else { return };
            self.counters.evicted += 1;
            self.delete(slot);
        }
    }

    /// Returns the session that is evicted next: the first of a list, or the second if the
    /// first is `except`.
    fn oldest_except(&self, except: Slot) -> Option<Slot> {
        let oldest = |list: &List<LINK>| {
            let first = list.first()?;
            if first == except { self.entries.next(list, first) } else { Some(first) }
        };
        oldest(&self.anonymous).or_else(|| oldest(&self.authenticated))
    }

    fn append(&mut self, slot: Slot, is_authenticated: bool) {
        let list =
            if is_authenticated { &mut self.authenticated } else { &mut self.anonymous };
        self.entries.append(list, slot);
    }

    fn unlink(&mut self, slot: Slot, is_authenticated: bool) {
        let list =
            if is_authenticated { &mut self.authenticated } else { &mut self.anonymous };
        self.entries.unlink(list, slot);
    }
}
