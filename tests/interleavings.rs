//! Model checking of the memory store with loom: each test runs in every order in which its
//! threads can take the store's locks.
//!
//! The races of `tests/it` repeat an operation a thousand times and so find an order only by
//! chance. Loom enumerates the orders. The code under test is that of `src`, included by path,
//! except for the module `lock`: its mutex is loom's, which decides at each lock operation
//! which thread runs next.

// The lints see a part of the crate, in which items are unused or private that are not in
// `src`.
#![allow(
    clippy::struct_field_names,
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

        /// The same interface as in `src`, with loom's mutex.
        mod lock {
            pub(crate) type Guard<'a, T> = loom::sync::MutexGuard<'a, T>;

            pub(crate) struct Lock<T>(loom::sync::Mutex<T>);

            impl<T> Lock<T> {
                pub(crate) fn new(value: T) -> Lock<T> {
                    Lock(loom::sync::Mutex::new(value))
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
use session::store::{CompareAndSet, Counters, Lifetime, Store, USERNAME, Visit};

const CLIENT_IP: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Returns a key by number. Of two shards, even numbers are in the first and odd in the second.
fn key(number: u8) -> Key {
    Key::parse(&format!("{number:032x}")).expect("32 digits")
}

/// Polls the future of a store operation once. It is ready, because the memory store waits for
/// nothing but locks.
fn now<T>(operation: impl Future<Output = Result<T, Error>>) -> T {
    match pin!(operation).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result.expect("no value is too large"),
        Poll::Pending => panic!("the memory store does not wait"),
    }
}

type Shared = Arc<MemoryStore>;

/// Creates a store with two shards.
fn store_of(max_sessions: usize) -> Shared {
    let limits = MemoryLimits { max_sessions, ..MemoryLimits::default() };
    Arc::new(MemoryStore::with_shards(limits, 2))
}

fn create(store: &MemoryStore, number: u8, name: &str, value: &str) {
    assert!(now(store.create(key(number), Lifetime::default(), CLIENT_IP, name, value)));
}

fn get(store: &MemoryStore, number: u8, name: &str) -> Option<String> {
    now(store.get(key(number), name)).flatten()
}

fn is_live(store: &MemoryStore, number: u8) -> bool {
    now(store.get(key(number), "")).is_some()
}

fn spawn<T: 'static>(
    store: &Shared,
    work: impl FnOnce(&MemoryStore) -> T + 'static,
) -> JoinHandle<T> {
    let store = Arc::clone(store);
    thread::spawn(move || work(&store))
}

fn assert_counters_add_up(store: &MemoryStore) {
    let counters = now(store.counters());
    let gone = counters.ended + counters.expired + counters.evicted;
    assert_eq!(counters.live + gone, counters.created, "{counters:?}");
}

/// Runs a scenario once in every order of its lock operations, and prints the number of orders.
fn in_every_order(name: &str, scenario: impl Fn() + Send + Sync + 'static) {
    let orders = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&orders);
    loom::model(move || {
        count.fetch_add(1, Ordering::Relaxed);
        scenario();
    });
    println!("{name}: {} orders", orders.load(Ordering::Relaxed));
    assert!(orders.load(Ordering::Relaxed) > 1, "the threads shared no lock");
}

