//! Users log in, and end what they have, all at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use dustdevil::session::SessionConfig;
use dustdevil::session::id::{Id, Key};
use dustdevil::session::store::USERNAME;

use super::ground::{Ground, Heard, Site};
use crate::contract::counting::Dice;

pub async fn two_who_log_in_with_one_id_are_both_logged_in(site: Site) {
    let ground = site.prepare(<_>::default()).await;
    let lost = ground.run(log_in_twice).await;
    ground.finish("logins with one id", lost).await;
}

/// Somebody presses the button twice, or two do on one telephone.
async fn log_in_twice(ground: Arc<Ground>, number: u64) -> u64 {
    let old = ground.begin("cart", "full").await;
    let second = if number.is_multiple_of(2) { "ann" } else { "bob" };
    let users = ["ann", second];
    let mut wishes: Vec<_> = users.map(|user| ("login", String::from(user))).into();
    wishes.insert(Dice(number + 1).throw(3), ("get", String::from("cart")));
    let heard = ground.ask_at_once(&old, wishes.clone()).await;

    let (mut lost, mut carts, mut ids) = (0, 0, Vec::new());
    for ((what, user), heard) in wishes.iter().zip(&heard) {
        match (*what, heard.issued()) {
            ("login", Some(id)) => {
                let whose = ground.stored(id.key(), USERNAME).await;
                lost += u64::from(whose.as_ref() != Some(user));
                carts += u64::from(ground.stored(id.key(), "cart").await.is_some());
                ids.push(id.clone());
            }
            ("login", None) => lost += 1,
            (_, issued) => lost += u64::from(issued.is_some()),
        }
    }
    // Each has a session of its own, and one of them goes on with what was in the old one.
    let keys: BTreeSet<Key> = ids.iter().map(Id::key).collect();
    lost += u64::from(keys.len() != 2 || keys.contains(&old.key()) || carts != 1);
    lost += ground.count_living([&old]).await;
    for id in &ids {
        lost += u64::from(!ground.end(id).await);
    }
    lost + ground.count_living(&ids).await
}

pub async fn who_ends_all_sessions_of_a_user_misses_none(site: Site) {
    let ground = site.prepare(<_>::default()).await;
    let lost = ground.run(revoke_all).await;
    ground.finish("ends of all sessions", lost).await;
}

async fn revoke_all(ground: Arc<Ground>, number: u64) -> u64 {
    let user = format!("user{number}");
    let there = [
        ground.log_in(&user).await,
        ground.log_in(&user).await,
        ground.log_in(&user).await,
    ];
    let mut wishes = vec![
        (Some(there[0].clone()), "rotate", String::new()),
        (Some(there[1].clone()), "rotate", String::new()),
        (Some(there[2].clone()), "get", String::from("a")),
        (None, "login", user.clone()),
        (None, "login", user.clone()),
    ];
    wishes.insert(Dice(number + 1).throw(6), (None, "end-all", user.clone()));
    let heard = ground.ask_for_each(wishes.clone()).await;

    let (mut lost, mut moved) = (ground.count_living(&there).await, Vec::new());
    for ((_, what, _), heard) in wishes.iter().zip(&heard) {
        if *what == "rotate" {
            moved.extend(heard.issued());
        }
    }
    lost += ground.count_living(moved).await;
    // Whoever logged in meanwhile may be there still, but not after this.
    ground.ask(None, "end-all", "", &user).await;
    lost += ground.count_living(heard.iter().filter_map(Heard::issued)).await;
    lost + u64::from(!ground.store.sessions_of(&user).await.unwrap().is_empty())
}

pub async fn who_ends_all_other_sessions_misses_none_and_keeps_this(site: Site) {
    let ground = site.prepare(<_>::default()).await;
    let lost = ground.run(revoke_others).await;
    ground.finish("ends of all other sessions", lost).await;
}

async fn revoke_others(ground: Arc<Ground>, number: u64) -> u64 {
    let user = format!("user{number}");
    let mine = ground.log_in(&user).await;
    let others = [ground.log_in(&user).await, ground.log_in(&user).await];
    let mut wishes = vec![
        (Some(others[0].clone()), "rotate", String::new()),
        (Some(others[1].clone()), "rotate", String::new()),
        (Some(mine.clone()), "count", String::from("visits")),
        (None, "login", user.clone()),
    ];
    wishes.insert(
        Dice(number + 1).throw(5),
        (Some(mine.clone()), "end-others", String::new()),
    );
    let heard = ground.ask_for_each(wishes.clone()).await;

    let mut lost = ground.count_living(&others).await;
    for ((_, what, _), heard) in wishes.iter().zip(&heard) {
        match *what {
            "rotate" => lost += ground.count_living(heard.issued()).await,
            "count" => lost += u64::from(heard.text != "1"),
            _ => {}
        }
    }
    lost += u64::from(ground.stored(mine.key(), USERNAME).await != Some(user.clone()));
    ground.ask(None, "end-all", "", &user).await;
    lost
}

/// So many sessions may one user have.
const MOST: usize = 3;

pub async fn nobody_has_more_sessions_than_the_limit_once_it_is_quiet(site: Site) {
    let rules = SessionConfig { max_sessions_per_user: MOST, ..SessionConfig::default() };
    let ground = site.prepare(rules).await;
    let lost = ground.run(log_in_too_often).await;
    ground.finish("logins past the limit", lost).await;
}

async fn log_in_too_often(ground: Arc<Ground>, number: u64) -> u64 {
    let user = format!("user{number}");
    let first = ground.log_in(&user).await;
    let mut wishes: Vec<_> = (0..6).map(|_| (None, "login", user.clone())).collect();
    wishes
        .insert(Dice(number + 1).throw(7), (Some(first.clone()), "rotate", String::new()));
    let heard = ground.ask_for_each(wishes).await;
    let mut ids: Vec<&Id> = heard.iter().filter_map(Heard::issued).collect();
    ids.push(&first);

    let listed = ground.store.sessions_of(&user).await.unwrap();
    let mut lost = u64::from(listed.len() != MOST);
    lost += u64::from(ground.count_living(ids).await != MOST as u64);
    let oldest_is_gone = listed.iter().all(|listed| listed.key != first.key());
    lost += u64::from(!oldest_is_gone);
    ground.ask(None, "end-all", "", &user).await;
    lost
}

/// Somebody ends all other sessions, and has this one moved at the same time.
pub async fn who_ends_all_other_sessions_keeps_this_wherever_it_is_rotated_to(site: Site) {
    let ground = site.prepare(<_>::default()).await;
    let lost = ground.run(end_others_while_it_moves).await;
    ground.finish("ends of all others than one that moves", lost).await;
}

async fn end_others_while_it_moves(ground: Arc<Ground>, number: u64) -> u64 {
    let user = format!("user{number}");
    let (mine, other) = (ground.log_in(&user).await, ground.log_in(&user).await);
    let mut wishes = vec![("rotate", String::new())];
    wishes.insert(Dice(number + 1).throw(2), ("end-others", String::new()));
    let heard = ground.ask_at_once(&mine, wishes).await;
    let moved = heard.iter().find_map(Heard::issued);
    let living = ground.count_living(moved).await;
    ground.end(&other).await;
    ground.ask(None, "end-all", "", &user).await;
    1 - living
}
