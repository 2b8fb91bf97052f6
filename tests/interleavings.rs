//! The memory store, in every order in which its threads may come to its locks.
//!
//! The races of `tests/it` try a thing a thousand times; this tries it in each way there is. The
//! store is the one of `src`, line by line, but for its lock, which is one of loom's: that lets
//! each of the threads go first wherever they meet.

#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    unused_imports,
    unfulfilled_lint_expectations
)]

#[path = "../src/crypto.rs"]
mod crypto;

#[path = "../src/identity_hasher.rs"]
mod identity_hasher;

#[path = "../src/cached_clock.rs"]
mod cached_clock;

#[path = "../src/session"]
mod session {
    pub mod error;
    pub mod id;
    pub mod store;

    pub mod memory {
        mod clock;
        mod entry;
        mod key_table;
        pub mod map;
        mod rotated;
        mod shard;
        mod slab;
        mod small_bytes;
        mod timer_wheel;
        mod user_index;
        mod values;

        /// The lock that knows every order.
        mod lock {
            pub(crate) type Guard<'a, T> = loom::sync::MutexGuard<'a, T>;

            pub(crate) struct Lock<T>(loom::sync::Mutex<T>);

            impl<T> Lock<T> {
                pub(crate) fn new(inside: T) -> Lock<T> {
                    Lock(loom::sync::Mutex::new(inside))
                }

                pub(crate) fn lock(&self) -> Guard<'_, T> {
                    self.0.lock().expect("no thread panics")
                }
            }
        }
    }
}

use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use loom::thread::{self, JoinHandle};
use tokio::runtime::Builder;
use tokio::time::advance;

use session::error::Error;
use session::id::Key;
use session::memory::map::{MemoryLimits, MemoryStore};
use session::store::{Counters, Lifetime, Store, USERNAME, Visit};

const PLACE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Keys of the first shard of two are even, and those of the second are odd.
fn key(number: u8) -> Key {
    Key::parse(&format!("{number:032x}")).expect("32 digits")
}

/// Nothing here waits for anything but a lock.
fn now<T>(answer: impl Future<Output = Result<T, Error>>) -> T {
    match pin!(answer).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer.expect("there is room"),
        Poll::Pending => panic!("the memory store answers at once"),
    }
}

type Shared = Arc<MemoryStore>;

fn store_of(sessions: usize) -> Shared {
    Arc::new(MemoryStore::in_shards(
        MemoryLimits { max_sessions: sessions, ..MemoryLimits::default() },
        2,
    ))
}

fn begin(store: &MemoryStore, number: u8, name: &str, value: &str) {
    assert!(now(store.create(key(number), Lifetime::default(), PLACE, name, value)));
}

fn get(store: &MemoryStore, number: u8, name: &str) -> Option<String> {
    now(store.get(key(number), name)).flatten()
}

fn lives(store: &MemoryStore, number: u8) -> bool {
    now(store.get(key(number), "")).is_some()
}

fn spawn<T: 'static>(
    store: &Shared,
    work: impl FnOnce(&MemoryStore) -> T + 'static,
) -> JoinHandle<T> {
    let store = Arc::clone(store);
    thread::spawn(move || work(&store))
}

fn assert_they_add_up(store: &MemoryStore) {
    let counters = now(store.counters());
    let gone = counters.ended + counters.expired + counters.evicted;
    assert_eq!(counters.live + gone, counters.created, "{counters:?}");
}

/// Runs a story in every order, and says how many there were.
fn in_every_order(name: &str, story: impl Fn() + Send + Sync + 'static) {
    let orders = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&orders);
    loom::model(move || {
        count.fetch_add(1, Ordering::Relaxed);
        story();
    });
    println!("{name}: {} orders", orders.load(Ordering::Relaxed));
    assert!(orders.load(Ordering::Relaxed) > 1, "the threads never met");
}

#[test]
fn writes_of_different_names_all_survive() {
    in_every_order("writes", || {
        let store = store_of(8);
        begin(&store, 0, "a", "0");
        let others = ["b", "c"]
            .map(|name| spawn(&store, move |store| now(store.set(key(0), name, "1"))));
        now(store.set(key(0), "d", "1"));
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(now(store.keys(key(0))).unwrap().len(), 4);
    });
}

