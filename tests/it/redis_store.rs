//! The Redis store: its properties beyond the contract, and its behaviour when Redis is
//! down, slow, full, a replica or a cluster.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dustdevil::session::error::Error;
use dustdevil::session::id::{Id, Key};
use dustdevil::session::store::{CompareAndSet, Counters, Visit};
use dustdevil::session::{Session, SessionConfig, USERNAME};
use dustdevil::{Application, Lifetime, RedisSettings, RedisStore, Store};
use tokio::time::sleep;

use crate::demo::options::Options;
use crate::process::{Process, command};
use crate::redis_server::{DURABLE, RedisServer};
use crate::support::{CLIENT_IP, Visitor, serve};
use crate::webdriver::tell;

const HOUR: Duration = Duration::from_secs(3600);

const LIFETIME: Lifetime = Lifetime { idle: HOUR, absolute: HOUR };

/// A timeout for calls that must reach it.
const SHORT: Duration = Duration::from_millis(200);

fn key() -> Key {
    Id::generate().key()
}

/// Creates a session with the value `name` = `value` and returns its key.
async fn create_session(store: &RedisStore, name: &str, value: &str) -> Key {
    create_session_for(store, LIFETIME, name, value).await
}

async fn create_session_for(
    store: &RedisStore,
    lifetime: Lifetime,
    name: &str,
    value: &str,
) -> Key {
    let key = key();
    assert!(store.create(key, lifetime, CLIENT_IP, name, value).await.unwrap());
    key
}

async fn get(store: &RedisStore, key: Key, name: &str) -> Option<String> {
    store.get(key, name).await.unwrap().flatten()
}

fn session_of(key: Key) -> String {
    format!("{{dustdevil}}:session:{key}")
}

/// Polls a condition until it is true. Panics after a minute.
async fn eventually(expectation: &str, mut is_true: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !is_true().await {
        assert!(start.elapsed() < Duration::from_secs(60), "never true: {expectation}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Returns the message of [`Error::Unavailable`]; panics for any other result.
fn unavailable<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::Unavailable(message)) => message,
        other => panic!("not unavailable: {other:?}"),
    }
}

/// Creates the demo with its sessions in this Redis.
fn demo_on(redis: &RedisServer, timeout: Duration) -> Application {
    let store = RedisStore::new(RedisSettings { timeout, ..redis.settings() }).unwrap();
    let session_store: Option<Arc<dyn Store>> = Some(Arc::new(store));
    crate::demo::make_app(Options { session_store, ..Options::default() }).unwrap()
}

#[tokio::test]
async fn a_store_reconnects_after_redis_was_killed_and_restarted() {
    let Some(mut redis) = RedisServer::start_with(&DURABLE) else { return };
    let store = redis.store();
    let key = create_session(&store, "a", "1").await;
    for _ in 0..2 {
        redis.kill();
        let message = unavailable(store.get(key, "a").await);
        assert!(
            message.starts_with(&format!("Redis at 127.0.0.1:{}: ", redis.port())),
            "{message}"
        );
        assert!(store.set(key, "a", "2").await.is_err());
        redis.restart();
        eventually("the store reconnects", async || store.get(key, "a").await.is_ok())
            .await;
        assert_eq!(get(&store, key, "a").await.as_deref(), Some("1"));
    }
}

#[tokio::test]
async fn without_redis_the_response_is_503_until_redis_restarts() {
    let Some(mut redis) = RedisServer::start_with(&DURABLE) else { return };
    let server = serve(demo_on(&redis, Duration::from_secs(30))).await;
    let mut visitor = server.visitor();
    assert_eq!(visitor.log_in().await.field("Location"), Some("/main"));
    redis.kill();
    // The first request may fail because the connection breaks, the second because
    // connecting is refused.
    for _ in 0..2 {
        let reply = visitor.get("/main").await;
        assert_eq!(
            (reply.status, reply.field("Retry-After")),
            (503, Some("1")),
            "{reply:?}"
        );
        assert!(
            reply
                .text()
                .contains("The session store is unavailable. Please try again later."),
            "{reply:?}"
        );
    }
    assert_eq!(
        visitor.get("/hello").await.status,
        200,
        "a page without a session is served"
    );
    redis.restart();
    eventually("the page is served", async || visitor.get("/main").await.status == 200)
        .await;
    assert!(visitor.get("/main").await.text().contains("this is main page"));
    server.stop().await;
}

