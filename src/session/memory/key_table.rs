//! The hash table that finds a session's slot by its key: open addressing with linear probing.
//!
//! It is a power of two of buckets in one array. The first 32 bits of a key, its tag, serve as
//! the hash; the tag modulo the number of buckets is the home bucket. An insert takes the first
//! free bucket from the home bucket on (linear probing), and a lookup compares tags until it
//! reaches a free bucket. Keys are MD5 hashes of random ids, so they are spread evenly, and a
//! client cannot choose them to make many of them collide (hash flooding).
//!
//! ```text
//!  bucket    0     1     2     3     4     5     6     7
//!         +-----+-----+-----+-----+-----+-----+-----+-----+
//!         |     |     | 2:A | 2:B | 3:C |     |     | 7:D |    home bucket : slot
//!         +-----+-----+-----+-----+-----+-----+-----+-----+
//! ```
//!
//! A and B have the same home bucket, so B is in the next one. That is the home bucket of C,
//! and C is in the one after it: its lookup reads buckets 3 and 4.
//!
//! A `HashMap<Key, Slot>` would store each key a second time, because the session contains it.
//! A bucket here has the tag and the slot, 8 bytes, so 8 buckets share a cache line and a
//! lookup usually takes one cache miss.
//!
//! Why not hashbrown: its `HashTable<Slot>` reads a control byte and then the slot, from two
//! cache lines. With a million sessions a cold visit took 827 ns of CPU time instead of 743 ns
//! (median of nine interleaved runs), and a session 223 bytes instead of 230. For keys that are
//! not hashes already, it would be the right choice.

use crate::session::id::Key;
use crate::session::memory::slab::Slot;

/// The first four bytes of a key, which serve as its hash.
type Tag = u32;

/// `None` if the bucket is free.
type Bucket = Option<(Tag, Slot)>;

pub(crate) struct KeyTable {
    /// The number of buckets is a power of two. At least a quarter of them is free, so that
    /// probing is short and ends.
    buckets: Box<[Bucket]>,
    len: usize,
}

/// Number of buckets of an empty table.
const INITIAL_BUCKETS: usize = 8;

impl Default for KeyTable {
    fn default() -> KeyTable {
        KeyTable { buckets: Box::new([None; INITIAL_BUCKETS]), len: 0 }
    }
}

impl KeyTable {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns the slot that was inserted for a key. Other keys may have the same tag, rarely;
    /// `is_match` compares the whole key.
    pub(crate) fn get(&self, key: Key, is_match: impl Fn(Slot) -> bool) -> Option<Slot> {
        let mut index = self.home(tag(key));
        while let Some((found, slot)) = self.buckets[index] {
            if found == tag(key) && is_match(slot) {
                return Some(slot);
            }
            index = self.next(index);
        }
        None
    }

    /// Inserts a key that is not in the table. Doubles the table if it would be more than three
    /// quarters full. Rehashing needs only the tags, so it reads no session.
    pub(crate) fn insert(&mut self, key: Key, slot: Slot) {
        self.len += 1;
        if self.len > self.buckets.len() / 4 * 3 {
            let doubled = vec![None; self.buckets.len() * 2].into();
            let old = std::mem::replace(&mut self.buckets, doubled);
            old.into_iter().flatten().for_each(|(tag, slot)| self.place(tag, slot));
        }
        self.place(tag(key), slot);
    }

    /// Removes a key, which must be in the table with this slot.
    ///
    /// The freed bucket would end the probe sequence of entries after it. So the entries up to
    /// the next free bucket are placed again; no tombstone remains.
    pub(crate) fn remove(&mut self, key: Key, slot: Slot) {
        self.len -= 1;
        let mut index = self.home(tag(key));
        while self.buckets[index] != Some((tag(key), slot)) {
            index = self.next(index);
        }
        self.buckets[index] = None;
        index = self.next(index);
        while let Some((tag, slot)) = self.buckets[index].take() {
            self.place(tag, slot);
            index = self.next(index);
        }
    }

    /// Puts an entry into the first free bucket from its home bucket on.
    fn place(&mut self, tag: Tag, slot: Slot) {
        let mut index = self.home(tag);
        while self.buckets[index].is_some() {
            index = self.next(index);
        }
        self.buckets[index] = Some((tag, slot));
    }

    /// Returns the index of the home bucket of a tag.
    fn home(&self, tag: Tag) -> usize {
        tag as usize & (self.buckets.len() - 1)
    }

    /// Returns the index after this one. The last bucket is followed by the first.
    fn next(&self, index: usize) -> usize {
        (index + 1) & (self.buckets.len() - 1)
    }
}

fn tag(key: Key) -> Tag {
    Tag::from_ne_bytes(key.as_bytes().first_chunk().copied().unwrap_or_default())
}
