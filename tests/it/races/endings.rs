//! A session ends while others are under way with it. They are answered like anybody who has no
//! session, and nothing that they do brings it back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dustdevil::Lifetime;
use dustdevil::session::SessionConfig;
use dustdevil::session::id::Id;
use tokio::time::{Instant, sleep};

use super::fixture::{Backend, CookieSeen, RaceFixture, Reply};
use crate::contract::counting::Dice;
use crate::control_client::PATIENCE;

/// What a session has that nobody else may ever see.
const SECRET: &str = "secret";

/// Those who are under way when something happens, and it among them, at another place each round.
fn under_way(happenings: &[&'static str], number: u64) -> Vec<(&'static str, String)> {
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
    let mut wishes: Vec<_> =
        others.map(|(what, name)| (what, String::from(name))).into_iter().collect();
    for happening in happenings {
        wishes.insert(dice.throw(wishes.len() + 1), (happening, String::new()));
    }
    wishes
}

/// Looks at what those got who came when a session had ended: how many got something of it, or
/// something of its id. The sessions that they began instead are ended.
async fn look_at_the_late(
    fixture: &RaceFixture,
    old: &Id,
    wishes: &[(&'static str, String)],
    reply: &[Reply],
) -> u64 {
    let mut lost = 0;
    for ((what, name), reply) in wishes.iter().zip(reply) {
        let CookieSeen::Issued(id) = &reply.cookie else { continue };
        lost += u64::from(id.key() == old.key() || !matches!(*what, "set" | "count"));
        let names = fixture.names(id.key()).await.unwrap_or_default();
        lost += u64::from(names != [name.clone()]);
        lost += u64::from(*what == "count" && reply.text != "1");
        fixture.end(id).await;
    }
    lost
}

/// Asks for everything with an id that is dead, and looks at the answers.
async fn come_late(fixture: &Arc<RaceFixture>, old: &Id) -> u64 {
    let wishes = [("get", SECRET), ("count", "visits"), ("set", "a"), ("keys", "")];
    let wishes = wishes.map(|(what, name)| (what, String::from(name)));
    let reply = fixture.ask_at_once(old, wishes.clone()).await;
    let mut lost = look_at_the_late(fixture, old, &wishes, &reply).await;
    for ((what, _), reply) in wishes.iter().zip(&reply) {
        let nothing = match *what {
            "get" => reply.text == "(none)",
            "keys" | "set" => reply.text.is_empty(),
            // It may count to one in a session of its own.
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
    let wishes = under_way(&["destroy"], number);
    let reply = fixture.ask_at_once(&id, wishes.clone()).await;
    let mut lost = look_at_the_late(&fixture, &id, &wishes, &reply).await;
    for ((what, _), reply) in wishes.iter().zip(&reply) {
        let withdrawn = matches!(reply.cookie, CookieSeen::Deleted);
        lost += u64::from(withdrawn != (*what == "destroy"));
    }
    lost += come_late(&fixture, &id).await;
    lost + fixture.count_live([&id]).await
}

pub async fn a_request_with_a_rotated_id_writes_nothing(backend: Backend) {
    let fixture = backend.prepare(<_>::default()).await;
    let lost = fixture.run(rotate).await;
    fixture.finish("rotations", lost).await;
}

async fn rotate(fixture: Arc<RaceFixture>, number: u64) -> u64 {
    let old = fixture.begin(SECRET, "mine").await;
    let wishes = under_way(&["rotate", "rotate"], number);
    let reply = fixture.ask_at_once(&old, wishes.clone()).await;
    let issued: Vec<_> =
        wishes.iter().zip(&reply).filter(|(_, h)| h.issued().is_some()).collect();
    let [((what, _), answer)] = issued[..] else { return 1 };
    let Some(new) = answer.issued() else { return 1 };
    let mut lost = u64::from(*what != "rotate" || new.key() == old.key());

    // Who was cookie a number has counted, and who was cookie 0 has not.
    let counts = wishes.iter().zip(&reply).filter(|((what, _), _)| *what == "count");
    let counted = counts.filter(|(_, reply)| reply.text != "0").count();
    let visits = fixture.stored(new.key(), "visits").await;
    lost += u64::from(visits.unwrap_or(String::from("0")) != counted.to_string());
    lost += u64::from(fixture.stored(new.key(), SECRET).await.as_deref() != Some("mine"));

    let late = come_late(&fixture, &old).await;
    let names = fixture.names(new.key()).await.unwrap_or_default();
    let strange =
        names.iter().filter(|name| !["a", SECRET, "visits"].contains(&name.as_str()));
    lost += late + u64::try_from(strange.count()).unwrap_or(u64::MAX);
    lost += u64::from(!fixture.end(new).await);
    lost + fixture.count_live([&old, new]).await
}

pub async fn a_logout_follows_concurrent_rotations(backend: Backend) {
    let fixture = backend.prepare(<_>::default()).await;
    let lost = fixture.run(log_out_while_it_moves).await;
    fixture.finish("logouts against rotations", lost).await;
}

/// Somebody has the session moved several times, one after the other, while two others who know
/// the first id only have it moved, and have it ended.
async fn log_out_while_it_moves(fixture: Arc<RaceFixture>, number: u64) -> u64 {
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
    let mut wishes = vec![("rotate", String::new()), ("get", String::from(SECRET))];
    let at = Dice(number + 1).throw(3);
    wishes.insert(at, ("destroy", String::new()));
    let reply = fixture.ask_at_once(&first, wishes).await;
    let mut ids = run.await.expect("the runner comes back");
    ids.extend(reply.iter().filter_map(Reply::issued).cloned());
    let withdrawn = matches!(reply[at].cookie, CookieSeen::Deleted);
    let mut lost = u64::from(!withdrawn) + fixture.count_live(&ids).await;
    for id in &ids {
        lost += u64::from(fixture.end(id).await);
    }
    lost
}

pub async fn a_session_expires_for_all_requests_at_the_same_moment(backend: Backend) {
    let (absolute, lanes) = backend.short_life();
    // An idle limit that is long, so that no answer has a reason to tell the id again.
    let lifetime = Lifetime { absolute, ..Lifetime::default() };
    let fixture =
        backend.prepare(SessionConfig { lifetime, ..SessionConfig::default() }).await;
    let lost = fixture.run_in(lanes, expire).await;
    fixture.finish("expiries", lost).await;
}

/// What a session is begun with. Who counts to less has begun another.
const FIRST: u32 = 100;

async fn expire(fixture: Arc<RaceFixture>, _: u64) -> u64 {
    // Where the machine stalls, a session may be over before anybody was cookie its id. No id is given
    // out then, and the next one may fare better.
    let began = Instant::now();
    let id = loop {
        let reply = fixture.ask(None, "set", "visits", &FIRST.to_string()).await;
        if let Some(id) = reply.issued() {
            break id.clone();
        }
        assert!(began.elapsed() < PATIENCE, "the machine is too slow for this");
    };
    // It is the end of its life that matters.
    let (life, _) = fixture.backend.short_life();
    sleep((life * 3 / 4).saturating_sub(began.elapsed())).await;
    let is_dead = Arc::new(AtomicBool::new(false));
    let tasks = (0..2).map(|_| {
        let (fixture, is_dead) = (Arc::clone(&fixture), Arc::clone(&is_dead));
        tokio::spawn(use_until_it_is_dead(fixture, id.clone(), is_dead))
    });
    let mut lost = 0;
    for task in tasks.collect::<Vec<_>>() {
        lost += task.await.expect("whoever asks is answered");
    }
    lost + fixture.count_live([&id]).await
}

/// Reads and counts until nothing is found, by this one or by another, and once more after that;
/// gives how often it was found again.
async fn use_until_it_is_dead(
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
