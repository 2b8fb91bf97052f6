//! What operations cost Redis, and that no client can fill it, block it or slow it down. Redis
//! counts the commands that it runs, also those of scripts (`INFO commandstats`), so these tests
//! count them instead of measuring times.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dustdevil::session::id::{Id, Key};
use dustdevil::session::store::Visit;
use dustdevil::session::{Session, SessionConfig, USERNAME};
use dustdevil::{Lifetime, RedisSettings, RedisStore, Store};

use crate::log::lines_with;
use crate::redis_server::RedisServer;
use crate::support::CLIENT_IP;
use crate::webdriver::tell;

const HOUR: Duration = Duration::from_secs(3600);

const LIFETIME: Lifetime = Lifetime { idle: HOUR, absolute: HOUR };

fn key() -> Key {
    Id::generate().key()
}

async fn create(store: &RedisStore, name: &str, value: &str) -> Key {
    let key = key();
    assert!(store.create(key, LIFETIME, CLIENT_IP, name, value).await.unwrap());
    key
}

/// The session of a request that presents these ids.
fn session(store: &Arc<RedisStore>, ids: impl IntoIterator<Item = Id>) -> Session {
    let store: Arc<dyn Store> = Arc::clone(store) as Arc<dyn Store>;
    Session::new(store, SessionConfig::default(), CLIENT_IP, ids.into_iter())
}

/// How often Redis has run each command since the last call. Scripts count as `evalsha`, and each
/// command in them as itself.
fn commands(redis: &RedisServer) -> BTreeMap<String, u64> {
    let info: String = redis.query(&["INFO", "commandstats"]);
    let _: () = redis.query(&["CONFIG", "RESETSTAT"]);
    let command = |line: &str| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
    };
    let is_ours = |name: &String| !name.starts_with("config") && name != "info";
    info.lines().filter_map(command).filter(|(name, _)| is_ours(name)).collect()
}

fn writes(redis: &RedisServer) -> u64 {
    redis.info("persistence", "rdb_changes_since_last_save").unwrap().parse().unwrap()
}

#[tokio::test]
async fn reading_a_session_that_was_just_used_is_one_plain_command() {
    let Some(redis) = RedisServer::start() else { return };
    let store = Arc::new(redis.store());
    let id = Id::generate();
    store.create(id.key(), LIFETIME, CLIENT_IP, USERNAME, "ada").await.unwrap();
    store.sweep().await.unwrap();
    commands(&redis);
    let before = writes(&redis);
    for _ in 0..20 {
        let session = session(&store, [id.clone()]);
        assert_eq!(session.get(USERNAME).await.unwrap().as_deref(), Some("ada"));
        session.client_update().await.unwrap();
    }
    let commands = commands(&redis);
    // On a machine that stands still for a second, a use is due.
    let scripts = commands.get("evalsha").copied().unwrap_or_default();
    assert!(scripts <= 2 && commands["hmget"] <= 20 + 4 * scripts, "{commands:?}");
    assert!(writes(&redis) - before <= 4 * scripts);
}

#[tokio::test]
async fn a_use_is_recorded_once_per_hundredth_of_the_idle_timeout() {
    let Some(redis) = RedisServer::start() else { return };
    let store = redis.store();
    let (idle, key) = (Duration::from_secs(20), key());
    let lifetime = Lifetime { idle, ..LIFETIME };
    store.create(key, lifetime, CLIENT_IP, "a", "1").await.unwrap();
    store.sweep().await.unwrap();
    let field = || -> u64 {
        let name = format!("{{dustdevil}}:session:{key}");
        redis.query(&["HGET", &name, "last_used"])
    };
    let created = field();
    tokio::time::sleep(idle / 100).await;
    store.get(key, "a").await.unwrap();
    let used = field();
    assert!(used >= created + 200, "{created} {used}");
    tokio::time::sleep(idle / 100).await;
    store.visit(key, CLIENT_IP, "a").await.unwrap();
    assert!(field() >= used + 200);
    let left: u64 = redis.query(&["PTTL", &format!("{{dustdevil}}:session:{key}")]);
    assert!(left <= 20_000, "the idle timeout is never longer");
}

#[tokio::test]
async fn a_visit_from_another_address_is_recorded_immediately() {
    let Some(redis) = RedisServer::start() else { return };
    let store = redis.store();
    let key = create(&store, USERNAME, "ada").await;
    store.sweep().await.unwrap();
    let other = "192.0.2.7".parse().unwrap();
    assert!(matches!(store.visit(key, other, "a").await.unwrap(), Visit::Live(_)));
    assert_eq!(store.sessions_of("ada").await.unwrap()[0].last_ip, other);
}

