//! The static map: sessions in the memory of this process, and gone with it.
//!
//! It is bounded, in sessions and in bytes. It is cut into shards, each behind a lock of its
//! own, so that requests seldom wait for each other. No operation ever looks through all
//! sessions. In reading order: the clock; a lock; slots, and lists through them (`slab`); where the
//! session of a key is (`index`); where bytes lie (`bytes`); the values of a session; the
//! calendar by which sessions expire; whose they are (`users`); where they have moved; a session
//! (`entry`); a shard, which holds all of it together; and the map, which is many of them.

mod clock;

mod lock;

mod slab;

mod key_table;

mod small_bytes;

mod values;

mod timer_wheel;

mod user_index;

mod rotated;

mod entry;

mod shard;

mod map;

use std::sync::{Arc, LazyLock};

pub use crate::session::memory::map::{MemoryLimits, MemoryStore};

/// One map for the whole process, as the tutorial's `container` is one for its class.
static CONTAINER: LazyLock<Arc<MemoryStore>> =
    LazyLock::new(|| Arc::new(MemoryStore::new(MemoryLimits::default())));

/// The process's own map: where sessions live unless an application names another store.
pub fn container() -> Arc<MemoryStore> {
    Arc::clone(&CONTAINER)
}
