//! What every store promises (`src/session/store.rs`), and what the memory store promises besides.
//! The contract is tested through the `Store` trait alone, so that it can be held against any.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use dustdevil::session::error::Error;
use dustdevil::session::id::{Id, Key};
use dustdevil::session::memory;
use dustdevil::session::store::Visit;
use dustdevil::{Lifetime, MemoryLimits, MemoryStore, Store};
use tokio::time::advance;

use crate::support::store;

const LIFETIME: Lifetime =
    Lifetime { idle: Duration::from_secs(300), absolute: Duration::from_secs(8 * 3600) };

const PLACE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn key() -> Key {
    Id::generate().key()
}

/// A session with `name` = `value`.
async fn begun(store: &dyn Store, name: &str, value: &str) -> Key {
    let key = key();
    assert!(store.create(key, LIFETIME, PLACE, name, value).await.unwrap());
    key
}

async fn get(store: &dyn Store, key: Key, name: &str) -> Option<String> {
    store.get(key, name).await.unwrap().flatten()
}

async fn lives(store: &dyn Store, key: Key) -> bool {
    matches!(store.visit(key, PLACE, "a").await.unwrap(), Visit::Live(_))
}

#[tokio::test]
async fn a_session_keeps_values_by_name() {
    let store = store();
    let key = begun(&*store, "a", "1").await;
    assert_eq!(store.set(key, "b", "2").await.unwrap(), Some(()));
    assert_eq!(store.set(key, "a", "3").await.unwrap(), Some(()));
    assert_eq!(get(&*store, key, "a").await.as_deref(), Some("3"));
    assert_eq!(store.get(key, "c").await.unwrap(), Some(None));
    let mut keys = store.keys(key).await.unwrap().unwrap();
    keys.sort();
    assert_eq!(keys, ["a", "b"]);
    assert_eq!(store.remove(key, "a").await.unwrap(), Some(Some(String::from("3"))));
    assert_eq!(store.remove(key, "a").await.unwrap(), Some(None));
    assert_eq!(store.clear(key).await.unwrap(), Some(()));
    assert_eq!(store.keys(key).await.unwrap(), Some(Vec::new()));
    assert!(lives(&*store, key).await, "without values it is still a session");
}

#[tokio::test]
async fn a_key_that_is_taken_is_left_alone() {
    let store = store();
    let key = begun(&*store, "a", "mine").await;
    assert!(!store.create(key, LIFETIME, PLACE, "a", "yours").await.unwrap());
    assert_eq!(get(&*store, key, "a").await.as_deref(), Some("mine"));
}

#[tokio::test]
async fn a_value_is_swapped_only_if_it_is_what_was_expected() {
    let store = store();
    let key = begun(&*store, "a", "1").await;
    assert_eq!(store.compare_and_set(key, "a", Some("2"), "3").await.unwrap(), Some(false));
    assert_eq!(store.compare_and_set(key, "a", None, "3").await.unwrap(), Some(false));
    assert_eq!(store.compare_and_set(key, "a", Some("1"), "3").await.unwrap(), Some(true));
    assert_eq!(store.compare_and_set(key, "b", None, "4").await.unwrap(), Some(true));
    assert_eq!(get(&*store, key, "a").await.as_deref(), Some("3"));
    assert_eq!(get(&*store, key, "b").await.as_deref(), Some("4"));
}

/// Every operation says that there is no such session, and none makes one.
async fn assert_dead(store: &dyn Store, key: Key) {
    assert_eq!(store.get(key, "a").await.unwrap(), None);
    assert_eq!(store.set(key, "a", "1").await.unwrap(), None);
    assert_eq!(store.remove(key, "a").await.unwrap(), None);
    assert_eq!(store.compare_and_set(key, "a", None, "1").await.unwrap(), None);
    assert_eq!(store.keys(key).await.unwrap(), None);
    assert_eq!(store.clear(key).await.unwrap(), None);
    assert!(!store.destroy(key).await.unwrap());
    let new = self::key();
    assert!(!store.rotate(key, new, None).await.unwrap());
    assert!(!lives(store, new).await);
    assert!(!lives(store, key).await);
}

