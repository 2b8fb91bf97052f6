//! The values of a session: names and values are any text, and one value changes atomically.

use std::sync::Arc;

use dustdevil::session::error::Error;
use dustdevil::session::store::{CompareAndSet, USERNAME, Visit};
use tokio::time::Instant;

use crate::support::CLIENT_IP;

use super::store_under_test::{StoreUnderTest, Timely, key};

pub async fn a_session_is_created_with_one_value(subject: StoreUnderTest) {
    let key = subject.begin("a", "1").await;
    assert_eq!(subject.get(key, "a").await.as_deref(), Some("1"));
    assert_eq!(subject.keys(key).await.unwrap(), ["a"]);
}

pub async fn a_key_that_is_taken_is_left_alone(subject: StoreUnderTest) -> Timely {
    let started = Instant::now();
    let key = subject.begin_for(subject.lifetime(100, 3), "a", "mine").await;
    subject.pass(1).await;
    let elsewhere = "192.0.2.9".parse().unwrap();
    for name in ["a", "b", USERNAME] {
        let lifetime = subject.long_lifetime();
        let created = subject.store.create(key, lifetime, elsewhere, name, "yours").await;
        subject.check_in_time(started, 3)?;
        assert!(!created.unwrap());
    }
    let (keys, value) = (subject.keys(key).await, subject.get(key, "a").await);
    subject.check_in_time(started, 3)?;
    assert_eq!(keys.unwrap(), ["a"]);
    assert_eq!(value.as_deref(), Some("mine"));
    assert!(subject.keys_of("yours").await.is_empty());
    subject.pass(2).await;
    subject.assert_dead(key).await;
    Ok(())
}

pub async fn a_value_is_what_was_set_last(subject: StoreUnderTest) {
    let key = subject.begin("a", "1").await;
    for value in ["2", "", "3", "3"] {
        subject.set(key, "a", value).await;
        assert_eq!(subject.get(key, "a").await.as_deref(), Some(value));
        assert_eq!(subject.visited(key).await.value.as_deref(), Some(value));
    }
    assert_eq!(subject.keys(key).await.unwrap(), ["a"]);
}

pub async fn a_name_that_was_not_set_has_no_value(subject: StoreUnderTest) {
    let (store, key) = (&subject.store, subject.begin("b", "1").await);
    assert_eq!(store.get(key, "a").await.unwrap(), Some(None));
    assert_eq!(store.remove(key, "a").await.unwrap(), Some(None));
    assert_eq!(subject.visited(key).await.value, None);
    assert_eq!(subject.keys(key).await.unwrap(), ["b"]);
}

/// Flash messages rely on this: two concurrent requests must not both show the message.
pub async fn a_removed_value_is_returned_once(subject: StoreUnderTest) {
    let (store, key) = (&subject.store, subject.begin("a", "1").await);
    assert_eq!(store.remove(key, "a").await.unwrap(), Some(Some(String::from("1"))));
    assert_eq!(store.remove(key, "a").await.unwrap(), Some(None));
    assert_eq!(store.get(key, "a").await.unwrap(), Some(None));
    assert!(subject.is_live(key).await, "without values it is still a session");
}

pub async fn a_value_is_swapped_only_if_it_is_what_was_expected(subject: StoreUnderTest) {
    let key = subject.begin("a", "1").await;
    for (name, expected, value, swapped) in [
        ("a", Some("2"), "3", false),
        ("a", Some(""), "3", false),
        ("a", None, "3", false),
        ("a", Some("1"), "3", true),
        ("a", Some("3"), "3", true),
        ("b", Some(""), "4", false),
        ("b", Some("4"), "4", false),
        ("b", None, "", true),
        ("b", None, "5", false),
        ("b", Some(""), "6", true),
    ] {
        let before = subject.get(key, name).await;
        let result = subject.store.compare_and_set(key, name, expected, value).await;
        let wanted = match swapped {
            true => CompareAndSet::Set,
            false => CompareAndSet::Differs(before.clone()),
        };
        assert_eq!(result.unwrap(), Some(wanted), "{name} from {expected:?} to {value}");
        let after = if swapped { Some(String::from(value)) } else { before };
        assert_eq!(subject.get(key, name).await, after);
    }
    assert_eq!(subject.keys(key).await.unwrap(), ["a", "b"]);
}

