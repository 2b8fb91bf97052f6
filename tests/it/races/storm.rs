//! All operations of a store concurrently, without a `Session` in between.
//!
//! The ten operations of a round are spawned on several threads and start in a different order
//! each time. Only invariants are checked, because every interleaving is allowed.

use std::sync::Arc;

use dustdevil::session::id::{Id, Key};
use dustdevil::session::store::{Lifetime, Store, USERNAME};

use crate::support::CLIENT_IP;

use super::fixture::{Backend, RaceFixture};

pub async fn an_ended_session_stays_ended_under_concurrent_operations(backend: Backend) {
    let fixture = backend.prepare(<_>::default()).await;
    let lost = fixture.run(run_round).await;
    fixture.finish("storms", lost).await;
}

fn key() -> Key {
    Id::generate().key()
}

/// Two operations destroy the session, while others use it under all its keys. It stays ended,
/// and exactly one `destroy` returns `true`.
async fn run_round(fixture: Arc<RaceFixture>, round: u64) -> u64 {
    let (old, new, newer) = (key(), key(), key());
    let started =
        fixture.store.create(old, Lifetime::default(), CLIENT_IP, USERNAME, "ann").await;
    assert!(started.unwrap());
    fixture.count_requests(11);
    let tasks = (0..10).map(|number| {
        let fixture = Arc::clone(&fixture);
        let keys = [old, new, newer];
        tokio::spawn(async move {
            run_nth_operation(&*fixture.store, (number + round) % 10, keys).await
        })
    });
    let mut ended = 0;
    for task in tasks.collect::<Vec<_>>() {
        ended += u64::from(task.await.unwrap());
    }
    let mut lost = u64::from(ended != 1);
    for key in [old, new, newer] {
        lost += u64::from(fixture.is_live(key).await);
        lost += u64::from(fixture.store.set(key, "a", "1").await.unwrap().is_some());
    }
    for user in ["ann", "bob"] {
        let listed = fixture.store.sessions_of(user).await.unwrap();
        lost += u64::from(listed.iter().any(|l| [old, new, newer].contains(&l.key)));
    }
    lost
}

/// Performs one of ten operations. Returns `true` if it destroyed the session.
async fn run_nth_operation(
    store: &dyn Store,
    number: u64,
    [old, new, newer]: [Key; 3],
) -> bool {
    let lifetime = Some(Lifetime::default());
    match number {
        0 | 1 => return store.destroy(old).await.unwrap(),
        2 => assert!(store.rotate(old, new, None).await.is_ok()),
        3 => assert!(store.rotate(new, newer, lifetime).await.is_ok()),
        4 => drop(store.remove(old, USERNAME).await.unwrap()),
        5 => store.sweep().await.unwrap(),
        6 => drop(store.visit(old, CLIENT_IP, "a").await.unwrap()),
        7 => drop(store.clear(new).await.unwrap()),
        8 => drop(store.compare_and_set(old, "a", None, "1").await.unwrap()),
        _ => drop(store.set(old, USERNAME, "bob").await.unwrap()),
    }
    false
}