#[tokio::test]
async fn a_frozen_redis_delays_no_request_beyond_the_timeout() {
    let Some(redis) = RedisServer::start() else { return };
    let server = serve(demo_on(&redis, SHORT)).await;
    let mut visitor = server.visitor();
    eventually("a login succeeds", async || {
        visitor.log_in().await.field("Location") == Some("/main")
    })
    .await;
    redis.freeze();
    let mut slowest = Duration::ZERO;
    for _ in 0..3 {
        let mut requests = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let mut visitor = visitor.clone();
            requests.spawn(async move {
                let start = Instant::now();
                (visitor.get("/main").await.status, start.elapsed())
            });
        }
        for (status, took) in requests.join_all().await {
            assert_eq!(status, 503);
            slowest = slowest.max(took);
        }
    }
    redis.thaw();
    tell(&format!(
        "a frozen Redis: with a timeout of {SHORT:?}, the slowest request took {slowest:?}"
    ));
    eventually("the page is served", async || visitor.get("/main").await.status == 200)
        .await;
    server.stop().await;
}

#[tokio::test]
async fn the_sweep_replaces_a_dead_connection() {
    let Some(redis) = RedisServer::start() else { return };
    let settings = RedisSettings { timeout: SHORT, ..redis.settings() };
    let store = RedisStore::new(settings).unwrap();
    eventually("the store connects", async || store.sweep().await.is_ok()).await;
    let connections = || redis.info("stats", "total_connections_received").unwrap();
    redis.freeze();
    assert!(store.sweep().await.is_err());
    redis.thaw();
    let before: u32 = connections().parse().unwrap();
    eventually("the store reconnects", async || store.sweep().await.is_ok()).await;
    let after: u32 = connections().parse().unwrap();
    // One of the new connections is that of the query itself.
    assert!(after > before + 1, "{before} and {after}");
}

