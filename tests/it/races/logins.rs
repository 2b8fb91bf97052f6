//! Races between logins, revocations and the limit of sessions per user.

use std::collections::BTreeSet;
use std::sync::Arc;

use dustdevil::session::SessionConfig;
use dustdevil::session::id::{Id, Key};
use dustdevil::session::store::USERNAME;

use super::fixture::{Backend, RaceFixture, Reply};
use crate::contract::counting::Dice;

pub async fn concurrent_logins_with_the_same_id_both_succeed(backend: Backend) {
    let fixture = backend.prepare(<_>::default()).await;
    let lost = fixture.run(log_in_twice).await;
    fixture.finish("logins with one id", lost).await;
}

/// Two logins with the same id, as after a double click.
async fn log_in_twice(fixture: Arc<RaceFixture>, number: u64) -> u64 {
    let old = fixture.begin("cart", "full").await;
    let second = if number.is_multiple_of(2) { "ann" } else { "bob" };
    let users = ["ann", second];
    let mut requests: Vec<_> = users.map(|user| ("login", String::from(user))).into();
    requests.insert(Dice(number + 1).throw(3), ("get", String::from("cart")));
    let replies = fixture.ask_concurrently(&old, requests.clone()).await;

    let (mut lost, mut carts, mut ids) = (0, 0, Vec::new());
    for ((what, user), reply) in requests.iter().zip(&replies) {
        match (*what, reply.issued()) {
            ("login", Some(id)) => {
                let owner = fixture.stored(id.key(), USERNAME).await;
                lost += u64::from(owner.as_ref() != Some(user));
                carts += u64::from(fixture.stored(id.key(), "cart").await.is_some());
                ids.push(id.clone());
            }
            ("login", None) => lost += 1,
            (_, issued) => lost += u64::from(issued.is_some()),
        }
    }
    // Each login has its own session, and one of them has the values of the old one.
    let keys: BTreeSet<Key> = ids.iter().map(Id::key).collect();
    lost += u64::from(keys.len() != 2 || keys.contains(&old.key()) || carts != 1);
    lost += fixture.count_live([&old]).await;
    for id in &ids {
        lost += u64::from(!fixture.end(id).await);
    }
    lost + fixture.count_live(&ids).await
}

pub async fn revoking_all_sessions_of_a_user_misses_none(backend: Backend) {
    let fixture = backend.prepare(<_>::default()).await;
    let lost = fixture.run(revoke_all).await;
    fixture.finish("ends of all sessions", lost).await;
}

/// The snapshot problem of revocation: a session that is rotated while the list of the user's
/// sessions is processed has another key than in the list. `destroy` follows the rotation.
async fn revoke_all(fixture: Arc<RaceFixture>, number: u64) -> u64 {
    let user = format!("user{number}");
    let there = [
        fixture.log_in(&user).await,
        fixture.log_in(&user).await,
        fixture.log_in(&user).await,
    ];
    let mut requests = vec![
        (Some(there[0].clone()), "rotate", String::new()),
        (Some(there[1].clone()), "rotate", String::new()),
        (Some(there[2].clone()), "get", String::from("a")),
        (None, "login", user.clone()),
        (None, "login", user.clone()),
    ];
    requests.insert(Dice(number + 1).throw(6), (None, "end-all", user.clone()));
    let replies = fixture.ask_for_each(requests.clone()).await;

    let (mut lost, mut moved) = (fixture.count_live(&there).await, Vec::new());
    for ((_, what, _), reply) in requests.iter().zip(&replies) {
        if *what == "rotate" {
            moved.extend(reply.issued());
        }
    }
    lost += fixture.count_live(moved).await;
    // A login that was concurrent with the revocation may have survived it, but not this one.
    fixture.ask(None, "end-all", "", &user).await;
    lost += fixture.count_live(replies.iter().filter_map(Reply::issued)).await;
    lost + u64::from(!fixture.store.sessions_of(&user).await.unwrap().is_empty())
}