#[tokio::test]
async fn sixteen_unknown_ids_are_one_call_and_no_write() {
    let Some(redis) = RedisServer::start() else { return };
    let store = Arc::new(redis.store());
    // Redis knows a script only after it was loaded once.
    store.visit_all(&[key(), key()], CLIENT_IP, "a").await.unwrap();
    store.sweep().await.unwrap();
    commands(&redis);
    let before = writes(&redis);
    let session = session(&store, (0..16).map(|_| Id::generate()));
    assert_eq!(session.get("a").await.unwrap(), None);
    let commands = commands(&redis);
    assert_eq!(commands["evalsha"], 1, "{commands:?}");
    assert_eq!(commands.get("hmget"), None, "{commands:?}");
    assert_eq!(writes(&redis), before);
    assert_eq!(store.counters().await.unwrap().rejected_ids, 18);
}

/// 32 connections, spread over two stores as over two processes, count in one session.
#[tokio::test(flavor = "multi_thread")]
async fn contended_counting_costs_two_commands_per_update() {
    const EACH: u64 = 50;
    let Some(redis) = RedisServer::start() else { return };
    let stores = [Arc::new(redis.store()), Arc::new(redis.store())];
    let id = Id::generate();
    stores[0].create(id.key(), LIFETIME, CLIENT_IP, USERNAME, "ada").await.unwrap();
    for store in &stores {
        store.sweep().await.unwrap();
    }
    commands(&redis);
    let client = |number: usize| {
        let (store, id) = (Arc::clone(&stores[number % 2]), id.clone());
        tokio::spawn(async move {
            for _ in 0..EACH {
                let session = session(&store, [id.clone()]);
                session.increment("visits", 1).await.unwrap().unwrap();
            }
        })
    };
    for client in (0..32).map(client).collect::<Vec<_>>() {
        client.await.unwrap();
    }
    let commands = commands(&redis);
    let (reads, scripts) = (commands["hmget"], commands["evalsha"]);
    let updates = 32 * EACH;
    // Each script runs an HMGET of its own, so the others are plain commands.
    tell(&format!(
        "counting: {updates} updates, {} reads, {scripts} scripts",
        reads - scripts
    ));
    assert!(reads <= 2 * updates + 64, "{commands:?}");
    let count = stores[0].get(id.key(), "visits").await.unwrap().flatten();
    assert_eq!(count, Some(updates.to_string()));
}

