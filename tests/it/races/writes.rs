//! Concurrent writes to one session.
//!
//! A lost update is the classic race of snapshot stores: two requests load the same session,
//! each changes another value, and the second to save overwrites the first.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::fixture::{Backend, RaceFixture};

pub async fn writes_of_different_names_all_survive(backend: Backend) {
    let fixture = backend.prepare(<_>::default()).await;
    let lost = fixture.run(write).await;
    fixture.finish("writes", lost).await;
}

async fn write(fixture: Arc<RaceFixture>, _: u64) -> u64 {
    let (id, concurrency) =
        (fixture.begin("first", "0").await, fixture.backend.concurrency());
    let names: BTreeSet<String> =
        (0..concurrency).map(|number| format!("name{number}")).collect();
    fixture.ask_concurrently(&id, names.iter().map(|name| ("set", name.clone()))).await;
    let mut lost = 0;
    for name in &names {
        lost += u64::from(fixture.stored(id.key(), name).await.as_ref() != Some(name));
    }
    let keys = fixture.ask(Some(&id), "keys", "", "").await.text;
    lost += u64::from(keys.split(',').count() != concurrency + 1);
    fixture.end(&id).await;
    lost
}

pub async fn updates_of_one_counter_all_count(backend: Backend) {
    let fixture = backend.prepare(<_>::default()).await;
    let lost = fixture.run(count).await;
    fixture.finish("updates", lost).await;
}

async fn count(fixture: Arc<RaceFixture>, _: u64) -> u64 {
    let concurrency = fixture.backend.concurrency();
    let id = fixture.begin("first", "0").await;
    let counts = (0..concurrency).map(|_| ("count", String::from("visits")));
    let replies = fixture.ask_concurrently(&id, counts).await;
    let numbers: BTreeSet<usize> =
        replies.iter().map(|reply| reply.text.parse().expect("a number")).collect();
    // Each update returned another number, so none was overwritten.
    let expected: BTreeSet<usize> = (1..=concurrency).collect();
    let last = fixture.stored(id.key(), "visits").await;
    fixture.end(&id).await;
    let lost = expected.difference(&numbers).count();
    u64::try_from(lost + usize::from(last != Some(concurrency.to_string())))
        .unwrap_or(u64::MAX)
}

pub async fn a_message_is_taken_by_exactly_one_request(backend: Backend) {
    let fixture = backend.prepare(<_>::default()).await;
    let lost = fixture.run(take).await;
    fixture.finish("messages", lost).await;
}

async fn take(fixture: Arc<RaceFixture>, _: u64) -> u64 {
    let id = fixture.begin("first", "0").await;
    fixture.ask(Some(&id), "flash", "", "boo").await;
    let replies =
        fixture.ask_concurrently(&id, (0..4).map(|_| ("flashed", String::new()))).await;
    let got = replies.iter().filter(|reply| reply.text == "boo").count();
    fixture.end(&id).await;
    u64::from(got != 1)
}
