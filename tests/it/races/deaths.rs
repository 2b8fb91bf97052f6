//! A session ends while others are under way with it. They are answered like anybody who has no
//! session, and nothing that they do brings it back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dustdevil::Lifetime;
use dustdevil::session::SessionConfig;
use dustdevil::session::id::Id;
use tokio::time::{Instant, sleep};

use super::ground::{Ground, Heard, Site, Told};
use crate::bystander::PATIENCE;
use crate::contract::counting::Dice;

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
    ground: &Ground,
    old: &Id,
    wishes: &[(&'static str, String)],
    heard: &[Heard],
) -> u64 {
    let mut lost = 0;
    for ((what, name), heard) in wishes.iter().zip(heard) {
        let Told::Issued(id) = &heard.told else { continue };
        lost += u64::from(id.key() == old.key() || !matches!(*what, "set" | "count"));
        let names = ground.names(id.key()).await.unwrap_or_default();
        lost += u64::from(names != [name.clone()]);
        lost += u64::from(*what == "count" && heard.text != "1");
        ground.end(id).await;
    }
    lost
}

/// Asks for everything with an id that is dead, and looks at the answers.
async fn come_late(ground: &Arc<Ground>, old: &Id) -> u64 {
    let wishes = [("get", SECRET), ("count", "visits"), ("set", "a"), ("keys", "")];
    let wishes = wishes.map(|(what, name)| (what, String::from(name)));
    let heard = ground.ask_at_once(old, wishes.clone()).await;
    let mut lost = look_at_the_late(ground, old, &wishes, &heard).await;
    for ((what, _), heard) in wishes.iter().zip(&heard) {
        let nothing = match *what {
            "get" => heard.text == "(none)",
            "keys" | "set" => heard.text.is_empty(),
            // It may count to one in a session of its own.
            "count" => heard.text == "0" || heard.issued().is_some(),
            _ => false,
        };
        lost += u64::from(!nothing);
    }
    lost + ground.count_living([old]).await
}

pub async fn who_is_late_for_a_logout_brings_nothing_back(site: Site) {
    let ground = site.prepare(<_>::default()).await;
    let lost = ground.run(log_out).await;
    ground.finish("logouts", lost).await;
}

async fn log_out(ground: Arc<Ground>, number: u64) -> u64 {
    let id = ground.begin(SECRET, "mine").await;
    let wishes = under_way(&["destroy"], number);
    let heard = ground.ask_at_once(&id, wishes.clone()).await;
    let mut lost = look_at_the_late(&ground, &id, &wishes, &heard).await;
    for ((what, _), heard) in wishes.iter().zip(&heard) {
        let withdrawn = matches!(heard.told, Told::Withdrawn);
        lost += u64::from(withdrawn != (*what == "destroy"));
    }
    lost += come_late(&ground, &id).await;
    lost + ground.count_living([&id]).await
}

pub async fn who_is_late_for_a_rotation_writes_nowhere(site: Site) {
    let ground = site.prepare(<_>::default()).await;
    let lost = ground.run(rotate).await;
    ground.finish("rotations", lost).await;
}

async fn rotate(ground: Arc<Ground>, number: u64) -> u64 {
    let old = ground.begin(SECRET, "mine").await;
    let wishes = under_way(&["rotate", "rotate"], number);
    let heard = ground.ask_at_once(&old, wishes.clone()).await;
    let issued: Vec<_> =
        wishes.iter().zip(&heard).filter(|(_, h)| h.issued().is_some()).collect();
    let [((what, _), answer)] = issued[..] else { return 1 };
    let Some(new) = answer.issued() else { return 1 };
    let mut lost = u64::from(*what != "rotate" || new.key() == old.key());

    // Who was told a number has counted, and who was told 0 has not.
    let counts = wishes.iter().zip(&heard).filter(|((what, _), _)| *what == "count");
    let counted = counts.filter(|(_, heard)| heard.text != "0").count();
    let visits = ground.stored(new.key(), "visits").await;
    lost += u64::from(visits.unwrap_or(String::from("0")) != counted.to_string());
    lost += u64::from(ground.stored(new.key(), SECRET).await.as_deref() != Some("mine"));

    let late = come_late(&ground, &old).await;
    let names = ground.names(new.key()).await.unwrap_or_default();
    let strange =
        names.iter().filter(|name| !["a", SECRET, "visits"].contains(&name.as_str()));
    lost += late + u64::try_from(strange.count()).unwrap_or(u64::MAX);
    lost += u64::from(!ground.end(new).await);
    lost + ground.count_living([&old, new]).await
}

pub async fn a_logout_finds_the_session_wherever_it_is_rotated_to(site: Site) {
    let ground = site.prepare(<_>::default()).await;
    let lost = ground.run(log_out_while_it_moves).await;
    ground.finish("logouts against rotations", lost).await;
}

/// Somebody has the session moved several times, one after the other, while two others who know
/// the first id only have it moved, and have it ended.
async fn log_out_while_it_moves(ground: Arc<Ground>, number: u64) -> u64 {
    let first = ground.begin(SECRET, "mine").await;
    let (runner, start) = (Arc::clone(&ground), first.clone());
    let run = tokio::spawn(async move {
        let mut ids = vec![start];
        for _ in 0..3 {
            let heard = runner.ask(ids.last(), "rotate", "", "").await;
            ids.extend(heard.issued().cloned());
        }
        ids
    });
    let mut wishes = vec![("rotate", String::new()), ("get", String::from(SECRET))];
    let at = Dice(number + 1).throw(3);
    wishes.insert(at, ("destroy", String::new()));
    let heard = ground.ask_at_once(&first, wishes).await;
    let mut ids = run.await.expect("the runner comes back");
    ids.extend(heard.iter().filter_map(Heard::issued).cloned());
    let withdrawn = matches!(heard[at].told, Told::Withdrawn);
    let mut lost = u64::from(!withdrawn) + ground.count_living(&ids).await;
    for id in &ids {
        lost += u64::from(ground.end(id).await);
    }
    lost
}

pub async fn an_expired_session_is_dead_for_all_from_one_moment_on(site: Site) {
    let (absolute, lanes) = site.short_life();
    // An idle limit that is long, so that no answer has a reason to tell the id again.
    let lifetime = Lifetime { absolute, ..Lifetime::default() };
    let ground = site.prepare(SessionConfig { lifetime, ..SessionConfig::default() }).await;
    let lost = ground.run_in(lanes, expire).await;
    ground.finish("expiries", lost).await;
}

/// What a session is begun with. Who counts to less has begun another.
const FIRST: u32 = 100;

async fn expire(ground: Arc<Ground>, _: u64) -> u64 {
    // Where the machine stalls, a session may be over before anybody was told its id. No id is given
    // out then, and the next one may fare better.
    let began = Instant::now();
    let id = loop {
        let heard = ground.ask(None, "set", "visits", &FIRST.to_string()).await;
        if let Some(id) = heard.issued() {
            break id.clone();
        }
        assert!(began.elapsed() < PATIENCE, "the machine is too slow for this");
    };
    // It is the end of its life that matters.
    let (life, _) = ground.site.short_life();
    sleep((life * 3 / 4).saturating_sub(began.elapsed())).await;
    let is_dead = Arc::new(AtomicBool::new(false));
    let tasks = (0..2).map(|_| {
        let (ground, is_dead) = (Arc::clone(&ground), Arc::clone(&is_dead));
        tokio::spawn(use_until_it_is_dead(ground, id.clone(), is_dead))
    });
    let mut lost = 0;
    for task in tasks.collect::<Vec<_>>() {
        lost += task.await.expect("whoever asks is answered");
    }
    lost + ground.count_living([&id]).await
}

/// Reads and counts until nothing is found, by this one or by another, and once more after that;
/// gives how often it was found again.
async fn use_until_it_is_dead(
    ground: Arc<Ground>,
    id: Id,
    is_dead: Arc<AtomicBool>,
) -> u64 {
    let mut lost = 0;
    loop {
        let was_dead = is_dead.load(Ordering::SeqCst);
        for what in ["get", "count"] {
            let heard = ground.ask(Some(&id), what, "visits", "").await;
            let is_found = heard.text.parse().is_ok_and(|visits: u32| visits >= FIRST);
            lost += u64::from(was_dead && is_found);
            is_dead.fetch_or(!is_found, Ordering::SeqCst);
            if let Some(new) = heard.issued() {
                lost += u64::from(new.key() == id.key() || is_found || what == "get");
                ground.end(new).await;
            }
        }
        if was_dead {
            return lost;
        }
    }
}
