//! Where sessions have moved, for a while: a logout that was sent with the old id still ends them,
//! and nobody else who comes with it is taken for somebody new.

use std::collections::{HashMap, VecDeque};

use crate::identity_hasher::BuildIdentityHasher;
use crate::session::id::Key;
use crate::session::memory::clock::{Millis, millis};
use crate::session::store::ROTATION_GRACE;

#[derive(Default)]
pub(crate) struct Moved {
    whereto: HashMap<Key, Key, BuildIdentityHasher>,
    /// Who moved when, in the order in which they came.
    moves: VecDeque<(Millis, Key)>,
}

impl Moved {
    /// Remembers a move, and no more than so many.
    pub(crate) fn add(&mut self, key: Key, new: Key, now: Millis, most: usize) {
        self.whereto.insert(key, new);
        self.moves.push_back((now, key));
        if self.moves.len() > most {
            self.forget_first();
        }
    }

    /// Where the session of this key has moved.
    pub(crate) fn whereto(&mut self, key: Key, now: Millis) -> Option<Key> {
        self.forget(now);
        self.whereto.get(&key).copied()
    }

    /// Forgets what is long ago.
    pub(crate) fn forget(&mut self, now: Millis) {
        while self
            .moves
            .front()
            .is_some_and(|(when, _)| when + millis(ROTATION_GRACE) <= now)
        {
            self.forget_first();
        }
    }

    /// A key is in use again: nobody is to be sent around in a circle.
    pub(crate) fn forget_one(&mut self, key: Key) {
        self.whereto.remove(&key);
    }

    fn forget_first(&mut self) {
        if let Some((_, key)) = self.moves.pop_front() {
            self.whereto.remove(&key);
        }
    }
}