/// Updates by a function wait for each other in their process, so only the other process can come
/// between the read and the write.
#[tokio::test(flavor = "multi_thread")]
async fn contended_updates_queue_in_their_process() {
    const EACH: u64 = 50;
    let Some(redis) = RedisServer::start() else { return };
    let store = Arc::new(redis.store());
    let id = Id::generate();
    store.create(id.key(), LIFETIME, CLIENT_IP, "count", "0").await.unwrap();
    store.sweep().await.unwrap();
    commands(&redis);
    let client = |_| {
        let (store, id) = (Arc::clone(&store), id.clone());
        tokio::spawn(async move {
            for _ in 0..EACH {
                let session = session(&store, [id.clone()]);
                let count = |count: Option<u64>| count.unwrap_or(0) + 1;
                session.update("count", count).await.unwrap().unwrap();
            }
        })
    };
    for client in (0..32).map(client).collect::<Vec<_>>() {
        client.await.unwrap();
    }
    let (commands, updates) = (commands(&redis), 32 * EACH);
    let due = 20;
    assert!(commands["evalsha"] <= updates + due, "{updates} updates: {commands:?}");
    let count = store.get(id.key(), "count").await.unwrap().flatten();
    assert_eq!(count, Some(updates.to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_anonymous_sessions_costs_no_user_a_login_or_a_session() {
    let memory = ["--maxmemory", "8mb", "--maxmemory-policy", "noeviction"];
    let Some(redis) = RedisServer::start_with(&memory) else { return };
    let store = Arc::new(redis.store());
    let user = create(&store, USERNAME, "ada").await;
    let value = "a".repeat(1024);
    let attacker = |_| {
        let (store, value) = (Arc::clone(&store), value.clone());
        tokio::spawn(async move {
            for _ in 0..1_000 {
                create(&store, "basket", &value).await;
            }
        })
    };
    let attackers: Vec<_> = (0..16).map(attacker).collect();
    let mut logins = 0;
    while !attackers.iter().all(tokio::task::JoinHandle::is_finished) {
        let key = create(&store, USERNAME, "bob").await;
        assert_eq!(store.set(key, "theme", "dark").await, Ok(Some(())));
        assert!(store.rotate(key, self::key(), Some(LIFETIME)).await.unwrap());
        logins += 1;
        assert_eq!(store.set(user, "count", &logins.to_string()).await, Ok(Some(())));
        for over in store.sessions_over_limit("bob", 10).await.unwrap() {
            store.destroy(over).await.unwrap();
        }
    }
    for attacker in attackers {
        attacker.await.unwrap();
    }
    let counters = store.counters().await.unwrap();
    tell(&format!(
        "flood: 16,000 anonymous sessions of 1 KiB in 8 MB; {} evicted, {logins} logins, 0 failed",
        counters.evicted
    ));
    assert!(counters.evicted > 1_000, "{counters:?}");
    assert_eq!(store.sessions_of("ada").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_policy_that_may_evict_sessions_is_a_warning_with_the_remedy() {
    for (policy, memory, warnings) in
        [("allkeys-lru", "100mb", 1), ("noeviction", "100mb", 0), ("volatile-ttl", "0", 0)]
    {
        let options = ["--maxmemory", memory, "--maxmemory-policy", policy];
        let Some(redis) = RedisServer::start_with(&options) else { return };
        let store = redis.store();
        let address = format!("127.0.0.1:{}", redis.port());
        let lines =
            lines_with("maxmemory-policy", async { store.sweep().await.unwrap() }).await;
        let ours = lines.iter().filter(|line| line.contains(&address));
        assert_eq!(ours.count(), warnings, "{policy}: {lines:?}");
        let remedy = "CONFIG SET maxmemory-policy noeviction";
        assert!(lines.iter().all(|line| line.contains(remedy)), "{lines:?}");
    }
}

#[tokio::test]
async fn anonymous_sessions_have_a_limit_of_their_own() {
    let Some(redis) = RedisServer::start() else { return };
    let settings = RedisSettings { max_anonymous_sessions: 10, ..redis.settings() };
    let store = RedisStore::new(settings).unwrap();
    let mut users = Vec::new();
    let mut keys = Vec::new();
    for number in 0..20 {
        users.push(create(&store, USERNAME, "ada").await);
        let key = create(&store, "a", "1").await;
        // Those of one millisecond have no order.
        tokio::time::sleep(Duration::from_millis(2)).await;
        match number {
            0 => store.set(key, USERNAME, "bob").await.map(drop).unwrap(),
            _ => keys.push(key),
        }
    }
    let mut live = Vec::new();
    for key in keys {
        live.push(store.get(key, "a").await.unwrap().is_some());
    }
    assert!(live.iter().filter(|live| **live).count() <= 10);
    assert!(live.is_sorted(), "the oldest are gone: {live:?}");
    assert_eq!(store.sessions_of("ada").await.unwrap().len(), 20);
    assert_eq!(store.sessions_of("bob").await.unwrap().len(), 1, "it is anonymous no more");
}

#[tokio::test]
async fn rotations_do_not_make_a_logout_with_an_old_id_slower() {
    const ROTATIONS: usize = 15_000;
    let Some(redis) = RedisServer::start() else { return };
    let store = redis.store();
    let first = create(&store, USERNAME, "ada").await;
    let mut key = first;
    for _ in 0..ROTATIONS {
        let new = self::key();
        assert!(store.rotate(key, new, None).await.unwrap());
        key = new;
    }
    commands(&redis);
    assert_eq!(store.origin(first).await.unwrap(), Some(first));
    assert!(store.destroy(first).await.unwrap());
    let commands = commands(&redis);
    let total: u64 = commands.values().sum();
    tell(&format!(
        "rotations: {ROTATIONS}; a logout with the first id runs {total} commands"
    ));
    assert!(total < 30, "{commands:?}");
}

#[tokio::test]
async fn a_session_takes_less_than_a_kibibyte_of_redis() {
    const SESSIONS: u64 = 5_000;
    let Some(redis) = RedisServer::start() else { return };
    let store = redis.store();
    let used = || -> u64 { redis.info("memory", "used_memory").unwrap().parse().unwrap() };
    for (what, name) in [("anonymous", "basket"), ("of a user", USERNAME)] {
        let before = used();
        for number in 0..SESSIONS {
            create(&store, name, &format!("user{:08}", number / 10)).await;
        }
        let bytes = (used() - before) / SESSIONS;
        tell(&format!("Redis: {SESSIONS} sessions {what}, {bytes} bytes each"));
        assert!(bytes < 1024, "{what}: {bytes} bytes");
    }
}

/// Redis runs commands one after the other, so a long one delays all clients.
#[tokio::test]
async fn no_operation_runs_more_commands_because_of_what_happened_before() {
    let Some(redis) = RedisServer::start() else { return };
    let store = redis.store();
    // A session as full of values as it can be.
    let key = create(&store, USERNAME, "ada").await;
    let mut number = 0;
    while store.set(key, &number.to_string(), "").await.is_ok() {
        number += 1;
    }
    for _ in 0..99 {
        create(&store, USERNAME, "ada").await;
    }
    let mut most = BTreeMap::new();
    let mut measure = |operation: &'static str| {
        most.insert(operation, commands(&redis).values().sum::<u64>());
    };
    measure("setup");
    store.clear(key).await.unwrap();
    measure("clear");
    store.sessions_of("ada").await.unwrap();
    measure("sessions_of");
    store.rotate(key, self::key(), Some(LIFETIME)).await.unwrap();
    measure("rotate");
    store.sessions_over_limit("ada", 10).await.unwrap();
    measure("sessions_over_limit");
    store.sweep().await.unwrap();
    measure("sweep");
    most.remove("setup");
    tell(&format!("commands of an operation: {most:?}, after {number} values"));
    assert!(most.values().all(|commands| *commands <= 300), "{most:?}");
}
