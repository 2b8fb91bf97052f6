//! The memory store: a sharded hash map of sessions in the memory of this process.
//!
//! ```text
//!  MemoryStore (map)
//!   |-- Clock (clock)                    milliseconds since the store was created
//!   |-- UserIndex (user_index)           user -> keys of the user's sessions; own locks
//!   `-- Shard (shard), 64 of them        each behind a mutex (lock)
//!        |-- KeyTable (key_table)        key -> slot: a hash table, open addressing
//!        |-- Slab<Entry> (slab, entry)   slot -> session, with its values
//!        |    `-- Values (values)        names and values, length-prefixed
//!        |         `-- SmallBytes        inline up to 30 bytes, else on the heap
//!        |-- two Lists (slab)            order of eviction: anonymous, authenticated
//!        |-- TimerWheel (timer_wheel)    sessions by the second of their next expiry check
//!        `-- RotatedKeys (rotated)       old key -> new key, for a minute after a rotation
//! ```
//!
//! An operation selects a shard by the session's key, locks it, looks up the slot, and reads or
//! changes the session in place. Requests for sessions of different shards do not wait for each
//! other.
//!
//! The store is bounded, in sessions and in bytes. No operation iterates over all sessions:
//! expiry takes sessions from a bucket of a timer wheel, eviction takes the head of a list, and
//! the sessions of a user are in a secondary index. So a request takes as long with a million
//! sessions as with a thousand, except for cache misses.
//!
//! To read it for the first time, begin with [`map`] and [`shard`], and look up the parts as
//! they appear. The modules below are in the order of their dependencies, the simplest first.

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

/// The store of this process. The tutorial has a class attribute `container` instead.
static CONTAINER: LazyLock<Arc<MemoryStore>> =
    LazyLock::new(|| Arc::new(MemoryStore::new(MemoryLimits::default())));

/// Returns the memory store of this process. An application uses it unless its settings name
/// another store, so two applications in one process share their sessions.
pub fn container() -> Arc<MemoryStore> {
    Arc::clone(&CONTAINER)
}
