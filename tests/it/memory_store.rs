//! Promises of the memory store beyond the contract: its limits, and that the default store is
//! shared by the process.

use std::time::Duration;

use dustdevil::session::error::Error;
use dustdevil::session::id::{Id, Key};
use dustdevil::session::memory;
use dustdevil::session::store::Visit;
use dustdevil::{Lifetime, MemoryLimits, MemoryStore, Store};
use tokio::time::advance;

use crate::support::{CLIENT_IP, store};

const LIFETIME: Lifetime =
    Lifetime { idle: Duration::from_secs(300), absolute: Duration::from_secs(8 * 3600) };

fn key() -> Key {
    Id::generate().key()
}

/// Creates a session with `name` = `value`.
async fn create_session(store: &dyn Store, name: &str, value: &str) -> Key {
    let key = key();
    assert!(store.create(key, LIFETIME, CLIENT_IP, name, value).await.unwrap());
    key
}

async fn get(store: &dyn Store, key: Key, name: &str) -> Option<String> {
    store.get(key, name).await.unwrap().flatten()
}

async fn is_live(store: &dyn Store, key: Key) -> bool {
    matches!(store.visit(key, CLIENT_IP, "a").await.unwrap(), Visit::Live(_))
}

#[tokio::test(start_paused = true)]
async fn a_sweep_frees_the_memory_of_expired_sessions() {
    let store = store();
    for _ in 0..1000 {
        create_session(&*store, "a", "1").await;
    }
    advance(Duration::from_secs(200)).await;
    let young = create_session(&*store, "a", "1").await;
    store.sweep().await.unwrap();
    assert_eq!(store.len(), 1001);
    advance(Duration::from_secs(102)).await;
    store.sweep().await.unwrap();
    assert_eq!(store.len(), 1);
    assert!(is_live(&*store, young).await);
}

/// The limit of bytes evicts anonymous sessions first, too.
#[tokio::test]
async fn a_few_large_sessions_do_not_evict_many_small_ones() {
    let limits = MemoryLimits { max_bytes: 512 * 1024, ..MemoryLimits::default() };
    let store = MemoryStore::new(limits);
    for _ in 0..1000 {
        create_session(&store, "username", "ann").await;
    }
    for _ in 0..100 {
        create_session(&store, "a", &"1".repeat(16_000)).await;
    }
    let users = store.sessions_of("ann").await.unwrap().len();
    assert_eq!(users, 1000, "anonymous sessions are evicted first, and some of them stay");
}

/// The eviction order: oldest anonymous sessions first, then oldest logins. A flood of new
/// visitors must not log users out.
#[tokio::test]
async fn a_full_store_evicts_the_oldest_anonymous_session_first() {
    let limits = MemoryLimits { max_sessions: 3, ..MemoryLimits::default() };
    let store = MemoryStore::new(limits);
    let first = create_session(&store, "username", "admin").await;
    let second = create_session(&store, "a", "1").await;
    let third = create_session(&store, "a", "1").await;
    let fourth = create_session(&store, "a", "1").await;
    assert_eq!(store.len(), 3);
    assert!(!is_live(&store, second).await);
    assert!(is_live(&store, first).await && is_live(&store, third).await);

    store.set(third, "username", "ann").await.unwrap();
    let fifth = create_session(&store, "username", "else").await;
    assert!(!is_live(&store, fourth).await, "the third belongs to a user by now");

    create_session(&store, "username", "last").await;
    assert!(
        !is_live(&store, first).await,
        "all belong to users: the oldest login is evicted"
    );
    assert!(is_live(&store, third).await && is_live(&store, fifth).await);
    assert_eq!(store.len(), 3);
}

#[tokio::test]
async fn a_large_store_keeps_to_its_limit() {
    let limits = MemoryLimits { max_sessions: 5000, ..MemoryLimits::default() };
    let store = MemoryStore::new(limits);
    for _ in 0..20_000 {
        create_session(&store, "a", "1").await;
    }
    assert!(store.len() <= 5000, "{}", store.len());
    assert!(store.len() > 4000, "{}", store.len());
}

#[tokio::test]
async fn a_session_is_bounded_in_bytes() {
    let limits = MemoryLimits { max_session_bytes: 74, ..MemoryLimits::default() };
    let store = MemoryStore::new(limits);
    let key = create_session(&store, "a", &"1".repeat(41)).await;
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
    let create = store.create(self::key(), LIFETIME, CLIENT_IP, "a", &"1".repeat(42)).await;
    assert_eq!(create, Err(Error::TooLarge { limit: 74 }));
    assert_eq!(store.len(), 1);
}

