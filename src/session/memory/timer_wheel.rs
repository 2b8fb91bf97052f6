//! A timer wheel (Varghese and Lauck, 1987): it yields the sessions whose expiry must be
//! checked, second by second. Insert, remove and the search for a due session are O(1), so
//! expiry does not depend on the number of sessions.
//!
//! The wheel is a ring of 512 buckets of one second each. A bucket is a linked list of the
//! sessions whose check is due in its second. The sweep empties the bucket of the current
//! second and then advances to the next one:
//!
//! ```text
//!  bucket        4      5      6      7      8      9
//!            +------+------+------+------+------+------+
//!  second    | 1540 | 1541 | 1030 | 1031 | 1032 | 1033 |    1030 is the current second,
//!            +------+------+------+------+------+------+    1541 the last of the wheel
//!                             |             |
//!  sessions                   A             D               linked through the slab
//!                             |             |
//!                             B             E
//! ```
//!
//! Expiry is lazy. A use postpones the expiry of a session but does not move it in the wheel,
//! so a visit does not touch the lists. When the bucket of the session is due, its expiry is
//! checked, and it is inserted again if it is still live. A session that lives longer than one
//! revolution goes into the last bucket, and is inserted again from there.

use crate::session::memory::clock::Millis;
use crate::session::memory::slab::{List, Slab, Slot};

/// Number of buckets, and so of seconds in one revolution: longer than the default idle
/// timeout, so that by default a session is checked once per idle timeout.
const BUCKETS: u64 = 512;

/// The links that the lists of the wheel use in the slab.
const LINK: usize = 1;

/// Seconds since the store was created.
type Second = u64;

/// The index of a bucket: the remainder of its second.
pub(crate) type Bucket = u16;

pub(crate) struct TimerWheel {
    buckets: Box<[List<LINK>]>,
    /// The first second whose bucket may not be empty. All sessions in the wheel are due in
    /// this second or in one of the 511 after it, so no bucket holds sessions of two seconds.
    current_second: Second,
}

/// The result of [`TimerWheel::due`].
pub(crate) enum Due {
    /// The expiry of this session must be checked. The caller removes it from the wheel.
    Check(Slot),
    /// The bucket of the current second was empty, and the wheel has advanced to the next one.
    BucketEmpty,
    /// Nothing is due until later.
    None,
}

impl Default for TimerWheel {
    fn default() -> TimerWheel {
        let buckets = (0..BUCKETS).map(|_| List::default()).collect();
        TimerWheel { buckets, current_second: 0 }
    }
}

impl TimerWheel {
    /// Inserts a session that must be checked after `time`, and returns its bucket. The second
    /// is rounded up, so that a session is not checked shortly before it expires.
    pub(crate) fn insert<T>(
        &mut self,
        slab: &mut Slab<T>,
        slot: Slot,
        time: Millis,
    ) -> Bucket {
        let last_second = self.current_second + BUCKETS - 1;
        let bucket = bucket_of((time / 1000 + 1).clamp(self.current_second, last_second));
        slab.append(self.list(bucket), slot);
        bucket
    }

    /// Removes a session from the bucket that [`insert`](TimerWheel::insert) returned.
    pub(crate) fn remove<T>(&mut self, slab: &mut Slab<T>, slot: Slot, bucket: Bucket) {
        slab.unlink(self.list(bucket), slot);
    }

    /// Takes one step: finds a due session, or advances by one second.
    pub(crate) fn due(&mut self, now: Millis) -> Due {
        if self.current_second * 1000 > now {
            return Due::None;
        }
        match self.list(bucket_of(self.current_second)).first() {
            Some(slot) => Due::Check(slot),
            None => {
                self.current_second += 1;
                Due::BucketEmpty
            }
        }
    }

    fn list(&mut self, bucket: Bucket) -> &mut List<LINK> {
        &mut self.buckets[usize::from(bucket)]
    }
}

/// Returns the bucket of a second. The conversion does not fail, because the remainder is less
/// than 512.
fn bucket_of(second: Second) -> Bucket {
    Bucket::try_from(second % BUCKETS).unwrap_or_default()
}
