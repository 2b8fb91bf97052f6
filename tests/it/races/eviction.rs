//! A store that is full ends sessions, and one that sweeps lets go of others, while everything else
//! goes on.

use std::sync::Arc;
use std::time::Duration;

use dustdevil::session::id::{Id, Key};
use dustdevil::session::store::USERNAME;
use dustdevil::{Lifetime, MemoryLimits};

use super::fixture::{Backend, RaceFixture};
use crate::contract::counting::Dice;

use crate::support::CLIENT_IP;

/// There is room for all who are logged in, and for few others: sometimes there are too many
/// sessions, and sometimes too many bytes.
const LIMITS: MemoryLimits =
    MemoryLimits { max_sessions: 12, max_bytes: 3 * 1024, max_session_bytes: 1024 };

/// What somebody who is logged in begins to count at. Who counts to less does so elsewhere.
const FIRST: u32 = 100;

pub async fn a_full_store_loses_nothing_of_the_sessions_that_stay(backend: Backend) {
    let fixture = backend.prepare_with(<_>::default(), LIMITS).await;
    let lost = fixture.run(crowd_in).await;
    let counters = fixture.store.counters().await.unwrap();
    assert!(counters.evicted > 1_000, "{counters:?}");
    fixture.finish("sessions in a full store", lost).await;
}

async fn crowd_in(fixture: Arc<RaceFixture>, number: u64) -> u64 {
    let (mut dice, user) = (Dice(number + 1), format!("user{number}"));
    let mine = fixture.log_in(&user).await;
    fixture.ask(Some(&mine), "set", "visits", &FIRST.to_string()).await;
    let short = begin_a_short_one(&fixture, &user).await;
    let mut wishes = vec![
        (Some(mine.clone()), "count", String::from("visits")),
        (Some(mine.clone()), "count", String::from("visits")),
        (Some(mine.clone()), "rotate", String::new()),
    ];
    for _ in 0..8 {
        let name = "x".repeat(1 + dice.throw(200));
        wishes.insert(dice.throw(wishes.len() + 1), (None, "set", name));
    }
    let sweeper = Arc::clone(&fixture);
    let sweep = tokio::spawn(async move { sweeper.store.sweep().await.unwrap() });
    let reply = fixture.ask_for_each(wishes.clone()).await;
    sweep.await.unwrap();

    let mut lost = 0;
    let cookie = wishes.iter().zip(&reply);
    for ((_, _, name), reply) in cookie.clone().filter(|((_, what, _), _)| *what == "set") {
        // It may have had to go since, or may never have had the room to be cookie.
        let Some(id) = reply.issued() else { continue };
        let names = fixture.names(id.key()).await;
        lost += u64::from(names.is_some_and(|names| names != [name.clone()]));
        fixture.end(id).await;
    }
    let counts = cookie.clone().filter(|((_, what, _), _)| *what == "count");
    let mut counted = FIRST;
    for (_, reply) in counts {
        // A store that is full may soon forget where a session has moved. Whoever comes with the
        // old id then is somebody new.
        if let Some(fresh) = reply.issued() {
            fixture.end(fresh).await;
        }
        counted += u32::from(reply.text.parse().is_ok_and(|visits: u32| visits > FIRST));
    }
    let rotated = cookie.clone().find(|((_, what, _), _)| *what == "rotate");
    let new = rotated.and_then(|(_, reply)| reply.issued());
    lost += is_lost(&fixture, new, &user, counted).await;
    // It may have expired by now, or not.
    fixture.store.destroy(short).await.unwrap();
    let counters = fixture.store.counters().await.unwrap();
    lost += u64::from(counters.live > LIMITS.max_sessions as u64);
    lost + fixture.count_live([&mine]).await
}

/// Whether something is lost of the session of somebody who is logged in. It is ended.
async fn is_lost(fixture: &RaceFixture, id: Option<&Id>, user: &str, counted: u32) -> u64 {
    let Some(id) = id else { return 1 };
    let visits = fixture.stored(id.key(), "visits").await;
    let name = fixture.stored(id.key(), USERNAME).await;
    let is_whole = visits == Some(counted.to_string()) && name.as_deref() == Some(user);
    u64::from(!(fixture.end(id).await && is_whole))
}

/// A session of the user's that will soon have expired, or has by now.
async fn begin_a_short_one(fixture: &RaceFixture, user: &str) -> Key {
    let lifetime =
        Lifetime { idle: Duration::from_millis(1), absolute: Duration::from_millis(1) };
    let key = Id::generate().key();
    fixture.store.create(key, lifetime, CLIENT_IP, USERNAME, user).await.unwrap();
    key
}