fn increment(store: &MemoryStore) {
    loop {
        let old = get(store, 0, "count");
        let new = old.as_deref().map_or(0, |old| old.parse().unwrap()) + 1;
        let swapped =
            now(store.compare_and_set(key(0), "count", old.as_deref(), &new.to_string()));
        if swapped == Some(true) {
            return;
        }
        thread::yield_now();
    }
}

#[test]
fn updates_of_one_counter_all_count() {
    in_every_order("updates", || {
        let store = store_of(8);
        begin(&store, 0, "a", "0");
        let other = spawn(&store, increment);
        increment(&store);
        other.join().unwrap();
        assert_eq!(get(&store, 0, "count").as_deref(), Some("2"));
    });
}

#[test]
fn a_write_beside_a_rotation_is_kept_or_refused() {
    in_every_order("a write and a rotation", || {
        let store = store_of(8);
        begin(&store, 0, "a", "0");
        let rotation = spawn(&store, |store| now(store.rotate(key(0), key(1), None)));
        let written = now(store.set(key(0), "b", "1")).is_some();
        assert!(rotation.join().unwrap());
        assert_eq!(get(&store, 1, "b").is_some(), written);
        assert!(!lives(&store, 0) && lives(&store, 1));
    });
}

#[test]
fn a_logout_with_the_old_id_ends_a_session_that_moves_and_moves() {
    in_every_order("a logout and two rotations", || {
        let store = store_of(8);
        begin(&store, 0, USERNAME, "admin");
        let rotations = spawn(&store, |store| {
            now(store.rotate(key(0), key(1), None))
                && now(store.rotate(key(1), key(2), None))
        });
        assert!(now(store.destroy(key(0))), "there was something to end");
        rotations.join().unwrap();
        assert!((0..3).all(|number| !lives(&store, number)));
        assert!(now(store.sessions_of("admin")).is_empty());
        assert_they_add_up(&store);
    });
}

#[test]
fn of_two_rotations_one_moves_it() {
    in_every_order("two rotations of one session", || {
        let store = store_of(8);
        begin(&store, 0, "a", "0");
        let other = spawn(&store, |store| now(store.rotate(key(0), key(1), None)));
        let this = now(store.rotate(key(0), key(3), None));
        assert!(other.join().unwrap() != this);
        assert_eq!((lives(&store, 1), lives(&store, 3)), (!this, this));
    });
}

#[test]
fn rotations_across_the_shards_do_not_wait_for_each_other() {
    in_every_order("rotations there and back", || {
        let store = store_of(8);
        begin(&store, 0, USERNAME, "admin");
        begin(&store, 1, USERNAME, "admin");
        let there = spawn(&store, |store| now(store.rotate(key(0), key(3), None)));
        assert!(now(store.rotate(key(1), key(2), None)));
        assert!(there.join().unwrap());
        assert!(lives(&store, 2) && lives(&store, 3));
        assert_eq!(now(store.sessions_of("admin")).len(), 2);
    });
}

#[test]
fn whoever_ends_all_sessions_of_a_user_misses_none_that_moves() {
    in_every_order("an end of all and a rotation", || {
        let store = store_of(8);
        begin(&store, 0, USERNAME, "admin");
        let rotation = spawn(&store, |store| now(store.rotate(key(0), key(1), None)));
        for listed in now(store.sessions_of("admin")) {
            now(store.destroy(listed.key));
        }
        rotation.join().unwrap();
        assert!(!lives(&store, 0) && !lives(&store, 1));
    });
}

#[test]
fn the_index_of_users_says_what_is_so() {
    in_every_order("a login, a logout and an end", || {
        let store = store_of(8);
        begin(&store, 0, "a", "0");
        let login = spawn(&store, |store| now(store.set(key(0), USERNAME, "admin")));
        let other = spawn(&store, |store| now(store.set(key(0), USERNAME, "else")));
        now(store.remove(key(0), USERNAME));
        login.join().unwrap();
        other.join().unwrap();
        let user = get(&store, 0, USERNAME);
        for name in ["admin", "else"] {
            let listed = now(store.sessions_of(name)).len();
            assert_eq!(listed == 1, user.as_deref() == Some(name));
        }
    });
}

