//! A part of the static map: sessions behind one lock, and two lists of them in order.
//!
//! Nothing here looks through all sessions, ever: what has expired and what has to go are at the
//! front of a list.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Duration;

use crate::session::error::Error;
use crate::session::id::Key;
use crate::session::store::{Lifetime, USERNAME};

/// Sessions that are looked at in one go while sweeping, so that nobody waits long for a lock.
const BITE: usize = 128;

/// Times are counted from when the store was made.
pub(crate) type Millis = u64;

#[derive(Default)]
pub(crate) struct Shard {
    sessions: HashMap<Key, Entry, BuildHasherDefault<KeyHasher>>,
    /// When each session is to be looked at next, in seconds: its time is up then, unless it
    /// was used since. Being used need not move it, so reading costs nothing here.
    calendar: BTreeSet<(u64, Key)>,
    /// In the order in which they go when there is no room: anonymous before somebody's, and
    /// then older before younger.
    queue: BTreeSet<(bool, u64, Key)>,
    pub(crate) births: u64,
}

pub(crate) struct Entry {
    pub(crate) values: Vec<(Box<str>, Box<str>)>,
    /// What the values take of the session's room.
    pub(crate) octets: usize,
    pub(crate) lifetime: Lifetime,
    pub(crate) place: std::net::IpAddr,
    pub(crate) began: Millis,
    /// Last of all.
    pub(crate) used: Millis,
    /// When the client was last told its id.
    pub(crate) told: Millis,
    /// Its second in the calendar.
    pub(crate) look_at: u64,
    /// A number that is larger for a younger session.
    pub(crate) birth: u64,
}

impl Entry {
    pub(crate) fn expiry(&self) -> Millis {
        self.used.saturating_add(millis(self.lifetime.idle)).min(self.end())
    }

    pub(crate) fn end(&self) -> Millis {
        self.began.saturating_add(millis(self.lifetime.absolute))
    }

    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(found, _)| **found == *name).map(|(_, value)| &**value)
    }

    fn is_somebodys(&self) -> bool {
        self.value(USERNAME).is_some()
    }

    pub(crate) fn set(
        &mut self,
        name: &str,
        value: &str,
        limit: usize,
    ) -> Result<(), Error> {
        let old = self.value(name).map_or(0, |old| cost(name, old));
        let octets = self.octets - old + cost(name, value);
        if octets > limit {
            return Err(Error::TooLarge { limit });
        }
        self.octets = octets;
        match self.values.iter_mut().find(|(found, _)| **found == *name) {
            Some((_, old)) => *old = value.into(),
            None => self.values.push((name.into(), value.into())),
        }
        Ok(())
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Box<str>> {
        let at = self.values.iter().position(|(found, _)| **found == *name)?;
        let (name, value) = self.values.swap_remove(at);
        self.octets -= cost(&name, &value);
        Some(value)
    }
}

impl Shard {
    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// The session under `key`, if it lives. Marks it as used; lets go of it if its time is up.
    pub(crate) fn live(&mut self, key: Key, now: Millis) -> Option<&mut Entry> {
        let entry = self.sessions.get_mut(&key)?;
        if entry.expiry() <= now {
            self.take(key);
            return None;
        }
        let entry = self.sessions.get_mut(&key)?;
        entry.used = now;
        Some(entry)
    }

    /// Has `change` done to a live session. Whether it is somebody's may be different after it.
    pub(crate) fn change<T>(
        &mut self,
        key: Key,
        now: Millis,
        change: impl FnOnce(&mut Entry) -> T,
    ) -> Option<T> {
        let entry = self.live(key, now)?;
        let (before, birth) = (entry.is_somebodys(), entry.birth);
        let result = change(entry);
        let after = entry.is_somebodys();
        if before != after {
            self.queue.remove(&(before, birth, key));
            self.queue.insert((after, birth, key));
        }
        Some(result)
    }

    pub(crate) fn put(&mut self, key: Key, mut entry: Entry) {
        entry.look_at = second_after(entry.expiry());
        self.calendar.insert((entry.look_at, key));
        self.queue.insert((entry.is_somebodys(), entry.birth, key));
        self.sessions.insert(key, entry);
    }

    pub(crate) fn take(&mut self, key: Key) -> Option<Entry> {
        let entry = self.sessions.remove(&key)?;
        self.calendar.remove(&(entry.look_at, key));
        self.queue.remove(&(entry.is_somebodys(), entry.birth, key));
        Some(entry)
    }

    /// Makes room for one more.
    pub(crate) fn make_room(&mut self, limit: usize) {
        while self.sessions.len() >= limit {
            let Some(&(_, _, key)) = self.queue.first() else {
                return;
            };
            self.take(key);
        }
    }

    /// Looks at some of the sessions that are due. `true` if there may be more.
    pub(crate) fn sweep(&mut self, now: Millis) -> bool {
        for _ in 0..BITE {
            match self.calendar.first() {
                Some(&(second, key)) if second * 1000 <= now => self.look_at(key, now),
                _ => return false,
            }
        }
        true
    }

    fn look_at(&mut self, key: Key, now: Millis) {
        if let Some(entry) = self.take(key)
            && entry.expiry() > now
        {
            self.put(key, entry);
        }
    }
}

/// What a value takes of its session's room: its octets, its name's, and those that hold them.
fn cost(name: &str, value: &str) -> usize {
    name.len() + value.len() + 32
}

pub(crate) fn millis(duration: Duration) -> Millis {
    u64::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}

fn second_after(time: Millis) -> u64 {
    time / 1000 + 1
}

/// Takes the key's own octets for its hash. They are an MD5, and of ids that were issued here
/// alone, so nobody can aim them at one bucket.
#[derive(Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, octets: &[u8]) {
        for &octet in octets {
            self.0 = self.0.rotate_left(8) ^ u64::from(octet);
        }
    }
}