/// Compare-and-swap is the atomic operation that counters and `Session::update` are built from.
/// If two swaps from the same value succeeded, an update would be lost.
pub async fn one_of_many_concurrent_swaps_succeeds(subject: StoreUnderTest) {
    let key = subject.begin("a", "initial").await;
    let swaps = (0..20).map(|number| {
        let store = Arc::clone(&subject.store);
        tokio::spawn(async move {
            let mine = format!("{number}'s");
            let swap = store.compare_and_set(key, "a", Some("initial"), &mine);
            (swap.await.unwrap() == Some(CompareAndSet::Set)).then_some(mine)
        })
    });
    let mut winners = Vec::new();
    for swap in swaps.collect::<Vec<_>>() {
        winners.extend(swap.await.unwrap());
    }
    assert_eq!(winners.len(), 1, "{winners:?}");
    assert_eq!(subject.get(key, "a").await, winners.pop());
}

pub async fn concurrent_additions_all_count(subject: StoreUnderTest) {
    let key = subject.begin("a", "1").await;
    let additions = (1..=20).map(|amount| {
        let store = Arc::clone(&subject.store);
        tokio::spawn(async move { store.add(key, "n", amount).await.unwrap().unwrap() })
    });
    let mut sums = Vec::new();
    for addition in additions.collect::<Vec<_>>() {
        sums.push(addition.await.unwrap());
    }
    sums.sort_unstable();
    sums.dedup();
    assert_eq!((sums.len(), sums.last()), (20, Some(&210)));
    assert_eq!(subject.get(key, "n").await.as_deref(), Some("210"));
    assert_eq!(subject.store.add(key, "n", -211).await.unwrap(), Some(-1));
    assert_eq!(subject.store.add(key, "a", 0).await.unwrap(), Some(1));
}

pub async fn only_an_integer_is_added_to(subject: StoreUnderTest) {
    let (store, key) = (&subject.store, subject.begin("most", "999999999999999").await);
    assert_eq!(store.add(key, "most", -999_999_999_999_999).await.unwrap(), Some(0));
    for text in ["", "one", "1.5", " 1", "1 ", "0x1", "1e3", "1000000000000000", "--1"] {
        subject.set(key, "text", text).await;
        let error = store.add(key, "text", 1).await.unwrap_err();
        assert!(matches!(error, Error::WrongType { .. }), "{text:?}: {error:?}");
        assert_eq!(subject.get(key, "text").await.as_deref(), Some(text));
    }
    for amount in [i64::MAX, i64::MIN, 1_000_000_000_000_000] {
        let error = store.add(key, "most", amount).await.unwrap_err();
        assert!(matches!(error, Error::WrongType { .. }), "{amount}: {error:?}");
    }
    assert_eq!(subject.get(key, "most").await.as_deref(), Some("0"));
}

pub async fn a_cleared_session_stays_live_without_values(subject: StoreUnderTest) {
    let (store, key) = (&subject.store, subject.begin_as("ann").await);
    subject.set(key, "a", "1").await;
    for _ in 0..2 {
        assert_eq!(store.clear(key).await.unwrap(), Some(()));
        assert_eq!(subject.keys(key).await, Some(Vec::new()));
    }
    assert_eq!(subject.visited(key).await.value, None);
    subject.set(key, "b", "2").await;
    assert_eq!(subject.keys(key).await.unwrap(), ["b"]);
}

