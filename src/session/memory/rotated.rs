//! The keys that sessions were rotated away from, and the sessions that had them. A key is
//! remembered for the grace period of a rotation.
//!
//! They serve requests that were already in flight with the old id: a logout still ends the
//! session, and a visit returns [`Moved`](crate::session::store::Visit::Moved), so that the
//! request does not create a second session for the client.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::identity_hasher::BuildIdentityHasher;
use crate::session::id::Key;
use crate::session::memory::clock::{Millis, millis};
use crate::session::memory::lock::Lock;
use crate::session::store::ROTATION_GRACE;

/// What all keys of one session share. A chain from each key to the next would be as long as
/// there were rotations, and a client could make it long; this is one step for any of them.
pub(crate) struct Lineage {
    /// The key with which the session was created.
    pub(crate) origin: Key,
    current: Lock<Key>,
}

impl Lineage {
    pub(crate) fn new(origin: Key) -> Lineage {
        Lineage { origin, current: Lock::new(origin) }
    }

    /// Records the key that the session has from now on. The caller holds the locks of the shards
    /// of both keys.
    pub(crate) fn set_current(&self, key: Key) {
        *self.current.lock() = key;
    }

    /// Returns the key that the session has, or had when it ended.
    pub(crate) fn current(&self) -> Key {
        *self.current.lock()
    }
}

#[derive(Default)]
pub(crate) struct RotatedKeys {
    lineages: HashMap<Key, Arc<Lineage>, BuildIdentityHasher>,
    /// The old keys with the time of their rotation, oldest first. All are kept for the same
    /// period, so the first is the first to be forgotten, and a queue replaces a timer wheel.
    queue: VecDeque<(Millis, Key)>,
}

impl RotatedKeys {
    /// Records a rotation. Above `max` the oldest one is forgotten before its grace period
    /// ends, so that frequent rotations cannot exhaust memory.
    pub(crate) fn add(&mut self, key: Key, lineage: Arc<Lineage>, now: Millis, max: usize) {
        self.lineages.insert(key, lineage);
        self.queue.push_back((now, key));
        if self.queue.len() > max {
            self.forget_oldest();
        }
    }

    /// Returns the lineage of the session that was rotated from this key within the grace period.
    pub(crate) fn lineage(&mut self, key: Key, now: Millis) -> Option<&Lineage> {
        self.forget_old(now);
        self.lineages.get(&key).map(|lineage| &**lineage)
    }

    /// Forgets the keys whose grace period has ended.
    pub(crate) fn forget_old(&mut self, now: Millis) {
        let is_old = |&(time, _): &(Millis, Key)| time + millis(ROTATION_GRACE) <= now;
        while self.queue.front().is_some_and(is_old) {
            self.forget_oldest();
        }
    }

    /// Forgets a key that a session has again. Otherwise it could be its own successor, and
    /// following it would not end.
    pub(crate) fn forget(&mut self, key: Key) {
        self.lineages.remove(&key);
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.queue.pop_front() {
            self.lineages.remove(&key);
        }
    }
}
