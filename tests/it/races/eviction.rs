//! Races in a full store: it evicts sessions and sweeps expired ones, while requests use the
//! others.

use std::sync::Arc;
use std::time::Duration;

use dustdevil::session::id::{Id, Key};
use dustdevil::session::store::USERNAME;
use dustdevil::{Lifetime, MemoryLimits};

use super::fixture::{Backend, RaceFixture};
use crate::contract::counting::Dice;

use crate::support::CLIENT_IP;

/// Enough for the logged-in sessions and a few more: sometimes the number of sessions exceeds
/// its limit, and sometimes their bytes do.
const LIMITS: MemoryLimits =
    MemoryLimits { max_sessions: 12, max_bytes: 3 * 1024, max_session_bytes: 1024 };

/// The initial value of the counter of a logged-in session. A lower value belongs to a new
/// session.
const FIRST: u32 = 100;

pub async fn a_full_store_loses_nothing_of_the_sessions_that_stay(backend: Backend) {
    let fixture = backend.prepare_with(<_>::default(), LIMITS).await;
    let lost = fixture.run(fill_store).await;
    let counters = fixture.store.counters().await.unwrap();
    assert!(counters.evicted > 1_000, "{counters:?}");
    fixture.finish("sessions in a full store", lost).await;
}

async fn fill_store(fixture: Arc<RaceFixture>, number: u64) -> u64 {
    let (mut dice, user) = (Dice(number + 1), format!("user{number}"));
    let mine = fixture.log_in(&user).await;
    fixture.ask(Some(&mine), "set", "visits", &FIRST.to_string()).await;
    let short = create_short_lived(&fixture, &user).await;
    let mut requests = vec![
        (Some(mine.clone()), "count", String::from("visits")),
        (Some(mine.clone()), "count", String::from("visits")),
        (Some(mine.clone()), "rotate", String::new()),
    ];
    for _ in 0..8 {
        let name = "x".repeat(1 + dice.throw(200));
        requests.insert(dice.throw(requests.len() + 1), (None, "set", name));
    }
    let sweeper = Arc::clone(&fixture);
    let sweep = tokio::spawn(async move { sweeper.store.sweep().await.unwrap() });
    let replies = fixture.ask_for_each(requests.clone()).await;
    sweep.await.unwrap();

    let mut lost = 0;
    let answered = requests.iter().zip(&replies);
    for ((_, _, name), reply) in answered.clone().filter(|((_, what, _), _)| *what == "set")
    {
        // The session may have been evicted since, or before its response set a cookie.
        let Some(id) = reply.issued() else { continue };
        let names = fixture.names(id.key()).await;
        lost += u64::from(names.is_some_and(|names| names != [name.clone()]));
        fixture.end(id).await;
    }
    let counts = answered.clone().filter(|((_, what, _), _)| *what == "count");
    let mut counted = FIRST;
    for (_, reply) in counts {
        // A full store may forget a rotation early. A request with the old id then gets a new
        // session.
        if let Some(fresh) = reply.issued() {
            fixture.end(fresh).await;
        }
        counted += u32::from(reply.text.parse().is_ok_and(|visits: u32| visits > FIRST));
    }
    let rotated = answered.clone().find(|((_, what, _), _)| *what == "rotate");
    let new = rotated.and_then(|(_, reply)| reply.issued());
    lost += is_lost(&fixture, new, &user, counted).await;
    // It may or may not have expired by now.
    fixture.store.destroy(short).await.unwrap();
    let counters = fixture.store.counters().await.unwrap();
    lost += u64::from(counters.live > LIMITS.max_sessions as u64);
    lost + fixture.count_live([&mine]).await
}

/// Returns 1 if a logged-in session has lost something. The session is destroyed.
async fn is_lost(fixture: &RaceFixture, id: Option<&Id>, user: &str, counted: u32) -> u64 {
    let Some(id) = id else { return 1 };
    let visits = fixture.stored(id.key(), "visits").await;
    let name = fixture.stored(id.key(), USERNAME).await;
    let is_whole = visits == Some(counted.to_string()) && name.as_deref() == Some(user);
    u64::from(!(fixture.end(id).await && is_whole))
}

/// Creates a session of the user that expires after a millisecond.
async fn create_short_lived(fixture: &RaceFixture, user: &str) -> Key {
    let lifetime =
        Lifetime { idle: Duration::from_millis(1), absolute: Duration::from_millis(1) };
    let key = Id::generate().key();
    fixture.store.create(key, lifetime, CLIENT_IP, USERNAME, user).await.unwrap();
    key
}
