//! The list of a user's sessions: its order, its contents, and the sessions above a limit.

use std::net::IpAddr;

use dustdevil::session::id::Key;
use dustdevil::session::store::{CompareAndSet, DEVICE, USERNAME};
use tokio::time::Instant;

use crate::support::CLIENT_IP;

use super::store_under_test::{StoreUnderTest, Timely, key};

pub async fn sessions_of_lists_a_users_sessions_the_latest_login_first(
    subject: StoreUnderTest,
) {
    subject.begin("a", "ann").await;
    let mut keys: Vec<Key> = Vec::new();
    for number in 0..12 {
        // These logins may all happen within one millisecond; their order counts all the same.
        let key = match number % 3 {
            0 => subject.begin_as("ann").await,
            _ => subject.begin("a", "1").await,
        };
        match number % 3 {
            0 => {}
            1 => subject.set(key, USERNAME, "ann").await,
            _ => {
                let swap = subject.store.compare_and_set(key, USERNAME, None, "ann").await;
                assert_eq!(swap.unwrap(), Some(CompareAndSet::Set));
            }
        }
        keys.insert(0, key);
        subject.begin_as("bob").await;
    }
    assert_eq!(subject.keys_of("ann").await, keys);
    assert_eq!(subject.keys_of("bob").await.len(), 12);
}

pub async fn the_list_is_ordered_by_login_and_not_by_age(subject: StoreUnderTest) {
    let old = subject.begin("a", "1").await;
    subject.pass(1).await;
    let young = subject.begin("a", "1").await;
    subject.set(young, USERNAME, "ann").await;
    subject.set(old, USERNAME, "ann").await;
    assert_eq!(subject.keys_of("ann").await, [old, young]);
    subject.get(young, "a").await;
    subject.set(young, "a", "2").await;
    assert!(subject.is_live(young).await);
    assert_eq!(subject.keys_of("ann").await, [old, young], "use changes nothing");
    subject.set(young, USERNAME, "bob").await;
    subject.set(young, USERNAME, "ann").await;
    assert_eq!(subject.keys_of("ann").await, [young, old]);
}

pub async fn a_rotation_with_a_lifetime_counts_as_a_login(subject: StoreUnderTest) {
    let (first, second) = (subject.begin_as("ann").await, subject.begin_as("ann").await);
    let first = subject.rotate(first, None).await;
    assert_eq!(subject.keys_of("ann").await, [second, first]);
    let first = subject.rotate(first, Some(subject.long_lifetime())).await;
    assert_eq!(subject.keys_of("ann").await, [first, second]);
}

pub async fn a_session_without_the_username_leaves_the_list(subject: StoreUnderTest) {
    let store = &subject.store;
    let mut keys = Vec::new();
    for _ in 0..7 {
        keys.push(subject.begin_as("ann").await);
    }
    store.remove(keys[0], USERNAME).await.unwrap();
    store.clear(keys[1]).await.unwrap();
    subject.set(keys[2], USERNAME, "bob").await;
    let swap = store.compare_and_set(keys[3], USERNAME, Some("ann"), "third").await;
    assert_eq!(swap.unwrap(), Some(CompareAndSet::Set));
    let swap = store.compare_and_set(keys[4], USERNAME, Some("third"), "third").await;
    assert_eq!(swap.unwrap(), Some(CompareAndSet::Differs(Some(String::from("ann")))));
    store.remove(keys[5], "a").await.unwrap();
    subject.destroy(keys[6]).await;
    assert_eq!(subject.keys_of("ann").await, [keys[5], keys[4]]);
    assert_eq!(subject.keys_of("bob").await, [keys[2]]);
    assert_eq!(subject.keys_of("third").await, [keys[3]]);
}

pub async fn a_session_that_gets_its_user_back_is_listed_again(subject: StoreUnderTest) {
    let key = subject.begin_as("ann").await;
    for _ in 0..2 {
        subject.store.remove(key, USERNAME).await.unwrap();
        assert!(subject.keys_of("ann").await.is_empty());
        subject.set(key, USERNAME, "ann").await;
        assert_eq!(subject.keys_of("ann").await, [key]);
        subject.store.clear(key).await.unwrap();
        assert!(subject.keys_of("ann").await.is_empty());
        subject.set(key, USERNAME, "ann").await;
        assert_eq!(subject.keys_of("ann").await, [key]);
    }
}

pub async fn an_expired_session_is_not_listed(subject: StoreUnderTest) {
    let idle = subject.lifetime(1, 100);
    let old = subject.lifetime(100, 1);
    for lifetime in [idle, old, idle, old] {
        subject.begin_for(lifetime, USERNAME, "ann").await;
    }
    let is_live = subject.begin_as("ann").await;
    subject.pass(1).await;
    assert_eq!(subject.keys_of("ann").await, [is_live], "expired, but not swept yet");
    subject.store.sweep().await.unwrap();
    assert_eq!(subject.keys_of("ann").await, [is_live]);
}

/// A store that builds keys or patterns from user names, as with Redis `SCAN MATCH`, must
/// escape them.
pub async fn any_text_is_a_user(subject: StoreUnderTest) {
    let mut users: Vec<String> = [
        "ann",
        "Ann",
        "ann ",
        " ",
        "",
        "*",
        "{ann}",
        "a:b",
        "a\0b",
        "idle",
        "an",
        "größer",
        "gro\u{308}ßer",
        "\u{1f32a}",
        "\r\n",
        "[a-z]*",
        "%",
        "\\",
    ]
    .map(String::from)
    .to_vec();
    users.push("x".repeat(1_000));
    subject.begin("a", "1").await;
    for user in &users {
        assert!(subject.sessions_of(user).await.is_empty(), "{user:?}");
    }
    let mut keys = Vec::new();
    for user in &users {
        keys.push(subject.begin_as(user).await);
    }
    for (user, key) in users.iter().zip(&keys) {
        assert_eq!(subject.keys_of(user).await, [*key], "{user:?}");
    }
    for (user, key) in users.iter().zip(&keys) {
        let new_key = subject.rotate(*key, None).await;
        assert_eq!(subject.keys_of(user).await, [new_key], "{user:?}");
        subject.destroy(new_key).await;
        assert!(subject.sessions_of(user).await.is_empty(), "{user:?}");
    }
}

