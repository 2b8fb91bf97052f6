//! The keys that sessions were rotated away from, with their successors. A key is remembered
//! for the grace period of a rotation.
//!
//! They serve requests that were already in flight with the old id: a logout still ends the
//! session, and a visit returns [`Moved`](crate::session::store::Visit::Moved), so that the
//! request does not create a second session for the client.

use std::collections::{HashMap, VecDeque};

use crate::identity_hasher::BuildIdentityHasher;
use crate::session::id::Key;
use crate::session::memory::clock::{Millis, millis};
use crate::session::store::ROTATION_GRACE;

#[derive(Default)]
pub(crate) struct RotatedKeys {
    successors: HashMap<Key, Key, BuildIdentityHasher>,
    /// The old keys with the time of their rotation, oldest first. All are kept for the same
    /// period, so the first is the first to be forgotten, and a queue replaces a timer wheel.
    queue: VecDeque<(Millis, Key)>,
}

impl RotatedKeys {
    /// Records a rotation. Above `max` the oldest one is forgotten before its grace period
    /// ends, so that frequent rotations cannot exhaust memory.
    pub(crate) fn add(&mut self, key: Key, new: Key, now: Millis, max: usize) {
        self.successors.insert(key, new);
        self.queue.push_back((now, key));
        if self.queue.len() > max {
            self.forget_oldest();
        }
    }

    /// Returns the key that a session was rotated to from this one within the grace period.
    pub(crate) fn successor(&mut self, key: Key, now: Millis) -> Option<Key> {
        self.forget_old(now);
        self.successors.get(&key).copied()
    }

    /// Forgets the keys whose grace period has ended.
    pub(crate) fn forget_old(&mut self, now: Millis) {
        let is_old = |&(time, _): &(Millis, Key)| time + millis(ROTATION_GRACE) <= now;
        while self.queue.front().is_some_and(is_old) {
            self.forget_oldest();
        }
    }

    /// Forgets a key that a session has again. Otherwise the chain of successors could be a
    /// cycle, and following it would not end.
    pub(crate) fn forget(&mut self, key: Key) {
        self.successors.remove(&key);
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.queue.pop_front() {
            self.successors.remove(&key);
        }
    }
}