#[tokio::test]
async fn a_script_that_redis_has_flushed_is_loaded_again() {
    let Some(redis) = RedisServer::start() else { return };
    let store = redis.store();
    let key = create_session(&store, "a", "1").await;
    let _: () = redis.query(&["SCRIPT", "FLUSH"]);
    assert_eq!(get(&store, key, "a").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn reading_a_value_takes_one_round_trip() {
    let Some(redis) = RedisServer::start() else { return };
    let store = Arc::new(redis.store());
    let id = Id::generate();
    assert!(store.create(id.key(), LIFETIME, CLIENT_IP, "a", "1").await.unwrap());
    store.sweep().await.unwrap();
    let monitor = Monitor::of(&redis);

    let ids = [id].into_iter();
    let session = Session::new(store, SessionConfig::default(), CLIENT_IP, ids);
    assert_eq!(session.get("a").await.unwrap().as_deref(), Some("1"));

    let commands = monitor.commands(&redis);
    assert!(matches!(&commands[..], [one] if one.contains("\"HMGET\"")), "{commands:#?}");
}

/// A connection in `MONITOR` mode, on which Redis reports every command that it receives.
struct Monitor(BufReader<TcpStream>);

impl Monitor {
    fn of(redis: &RedisServer) -> Monitor {
        let mut socket = TcpStream::connect(("127.0.0.1", redis.port())).unwrap();
        socket.write_all(b"MONITOR\r\n").unwrap();
        let mut monitor = Monitor(BufReader::new(socket));
        assert_eq!(monitor.line(), "+OK");
        monitor
    }

    /// Returns the commands of clients so far, without those that scripts called. The
    /// `ECHO` marks the end of the list.
    fn commands(mut self, redis: &RedisServer) -> Vec<String> {
        let mut socket = TcpStream::connect(("127.0.0.1", redis.port())).unwrap();
        socket.write_all(b"ECHO so-far\r\n").unwrap();
        let mut commands = Vec::new();
        loop {
            let line = self.line();
            if line.contains("\"so-far\"") {
                return commands;
            }
            if !line.contains(" lua]") {
                commands.push(line);
            }
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

#[tokio::test]
async fn use_extends_a_session_up_to_its_absolute_timeout() {
    let Some(redis) = RedisServer::start() else { return };
    let store = redis.store();
    let ends = |key: Key| redis.query::<u64>(&["PEXPIRETIME", &session_of(key)]);

    let long = Lifetime { idle: HOUR, absolute: HOUR / 60 };
    let key = create_session_for(&store, long, "a", "1").await;
    let end = ends(key);
    let created: u64 = redis.query(&["HGET", &session_of(key), "created"]);
    assert_eq!(end, created + 60_000, "the absolute timeout ends before the idle timeout");
    for _ in 0..3 {
        get(&store, key, "a").await;
        store.set(key, "a", "2").await.unwrap();
        assert_eq!(ends(key), end);
    }
    let new = self::key();
    assert!(store.rotate(key, new, None).await.unwrap());
    assert_eq!(ends(new), end);
    assert!(store.rotate(new, key, Some(LIFETIME)).await.unwrap());
    assert!(ends(key) > end, "its lifetime starts again");

    let key = create_session(&store, "a", "1").await;
    // As if most of the idle timeout had passed.
    let shorten = |key| {
        let _: u64 = redis.query(&["HSET", &session_of(key), "last_used", "0"]);
        redis.query::<u64>(&["PEXPIRE", &session_of(key), "60000"])
    };
    for name in ["get", "visit", "set", "remove", "compare_and_set", "keys", "clear"] {
        assert_eq!(shorten(key), 1);
        match name {
            "get" => drop(store.get(key, "a").await.unwrap()),
            "visit" => drop(store.visit(key, CLIENT_IP, "a").await.unwrap()),
            "set" => drop(store.set(key, "a", "2").await.unwrap()),
            "remove" => drop(store.remove(key, "b").await.unwrap()),
            "compare_and_set" => {
                assert!(
                    store.compare_and_set(key, "a", None, "3").await.unwrap().is_some()
                );
            }
            "keys" => drop(store.keys(key).await.unwrap()),
            _ => drop(store.clear(key).await.unwrap()),
        }
        let left: u64 = redis.query(&["PTTL", &session_of(key)]);
        assert!(left > 60_000, "{name} counts as use");
    }
    store.set(key, USERNAME, "ada").await.unwrap();
    shorten(key);
    store.sessions_of("ada").await.unwrap();
    let left: u64 = redis.query(&["PTTL", &session_of(key)]);
    assert!(left <= 60_000, "being listed does not count as use");
}

#[tokio::test]
async fn destroyed_sessions_leave_nothing_in_redis() {
    let Some(redis) = RedisServer::start() else { return };
    let store = redis.store();
    let mut keys = Vec::new();
    for number in 0..10 {
        let key = create_session(&store, USERNAME, ["ada", "bob"][number % 2]).await;
        store.set(key, "b", "2").await.unwrap();
        keys.push(key);
    }
    let new = key();
    assert!(store.rotate(keys[0], new, None).await.unwrap());
    store.set(keys[1], USERNAME, "ada").await.unwrap();
    store.remove(keys[2], USERNAME).await.unwrap();
    store.clear(keys[3]).await.unwrap();
    for key in &keys {
        assert!(store.destroy(*key).await.unwrap());
    }
    let mut left: Vec<String> = redis.query(&["KEYS", "*"]);
    left.retain(|key| *key != "{dustdevil}:counters");
    left.sort_unstable();
    let traces = ["current", "rotated"].map(|of| format!("{{dustdevil}}:{of}:{}", keys[0]));
    assert_eq!(left, traces, "the traces of the rotation");
    for trace in traces {
        let left: u64 = redis.query(&["PTTL", &trace]);
        assert!(left <= 60_000, "which Redis deletes");
    }
}

/// The shortest idle timeout: the session is created, and expires immediately afterwards.
const SHORT_LIVED: Lifetime = Lifetime { idle: Duration::from_millis(1), absolute: HOUR };

/// Returns the counters and checks that they account for every created session.
async fn checked_counters(store: &RedisStore) -> Counters {
    let counters = store.counters().await.unwrap();
    let Counters { live, created, ended, expired, evicted, .. } = counters;
    assert_eq!(live + ended + expired + evicted, created, "{counters:?}");
    counters
}

#[tokio::test]
async fn an_expired_session_is_counted_once() {
    let Some(redis) = RedisServer::start() else { return };
    let store = redis.store();
    let mut keys = Vec::new();
    // Several batches of the sweep.
    for _ in 0..300 {
        keys.push(create_session_for(&store, SHORT_LIVED, USERNAME, "ada").await);
    }
    let live = create_session(&store, USERNAME, "ada").await;
    eventually("Redis deletes the expired sessions", async || {
        redis.query::<Vec<String>>(&["KEYS", "{dustdevil}:session:*"]).len() == 1
    })
    .await;
    assert_eq!(
        checked_counters(&store).await.live,
        301,
        "expired sessions are counted as live until the sweep"
    );
    for &key in &keys[..10] {
        assert!(!store.destroy(key).await.unwrap());
        assert_eq!(store.visit(key, CLIENT_IP, "a").await.unwrap(), Visit::Gone);
        checked_counters(&store).await;
    }
    assert!(store.create(keys[0], LIFETIME, CLIENT_IP, "a", "1").await.unwrap());
    assert_eq!(checked_counters(&store).await.expired, 1);
    assert!(store.rotate(live, keys[1], None).await.unwrap());
    assert_eq!(checked_counters(&store).await.expired, 2);
    store.sweep().await.unwrap();
    let counters = checked_counters(&store).await;
    assert_eq!((counters.live, counters.expired, counters.rejected_ids), (2, 300, 10));
    assert_eq!((counters.ended, counters.rotated), (0, 1));
    assert!(store.destroy(live).await.unwrap(), "also under its old key");
    assert_eq!(checked_counters(&store).await.ended, 1);
}

#[tokio::test]
async fn an_expiry_check_reschedules_a_live_session() {
    let Some(redis) = RedisServer::start() else { return };
    let store = redis.store();
    let key = create_session(&store, "a", "1").await;
    // As if its check had been due long ago.
    let _: u64 = redis.query(&["ZADD", "{dustdevil}:expiry", "1", &key.to_string()]);
    store.sweep().await.unwrap();
    assert_eq!(checked_counters(&store).await.live, 1);
    let check: String = redis.query(&["ZSCORE", "{dustdevil}:expiry", &key.to_string()]);
    let end: f64 = redis.query(&["PEXPIRETIME", &session_of(key)]);
    assert!(check.parse::<f64>().unwrap() >= end, "{check} and {end}");
}

#[tokio::test]
async fn a_users_index_does_not_grow_with_expired_sessions() {
    let Some(redis) = RedisServer::start() else { return };
    let store = redis.store();
    let length = || redis.query::<u64>(&["ZCARD", "{dustdevil}:user:ada"]);
    let live = create_session(&store, USERNAME, "ada").await;
    for _ in 0..200 {
        let key = create_session_for(&store, SHORT_LIVED, USERNAME, "ada").await;
        eventually("the session expires", async || get(&store, key, "a").await.is_none())
            .await;
        eventually("Redis deletes it", async || {
            redis.query::<u64>(&["EXISTS", &session_of(key)]) == 0
        })
        .await;
    }
    assert!(length() < 20, "{} entries for one live session", length());
    assert_eq!(store.sessions_over_limit("ada", 1).await.unwrap(), []);
    let sessions = store.sessions_of("ada").await.unwrap();
    assert_eq!(sessions.iter().map(|info| info.key).collect::<Vec<_>>(), [live]);
    assert_eq!(length(), 1, "listing the sessions removes the expired ones");
}

#[tokio::test]
async fn a_users_index_expires_with_its_last_session() {
    let Some(redis) = RedisServer::start() else { return };
    let store = redis.store();
    let index_end = || redis.query::<u64>(&["PEXPIRETIME", "{dustdevil}:user:ada"]);
    let end = |key| redis.query::<u64>(&["HGET", &session_of(key), "absolute_end"]);
    let day = Lifetime { idle: HOUR, absolute: 24 * HOUR };
    let key = create_session_for(&store, LIFETIME, USERNAME, "ada").await;
    assert_eq!(index_end(), end(key));
    let long = create_session_for(&store, day, USERNAME, "ada").await;
    assert_eq!(index_end(), end(long));
    create_session_for(&store, LIFETIME, USERNAME, "ada").await;
    assert_eq!(index_end(), end(long), "a shorter session does not shorten it");
    let new = self::key();
    assert!(
        store
            .rotate(key, new, Some(Lifetime { absolute: 48 * HOUR, ..day }))
            .await
            .unwrap()
    );
    assert_eq!(index_end(), end(new), "a longer lifetime at a rotation extends it");
}

#[tokio::test]
async fn names_and_values_may_be_any_text() {
    let Some(redis) = RedisServer::start() else { return };
    let store = redis.store();
    for text in
        ["", "a b", "{dustdevil}:session:", "\0\r\n\"'\\", "value:x", "Zoë \u{1f32a}"]
    {
        let key = create_session(&store, text, text).await;
        store.set(key, USERNAME, text).await.unwrap();
        assert_eq!(get(&store, key, text).await.as_deref(), Some(text), "{text:?}");
        assert_eq!(store.sessions_of(text).await.unwrap().len(), 1, "{text:?}");
        let mut keys = store.keys(key).await.unwrap().unwrap();
        keys.sort_unstable();
        let mut expected = [text, USERNAME];
        expected.sort_unstable();
        assert_eq!(keys, expected, "{text:?}");
        let swapped = store.compare_and_set(key, text, Some(text), "new").await.unwrap();
        assert_eq!(swapped, Some(CompareAndSet::Set), "{text:?}");
    }
    let own_fields =
        ["idle", "absolute_end", "created", "last_used", "id_sent_at", "last_ip", "bytes"];
    for own in own_fields {
        let key = create_session(&store, own, "mine").await;
        assert_eq!(get(&store, key, own).await.as_deref(), Some("mine"));
        assert_eq!(store.keys(key).await.unwrap().unwrap(), [own]);
    }
}

#[tokio::test]
async fn a_full_redis_creates_no_session_and_loses_none() {
    let Some(redis) = RedisServer::start() else { return };
    let store = redis.store();
    let (key, other) = (
        create_session(&store, USERNAME, "bob").await,
        create_session(&store, USERNAME, "ada").await,
    );
    store.set(key, "a", "1").await.unwrap();
    let secret = store.shared_secret().await.unwrap();
    let due = Lifetime { idle: Duration::from_secs(1), ..LIFETIME };
    let due = create_session_for(&store, due, USERNAME, "eve").await;
    store.set(due, "a", "1").await.unwrap();
    let _: () = redis.query(&["CONFIG", "SET", "maxmemory", "1"]);
    let message =
        unavailable(store.create(self::key(), LIFETIME, CLIENT_IP, "a", "1").await);
    assert!(message.contains("OOM"), "{message}");
    assert!(unavailable(store.set(key, "a", "2").await).contains("OOM"));
    assert!(unavailable(store.compare_and_set(key, "b", None, "2").await).contains("OOM"));
    assert_eq!(get(&store, key, "a").await.as_deref(), Some("1"));
    assert!(matches!(store.visit(key, CLIENT_IP, "a").await, Ok(Visit::Live(_))));
    assert_eq!(store.remove(key, "a").await, Ok(Some(Some(String::from("1")))));
    let new = self::key();
    assert!(store.rotate(other, new, None).await.unwrap());
    assert!(store.destroy(new).await.unwrap());
    assert_eq!(
        store.visit(new, CLIENT_IP, "a").await,
        Ok(Visit::Gone),
        "the same as with free memory"
    );
    assert_eq!(store.visit(other, CLIENT_IP, "a").await, Ok(Visit::Moved));
    assert_eq!(store.shared_secret().await.unwrap(), secret, "a server can start");
    // A session that is used in time stays live after its first expiry check.
    for _ in 0..8 {
        assert!(get(&store, due, "a").await.is_some());
        store.sweep().await.unwrap();
        sleep(Duration::from_millis(200)).await;
    }
    let _: () = redis.query(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(store.set(key, "a", "2").await, Ok(Some(())));
    checked_counters(&store).await;
}

#[tokio::test]
async fn a_replica_rejects_writes_until_it_is_promoted() {
    let Some(redis) = RedisServer::start_with(&["--replica-serve-stale-data", "yes"])
    else {
        return;
    };
    let store = redis.store();
    let key = create_session(&store, "a", "1").await;
    let _: () = redis.query(&["REPLICAOF", "127.0.0.1", "1"]);
    let message = unavailable(store.set(key, "a", "2").await);
    assert!(message.contains("READONLY"), "{message}");
    let _: () = redis.query(&["REPLICAOF", "NO", "ONE"]);
    eventually("the store can write", async || store.set(key, "a", "2").await.is_ok())
        .await;
}

#[tokio::test]
async fn a_wrong_password_is_reported_as_such_and_not_shown() {
    let Some(redis) = RedisServer::start_with(&["--requirepass", "open-sesame"]) else {
        return;
    };
    let at = |credentials: &str| {
        let url = format!("redis://{credentials}127.0.0.1:{}/", redis.port());
        RedisStore::new(RedisSettings { urls: vec![url], ..redis.settings() }).unwrap()
    };
    let message = unavailable(at("").counters().await);
    assert!(message.contains("NOAUTH"), "{message}");
    let store = at(":open-barley@");
    let message = unavailable(store.counters().await);
    assert!(message.contains("it refuses the username or the password"), "{message}");
    assert!(!message.contains("barley"), "{message}");

    // Redis gets the password that the store uses. The store need not be restarted.
    let mut socket = TcpStream::connect(("127.0.0.1", redis.port())).unwrap();
    let commands = "AUTH open-sesame\r\nCONFIG SET requirepass open-barley\r\n";
    socket.write_all(commands.as_bytes()).unwrap();
    eventually("the password is accepted", async || store.counters().await.is_ok()).await;
}

#[test]
fn an_invalid_url_is_reported_without_its_password() {
    for (url, reason) in [
        ("redis://:barley@/", "did not parse"),
        ("http://:barley@host/", "did not parse"),
        ("redis://:barley@host:6379/first", "database"),
        ("redis://:barley@host:99999/", "did not parse"),
        ("redis://:barley@host/?protocol=barley", "protocol"),
        ("barley", "did not parse"),
    ] {
        let settings =
            RedisSettings { urls: vec![url.to_owned()], ..RedisSettings::default() };
        let Err(Error::Config(message)) = RedisStore::new(settings) else {
            panic!("{url} is accepted");
        };
        assert!(message.contains(reason), "{url}: {message}");
        assert!(!message.contains("barley"), "{message}");
    }
    let none = RedisSettings { urls: Vec::new(), ..RedisSettings::default() };
    assert!(matches!(RedisStore::new(none), Err(Error::Config(_))));
}

#[tokio::test]
async fn an_error_contains_no_session_data() {
    // Redis repeats the arguments of an unknown command in its error message.
    let options = ["--rename-command", "EVALSHA", ""];
    let Some(redis) = RedisServer::start_with(&options) else { return };
    let store = redis.store();
    let message =
        unavailable(store.create(key(), LIFETIME, CLIENT_IP, "n", "barley").await);
    assert!(message.contains("unknown command"), "{message}");
    assert!(!message.contains("barley") && !message.contains("create"), "{message}");
}

#[tokio::test]
async fn stores_with_the_same_prefix_share_a_secret() {
    let Some(redis) = RedisServer::start() else { return };
    let secret = redis.store().shared_secret().await.unwrap();
    assert_eq!(secret.len(), 32);
    assert_eq!(redis.store().shared_secret().await.unwrap(), secret);
    let prefix = String::from("{another}");
    let other = RedisStore::new(RedisSettings { prefix, ..redis.settings() }).unwrap();
    assert_ne!(other.shared_secret().await.unwrap(), secret);
    other.create(key(), LIFETIME, CLIENT_IP, "a", "1").await.unwrap();
    assert_eq!(redis.store().counters().await.unwrap(), Counters::default());
}

fn visitor(address: SocketAddr) -> Visitor {
    Visitor { address, cookies: BTreeMap::new() }
}

#[tokio::test]
async fn a_login_at_one_process_is_valid_at_another() {
    let Some(redis) = RedisServer::start_with(&["--requirepass", "open-sesame"]) else {
        return;
    };
    let url = format!("redis://:open-sesame@127.0.0.1:{}/", redis.port());
    let [one, other] =
        [(); 2].map(|()| Process::start(&mut command(["--store", url.as_str()])));
    let mut visitor = visitor(one.address());
    // A form from one process is valid at the other.
    let form = visitor.get("/login").await;
    visitor.address = other.address();
    let token = form.xsrf_token();
    let fields = [("username", "admin"), ("password", "123"), ("_xsrf", token.as_str())];
    let reply = visitor.post("/login", &fields).await;
    assert_eq!(reply.field("Location"), Some("/main"), "{reply:?}");
    for (process, visits) in [(&one, 1), (&other, 2), (&one, 3)] {
        visitor.address = process.address();
        let page = visitor.get("/main").await.text();
        assert!(page.contains("this is main page"), "{page}");
        assert!(page.contains(&format!("<strong>{visits}</strong>")), "{page}");
    }
    let mut stolen = visitor.clone();
    visitor.address = other.address();
    assert_eq!(visitor.fill("/main", "/logout", &[]).await.status, 302);
    assert_eq!(
        stolen.get("/main").await.status,
        302,
        "the logout is valid at all processes"
    );
    for process in [one, other] {
        process.signal("TERM");
        let log = process.wait().log.join("\n");
        assert!(!log.contains("sesame"), "{log}");
    }
}

#[tokio::test]
async fn a_login_survives_a_restart_of_the_server() {
    let Some(redis) = RedisServer::start() else { return };
    let start = || Process::start(&mut command(["--store", redis.url().as_str()]));
    let demo = start();
    let mut visitor = visitor(demo.address());
    assert_eq!(visitor.log_in().await.field("Location"), Some("/main"));
    let form = visitor.get("/main").await;
    demo.signal("TERM");
    demo.wait();

    let demo = start();
    visitor.address = demo.address();
    let page = visitor.get("/main").await.text();
    assert!(page.contains("this is main page"), "{page}");
    let token = form.xsrf_token();
    let reply = visitor.post("/logout", &[("_xsrf", token.as_str())]).await;
    assert_eq!(reply.status, 302, "a form from before the restart is valid: {reply:?}");
}

/// Returns the error line of a demo that cannot start with this store.
fn startup_error(store: &str) -> String {
    let ended = Process::start(&mut command(["--store", store])).wait();
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.output.is_empty(), "{:?}", ended.output);
    let [line] = &ended.log[..] else { panic!("not one line: {:#?}", ended.log) };
    line.strip_prefix("dustdevil: ").expect(line).to_owned()
}

#[test]
fn an_unreachable_redis_is_reported_in_one_line_at_startup() {
    // No server listens on port 1: it is a privileged port.
    let line = startup_error("redis://:open-sesame@127.0.0.1:1/");
    let prefix = "session store unavailable: Redis at 127.0.0.1:1: ";
    assert!(line.starts_with(prefix), "{line}");
    assert!(!line.contains("sesame"), "{line}");
    let line = startup_error("redis://:open-sesame@/");
    assert!(line.starts_with("the URL of a Redis, "), "{line}");
    assert!(!line.contains("sesame"), "{line}");
    assert!(startup_error("redis://a/,http://b/").starts_with("--store takes memory"));
}

#[cfg(not(feature = "redis-tls"))]
#[test]
fn a_demo_without_tls_says_so() {
    let line = "this dustdevil was built without TLS; build it with --features redis-tls";
    assert_eq!(startup_error("rediss://127.0.0.1/"), line);
}

/// Starts three nodes and joins them into a cluster.
fn cluster() -> Option<[RedisServer; 3]> {
    let start = || {
        let bus = crate::redis_server::free_port().to_string();
        RedisServer::start_with(&["--cluster-enabled", "yes", "--cluster-port", &bus])
    };
    let nodes = [start()?, start()?, start()?];
    let mut create = Command::new("redis-cli");
    create.args(["--cluster", "create"]);
    create.args(nodes.each_ref().map(|node| format!("127.0.0.1:{}", node.port())));
    let output = create.arg("--cluster-yes").output().expect("redis-cli");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    Some(nodes)
}

/// Settings with the URLs of two nodes. The third is found through redirections.
fn cluster_settings(nodes: &[RedisServer; 3]) -> RedisSettings {
    RedisSettings { urls: vec![nodes[0].url(), nodes[1].url()], ..nodes[0].settings() }
}

#[tokio::test]
async fn a_cluster_works_like_a_single_redis() {
    let Some(nodes) = cluster() else { return };
    // Keys with different hash tags are on different nodes.
    for prefix in ["{a}", "{b}", "{c}", "{d}", "x{e}y"] {
        let prefix = String::from(prefix);
        let store =
            RedisStore::new(RedisSettings { prefix, ..cluster_settings(&nodes) }).unwrap();
        eventually("the cluster is up", async || store.counters().await.is_ok()).await;
        let (key, new) = (create_session(&store, USERNAME, "ada").await, self::key());
        assert!(store.rotate(key, new, Some(LIFETIME)).await.unwrap());
        assert_eq!(store.visit(key, CLIENT_IP, "a").await.unwrap(), Visit::Moved);
        assert_eq!(get(&store, new, USERNAME).await.as_deref(), Some("ada"));
        assert_eq!(store.sessions_of("ada").await.unwrap()[0].key, new);
        store.sweep().await.unwrap();
        assert!(store.destroy(key).await.unwrap());
        assert_eq!(store.shared_secret().await.unwrap().len(), 32);
        assert_eq!(checked_counters(&store).await.ended, 1);
        for node in &nodes {
            let _: () = node.query(&["SCRIPT", "FLUSH"]);
        }
        assert_eq!(checked_counters(&store).await.ended, 1, "the script is loaded again");
    }
    let untagged =
        RedisSettings { prefix: String::from("dustdevil"), ..cluster_settings(&nodes) };
    assert!(matches!(RedisStore::new(untagged), Err(Error::Config(_))));
}

#[tokio::test]
async fn a_store_follows_moved_redirections() {
    let Some(mut nodes) = cluster() else { return };
    let store = RedisStore::new(cluster_settings(&nodes)).unwrap();
    eventually("the cluster is up", async || store.counters().await.is_ok()).await;
    create_session(&store, "a", "1").await;
    let from = nodes.iter().position(|node| node.query::<u64>(&["DBSIZE"]) > 0).unwrap();
    let to = (from + 1) % 3;

    let _: () = nodes[from].query(&["FLUSHALL"]);
    let slot = nodes[from].query::<u64>(&["CLUSTER", "KEYSLOT", "{dustdevil}"]).to_string();
    let name: String = nodes[to].query(&["CLUSTER", "MYID"]);
    for node in [&nodes[to], &nodes[from]] {
        let _: () = node.query(&["CLUSTER", "SETSLOT", &slot, "NODE", &name]);
    }
    let key = create_session(&store, "a", "1").await;
    assert!(nodes[to].query::<u64>(&["DBSIZE"]) > 0);

    nodes[to].kill();
    assert!(store.get(key, "a").await.is_err());
    nodes[to].restart();
    eventually("the store reconnects", async || store.get(key, "a").await.is_ok()).await;
}

#[cfg(feature = "redis-tls")]
#[tokio::test]
async fn tls_verifies_the_certificate_and_its_host_name() {
    let directory = crate::redis_server::directory();
    let mut openssl = Command::new("openssl");
    openssl
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "key.pem", "-out", "certificate.pem"])
        .current_dir(&directory);
    let output = openssl.output().expect("openssl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let certificate = std::fs::read(directory.join("certificate.pem")).unwrap();

    let port = crate::redis_server::free_port();
    let options = format!(
        "--tls-port {port} --tls-cert-file certificate.pem --tls-key-file key.pem \
         --tls-auth-clients no"
    );
    let options: Vec<&str> = options.split(' ').collect();
    let Some(redis) = RedisServer::start_in(directory, &options) else { return };
    let settings = RedisSettings {
        urls: vec![format!("rediss://localhost:{port}/")],
        ..redis.settings()
    };

    let certificates = certificate.clone();
    let store = RedisStore::new(RedisSettings {
        ca_certificates: certificates,
        ..settings.clone()
    })
    .unwrap();
    let key = create_session(&store, "a", "1").await;
    assert_eq!(
        get(&redis.store(), key, "a").await.as_deref(),
        Some("1"),
        "the same store without TLS"
    );

    let message = unavailable(RedisStore::new(settings.clone()).unwrap().counters().await);
    assert!(message.contains("certificate"), "unknown CA: {message}");
    let urls = vec![format!("rediss://127.0.0.1:{port}/")];
    let other = RedisSettings { urls, ca_certificates: certificate, ..settings.clone() };
    let message = unavailable(RedisStore::new(other).unwrap().counters().await);
    assert!(message.contains("certificate"), "another host name: {message}");
    let certificates = b"nonsense".to_vec();
    let none = RedisSettings { ca_certificates: certificates, ..settings };
    assert!(RedisStore::new(none).is_err(), "not a certificate");
}
