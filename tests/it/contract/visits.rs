//! Visits: the value that a request reads, and the decision to renew the client's cookie.
//!
//! Sliding expiration would need a `Set-Cookie` in every response. Instead, a cookie lives a
//! little longer than the idle timeout, and is renewed when a tenth of that has passed.

use std::sync::Arc;

use dustdevil::session::store::{USERNAME, Visit};
use tokio::time::Instant;

use crate::support::CLIENT_IP;

use super::store_under_test::{StoreUnderTest, Timely, key};

pub async fn a_visit_returns_the_requested_value(subject: StoreUnderTest) {
    let key = subject.begin("a", "1").await;
    subject.set(key, "b", "2").await;
    for (name, value) in [("a", Some("1")), ("b", Some("2")), ("c", None)] {
        let Visit::Live(visited) = subject.store.visit(key, CLIENT_IP, name).await.unwrap()
        else {
            panic!("the session is live")
        };
        assert_eq!(visited.value.as_deref(), value);
    }
}

pub async fn a_visit_with_an_unknown_key_finds_and_creates_nothing(
    subject: StoreUnderTest,
) {
    let unknown = key();
    for _ in 0..2 {
        assert_eq!(subject.visit(unknown).await, Visit::Gone);
    }
    let counters = subject.counters().await;
    assert_eq!((counters.live, counters.created, counters.rejected_ids), (0, 0, 2));
    assert!(subject.keys(unknown).await.is_none());
}

pub async fn a_visit_renews_the_cookie_after_a_tenth_of_the_idle_timeout(
    subject: StoreUnderTest,
) -> Timely {
    let mut renewed = Instant::now();
    let key = subject.begin_for(subject.lifetime(10, 100), "a", "1").await;
    let visited = subject.visited_in_time(key, renewed, 1).await?;
    assert!(!visited.renew, "creation set the cookie");
    for _ in 0..2 {
        subject.pass(1).await;
        let last_renewed = std::mem::replace(&mut renewed, Instant::now());
        let visited = subject.visited_in_time(key, last_renewed, 10).await?;
        assert!(visited.renew, "a tenth of the idle timeout has passed");
        let visited = subject.visited_in_time(key, renewed, 1).await?;
        assert!(!visited.renew, "the last visit has renewed it");
    }
    Ok(())
}

pub async fn only_a_visit_renews_the_cookie(subject: StoreUnderTest) -> Timely {
    let (store, started) = (&subject.store, Instant::now());
    let key = subject.begin_for(subject.lifetime(10, 100), USERNAME, "ann").await;
    subject.pass(1).await;
    store.set(key, "a", "1").await.unwrap();
    subject.get(key, "a").await;
    store.compare_and_set(key, "a", None, "2").await.unwrap();
    store.remove(key, "a").await.unwrap();
    subject.keys(key).await;
    subject.sessions_of("ann").await;
    store.clear(key).await.unwrap();
    assert!(subject.visited_in_time(key, started, 10).await?.renew);
    Ok(())
}

/// The check and the update of the renewal time are one atomic step. If they were two, all
/// visits of a burst would renew the cookie.
pub async fn one_of_many_concurrent_visits_renews_the_cookie(
    subject: StoreUnderTest,
) -> Timely {
    let started = Instant::now();
    let key = subject.begin_for(subject.lifetime(10, 100), "a", "1").await;
    subject.pass(1).await;
    let renewed = Instant::now();
    let visits = (0..20).map(|_| {
        let store = Arc::clone(&subject.store);
        tokio::spawn(async move { store.visit(key, CLIENT_IP, "a").await.unwrap() })
    });
    let (mut live, mut asked) = (0, 0);
    for visit in visits.collect::<Vec<_>>() {
        if let Visit::Live(visited) = visit.await.unwrap() {
            live += 1;
            asked += u32::from(visited.renew);
        }
    }
    subject.check_in_time(started, 10)?;
    subject.check_in_time(renewed, 1)?;
    assert_eq!((live, asked), (20, 1));
    Ok(())
}

pub async fn a_rotation_restarts_the_renew_interval(subject: StoreUnderTest) -> Timely {
    let started = Instant::now();
    let key = subject.begin_for(subject.lifetime(10, 100), "a", "1").await;
    subject.pass(1).await;
    let (renewed, new_key) = (Instant::now(), self::key());
    let rotated = subject.store.rotate(key, new_key, None).await.unwrap();
    subject.check_in_time(started, 10)?;
    assert!(rotated);
    let visited = subject.visited_in_time(new_key, renewed, 1).await?;
    assert!(!visited.renew, "the rotation set the cookie");
    subject.pass(1).await;
    assert!(subject.visited_in_time(new_key, renewed, 10).await?.renew);
    Ok(())
}

pub async fn max_age_is_a_little_longer_than_the_idle_timeout(subject: StoreUnderTest) {
    let key = subject.begin_for(subject.lifetime(200, 10_000), "a", "1").await;
    assert_eq!(subject.visited(key).await.max_age, subject.units(220));
    subject.pass(2).await;
    assert_eq!(subject.visited(key).await.max_age, subject.units(220));
    let new_key = subject.rotate(key, Some(subject.lifetime(300, 10_000))).await;
    assert_eq!(subject.visited(new_key).await.max_age, subject.units(330));
}

pub async fn max_age_ends_at_the_absolute_timeout(subject: StoreUnderTest) {
    let started = Instant::now();
    let key = subject.begin_for(subject.lifetime(900, 200), "a", "1").await;
    subject.assert_passed(
        subject.units(200).abs_diff(subject.visited(key).await.max_age),
        0,
        started,
    );
    subject.pass(2).await;
    subject.assert_passed(
        subject.units(200).abs_diff(subject.visited(key).await.max_age),
        2,
        started,
    );
    let new_key = subject.rotate(key, None).await;
    subject.assert_passed(
        subject.units(200).abs_diff(subject.visited(new_key).await.max_age),
        2,
        started,
    );
    let started = Instant::now();
    let rotated = subject.rotate(new_key, Some(subject.lifetime(900, 300))).await;
    subject.assert_passed(
        subject.units(300).abs_diff(subject.visited(rotated).await.max_age),
        0,
        started,
    );
}

pub async fn several_sessions_are_visited_in_order(subject: StoreUnderTest) {
    let (old, live) = (subject.begin("a", "1").await, subject.begin("a", "2").await);
    subject.rotate(old, None).await;
    let keys = [key(), old, live];
    let visits = subject.store.visit_all(&keys, CLIENT_IP, "a").await.unwrap();
    assert!(
        matches!(&visits[..], [Visit::Gone, Visit::Moved, Visit::Live(visited)]
        if visited.value.as_deref() == Some("2")),
        "{visits:?}"
    );
    assert_eq!(subject.counters().await.rejected_ids, 2);
}