#[test]
fn whoever_looks_for_what_is_beyond_a_limit_counts_who_lives() {
    in_every_order("a search beyond a limit, a rotation and a use", || {
        let store = store_of(8);
        let over = Lifetime { idle: Duration::ZERO, absolute: Duration::ZERO };
        assert!(now(store.create(key(0), over, PLACE, USERNAME, "admin")));
        begin(&store, 1, USERNAME, "admin");
        begin(&store, 2, USERNAME, "admin");
        let rotation = spawn(&store, |store| now(store.rotate(key(1), key(4), None)));
        let used = spawn(&store, |store| now(store.get(key(0), "a")));
        let beyond = now(store.sessions_over_limit("admin", 1));
        assert!(beyond == [key(1)] || beyond == [key(4)], "{beyond:?}");
        assert!(rotation.join().unwrap());
        assert_eq!(used.join().unwrap(), None);
        assert_eq!(now(store.sessions_over_limit("admin", 1)), [key(4)]);
        assert_they_add_up(&store);
    });
}

#[test]
fn a_full_store_evicts_beside_everything_else() {
    in_every_order("creations, a rotation and a sweep in a full store", || {
        let store = store_of(2);
        begin(&store, 0, "a", "0");
        begin(&store, 1, "a", "0");
        let creation = spawn(&store, |store| begin(store, 2, "a", "0"));
        let rotation = spawn(&store, |store| now(store.rotate(key(0), key(3), None)));
        now(store.sweep());
        creation.join().unwrap();
        rotation.join().unwrap();
        assert!(store.len() <= 2, "{}", store.len());
        assert_they_add_up(&store);
    });
}

#[test]
fn a_session_that_expires_under_a_write_is_gone_for_everybody() {
    in_every_order("a write, a visit and a sweep of what has expired", || {
        let store = store_of(8);
        let over = Lifetime { idle: Duration::ZERO, absolute: Duration::ZERO };
        assert!(now(store.create(key(0), over, PLACE, USERNAME, "admin")));
        let write = spawn(&store, |store| now(store.set(key(0), "a", "1")));
        let visit = spawn(&store, |store| now(store.visit(key(0), PLACE, "a")));
        now(store.sweep());
        assert_eq!(write.join().unwrap(), None);
        assert_eq!(visit.join().unwrap(), Visit::Gone);
        assert!(now(store.sessions_of("admin")).is_empty());
        assert_eq!(
            now(store.counters()),
            Counters { created: 1, expired: 1, rejected_ids: 1, ..Counters::default() }
        );
    });
}

/// Tells a story in which time passes only when it is told to.
fn at_its_own_time(story: impl Fn() + Send + Sync + 'static) {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    let _guard = runtime.enter();
    loom::model(story);
}

fn pass(time: Duration) {
    // The clock is moved as soon as it is asked for.
    let _ = pin!(advance(time)).poll(&mut Context::from_waker(Waker::noop()));
}

/// Does `late` when this time has passed, and `early` after it, but in a turn that began before.
fn out_of_turn(time: Duration, late: impl FnOnce(), early: impl FnOnce()) {
    cached_clock::with_cached_clock(|| {
        cached_clock::now();
        pass(time);
        cached_clock::with_cached_clock(late);
        early();
    });
}

#[test]
fn of_two_uses_the_later_one_counts() {
    at_its_own_time(|| {
        let store = store_of(8);
        begin(&store, 0, "a", "0");
        let is_used = || assert!(lives(&store, 0));
        out_of_turn(Lifetime::default().idle * 2 / 3, is_used, is_used);
        pass(Lifetime::default().idle * 2 / 3);
        assert!(lives(&store, 0));
    });
}

#[test]
fn a_session_that_was_once_found_expired_is_gone_for_everybody() {
    at_its_own_time(|| {
        let store = store_of(8);
        begin(&store, 0, USERNAME, "admin");
        let is_not_listed = || assert!(now(store.sessions_of("admin")).is_empty());
        let is_gone = || assert!(!lives(&store, 0));
        out_of_turn(Lifetime::default().idle, is_not_listed, is_gone);
    });
}