#[tokio::test]
async fn a_session_rotated_to_a_taken_key_keeps_its_user() {
    let store = MemoryStore::new(MemoryLimits::default());
    for lifetime in [None, Some(LIFETIME)] {
        let one = create_session(&store, "username", "ann").await;
        let other = create_session(&store, "username", "ann").await;
        assert_eq!(store.rotate(one, other, lifetime).await, Ok(true));
        let listed = store.sessions_of("ann").await.unwrap();
        assert_eq!(listed.iter().map(|listed| listed.key).collect::<Vec<Key>>(), [other]);
        store.destroy(other).await.unwrap();
    }
}

/// `sessions_over_limit` uses an index; `sessions_of` looks at each session. Both must agree.
#[tokio::test(start_paused = true)]
async fn sessions_over_limit_agrees_with_the_list() {
    let store = MemoryStore::new(MemoryLimits::default());
    let mut keys: Vec<Key> = Vec::new();
    let mut dice: u64 = 1;
    let mut throw = |sides: u64| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (dice >> 33) % sides
    };
    let mut found = 0;
    for _ in 0..5000 {
        let lifetime = Lifetime {
            idle: Duration::from_secs(1 + throw(64)),
            absolute: Duration::from_secs(1 + throw(128)),
        };
        let at = usize::try_from(throw(1 << 16)).unwrap() % keys.len().max(1);
        match (throw(8), keys.get(at).copied()) {
            (0, Some(key)) => drop(store.destroy(key).await),
            (1, Some(key)) => drop(store.get(key, "a").await),
            (2 | 3, Some(key)) => {
                keys[at] = self::key();
                let lifetime = throw(2).eq(&0).then_some(lifetime);
                store.rotate(key, keys[at], lifetime).await.unwrap();
            }
            (4, _) => advance(Duration::from_secs(throw(4))).await,
            _ => {
                keys.push(self::key());
                let key = keys[keys.len() - 1];
                store.create(key, lifetime, CLIENT_IP, "username", "ann").await.unwrap();
            }
        }
        let most = usize::try_from(throw(64)).unwrap();
        let beyond = store.sessions_over_limit("ann", most).await.unwrap();
        let listed = store.sessions_of("ann").await.unwrap();
        let listed: Vec<Key> = listed.iter().map(|listed| listed.key).skip(most).collect();
        assert_eq!(beyond, listed);
        found += listed.len();
    }
    assert!(found > 5000, "{found}");
}

#[tokio::test]
async fn values_of_any_length_come_back() {
    let store = MemoryStore::new(MemoryLimits::default());
    let key = create_session(&store, "a", "").await;
    for length in (0..64).chain(250..260).chain([1000, 8000]) {
        let value = "1".repeat(length);
        store.set(key, "a", &value).await.unwrap();
        store.set(key, &value, "b").await.unwrap();
        assert_eq!(get(&store, key, "a").await, Some(value.clone()));
        assert_eq!(store.remove(key, &value).await, Ok(Some(Some("b".to_owned()))));
        assert_eq!(store.keys(key).await, Ok(Some(vec!["a".to_owned()])));
    }
}

#[tokio::test]
async fn sessions_are_found_despite_colliding_keys_and_removals() {
    let store =
        MemoryStore::new(MemoryLimits { max_sessions: 4000, ..MemoryLimits::default() });
    // Eight keys begin alike, and so do those 2,048 numbers later: they collide in the hash
    // table.
    let key = |number: u32| {
        Key::parse(&format!("{:02x}{number:030x}", number / 8 % 256)).unwrap()
    };
    let is_kept = |number: u32| number.is_multiple_of(7);
    for number in 0..3000 {
        let value = number.to_string();
        let created = store.create(key(number), LIFETIME, CLIENT_IP, "a", &value).await;
        assert_eq!(created, Ok(true));
        if number >= 100 && !is_kept(number - 100) {
            assert_eq!(store.destroy(key(number - 100)).await, Ok(true));
        }
    }
    for number in 0..3000 {
        let kept = (is_kept(number) || number >= 2900).then(|| number.to_string());
        assert_eq!(get(&store, key(number), "a").await, kept);
    }
}

#[tokio::test]
async fn the_default_store_is_shared_by_the_whole_process() {
    let key = create_session(&*memory::container(), "a", "1").await;
    let applications = [crate::support::demo(), crate::support::demo()];
    for application in &applications {
        assert!(is_live(&**application.session_store(), key).await);
    }
    memory::container().destroy(key).await.unwrap();
}
