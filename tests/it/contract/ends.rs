//! The end of a session: destroyed, or expired by its idle or its absolute timeout. A session
//! that has ended stays ended.
//!
//! OWASP recommends both timeouts. The idle timeout protects a session that its user has left
//! behind. The absolute timeout limits the use of a stolen id, which an attacker could
//! otherwise keep alive.

use dustdevil::session::id::Key;
use dustdevil::session::store::USERNAME;
use tokio::time::Instant;

use crate::support::CLIENT_IP;

use super::store_under_test::{StoreUnderTest, Timely, key};

pub async fn a_key_that_was_never_created_accepts_nothing(subject: StoreUnderTest) {
    subject.begin("a", "1").await;
    subject.assert_dead(key()).await;
}

pub async fn a_session_that_was_destroyed_accepts_nothing(subject: StoreUnderTest) {
    let key = subject.begin("a", "1").await;
    assert!(subject.destroy(key).await);
    subject.assert_dead(key).await;
    subject.assert_dead(key).await;
}

pub async fn a_session_past_its_idle_timeout_accepts_nothing(subject: StoreUnderTest) {
    let key = subject.begin_for(subject.lifetime(1, 100), "a", "1").await;
    subject.pass(1).await;
    subject.assert_dead(key).await;
    subject.pass(1).await;
    subject.assert_dead(key).await;
}

pub async fn a_session_past_its_absolute_timeout_accepts_nothing(subject: StoreUnderTest) {
    let key = subject.begin_for(subject.lifetime(100, 1), "a", "1").await;
    subject.pass(1).await;
    subject.assert_dead(key).await;
    subject.pass(1).await;
    subject.assert_dead(key).await;
}

pub async fn an_unused_session_expires_at_its_idle_timeout(
    subject: StoreUnderTest,
) -> Timely {
    let started = Instant::now();
    let key = subject.begin_for(subject.lifetime(2, 100), "a", "1").await;
    subject.pass(1).await;
    let (used, value) = (Instant::now(), subject.get(key, "a").await);
    subject.check_in_time(started, 2)?;
    assert!(value.is_some(), "half of its idle timeout has passed");
    subject.pass(1).await;
    let value = subject.get(key, "a").await;
    subject.check_in_time(used, 2)?;
    assert!(value.is_some(), "half of its idle timeout has passed since its use");
    subject.pass(2).await;
    subject.assert_dead(key).await;
    Ok(())
}

/// Uses one session with each operation, and returns which operations found their session. Some
/// operations have no effect (such as removing an unset name), which is use all the same.
async fn use_each(subject: &StoreUnderTest, keys: &mut [Key]) -> [bool; 10] {
    let store = &subject.store;
    let new = key();
    let found = [
        subject.is_live(keys[0]).await,
        store.get(keys[1], "a").await.unwrap().is_some(),
        store.get(keys[2], "nothing").await.unwrap().is_some(),
        store.set(keys[3], "a", "1").await.unwrap().is_some(),
        store.remove(keys[4], "nothing").await.unwrap().is_some(),
        store.compare_and_set(keys[5], "a", Some("1"), "1").await.unwrap().is_some(),
        store.compare_and_set(keys[6], "a", Some("2"), "1").await.unwrap().is_some(),
        store.keys(keys[7]).await.unwrap().is_some(),
        store.clear(keys[8]).await.unwrap().is_some(),
        store.rotate(keys[9], new, None).await.unwrap(),
    ];
    keys[9] = new;
    found
}

pub async fn every_operation_is_use(subject: StoreUnderTest) -> Timely {
    let mut used = Instant::now();
    let mut keys = Vec::new();
    for _ in 0..10 {
        keys.push(subject.begin_for(subject.lifetime(3, 100), "a", "1").await);
    }
    for _ in 0..3 {
        subject.pass(2).await;
        let last_used = std::mem::replace(&mut used, Instant::now());
        let alive = use_each(&subject, &mut keys).await;
        subject.check_in_time(last_used, 3)?;
        assert_eq!(alive, [true; 10], "two thirds of the idle timeout have passed");
    }
    subject.pass(3).await;
    for key in keys {
        subject.assert_accepts_nothing(key).await;
    }
    Ok(())
}

