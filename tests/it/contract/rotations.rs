//! Rotation: a session moves to a new key with its values, user and timeouts, and the old key
//! is dead.
//!
//! A rotation at each login defeats session fixation: an attacker that knew the id before the
//! login does not know the new one. So the old key must not give access for a single moment,
//! neither to reads nor to writes.

use dustdevil::session::store::{USERNAME, Visit};
use tokio::time::Instant;

use super::store_under_test::{StoreUnderTest, Timely, key};

pub async fn a_rotation_keeps_the_values(subject: StoreUnderTest) {
    let old = subject.begin("a", "1").await;
    subject.set(old, "b", "").await;
    let new = subject.rotate(old, None).await;
    assert_eq!(subject.keys(new).await.unwrap(), ["a", "b"]);
    assert_eq!(subject.get(new, "a").await.as_deref(), Some("1"));
    assert_eq!(subject.get(new, "b").await.as_deref(), Some(""));
    subject.set(new, "a", "2").await;
    let newer = subject.rotate(new, Some(subject.lifetime(500, 500))).await;
    assert_eq!(subject.get(newer, "a").await.as_deref(), Some("2"));
}

pub async fn a_rotated_key_accepts_nothing(subject: StoreUnderTest) {
    let old = subject.begin("a", "1").await;
    let new = subject.rotate(old, None).await;
    subject.assert_accepts_nothing(old).await;
    let newer = subject.rotate(new, Some(subject.long_lifetime())).await;
    subject.assert_accepts_nothing(old).await;
    subject.assert_accepts_nothing(new).await;
    assert_eq!(
        subject.get(newer, "a").await.as_deref(),
        Some("1"),
        "the session is unchanged"
    );
    assert_eq!(subject.keys(newer).await.unwrap(), ["a"]);
}

pub async fn a_visit_with_a_rotated_key_returns_moved(subject: StoreUnderTest) {
    let old = subject.begin("a", "1").await;
    let new = subject.rotate(old, None).await;
    for _ in 0..2 {
        assert_eq!(subject.visit(old).await, Visit::Moved);
    }
    let newer = subject.rotate(new, None).await;
    assert_eq!(subject.visit(old).await, Visit::Moved);
    assert_eq!(subject.visit(new).await, Visit::Moved);
    assert!(subject.is_live(newer).await);
}

pub async fn a_rotation_does_not_change_the_timeouts(subject: StoreUnderTest) -> Timely {
    let started = Instant::now();
    let old = subject.begin_for(subject.lifetime(100, 3), "a", "1").await;
    subject.pass(2).await;
    let new = key();
    let rotated = subject.store.rotate(old, new, None).await.unwrap();
    let is_live = subject.is_live(new).await;
    subject.check_in_time(started, 3)?;
    assert!(rotated && is_live);
    subject.pass(1).await;
    subject.assert_dead(new).await;
    Ok(())
}

pub async fn a_rotation_may_change_the_lifetime(subject: StoreUnderTest) -> Timely {
    let started = Instant::now();
    let old = subject.begin_for(subject.lifetime(2, 2), "a", "1").await;
    subject.pass(1).await;
    let (rotated_at, new) = (Instant::now(), key());
    let rotated = subject.store.rotate(old, new, Some(subject.lifetime(3, 4))).await;
    subject.check_in_time(started, 2)?;
    assert!(rotated.unwrap());
    subject.pass(2).await;
    let is_live = subject.is_live(new).await;
    subject.check_in_time(rotated_at, 3)?;
    assert!(is_live, "its first lifetime would have expired");
    subject.pass(2).await;
    subject.assert_dead(new).await;
    Ok(())
}

pub async fn a_rotation_may_shorten_the_lifetime(subject: StoreUnderTest) {
    let (one, other) = (subject.begin("a", "1").await, subject.begin("a", "1").await);
    let idle = subject.rotate(one, Some(subject.lifetime(1, 100))).await;
    let old = subject.rotate(other, Some(subject.lifetime(100, 1))).await;
    subject.pass(1).await;
    subject.assert_dead(idle).await;
    subject.assert_dead(old).await;
}

pub async fn rotating_an_unknown_key_creates_nothing(subject: StoreUnderTest) {
    let ended = subject.begin("a", "1").await;
    subject.destroy(ended).await;
    let expired = subject.begin_for(subject.lifetime(1, 1), "a", "1").await;
    subject.pass(1).await;
    let rotated = subject.counters().await.rotated;
    for old in [key(), ended, expired] {
        let new = key();
        assert!(!subject.store.rotate(old, new, None).await.unwrap());
        subject.assert_dead(new).await;
        assert_eq!(subject.visit(old).await, Visit::Gone, "it was not rotated");
    }
    assert_eq!(subject.counters().await.rotated, rotated);
}