pub async fn the_list_has_the_last_client_address(subject: StoreUnderTest) {
    let key = subject.begin_as("ann").await;
    let last_ip = async || subject.sessions_of("ann").await[0].last_ip;
    assert_eq!(last_ip().await, CLIENT_IP);
    for elsewhere in ["192.0.2.7", "2001:db8::1", "::ffff:192.0.2.7", "255.255.255.255"] {
        let elsewhere: IpAddr = elsewhere.parse().unwrap();
        subject.store.visit(key, elsewhere, "a").await.unwrap();
        assert_eq!(last_ip().await, elsewhere);
        subject.get(key, "a").await;
        assert_eq!(last_ip().await, elsewhere, "only a visit records the client address");
    }
    let last = last_ip().await;
    subject.rotate(key, Some(subject.long_lifetime())).await;
    assert_eq!(last_ip().await, last);

    let (other, other_ip) = (self::key(), "198.51.100.1".parse().unwrap());
    let lifetime = subject.long_lifetime();
    subject.store.create(other, lifetime, other_ip, USERNAME, "ann").await.unwrap();
    assert_eq!(last_ip().await, other_ip);
}

pub async fn the_list_has_the_device(subject: StoreUnderTest) {
    let key = subject.begin_as("ann").await;
    let device = async || subject.sessions_of("ann").await[0].device.clone();
    assert_eq!(device().await, None);
    for name in ["Téléphone \u{1f4f1}", "", "a\0b"] {
        subject.set(key, DEVICE, name).await;
        assert_eq!(device().await.as_deref(), Some(name));
    }
    subject.rotate(key, None).await;
    assert_eq!(device().await.as_deref(), Some("a\0b"));
    let key = subject.keys_of("ann").await[0];
    subject.store.remove(key, DEVICE).await.unwrap();
    assert_eq!(device().await, None);
}

pub async fn the_list_has_the_age_and_the_idle_time(subject: StoreUnderTest) {
    let started = Instant::now();
    let key = subject.begin_as("ann").await;
    let listed = async || subject.sessions_of("ann").await.remove(0);
    subject.pass(1).await;
    for _ in 0..2 {
        let (age, unused) = (listed().await.age, listed().await.idle);
        subject.assert_passed(age, 1, started);
        subject.assert_passed(unused, 1, started);
    }
    let used = Instant::now();
    subject.get(key, "a").await;
    subject.assert_passed(listed().await.idle, 0, used);
    subject.pass(1).await;
    subject.assert_passed(listed().await.age, 2, started);
    subject.assert_passed(listed().await.idle, 1, used);

    let new_key = Instant::now();
    let key = subject.rotate(key, None).await;
    subject.assert_passed(listed().await.age, 2, started);
    subject.assert_passed(listed().await.idle, 0, new_key);
    let latest = Instant::now();
    subject.rotate(key, Some(subject.long_lifetime())).await;
    subject.assert_passed(listed().await.age, 0, latest);
}

/// The limit of concurrent sessions per user ends the sessions that logged in first.
pub async fn sessions_over_limit_are_the_oldest_logins(subject: StoreUnderTest) {
    let mut keys: Vec<Key> = Vec::new();
    for _ in 0..5 {
        keys.insert(0, subject.begin_as("ann").await);
        subject.begin_as("bob").await;
    }
    for most in [0, 1, 4, 5, 6, usize::MAX] {
        let beyond = subject.store.sessions_over_limit("ann", most).await.unwrap();
        assert_eq!(beyond, keys[most.min(5)..], "beyond {most}");
    }
    assert!(subject.store.sessions_over_limit("carol", 0).await.unwrap().is_empty());
}

pub async fn sessions_over_limit_are_all_live(subject: StoreUnderTest) -> Timely {
    let (started, idle) = (Instant::now(), subject.lifetime(2, 100));
    let _unused = subject.begin_for(idle, USERNAME, "ann").await;
    let used = subject.begin_for(idle, USERNAME, "ann").await;
    let new_key = subject.begin_for(idle, USERNAME, "ann").await;
    let latest = subject.begin_as("ann").await;
    let beyond = async |most| subject.store.sessions_over_limit("ann", most).await.unwrap();
    assert_eq!(beyond(4).await, []);
    subject.pass(1).await;
    subject.get(used, "a").await;
    let new_key = subject.rotate(new_key, None).await;
    let moved_in_time = subject.check_in_time(started, 2);
    let again = Instant::now();
    subject.pass(1).await;
    let (of_all, of_two) = (beyond(0).await, beyond(2).await);
    moved_in_time?;
    subject.check_in_time(again, 2)?;
    assert_eq!(of_all, [latest, new_key, used]);
    assert_eq!(of_two, [used]);
    let shorter = subject.rotate(latest, Some(subject.lifetime(3, 100))).await;
    subject.pass(2).await;
    let late = Instant::now();
    subject.get(shorter, "a").await;
    let of_all = beyond(0).await;
    subject.check_in_time(late, 1)?;
    assert_eq!(of_all, [shorter]);
    assert_eq!(beyond(1).await, []);
    subject.pass(3).await;
    assert_eq!(beyond(0).await, []);
    Ok(())
}
