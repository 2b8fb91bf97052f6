//! All operations of a store at once, without a session between.

use std::sync::Arc;

use dustdevil::session::id::{Id, Key};
use dustdevil::session::store::{Lifetime, Store, USERNAME};

use crate::support::PLACE;

use super::ground::{Ground, Site};

pub async fn a_dead_key_stays_dead_under_every_operation_at_once(site: Site) {
    let ground = site.prepare(<_>::default()).await;
    let lost = ground.run(end_in_a_storm).await;
    ground.finish("storms", lost).await;
}

fn key() -> Key {
    Id::generate().key()
}

/// One ends the session, and it stays ended, whatever all others do; and of two who end it, one
/// is told that it was there.
async fn end_in_a_storm(ground: Arc<Ground>, round: u64) -> u64 {
    let (old, new, newer) = (key(), key(), key());
    let begun = ground.store.create(old, Lifetime::default(), PLACE, USERNAME, "ann").await;
    assert!(begun.unwrap());
    ground.note(11);
    let tasks = (0..10).map(|number| {
        let ground = Arc::clone(&ground);
        let keys = [old, new, newer];
        tokio::spawn(async move { act(&*ground.store, (number + round) % 10, keys).await })
    });
    let mut ended = 0;
    for task in tasks.collect::<Vec<_>>() {
        ended += u64::from(task.await.unwrap());
    }
    let mut lost = u64::from(ended != 1);
    for key in [old, new, newer] {
        lost += u64::from(ground.lives(key).await);
        lost += u64::from(ground.store.set(key, "a", "1").await.unwrap().is_some());
    }
    for user in ["ann", "bob"] {
        let listed = ground.store.sessions_of(user).await.unwrap();
        lost += u64::from(listed.iter().any(|l| [old, new, newer].contains(&l.key)));
    }
    lost
}

/// Does one of ten things; `true` if it ended the session.
async fn act(store: &dyn Store, number: u64, [old, new, newer]: [Key; 3]) -> bool {
    let lifetime = Some(Lifetime::default());
    match number {
        0 | 1 => return store.destroy(old).await.unwrap(),
        2 => assert!(store.rotate(old, new, None).await.is_ok()),
        3 => assert!(store.rotate(new, newer, lifetime).await.is_ok()),
        4 => drop(store.remove(old, USERNAME).await.unwrap()),
        5 => store.sweep().await.unwrap(),
        6 => drop(store.visit(old, PLACE, "a").await.unwrap()),
        7 => drop(store.clear(new).await.unwrap()),
        8 => drop(store.compare_and_set(old, "a", None, "1").await.unwrap()),
        _ => drop(store.set(old, USERNAME, "bob").await.unwrap()),
    }
    false
}