pub async fn sessions_do_not_share_values(subject: StoreUnderTest) {
    let (one, other) = (subject.begin("a", "1").await, subject.begin("a", "2").await);
    subject.set(one, "b", "3").await;
    assert_eq!(subject.keys(other).await.unwrap(), ["a"]);
    subject.store.remove(one, "a").await.unwrap();
    assert_eq!(subject.get(other, "a").await.as_deref(), Some("2"));
    subject.store.clear(other).await.unwrap();
    assert_eq!(subject.keys(one).await.unwrap(), ["b"]);
    subject.destroy(other).await;
    assert_eq!(subject.get(one, "b").await.as_deref(), Some("3"));
}

/// Texts that a store might treat specially: separators, patterns, escapes, empty strings.
fn texts() -> Vec<String> {
    let mut texts = [
        "",
        " ",
        " a ",
        "a\r\nb",
        "\0",
        "a\0b",
        "007",
        "1e3",
        "nil",
        "null",
        "false",
        "*",
        "{a}",
        "\"'\\",
        "größer",
        "砂旋风",
        "\u{1f32a}\u{fe0f}",
        "e\u{301}",
        "\u{e9}",
        "\u{feff}a",
        "\u{10ffff}",
    ]
    .map(String::from)
    .to_vec();
    texts.push("x".repeat(300));
    texts
}

pub async fn any_text_is_a_name_and_any_is_a_value(subject: StoreUnderTest) {
    let key = subject.begin("", "").await;
    assert_eq!(subject.get(key, "").await.as_deref(), Some(""));
    let mut texts = texts();
    for text in &texts {
        let value = format!("{text} is what it says");
        subject.set(key, text, &value).await;
        assert_eq!(subject.visited(key).await.max_age, subject.units(1_100));
    }
    for text in &texts {
        let value = format!("{text} is what it says");
        assert_eq!(subject.get(key, text).await, Some(value), "named {text:?}");
    }
    texts.sort();
    assert_eq!(subject.keys(key).await.unwrap(), texts);
    for text in &texts {
        subject.set(key, "value", text).await;
        assert_eq!(subject.get(key, "value").await.as_ref(), Some(text));
        let visit = subject.store.visit(key, CLIENT_IP, "value").await.unwrap();
        assert!(
            matches!(visit, Visit::Live(visited) if visited.value.as_ref() == Some(text))
        );
        let swap = subject.store.compare_and_set(key, "value", Some(text), "other");
        assert_eq!(swap.await.unwrap(), Some(CompareAndSet::Set), "swapped {text:?}");
        subject.set(key, "value", text).await;
        let taken = subject.store.remove(key, "value").await.unwrap().unwrap();
        assert_eq!(taken.as_ref(), Some(text));
    }
}

/// A store may keep its own data about a session next to the values, as Redis does in the same
/// hash. No name of a value may collide with it.
pub async fn names_that_a_store_might_use_itself_are_like_any_other(
    subject: StoreUnderTest,
) {
    let names = [
        "idle",
        "end",
        "absolute",
        "began",
        "created",
        "used",
        "told",
        "ip",
        "bytes",
        "size",
        "user",
        "users",
        "key",
        "id",
        "moved",
        "to",
        "login",
        "v",
        "v:",
        "v:a",
        ":",
        "m:",
        "_",
        "__proto__",
        "ttl",
        "lifetime",
    ];
    let other = subject.begin("a", "1").await;
    let key = subject.begin("idle", "-1").await;
    for name in names {
        subject.set(key, name, "0").await;
        assert_eq!(subject.get(key, name).await.as_deref(), Some("0"), "{name}");
    }
    let mut all = names.to_vec();
    all.sort_unstable();
    assert_eq!(subject.keys(key).await.unwrap(), all);
    for name in names {
        let taken = subject.store.remove(key, name).await.unwrap();
        assert_eq!(taken, Some(Some(String::from("0"))), "{name}");
        assert_eq!(subject.visited(key).await.max_age, subject.units(1_100));
    }
    let new_key = subject.rotate(key, None).await;
    subject.set(new_key, "end", "0").await;
    subject.store.clear(new_key).await.unwrap();
    assert!(subject.is_live(new_key).await && subject.is_live(other).await);
    assert_eq!(subject.keys(other).await.unwrap(), ["a"]);
}