#[tokio::test]
async fn a_session_that_was_destroyed_accepts_nothing() {
    let store = store();
    let key = begun(&*store, "a", "1").await;
    assert!(store.destroy(key).await.unwrap());
    assert_dead(&*store, key).await;
    assert!(store.is_empty());
}

#[tokio::test]
async fn a_session_that_never_was_accepts_nothing() {
    assert_dead(&*store(), key()).await;
}

#[tokio::test]
async fn a_rotated_session_lives_on_under_its_new_key_alone() {
    let store = store();
    let (old, new) = (begun(&*store, "a", "1").await, key());
    assert!(store.rotate(old, new, None).await.unwrap());
    assert_eq!(get(&*store, new, "a").await.as_deref(), Some("1"));
    assert_dead(&*store, old).await;
    assert_eq!(store.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_when_nobody_used_it_for_its_idle_limit() {
    let store = store();
    let (used, idle) = (begun(&*store, "a", "1").await, begun(&*store, "a", "1").await);
    advance(Duration::from_secs(299)).await;
    assert!(get(&*store, used, "a").await.is_some(), "reading is use");
    advance(Duration::from_secs(1)).await;
    assert_dead(&*store, idle).await;
    advance(Duration::from_secs(298)).await;
    assert!(lives(&*store, used).await);
    advance(Duration::from_secs(300)).await;
    assert_dead(&*store, used).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_at_its_absolute_limit_however_busily_it_is_used() {
    let store = store();
    let mut key = begun(&*store, "a", "1").await;
    for _ in 0..8 * 60 - 1 {
        advance(Duration::from_secs(60)).await;
        assert!(lives(&*store, key).await);
    }
    let new = self::key();
    assert!(store.rotate(key, new, None).await.unwrap(), "which rotation does not move");
    key = new;
    advance(Duration::from_secs(60)).await;
    assert_dead(&*store, key).await;
}

#[tokio::test(start_paused = true)]
async fn the_client_is_told_again_only_when_worth_it_and_by_one_of_many() {
    let store = store();
    let key = begun(&*store, "a", "1").await;
    let touch = async || match store.visit(key, PLACE, "a").await.unwrap() {
        Visit::Live(visited) => visited,
        other => panic!("{other:?}"),
    };
    assert!(!touch().await.renew);
    advance(Duration::from_secs(29)).await;
    assert!(!touch().await.renew);
    advance(Duration::from_secs(1)).await;
    assert!(touch().await.renew);
    assert!(!touch().await.renew, "another was asked to do it");
    assert_eq!(touch().await.keep, Duration::from_secs(330), "it outlives the idle limit");
}

#[tokio::test(start_paused = true)]
async fn expired_sessions_leave_the_memory_when_they_are_swept() {
    let store = store();
    for _ in 0..1000 {
        begun(&*store, "a", "1").await;
    }
    advance(Duration::from_secs(200)).await;
    let young = begun(&*store, "a", "1").await;
    store.sweep().await.unwrap();
    assert_eq!(store.len(), 1001);
    advance(Duration::from_secs(102)).await;
    store.sweep().await.unwrap();
    assert_eq!(store.len(), 1);
    assert!(lives(&*store, young).await);
}

#[tokio::test]
async fn a_full_store_ends_the_oldest_anonymous_session_first() {
    let limits = MemoryLimits { sessions: 3, ..MemoryLimits::default() };
    let store = MemoryStore::new(limits);
    let first = begun(&store, "username", "admin").await;
    let second = begun(&store, "a", "1").await;
    let third = begun(&store, "a", "1").await;
    let fourth = begun(&store, "a", "1").await;
    assert_eq!(store.len(), 3);
    assert!(!lives(&store, second).await);
    assert!(lives(&store, first).await && lives(&store, third).await);

    store.set(third, "username", "somebody").await.unwrap();
    let fifth = begun(&store, "username", "else").await;
    assert!(!lives(&store, fourth).await, "the third is somebody's by now");

    begun(&store, "username", "last").await;
    assert!(!lives(&store, first).await, "each is somebody's: the oldest goes");
    assert!(lives(&store, third).await && lives(&store, fifth).await);
    assert_eq!(store.len(), 3);
}

#[tokio::test]
async fn a_large_store_keeps_to_its_limit() {
    let limits = MemoryLimits { sessions: 5000, ..MemoryLimits::default() };
    let store = MemoryStore::new(limits);
    for _ in 0..20_000 {
        begun(&store, "a", "1").await;
    }
    assert!(store.len() <= 5000, "{}", store.len());
    assert!(store.len() > 4000, "{}", store.len());
}

#[tokio::test]
async fn a_session_is_bounded_in_octets() {
    let limits = MemoryLimits { session_octets: 74, ..MemoryLimits::default() };
    let store = MemoryStore::new(limits);
    let key = begun(&store, "a", &"1".repeat(41)).await;
    let too_large = Err(Error::TooLarge { limit: 74 });
    assert_eq!(store.set(key, "a", &"1".repeat(42)).await, too_large);
    assert_eq!(store.set(key, "b", "").await, too_large);
    assert_eq!(
        get(&store, key, "a").await.as_deref(),
        Some("1".repeat(41).as_str()),
        "nothing was lost"
    );
    assert_eq!(store.set(key, "a", "1").await, Ok(Some(())));
    assert_eq!(store.set(key, "b", "1234567").await, Ok(Some(())));
    let create = store.create(self::key(), LIFETIME, PLACE, "a", &"1".repeat(42)).await;
    assert_eq!(create, Err(Error::TooLarge { limit: 74 }));
    assert_eq!(store.len(), 1);
}

#[tokio::test]
async fn an_id_is_128_random_bits_in_32_hex_digits() {
    let ids: std::collections::HashSet<String> =
        (0..1000).map(|_| Id::generate().reveal().to_owned()).collect();
    assert_eq!(ids.len(), 1000);
    for id in &ids {
        assert!(
            id.len() == 32 && id.bytes().all(|octet| b"0123456789abcdef".contains(&octet))
        );
    }
    let mut set_bits = [0u32; 128];
    for id in &ids {
        let bits = u128::from_str_radix(id, 16).unwrap();
        for (at, count) in set_bits.iter_mut().enumerate() {
            *count += u32::from(bits >> at & 1 == 1);
        }
    }
    // Each bit is set in half of the thousand. Ten standard deviations from it happen to nobody.
    assert!(set_bits.iter().all(|count| (342..=658).contains(count)), "{set_bits:?}");
}

#[test]
fn only_what_looks_like_an_id_is_one() {
    let id = Id::generate();
    assert_eq!(Id::parse(id.reveal()).unwrap().key(), id.key());
    for text in ["", "a", &id.reveal()[1..], &format!("{}0", id.reveal()), &"G".repeat(32)]
    {
        assert!(Id::parse(text).is_none(), "{text}");
    }
    assert!(Id::parse(&"ABCDEF0123456789".repeat(2)).is_none(), "in lower case only");
}

#[test]
fn what_the_store_keeps_and_what_a_log_shows_is_no_id() {
    let id = Id::parse("0123456789abcdef0123456789abcdef").unwrap();
    // What `md5sum` says of the 32 digits.
    assert_eq!(id.key().to_string(), "8516ac99dc60603295de7bdb6a153530");
    assert!(!format!("{id:?}").contains(id.reveal()));
    assert!(!format!("{:?}", id.key()).contains(id.reveal()));
}

#[tokio::test]
async fn the_default_store_is_one_for_the_whole_process() {
    let key = begun(&*memory::container(), "a", "1").await;
    let applications = [crate::support::demo(), crate::support::demo()];
    for application in &applications {
        assert!(lives(&**application.session_store(), key).await);
    }
    memory::container().destroy(key).await.unwrap();
}

/// Every operation at once, on a few sessions, from all threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_dead_key_stays_dead_under_every_operation_at_once() {
    for _ in 0..200 {
        let store: Arc<dyn Store> = store();
        let old = begun(&*store, "a", "0").await;
        let mut tasks = Vec::new();
        for number in 0..8 {
            let store = Arc::clone(&store);
            tasks.push(tokio::spawn(async move {
                match number {
                    0 => drop(store.destroy(old).await.unwrap()),
                    1 => drop(store.rotate(old, key(), None).await.unwrap()),
                    2 => drop(store.remove(old, "a").await.unwrap()),
                    3 => store.sweep().await.unwrap(),
                    _ => drop(store.set(old, "a", "1").await.unwrap()),
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        assert_dead(&*store, old).await;
    }
}