/// If listing were use, a page with the list would keep all sessions of the user alive.
pub async fn listing_the_sessions_of_a_user_is_not_use(subject: StoreUnderTest) {
    let key = subject.begin_for(subject.lifetime(2, 100), USERNAME, "ann").await;
    for _ in 0..2 {
        subject.sessions_of("ann").await;
        subject.store.sessions_over_limit("ann", 0).await.unwrap();
        subject.counters().await;
        subject.store.sweep().await.unwrap();
        subject.pass(1).await;
    }
    assert!(subject.sessions_of("ann").await.is_empty());
    subject.assert_dead(key).await;
}

pub async fn a_busy_session_expires_at_its_absolute_timeout(
    subject: StoreUnderTest,
) -> Timely {
    let started = Instant::now();
    let key = subject.begin_for(subject.lifetime(2, 4), "a", "1").await;
    for _ in 0..3 {
        subject.pass(1).await;
        let is_live = subject.is_live(key).await;
        subject.set(key, "a", "1").await;
        subject.check_in_time(started, 4)?;
        assert!(is_live);
    }
    subject.pass(1).await;
    subject.assert_dead(key).await;
    Ok(())
}

pub async fn sessions_of_one_store_may_have_different_lifetimes(
    subject: StoreUnderTest,
) -> Timely {
    let started = Instant::now();
    let short = subject.begin_for(subject.lifetime(1, 100), "a", "1").await;
    let long = subject.begin_for(subject.lifetime(3, 100), "a", "1").await;
    let old = subject.begin_for(subject.lifetime(100, 2), "a", "1").await;
    subject.pass(1).await;
    let alive = (subject.is_live(long).await, subject.is_live(old).await);
    subject.check_in_time(started, 2)?;
    assert_eq!(alive, (true, true));
    subject.assert_dead(short).await;
    subject.pass(1).await;
    let alive = subject.is_live(long).await;
    subject.check_in_time(started, 3)?;
    assert!(alive);
    subject.assert_dead(old).await;
    Ok(())
}

pub async fn a_sweep_removes_expired_sessions_and_no_others(
    subject: StoreUnderTest,
) -> Timely {
    let started = Instant::now();
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(subject.begin_for(subject.lifetime(2, 200), USERNAME, "a").await);
    }
    let used = subject.begin_for(subject.lifetime(2, 200), "a", "1").await;
    let busy = subject.begin("a", "1").await;
    subject.pass(1).await;
    let alive = subject.get(used, "a").await.is_some();
    subject.store.sweep().await.unwrap();
    let listed = subject.keys_of("a").await.len();
    let counters = subject.counters().await;
    subject.check_in_time(started, 2)?;
    assert_eq!((alive, listed, counters.live, counters.expired), (true, 300, 302, 0));

    subject.pass(2).await;
    // Redis expires keys in the background, so its counters may lag a little.
    for _ in 0..20 {
        subject.store.sweep().await.unwrap();
        if subject.counters().await.expired >= 301 {
            break;
        }
        subject.pass(1).await;
    }
    let counters = subject.counters().await;
    assert_eq!((counters.live, counters.expired), (1, 301));
    assert_eq!(subject.get(busy, "a").await.as_deref(), Some("1"));
    for key in idle {
        assert!(!subject.is_live(key).await);
    }
    assert_eq!(subject.counters().await.expired, 301, "each of them expired once");
    Ok(())
}

pub async fn a_swept_session_accepts_nothing(subject: StoreUnderTest) {
    let (lifetime, mut keys) = (subject.lifetime(1, 100), Vec::new());
    for _ in 0..3 {
        keys.push(subject.begin_for(lifetime, "a", "1").await);
    }
    let new_key = key();
    subject.store.rotate(keys[0], new_key, None).await.unwrap();
    subject.destroy(keys[1]).await;
    subject.pass(2).await;
    subject.store.sweep().await.unwrap();
    for key in [keys[0], keys[1], keys[2], new_key] {
        subject.assert_accepts_nothing(key).await;
    }
    let created = subject.store.create(key(), lifetime, CLIENT_IP, "a", "1").await;
    assert!(created.unwrap(), "the store goes on");
}