#[test]
fn writes_of_different_names_all_survive() {
    in_every_order("writes", || {
        let store = store_of(8);
        create(&store, 0, "a", "0");
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
        if swapped == Some(CompareAndSet::Set) {
            return;
        }
        thread::yield_now();
    }
}

#[test]
fn updates_of_one_counter_all_count() {
    in_every_order("updates", || {
        let store = store_of(8);
        create(&store, 0, "a", "0");
        let other = spawn(&store, increment);
        increment(&store);
        other.join().unwrap();
        assert_eq!(get(&store, 0, "count").as_deref(), Some("2"));
    });
}

#[test]
fn a_write_concurrent_with_a_rotation_is_kept_or_fails() {
    in_every_order("a write and a rotation", || {
        let store = store_of(8);
        create(&store, 0, "a", "0");
        let rotation = spawn(&store, |store| now(store.rotate(key(0), key(1), None)));
        let written = now(store.set(key(0), "b", "1")).is_some();
        assert!(rotation.join().unwrap());
        assert_eq!(get(&store, 1, "b").is_some(), written);
        assert!(!is_live(&store, 0) && is_live(&store, 1));
    });
}

#[test]
fn a_logout_with_the_old_id_ends_a_session_that_is_rotated_twice() {
    in_every_order("a logout and two rotations", || {
        let store = store_of(8);
        create(&store, 0, USERNAME, "admin");
        let rotations = spawn(&store, |store| {
            now(store.rotate(key(0), key(1), None))
                && now(store.rotate(key(1), key(2), None))
        });
        assert!(
            now(store.destroy(key(0))),
            "the session was destroyed under one of its keys"
        );
        rotations.join().unwrap();
        assert!((0..3).all(|number| !is_live(&store, number)));
        assert!(now(store.sessions_of("admin")).is_empty());
        assert_counters_add_up(&store);
    });
}

#[test]
fn one_of_two_concurrent_rotations_succeeds() {
    in_every_order("two rotations of one session", || {
        let store = store_of(8);
        create(&store, 0, "a", "0");
        let other = spawn(&store, |store| now(store.rotate(key(0), key(1), None)));
        let this = now(store.rotate(key(0), key(3), None));
        assert!(other.join().unwrap() != this);
        assert_eq!((is_live(&store, 1), is_live(&store, 3)), (!this, this));
    });
}

/// Without a lock order, these two would deadlock in some orders; loom reports a deadlock.
#[test]
fn rotations_in_opposite_directions_do_not_deadlock() {
    in_every_order("rotations in opposite directions", || {
        let store = store_of(8);
        create(&store, 0, USERNAME, "admin");
        create(&store, 1, USERNAME, "admin");
        let other = spawn(&store, |store| now(store.rotate(key(0), key(3), None)));
        assert!(now(store.rotate(key(1), key(2), None)));
        assert!(other.join().unwrap());
        assert!(is_live(&store, 2) && is_live(&store, 3));
        assert_eq!(now(store.sessions_of("admin")).len(), 2);
    });
}

#[test]
fn revoking_all_sessions_of_a_user_includes_one_that_is_rotated() {
    in_every_order("a revocation of all and a rotation", || {
        let store = store_of(8);
        create(&store, 0, USERNAME, "admin");
        let rotation = spawn(&store, |store| now(store.rotate(key(0), key(1), None)));
        for info in now(store.sessions_of("admin")) {
            now(store.destroy(info.key));
        }
        rotation.join().unwrap();
        assert!(!is_live(&store, 0) && !is_live(&store, 1));
    });
}

#[test]
fn the_user_index_agrees_with_the_sessions() {
    in_every_order("two logins and a logout", || {
        let store = store_of(8);
        create(&store, 0, "a", "0");
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
fn an_expired_session_does_not_count_for_the_limit() {
    in_every_order("a search above a limit, a rotation and a use", || {
        let store = store_of(8);
        let expired = Lifetime { idle: Duration::ZERO, absolute: Duration::ZERO };
        assert!(now(store.create(key(0), expired, CLIENT_IP, USERNAME, "admin")));
        create(&store, 1, USERNAME, "admin");
        create(&store, 2, USERNAME, "admin");
        let rotation = spawn(&store, |store| now(store.rotate(key(1), key(4), None)));
        let used = spawn(&store, |store| now(store.get(key(0), "a")));
        let excess = now(store.sessions_over_limit("admin", 1));
        assert!(excess == [key(1)] || excess == [key(4)], "{excess:?}");
        assert!(rotation.join().unwrap());
        assert_eq!(used.join().unwrap(), None);
        assert_eq!(now(store.sessions_over_limit("admin", 1)), [key(4)]);
        assert_counters_add_up(&store);
    });
}

#[test]
fn a_full_store_evicts_concurrently_with_other_operations() {
    in_every_order("creations, a rotation and a sweep in a full store", || {
        let store = store_of(2);
        create(&store, 0, "a", "0");
        create(&store, 1, "a", "0");
        let creation = spawn(&store, |store| create(store, 2, "a", "0"));
        let rotation = spawn(&store, |store| now(store.rotate(key(0), key(3), None)));
        now(store.sweep());
        creation.join().unwrap();
        rotation.join().unwrap();
        assert!(store.len() <= 2, "{}", store.len());
        assert_counters_add_up(&store);
    });
}

#[test]
fn a_session_that_expires_is_gone_for_all_threads() {
    in_every_order("a write, a visit and a sweep of what has expired", || {
        let store = store_of(8);
        let expired = Lifetime { idle: Duration::ZERO, absolute: Duration::ZERO };
        assert!(now(store.create(key(0), expired, CLIENT_IP, USERNAME, "admin")));
        let write = spawn(&store, |store| now(store.set(key(0), "a", "1")));
        let visit = spawn(&store, |store| now(store.visit(key(0), CLIENT_IP, "a")));
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

/// Runs a scenario with tokio's clock paused: time passes only by [`pass`].
fn with_paused_clock(scenario: impl Fn() + Send + Sync + 'static) {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    let _guard = runtime.enter();
    loom::model(scenario);
}

fn pass(time: Duration) {
    // The first poll of `advance` moves the clock.
    let _ = pin!(advance(time)).poll(&mut Context::from_waker(Waker::noop()));
}

/// Runs `late` when this time has passed, and then `early` with a clock that was cached before:
/// two polls that see times out of order.
fn out_of_order(time: Duration, late: impl FnOnce(), early: impl FnOnce()) {
    cached_clock::with_cached_clock(|| {
        cached_clock::now();
        pass(time);
        cached_clock::with_cached_clock(late);
        early();
    });
}

#[test]
fn a_stale_time_does_not_shorten_the_idle_timeout() {
    with_paused_clock(|| {
        let store = store_of(8);
        create(&store, 0, "a", "0");
        let is_used = || assert!(is_live(&store, 0));
        out_of_order(Lifetime::default().idle * 2 / 3, is_used, is_used);
        pass(Lifetime::default().idle * 2 / 3);
        assert!(is_live(&store, 0));
    });
}

#[test]
fn a_session_that_was_found_expired_is_gone_at_an_earlier_time() {
    with_paused_clock(|| {
        let store = store_of(8);
        create(&store, 0, USERNAME, "admin");
        let is_not_listed = || assert!(now(store.sessions_of("admin")).is_empty());
        let is_gone = || assert!(!is_live(&store, 0));
        out_of_order(Lifetime::default().idle, is_not_listed, is_gone);
    });
}
