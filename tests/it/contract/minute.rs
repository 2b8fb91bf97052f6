//! For how long a store remembers where a session has moved. It is a whole minute, so these are
//! only asked where the clock can be moved.

use std::time::Duration;

use dustdevil::session::store::{ROTATION_GRACE, Visit};
use tokio::time::advance;

use super::subject::Subject;

/// The smallest time that every store tells from none.
const ACCEPT_ERROR_BACKOFF: Duration = Duration::from_millis(1);

pub async fn for_a_minute_a_visitor_is_told_that_the_session_moved(subject: Subject) {
    let old = subject.begin("a", "1").await;
    let new = subject.rotate(old, None).await;
    advance(ROTATION_GRACE.saturating_sub(ACCEPT_ERROR_BACKOFF)).await;
    assert_eq!(subject.visit(old).await, Visit::Moved);
    subject.store.sweep().await.unwrap();
    assert_eq!(subject.visit(old).await, Visit::Moved, "sweeping does not change that");
    advance(ACCEPT_ERROR_BACKOFF).await;
    assert_eq!(subject.visit(old).await, Visit::Gone);
    assert!(subject.lives(new).await);
}

pub async fn for_a_minute_who_ends_a_key_ends_the_session_that_moved(subject: Subject) {
    let (one, other) = (subject.begin("a", "1").await, subject.begin("a", "1").await);
    let (one_now, other_now) =
        (subject.rotate(one, None).await, subject.rotate(other, None).await);
    advance(ROTATION_GRACE.saturating_sub(ACCEPT_ERROR_BACKOFF)).await;
    subject.store.sweep().await.unwrap();
    assert!(subject.destroy(one).await);
    subject.assert_accepts_nothing(one_now).await;
    advance(ACCEPT_ERROR_BACKOFF).await;
    assert!(!subject.destroy(other).await, "nobody remembers");
    assert!(subject.lives(other_now).await);
}

pub async fn each_move_has_a_minute_of_its_own(subject: Subject) {
    let first = subject.begin("a", "1").await;
    let second = subject.rotate(first, None).await;
    advance(ROTATION_GRACE / 2).await;
    let third = subject.rotate(second, None).await;
    advance((ROTATION_GRACE / 2).saturating_sub(ACCEPT_ERROR_BACKOFF)).await;
    assert_eq!(subject.visit(first).await, Visit::Moved);
    advance(ACCEPT_ERROR_BACKOFF).await;
    subject.store.sweep().await.unwrap();
    assert_eq!(subject.visit(first).await, Visit::Gone);
    assert_eq!(subject.visit(second).await, Visit::Moved);
    assert!(!subject.destroy(first).await && subject.lives(third).await);
    assert!(subject.destroy(second).await && !subject.lives(third).await);
}

pub async fn within_the_minute_a_session_is_found_wherever_it_went_since(subject: Subject) {
    let first = subject.begin("a", "1").await;
    let mut last = subject.rotate(first, None).await;
    for _ in 0..5 {
        advance(ROTATION_GRACE / 6).await;
        last = subject.rotate(last, None).await;
        subject.store.sweep().await.unwrap();
    }
    assert!(subject.destroy(first).await);
    subject.assert_dead(last).await;
}