pub async fn ten_kibibytes_are_a_value(subject: StoreUnderTest) {
    let long = "0123456789abcdeé".repeat(10 * 1024 / 17);
    let key = subject.begin("a", &long).await;
    assert_eq!(subject.get(key, "a").await.as_ref(), Some(&long));
    let swapped = subject.store.compare_and_set(key, "a", Some(&long), "short").await;
    assert_eq!(swapped.unwrap(), Some(CompareAndSet::Set));
    subject.set(key, "a", &long).await;
    let new_key = subject.rotate(key, None).await;
    assert_eq!(subject.get(new_key, "a").await.as_ref(), Some(&long));
}

/// Returns the shortest of a series of values, each twice as long, that exceeds the limit of a
/// session.
async fn too_large(subject: &StoreUnderTest) -> Option<String> {
    let key = subject.begin("a", "1").await;
    for exponent in 10..27 {
        let value = "x".repeat(1 << exponent);
        match subject.store.set(key, "long", &value).await {
            Err(Error::TooLarge { limit }) => {
                assert!(limit < value.len() + 1024, "{} bytes are not", value.len());
                return Some(value);
            }
            result => assert_eq!(result.unwrap(), Some(())),
        }
    }
    None
}

/// A failed write has no effect at all, so the session is as it was before.
pub async fn a_value_that_is_too_large_changes_nothing(subject: StoreUnderTest) {
    // A store that takes 64 MiB in each session is considered unlimited.
    let Some(large) = too_large(&subject).await else { return };
    let (store, key) = (&subject.store, subject.begin("a", "1").await);
    subject.set(key, USERNAME, "ann").await;
    let is_too_large = |error: &Error| matches!(error, Error::TooLarge { .. });
    for name in ["a", "b", USERNAME] {
        assert!(is_too_large(&store.set(key, name, &large).await.unwrap_err()));
        let before = subject.get(key, name).await;
        let swapped = store.compare_and_set(key, name, before.as_deref(), &large).await;
        assert!(is_too_large(&swapped.unwrap_err()));
    }
    assert_eq!(subject.keys(key).await.unwrap(), ["a", USERNAME]);
    assert_eq!(subject.get(key, "a").await.as_deref(), Some("1"));
    assert_eq!(subject.keys_of("ann").await, [key]);

    let before = subject.counters().await;
    let (new, lifetime) = (self::key(), subject.long_lifetime());
    let created = store.create(new, lifetime, CLIENT_IP, USERNAME, &large).await;
    assert!(is_too_large(&created.unwrap_err()));
    assert!(subject.keys_of(&large).await.is_empty());
    assert_eq!(subject.counters().await, before);
    subject.assert_dead(new).await;
}

pub async fn removed_values_free_their_bytes(subject: StoreUnderTest) {
    let Some(large) = too_large(&subject).await else { return };
    // Half as much was within the limit, and a little less leaves space for the small values.
    let most = &large[..large.len() / 2 - 512];
    let (store, mut key) = (&subject.store, subject.begin("small", "1").await);
    for round in 0..40 {
        subject.set(key, "large", most).await;
        match round % 4 {
            0 => drop(store.remove(key, "large").await.unwrap()),
            1 => drop(store.clear(key).await.unwrap()),
            2 => key = subject.rotate(key, None).await,
            _ => {
                let swap = store.compare_and_set(key, "large", Some(most), "");
                assert_eq!(swap.await.unwrap(), Some(CompareAndSet::Set));
            }
        }
    }
    let other = subject.begin("large", most).await;
    assert!(subject.is_live(key).await && subject.is_live(other).await);
}