pub async fn a_session_under_the_new_key_is_overwritten(subject: StoreUnderTest) {
    let (from, to) = (subject.begin("a", "1").await, subject.begin_as("ann").await);
    assert!(subject.store.rotate(from, to, None).await.unwrap());
    assert_eq!(subject.keys(to).await.unwrap(), ["a"]);
    assert!(subject.keys_of("ann").await.is_empty());
    subject.assert_accepts_nothing(from).await;
    let counters = subject.counters().await;
    assert_eq!((counters.live, counters.created, counters.rotated), (1, 2, 1));
    assert_eq!(counters.ended + counters.evicted + counters.expired, 1);
}

/// A logout with the old id must end the session, wherever it has been rotated to. Ending is
/// the only operation that follows rotations: a client that knows the old id may end the
/// session, and may not use it.
pub async fn destroying_a_rotated_key_ends_its_successor(subject: StoreUnderTest) {
    let old = subject.begin_as("ann").await;
    let new = subject.rotate(old, None).await;
    assert!(subject.destroy(old).await);
    assert!(subject.keys_of("ann").await.is_empty());
    subject.assert_accepts_nothing(new).await;
    assert!(!subject.destroy(new).await && !subject.destroy(old).await, "it ends once");
    assert_eq!(subject.counters().await.ended, 1);
}

pub async fn destroying_a_key_follows_all_its_rotations(subject: StoreUnderTest) {
    for way in 0..5 {
        let mut keys = vec![subject.begin("a", "1").await];
        for number in 0..4 {
            let lifetime = (number % 2 == 0).then(|| subject.long_lifetime());
            keys.push(subject.rotate(keys[number], lifetime).await);
        }
        assert!(subject.destroy(keys[way]).await, "by the key number {way}");
        for key in keys {
            assert!(!subject.destroy(key).await);
            subject.assert_accepts_nothing(key).await;
        }
    }
    assert_eq!(subject.counters().await.ended, 5);
}

pub async fn destroying_a_rotated_key_does_nothing_after_the_session_ended(
    subject: StoreUnderTest,
) {
    let old = subject.begin("a", "1").await;
    let new = subject.rotate(old, None).await;
    assert!(subject.destroy(new).await);
    assert!(!subject.destroy(old).await);

    let old = subject.begin_for(subject.lifetime(2, 100), "a", "1").await;
    let new = subject.rotate(old, Some(subject.lifetime(1, 1))).await;
    subject.pass(1).await;
    assert!(!subject.destroy(old).await, "it has expired");
    subject.assert_dead(new).await;
    assert_eq!(subject.counters().await.ended, 1);
}

pub async fn rotations_do_not_change_the_origin_of_a_session(subject: StoreUnderTest) {
    let first = subject.begin_as("ann").await;
    let origin = async |key| subject.store.origin(key).await.unwrap();
    assert_eq!(origin(first).await, Some(first));
    let second = subject.rotate(first, None).await;
    let third = subject.rotate(second, Some(subject.long_lifetime())).await;
    for key in [first, second, third] {
        assert_eq!(origin(key).await, Some(first));
    }
    let other = subject.begin_as("ann").await;
    let listed = subject.store.sessions_of("ann").await.unwrap();
    let listed: Vec<_> = listed.iter().map(|info| (info.key, info.origin)).collect();
    assert_eq!(listed, [(other, other), (third, first)]);
    assert_eq!(origin(key()).await, None);
}

pub async fn a_rotation_does_not_affect_other_sessions(subject: StoreUnderTest) {
    let other = subject.begin("a", "other").await;
    let old = subject.begin("a", "1").await;
    let new = subject.rotate(old, None).await;
    subject.destroy(old).await;
    assert_eq!(subject.get(other, "a").await.as_deref(), Some("other"));
    assert!(!subject.is_live(new).await && subject.is_live(other).await);
}

pub async fn a_rotation_keeps_the_user(subject: StoreUnderTest) {
    let (earlier, old) = (subject.begin_as("ann").await, subject.begin_as("ann").await);
    let later = subject.begin_as("ann").await;
    let new = subject.rotate(old, None).await;
    assert_eq!(subject.keys_of("ann").await, [later, new, earlier]);
    subject.set(new, USERNAME, "bob").await;
    assert_eq!(subject.keys_of("ann").await, [later, earlier]);
    assert_eq!(subject.keys_of("bob").await, [new]);
}
