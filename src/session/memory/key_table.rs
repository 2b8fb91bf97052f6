//! Where the session of a key is: a hash table of slots.
//!
//! A map of the standard library would have each key a second time, for a session knows its own.
//! This has a part of it, its tag, and so a bucket has eight bytes, and eight buckets lie in one
//! line of the processor's cache: to look one up among millions is to wait for memory once.

use crate::session::id::Key;
use crate::session::memory::slab::Slot;

/// The first bytes of a key. Its session lies in the bucket of that number, counted around, or
/// behind it where others were there first: in the first bucket that was free.
type Tag = u32;

type Bucket = Option<(Tag, Slot)>;

pub(crate) struct Index {
    /// Always a power of two of them, and some of them free.
    buckets: Box<[Bucket]>,
    len: usize,
}

/// Buckets of an index that is empty.
const FEWEST: usize = 8;

impl Default for Index {
    fn default() -> Index {
        Index { buckets: Box::new([None; FEWEST]), len: 0 }
    }
}

impl Index {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The slot that was inserted for a key. Few have its tag; `is_it` tells which of them it is.
    pub(crate) fn get(&self, key: Key, is_it: impl Fn(Slot) -> bool) -> Option<Slot> {
        let mut at = self.home(tag(key));
        while let Some((tag_there, slot)) = self.buckets[at] {
            if tag_there == tag(key) && is_it(slot) {
                return Some(slot);
            }
            at = self.behind(at);
        }
        None
    }

    /// The key is none that is there already.
    pub(crate) fn insert(&mut self, key: Key, slot: Slot) {
        self.len += 1;
        if self.len > self.buckets.len() / 4 * 3 {
            let more = vec![None; self.buckets.len() * 2].into();
            let buckets = std::mem::replace(&mut self.buckets, more);
            buckets.into_iter().flatten().for_each(|(tag, slot)| self.put(tag, slot));
        }
        self.put(tag(key), slot);
    }

    /// The slot is the one that was inserted for the key.
    pub(crate) fn remove(&mut self, key: Key, slot: Slot) {
        self.len -= 1;
        let mut at = self.home(tag(key));
        while self.buckets[at] != Some((tag(key), slot)) {
            at = self.behind(at);
        }
        self.buckets[at] = None;
        // It may have been in the way of those behind it.
        at = self.behind(at);
        while let Some((tag, slot)) = self.buckets[at].take() {
            self.put(tag, slot);
            at = self.behind(at);
        }
    }

    fn put(&mut self, tag: Tag, slot: Slot) {
        let mut at = self.home(tag);
        while self.buckets[at].is_some() {
            at = self.behind(at);
        }
        self.buckets[at] = Some((tag, slot));
    }

    fn home(&self, tag: Tag) -> usize {
        tag as usize & (self.buckets.len() - 1)
    }

    fn behind(&self, at: usize) -> usize {
        (at + 1) & (self.buckets.len() - 1)
    }
}

fn tag(key: Key) -> Tag {
    Tag::from_ne_bytes(key.as_bytes().first_chunk().copied().unwrap_or_default())
}
