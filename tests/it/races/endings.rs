//! Races between the end of a session and requests that use it. Late requests are treated like
//! requests without a session, and none of them revives it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dustdevil::Lifetime;
use dustdevil::session::SessionConfig;
use dustdevil::session::id::Id;
use tokio::time::{Instant, sleep};

use super::fixture::{Backend, CookieSeen, RaceFixture, Reply};
use crate::contract::counting::Dice;
use crate::control_client::RESPONSE_TIMEOUT;

/// A value that no other session may ever return.
const SECRET: &str = "secret";

/// Returns the operations of one round: the events, such as a logout, at a pseudorandom
/// position among operations that use the session.
fn requests_around(events: &[&'static str], number: u64) -> Vec<(&'static str, String)> {
    let mut dice = Dice(number + 1);
    let others = [
        ("set", "a"),
        ("get", SECRET),
        ("count", "visits"),
        ("keys", ""),
        ("count", "visits"),
        ("contains", SECRET),
        ("remove", "nothing"),
    ];
    let mut requests: Vec<_> =
        others.map(|(what, name)| (what, String::from(name))).into_iter().collect();
    for event in events {
        requests.insert(dice.throw(requests.len() + 1), (event, String::new()));
    }
    requests
}

/// Checks the replies of requests that may have come too late. Returns the number of replies
/// that contain the old id or data of the old session. The new sessions that they created are
/// destroyed.
async fn check_late_replies(
    fixture: &RaceFixture,
    old: &Id,
    requests: &[(&'static str, String)],
    replies: &[Reply],
) -> u64 {
    let mut lost = 0;
    for ((what, name), reply) in requests.iter().zip(replies) {
        let CookieSeen::Issued(id) = &reply.cookie else { continue };
        lost += u64::from(id.key() == old.key() || !matches!(*what, "set" | "count"));
        let names = fixture.names(id.key()).await.unwrap_or_default();
        lost += u64::from(names != [name.clone()]);
        lost += u64::from(*what == "count" && reply.text != "1");
        fixture.end(id).await;
    }
    lost
}

/// Performs every kind of operation with an ended id, and checks the replies.
async fn use_ended_id(fixture: &Arc<RaceFixture>, old: &Id) -> u64 {
    let requests = [("get", SECRET), ("count", "visits"), ("set", "a"), ("keys", "")];
    let requests = requests.map(|(what, name)| (what, String::from(name)));
    let replies = fixture.ask_concurrently(old, requests.clone()).await;
    let mut lost = check_late_replies(fixture, old, &requests, &replies).await;
    for ((what, _), reply) in requests.iter().zip(&replies) {
        let nothing = match *what {
            "get" => reply.text == "(none)",
            "keys" | "set" => reply.text.is_empty(),
            // The request may have created a new session and counted to 1 in it.
            "count" => reply.text == "0" || reply.issued().is_some(),
            _ => false,
        };
        lost += u64::from(!nothing);
    }
    lost + fixture.count_live([old]).await
}

pub async fn a_request_after_a_logout_does_not_revive_the_session(backend: Backend) {
    let fixture = backend.prepare(<_>::default()).await;
    let lost = fixture.run(log_out).await;
    fixture.finish("logouts", lost).await;
}

async fn log_out(fixture: Arc<RaceFixture>, number: u64) -> u64 {
    let id = fixture.begin(SECRET, "mine").await;
    let requests = requests_around(&["destroy"], number);
    let replies = fixture.ask_concurrently(&id, requests.clone()).await;
    let mut lost = check_late_replies(&fixture, &id, &requests, &replies).await;
    for ((what, _), reply) in requests.iter().zip(&replies) {
        let is_deleted = matches!(reply.cookie, CookieSeen::Deleted);
        lost += u64::from(is_deleted != (*what == "destroy"));
    }
    lost += use_ended_id(&fixture, &id).await;
    lost + fixture.count_live([&id]).await
}

pub async fn a_request_with_a_rotated_id_writes_nothing(backend: Backend) {
    let fixture = backend.prepare(<_>::default()).await;
    let lost = fixture.run(rotate).await;
    fixture.finish("rotations", lost).await;
}

async fn rotate(fixture: Arc<RaceFixture>, number: u64) -> u64 {
    let old = fixture.begin(SECRET, "mine").await;
    let requests = requests_around(&["rotate", "rotate"], number);
    let replies = fixture.ask_concurrently(&old, requests.clone()).await;
    let issued: Vec<_> =
        requests.iter().zip(&replies).filter(|(_, h)| h.issued().is_some()).collect();
    let [((what, _), reply)] = issued[..] else { return 1 };
    let Some(new) = reply.issued() else { return 1 };
    let mut lost = u64::from(*what != "rotate" || new.key() == old.key());

    // An operation that returned a number has counted; one that returned 0 has not.
    let counts = requests.iter().zip(&replies).filter(|((what, _), _)| *what == "count");
    let counted = counts.filter(|(_, reply)| reply.text != "0").count();
    let visits = fixture.stored(new.key(), "visits").await;
    lost += u64::from(visits.unwrap_or(String::from("0")) != counted.to_string());
    lost += u64::from(fixture.stored(new.key(), SECRET).await.as_deref() != Some("mine"));

    let late = use_ended_id(&fixture, &old).await;
    let names = fixture.names(new.key()).await.unwrap_or_default();
    let strange =
        names.iter().filter(|name| !["a", SECRET, "visits"].contains(&name.as_str()));
    lost += late + u64::try_from(strange.count()).unwrap_or(u64::MAX);
    lost += u64::from(!fixture.end(new).await);
    lost + fixture.count_live([&old, new]).await
}

pub async fn a_logout_follows_concurrent_rotations(backend: Backend) {
    let fixture = backend.prepare(<_>::default()).await;
    let lost = fixture.run(log_out_during_rotations).await;
    fixture.finish("logouts against rotations", lost).await;
}

/// One client rotates the session several times in a row, while two others, which know only the
/// first id, rotate and destroy it.
async fn log_out_during_rotations(fixture: Arc<RaceFixture>, number: u64) -> u64 {
    let first = fixture.begin(SECRET, "mine").await;
    let (runner, start) = (Arc::clone(&fixture), first.clone());
    let run = tokio::spawn(async move {
        let mut ids = vec![start];
        for _ in 0..3 {
            let reply = runner.ask(ids.last(), "rotate", "", "").await;
            ids.extend(reply.issued().cloned());
        }
        ids
    });
    let mut requests = vec![("rotate", String::new()), ("get", String::from(SECRET))];
    let at = Dice(number + 1).throw(3);
    requests.insert(at, ("destroy", String::new()));
    let replies = fixture.ask_concurrently(&first, requests).await;
    let mut ids = run.await.expect("the runner does not panic");
    ids.extend(replies.iter().filter_map(Reply::issued).cloned());
    let is_deleted = matches!(replies[at].cookie, CookieSeen::Deleted);
    let mut lost = u64::from(!is_deleted) + fixture.count_live(&ids).await;
    for id in &ids {
        lost += u64::from(fixture.end(id).await);
    }
    lost
}

pub async fn a_session_expires_for_all_requests_at_the_same_moment(backend: Backend) {
    let (absolute, concurrent) = backend.short_lifetime();
    // A long idle timeout, so that no reply has a reason to renew the cookie.
    let lifetime = Lifetime { absolute, ..Lifetime::default() };
    let fixture =
        backend.prepare(SessionConfig { lifetime, ..SessionConfig::default() }).await;
    let lost = fixture.run_in(concurrent, expire).await;
    fixture.finish("expiries", lost).await;
}

/// The initial value of the counter. A lower value belongs to a new session.
const FIRST: u32 = 100;

async fn expire(fixture: Arc<RaceFixture>, _: u64) -> u64 {
    // If the machine stalls, a session may expire before its first response. That response sets
    // no cookie, and the loop tries again.
    let started = Instant::now();
    let id = loop {
        let reply = fixture.ask(None, "set", "visits", &FIRST.to_string()).await;
        if let Some(id) = reply.issued() {
            break id.clone();
        }
        assert!(started.elapsed() < RESPONSE_TIMEOUT, "the machine is too slow for this");
    };
    // Sleeps until the last quarter of the lifetime.
    let (life, _) = fixture.backend.short_lifetime();
    sleep((life * 3 / 4).saturating_sub(started.elapsed())).await;
    let is_dead = Arc::new(AtomicBool::new(false));
    let tasks = (0..2).map(|_| {
        let (fixture, is_dead) = (Arc::clone(&fixture), Arc::clone(&is_dead));
        tokio::spawn(use_until_expired(fixture, id.clone(), is_dead))
    });
    let mut lost = 0;
    for task in tasks.collect::<Vec<_>>() {
        lost += task.await.expect("the task does not panic");
    }
    lost + fixture.count_live([&id]).await
}

/// Reads and counts until this task or the other has found the session expired, and then once
/// more. Returns how often the session was found again after that.
async fn use_until_expired(
    fixture: Arc<RaceFixture>,
    id: Id,
    is_dead: Arc<AtomicBool>,
) -> u64 {
    let mut lost = 0;
    loop {
        let was_dead = is_dead.load(Ordering::SeqCst);
        for what in ["get", "count"] {
            let reply = fixture.ask(Some(&id), what, "visits", "").await;
            let is_found = reply.text.parse().is_ok_and(|visits: u32| visits >= FIRST);
            lost += u64::from(was_dead && is_found);
            is_dead.fetch_or(!is_found, Ordering::SeqCst);
            if let Some(new) = reply.issued() {
                lost += u64::from(new.key() == id.key() || is_found || what == "get");
                fixture.end(new).await;
            }
        }
        if was_dead {
            return lost;
        }
    }
}
