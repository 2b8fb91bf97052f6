//! The grace period after a rotation, in which a store knows the successors of an old key. It
//! is a whole minute, so these requirements run only on a paused clock.
//!
//! The store forgets a rotation after [`ROTATION_GRACE`]. Without that limit, each rotation
//! would take memory for as long as its session lives.

use std::time::Duration;

use dustdevil::session::store::{ROTATION_GRACE, Visit};
use tokio::time::advance;

use super::store_under_test::StoreUnderTest;

/// The smallest difference in time that every store can measure.
const MILLISECOND: Duration = Duration::from_millis(1);

pub async fn a_visit_returns_moved_during_the_grace_period(subject: StoreUnderTest) {
    let old = subject.begin("a", "1").await;
    let new = subject.rotate(old, None).await;
    advance(ROTATION_GRACE.saturating_sub(MILLISECOND)).await;
    assert_eq!(subject.visit(old).await, Visit::Moved);
    subject.store.sweep().await.unwrap();
    assert_eq!(subject.visit(old).await, Visit::Moved, "sweeping does not change that");
    advance(MILLISECOND).await;
    assert_eq!(subject.visit(old).await, Visit::Gone);
    assert!(subject.is_live(new).await);
}

pub async fn destroy_follows_a_rotation_during_the_grace_period(subject: StoreUnderTest) {
    let (one, other) = (subject.begin("a", "1").await, subject.begin("a", "1").await);
    let (one_now, other_now) =
        (subject.rotate(one, None).await, subject.rotate(other, None).await);
    advance(ROTATION_GRACE.saturating_sub(MILLISECOND)).await;
    subject.store.sweep().await.unwrap();
    assert!(subject.destroy(one).await);
    subject.assert_accepts_nothing(one_now).await;
    advance(MILLISECOND).await;
    assert!(!subject.destroy(other).await, "the grace period is over");
    assert!(subject.is_live(other_now).await);
}

pub async fn each_rotation_has_its_own_grace_period(subject: StoreUnderTest) {
    let first = subject.begin("a", "1").await;
    let second = subject.rotate(first, None).await;
    advance(ROTATION_GRACE / 2).await;
    let third = subject.rotate(second, None).await;
    advance((ROTATION_GRACE / 2).saturating_sub(MILLISECOND)).await;
    assert_eq!(subject.visit(first).await, Visit::Moved);
    advance(MILLISECOND).await;
    subject.store.sweep().await.unwrap();
    assert_eq!(subject.visit(first).await, Visit::Gone);
    assert_eq!(subject.visit(second).await, Visit::Moved);
    assert!(!subject.destroy(first).await && subject.is_live(third).await);
    assert!(subject.destroy(second).await && !subject.is_live(third).await);
}

pub async fn destroy_follows_repeated_rotations_within_the_grace_period(
    subject: StoreUnderTest,
) {
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
