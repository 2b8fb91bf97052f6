//! Many write to one session at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::ground::{Ground, Site};

pub async fn writes_of_different_names_all_survive(site: Site) {
    let ground = site.prepare(<_>::default()).await;
    let lost = ground.run(write).await;
    ground.finish("writes", lost).await;
}

async fn write(ground: Arc<Ground>, _: u64) -> u64 {
    let (id, crowd) = (ground.begin("first", "0").await, ground.site.crowd());
    let names: BTreeSet<String> =
        (0..crowd).map(|number| format!("name{number}")).collect();
    ground.ask_at_once(&id, names.iter().map(|name| ("set", name.clone()))).await;
    let mut lost = 0;
    for name in &names {
        lost += u64::from(ground.stored(id.key(), name).await.as_ref() != Some(name));
    }
    let keys = ground.ask(Some(&id), "keys", "", "").await.text;
    lost += u64::from(keys.split(',').count() != crowd + 1);
    ground.end(&id).await;
    lost
}

pub async fn updates_of_one_counter_all_count(site: Site) {
    let ground = site.prepare(<_>::default()).await;
    let lost = ground.run(count).await;
    ground.finish("updates", lost).await;
}

async fn count(ground: Arc<Ground>, _: u64) -> u64 {
    let crowd = ground.site.crowd();
    let id = ground.begin("first", "0").await;
    let counts = (0..crowd).map(|_| ("count", String::from("visits")));
    let heard = ground.ask_at_once(&id, counts).await;
    let numbers: BTreeSet<usize> =
        heard.iter().map(|heard| heard.text.parse().expect("a number")).collect();
    // Each was told another number, so nobody's was overwritten.
    let expected: BTreeSet<usize> = (1..=crowd).collect();
    let last = ground.stored(id.key(), "visits").await;
    ground.end(&id).await;
    let lost = expected.difference(&numbers).count();
    u64::try_from(lost + usize::from(last != Some(crowd.to_string()))).unwrap_or(u64::MAX)
}

pub async fn of_those_who_take_a_message_one_gets_it(site: Site) {
    let ground = site.prepare(<_>::default()).await;
    let lost = ground.run(take).await;
    ground.finish("messages", lost).await;
}

async fn take(ground: Arc<Ground>, _: u64) -> u64 {
    let id = ground.begin("first", "0").await;
    ground.ask(Some(&id), "flash", "", "boo").await;
    let heard = ground.ask_at_once(&id, (0..4).map(|_| ("flashed", String::new()))).await;
    let got = heard.iter().filter(|heard| heard.text == "boo").count();
    ground.end(&id).await;
    u64::from(got != 1)
}
