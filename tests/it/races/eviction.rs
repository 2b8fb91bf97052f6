//! A store that is full ends sessions, and one that sweeps lets go of others, while everything else
//! goes on.

use std::sync::Arc;
use std::time::Duration;

use dustdevil::session::id::{Id, Key};
use dustdevil::session::store::USERNAME;
use dustdevil::{Lifetime, MemoryLimits};

use super::ground::{Ground, Site};
use crate::contract::counting::Dice;

use crate::support::PLACE;

/// There is room for all who are logged in, and for few others: sometimes there are too many
/// sessions, and sometimes too many bytes.
const LIMITS: MemoryLimits =
    MemoryLimits { max_sessions: 12, max_bytes: 3 * 1024, max_session_bytes: 1024 };

/// What somebody who is logged in begins to count at. Who counts to less does so elsewhere.
const FIRST: u32 = 100;

pub async fn a_full_store_loses_nothing_of_the_sessions_that_stay(site: Site) {
    let ground = site.prepare_with(<_>::default(), LIMITS).await;
    let lost = ground.run(crowd_in).await;
    let counters = ground.store.counters().await.unwrap();
    assert!(counters.evicted > 1_000, "{counters:?}");
    ground.finish("sessions in a full store", lost).await;
}

async fn crowd_in(ground: Arc<Ground>, number: u64) -> u64 {
    let (mut dice, user) = (Dice(number + 1), format!("user{number}"));
    let mine = ground.log_in(&user).await;
    ground.ask(Some(&mine), "set", "visits", &FIRST.to_string()).await;
    let short = begin_a_short_one(&ground, &user).await;
    let mut wishes = vec![
        (Some(mine.clone()), "count", String::from("visits")),
        (Some(mine.clone()), "count", String::from("visits")),
        (Some(mine.clone()), "rotate", String::new()),
    ];
    for _ in 0..8 {
        let name = "x".repeat(1 + dice.throw(200));
        wishes.insert(dice.throw(wishes.len() + 1), (None, "set", name));
    }
    let sweeper = Arc::clone(&ground);
    let sweep = tokio::spawn(async move { sweeper.store.sweep().await.unwrap() });
    let heard = ground.ask_for_each(wishes.clone()).await;
    sweep.await.unwrap();

    let mut lost = 0;
    let told = wishes.iter().zip(&heard);
    for ((_, _, name), heard) in told.clone().filter(|((_, what, _), _)| *what == "set") {
        // It may have had to go since, or may never have had the room to be told.
        let Some(id) = heard.issued() else { continue };
        let names = ground.names(id.key()).await;
        lost += u64::from(names.is_some_and(|names| names != [name.clone()]));
        ground.end(id).await;
    }
    let counts = told.clone().filter(|((_, what, _), _)| *what == "count");
    let mut counted = FIRST;
    for (_, heard) in counts {
        // A store that is full may soon forget where a session has moved. Whoever comes with the
        // old id then is somebody new.
        if let Some(fresh) = heard.issued() {
            ground.end(fresh).await;
        }
        counted += u32::from(heard.text.parse().is_ok_and(|visits: u32| visits > FIRST));
    }
    let rotated = told.clone().find(|((_, what, _), _)| *what == "rotate");
    let new = rotated.and_then(|(_, heard)| heard.issued());
    lost += is_lost(&ground, new, &user, counted).await;
    // It may have expired by now, or not.
    ground.store.destroy(short).await.unwrap();
    let counters = ground.store.counters().await.unwrap();
    lost += u64::from(counters.live > LIMITS.max_sessions as u64);
    lost + ground.count_living([&mine]).await
}

/// Whether something is lost of the session of somebody who is logged in. It is ended.
async fn is_lost(ground: &Ground, id: Option<&Id>, user: &str, counted: u32) -> u64 {
    let Some(id) = id else { return 1 };
    let visits = ground.stored(id.key(), "visits").await;
    let name = ground.stored(id.key(), USERNAME).await;
    let is_whole = visits == Some(counted.to_string()) && name.as_deref() == Some(user);
    u64::from(!(ground.end(id).await && is_whole))
}

/// A session of the user's that will soon have expired, or has by now.
async fn begin_a_short_one(ground: &Ground, user: &str) -> Key {
    let lifetime =
        Lifetime { idle: Duration::from_millis(1), absolute: Duration::from_millis(1) };
    let key = Id::generate().key();
    ground.store.create(key, lifetime, PLACE, USERNAME, user).await.unwrap();
    key
}