pub async fn revoking_other_sessions_misses_none_and_keeps_this(backend: Backend) {
    let fixture = backend.prepare(<_>::default()).await;
    let lost = fixture.run(revoke_others).await;
    fixture.finish("ends of all other sessions", lost).await;
}

async fn revoke_others(fixture: Arc<RaceFixture>, number: u64) -> u64 {
    let user = format!("user{number}");
    let mine = fixture.log_in(&user).await;
    let others = [fixture.log_in(&user).await, fixture.log_in(&user).await];
    let mut requests = vec![
        (Some(others[0].clone()), "rotate", String::new()),
        (Some(others[1].clone()), "rotate", String::new()),
        (Some(mine.clone()), "count", String::from("visits")),
        (None, "login", user.clone()),
    ];
    requests.insert(
        Dice(number + 1).throw(5),
        (Some(mine.clone()), "end-others", String::new()),
    );
    let replies = fixture.ask_for_each(requests.clone()).await;

    let mut lost = fixture.count_live(&others).await;
    for ((_, what, _), reply) in requests.iter().zip(&replies) {
        match *what {
            "rotate" => lost += fixture.count_live(reply.issued()).await,
            "count" => lost += u64::from(reply.text != "1"),
            _ => {}
        }
    }
    lost += u64::from(fixture.stored(mine.key(), USERNAME).await != Some(user.clone()));
    fixture.ask(None, "end-all", "", &user).await;
    lost
}

/// Maximum number of sessions of one user.
const MAX_SESSIONS: usize = 3;

pub async fn a_user_ends_up_within_the_session_limit(backend: Backend) {
    let config =
        SessionConfig { max_sessions_per_user: MAX_SESSIONS, ..SessionConfig::default() };
    let fixture = backend.prepare(config).await;
    let lost = fixture.run(log_in_too_often).await;
    fixture.finish("logins past the limit", lost).await;
}

async fn log_in_too_often(fixture: Arc<RaceFixture>, number: u64) -> u64 {
    let user = format!("user{number}");
    let first = fixture.log_in(&user).await;
    let mut requests: Vec<_> = (0..6).map(|_| (None, "login", user.clone())).collect();
    requests
        .insert(Dice(number + 1).throw(7), (Some(first.clone()), "rotate", String::new()));
    let replies = fixture.ask_for_each(requests).await;
    let mut ids: Vec<&Id> = replies.iter().filter_map(Reply::issued).collect();
    ids.push(&first);

    let listed = fixture.store.sessions_of(&user).await.unwrap();
    let mut lost = u64::from(listed.len() != MAX_SESSIONS);
    lost += u64::from(fixture.count_live(ids).await != MAX_SESSIONS as u64);
    let oldest_is_gone = listed.iter().all(|listed| listed.key != first.key());
    lost += u64::from(!oldest_is_gone);
    fixture.ask(None, "end-all", "", &user).await;
    lost
}

/// One request revokes the other sessions while another rotates this one.
pub async fn revoking_other_sessions_keeps_this_through_rotations(backend: Backend) {
    let fixture = backend.prepare(<_>::default()).await;
    let lost = fixture.run(revoke_others_during_rotation).await;
    fixture.finish("ends of all others than one that moves", lost).await;
}

async fn revoke_others_during_rotation(fixture: Arc<RaceFixture>, number: u64) -> u64 {
    let user = format!("user{number}");
    let (mine, other) = (fixture.log_in(&user).await, fixture.log_in(&user).await);
    let mut requests = vec![("rotate", String::new())];
    requests.insert(Dice(number + 1).throw(2), ("end-others", String::new()));
    let replies = fixture.ask_concurrently(&mine, requests).await;
    let moved = replies.iter().find_map(Reply::issued);
    let live = fixture.count_live(moved).await;
    fixture.end(&other).await;
    fixture.ask(None, "end-all", "", &user).await;
    1 - live
}
