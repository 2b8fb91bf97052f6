//! The store on Redis: what it promises beyond the contract, and what happens when Redis is away,
//! slow, full, or not what it seems.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dustdevil::session::error::Error;
use dustdevil::session::id::{Id, Key};
use dustdevil::session::store::{Counters, Visit};
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

/// A time limit for calls that are to run into it.
const SHORT: Duration = Duration::from_millis(200);

fn key() -> Key {
    Id::generate().key()
}

/// A session with `name` = `value`.
async fn begun(store: &RedisStore, name: &str, value: &str) -> Key {
    begun_for(store, LIFETIME, name, value).await
}

async fn begun_for(store: &RedisStore, lifetime: Lifetime, name: &str, value: &str) -> Key {
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

/// Asks again and again, until the answer is yes.
async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}, and did not");
        sleep(Duration::from_millis(10)).await;
    }
}

/// The sentence of an error that says that the store is away.
fn message<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::Unavailable(message)) => message,
        other => panic!("not away, but {other:?}"),
    }
}

/// The demo with its sessions on this Redis, and a time limit for each call.
fn demo_on(redis: &RedisServer, time: Duration) -> Application {
    let store = RedisStore::new(RedisSettings { time, ..redis.settings() }).unwrap();
    let session_store: Option<Arc<dyn Store>> = Some(Arc::new(store));
    crate::demo::make_app(Options { session_store, ..Options::default() }).unwrap()
}

#[tokio::test]
async fn a_store_finds_redis_again_when_it_was_killed_and_comes_back() {
    let Some(mut redis) = RedisServer::start_with(&DURABLE) else { return };
    let store = redis.store();
    let key = begun(&store, "a", "1").await;
    for _ in 0..2 {
        redis.kill();
        let why = message(store.get(key, "a").await);
        assert!(
            why.starts_with(&format!("Redis at 127.0.0.1:{}: ", redis.port())),
            "{why}"
        );
        assert!(store.set(key, "a", "2").await.is_err());
        redis.restart();
        eventually("it is to be found", async || store.get(key, "a").await.is_ok()).await;
        assert_eq!(get(&store, key, "a").await.as_deref(), Some("1"));
    }
}

#[tokio::test]
async fn without_redis_the_answer_is_503_until_it_is_back() {
    let Some(mut redis) = RedisServer::start_with(&DURABLE) else { return };
    let server = serve(demo_on(&redis, Duration::from_secs(30))).await;
    let mut visitor = server.visitor();
    assert_eq!(visitor.log_in().await.field("Location"), Some("/main"));
    redis.kill();
    // The first may learn of it from a connection that breaks, the second from one that is refused.
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
    assert_eq!(visitor.get("/hello").await.status, 200, "who needs no session is served");
    redis.restart();
    eventually("the page is to come", async || visitor.get("/main").await.status == 200)
        .await;
    assert!(visitor.get("/main").await.text().contains("this is main page"));
    server.stop().await;
}

#[tokio::test]
async fn a_redis_that_stands_still_costs_no_request_more_than_the_time_limit() {
    let Some(redis) = RedisServer::start() else { return };
    let server = serve(demo_on(&redis, SHORT)).await;
    let mut visitor = server.visitor();
    eventually("somebody logs in", async || {
        visitor.log_in().await.field("Location") == Some("/main")
    })
    .await;
    redis.freeze();
    let mut slowest = Duration::ZERO;
    for _ in 0..3 {
        let mut crowd = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let mut visitor = visitor.clone();
            crowd.spawn(async move {
                let began = Instant::now();
                (visitor.get("/main").await.status, began.elapsed())
            });
        }
        for (status, took) in crowd.join_all().await {
            assert_eq!(status, 503);
            slowest = slowest.max(took);
        }
    }
    redis.thaw();
    tell(&format!(
        "a frozen Redis: at {SHORT:?} a call, the slowest request took {slowest:?}"
    ));
    eventually("it goes on", async || visitor.get("/main").await.status == 200).await;
    server.stop().await;
}

#[tokio::test]
async fn a_connection_that_died_is_replaced_by_the_sweep() {
    let Some(redis) = RedisServer::start() else { return };
    let settings = RedisSettings { time: SHORT, ..redis.settings() };
    let store = RedisStore::new(settings).unwrap();
    eventually("it connects", async || store.sweep().await.is_ok()).await;
    let connections = || redis.info("stats", "total_connections_received").unwrap();
    redis.freeze();
    assert!(store.sweep().await.is_err());
    redis.thaw();
    let before: u32 = connections().parse().unwrap();
    eventually("it connects anew", async || store.sweep().await.is_ok()).await;
    let after: u32 = connections().parse().unwrap();
    // One of them is the question's own.
    assert!(after > before + 1, "{before} and {after}");
}

#[tokio::test]
async fn a_script_that_redis_forgot_is_loaded_again() {
    let Some(redis) = RedisServer::start() else { return };
    let store = redis.store();
    let key = begun(&store, "a", "1").await;
    let _: () = redis.ask(&["SCRIPT", "FLUSH"]);
    assert_eq!(get(&store, key, "a").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn to_read_a_value_is_one_trip_to_redis() {
    let Some(redis) = RedisServer::start() else { return };
    let store = Arc::new(redis.store());
    let id = Id::generate();
    assert!(store.create(id.key(), LIFETIME, CLIENT_IP, "a", "1").await.unwrap());
    let monitor = Monitor::of(&redis);

    let claims = [id].into_iter();
    let session = Session::new(store, SessionConfig::default(), CLIENT_IP, claims);
    assert_eq!(session.get("a").await.unwrap().as_deref(), Some("1"));

    let commands = monitor.commands(&redis);
    assert!(matches!(&commands[..], [one] if one.contains("\"EVALSHA\"")), "{commands:#?}");
}

/// A connection on which Redis tells of every command that it gets.
struct Monitor(BufReader<TcpStream>);

impl Monitor {
    fn of(redis: &RedisServer) -> Monitor {
        let mut socket = TcpStream::connect(("127.0.0.1", redis.port())).unwrap();
        socket.write_all(b"MONITOR\r\n").unwrap();
        let mut monitor = Monitor(BufReader::new(socket));
        assert_eq!(monitor.line(), "+OK");
        monitor
    }

    /// What clients have sent so far; not what scripts did, and not what others asked.
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
async fn redis_lets_a_session_live_from_use_to_use_and_never_past_its_end() {
    let Some(redis) = RedisServer::start() else { return };
    let store = redis.store();
    let ends = |key: Key| redis.ask::<u64>(&["PEXPIRETIME", &session_of(key)]);

    let long = Lifetime { idle: HOUR, absolute: HOUR / 60 };
    let key = begun_for(&store, long, "a", "1").await;
    let end = ends(key);
    let began: u64 = redis.ask(&["HGET", &session_of(key), "began"]);
    assert_eq!(end, began + 60_000, "the end of all is before the end of idleness");
    for _ in 0..3 {
        get(&store, key, "a").await;
        store.set(key, "a", "2").await.unwrap();
        assert_eq!(ends(key), end);
    }
    let new = self::key();
    assert!(store.rotate(key, new, None).await.unwrap());
    assert_eq!(ends(new), end);
    assert!(store.rotate(new, key, Some(LIFETIME)).await.unwrap());
    assert!(ends(key) > end, "its time began anew");

    let key = begun(&store, "a", "1").await;
    // As if most of its time had passed.
    let set = |key| redis.ask::<u64>(&["PEXPIRE", &session_of(key), "60000"]);
    for name in ["get", "visit", "set", "remove", "compare_and_set", "keys", "clear"] {
        assert_eq!(set(key), 1);
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
        let left: u64 = redis.ask(&["PTTL", &session_of(key)]);
        assert!(left > 60_000, "{name} is use");
    }
    store.set(key, USERNAME, "ada").await.unwrap();
    set(key);
    store.sessions_of("ada").await.unwrap();
    let left: u64 = redis.ask(&["PTTL", &session_of(key)]);
    assert!(left <= 60_000, "to be listed is no use");
}

#[tokio::test]
async fn of_sessions_that_ended_nothing_is_left() {
    let Some(redis) = RedisServer::start() else { return };
    let store = redis.store();
    let mut keys = Vec::new();
    for number in 0..10 {
        let key = begun(&store, USERNAME, ["ada", "bob"][number % 2]).await;
        store.set(key, "b", "2").await.unwrap();
        keys.push(key);
    }
    let new = key();
    assert!(store.rotate(keys[0], new, None).await.unwrap());
    store.set(keys[1], USERNAME, "ada").await.unwrap();
    store.remove(keys[2], USERNAME).await.unwrap();
    store.clear(keys[3]).await.unwrap();
    for key in keys {
        assert!(store.destroy(key).await.unwrap());
    }
    let _: u64 = redis.ask(&["DEL", &format!("{{dustdevil}}:moved:{}", "0".repeat(32))]);
    let mut left: Vec<String> = redis.ask(&["KEYS", "*"]);
    left.retain(|key| !key.starts_with("{dustdevil}:moved:"));
    assert_eq!(left, ["{dustdevil}:counters"]);
    let moved: Vec<String> = redis.ask(&["KEYS", "{dustdevil}:moved:*"]);
    let [moved] = &moved[..] else { panic!("not one: {moved:?}") };
    let left: u64 = redis.ask(&["PTTL", moved]);
    assert!(left <= 60_000);
}

/// Short enough to be over soon, and long enough to be there first.
const FLEETING: Lifetime = Lifetime { idle: Duration::from_millis(1), absolute: HOUR };

/// Counters in which all that began is accounted for.
async fn sound(store: &RedisStore) -> Counters {
    let counters = store.counters().await.unwrap();
    let Counters { live, created, ended, expired, evicted, .. } = counters;
    assert_eq!(live + ended + expired + evicted, created, "{counters:?}");
    counters
}

#[tokio::test]
async fn what_vanished_is_counted_once_whoever_finds_it() {
    let Some(redis) = RedisServer::start() else { return };
    let store = redis.store();
    let mut keys = Vec::new();
    // Several bites of the sweep.
    for _ in 0..300 {
        keys.push(begun_for(&store, FLEETING, USERNAME, "ada").await);
    }
    let stays = begun(&store, USERNAME, "ada").await;
    eventually("they vanish", async || {
        redis.ask::<Vec<String>>(&["KEYS", "{dustdevil}:session:*"]).len() == 1
    })
    .await;
    assert_eq!(sound(&store).await.live, 301, "they were not swept yet");
    for &key in &keys[..10] {
        assert!(!store.destroy(key).await.unwrap());
        assert_eq!(store.visit(key, CLIENT_IP, "a").await.unwrap(), Visit::Gone);
        sound(&store).await;
    }
    assert!(store.create(keys[0], LIFETIME, CLIENT_IP, "a", "1").await.unwrap());
    assert_eq!(sound(&store).await.expired, 1);
    assert!(store.rotate(stays, keys[1], None).await.unwrap());
    assert_eq!(sound(&store).await.expired, 2);
    store.sweep().await.unwrap();
    let counters = sound(&store).await;
    assert_eq!((counters.live, counters.expired, counters.rejected_ids), (2, 300, 10));
    assert_eq!((counters.ended, counters.rotated), (0, 1));
    assert!(store.destroy(stays).await.unwrap(), "wherever it is by now");
    assert_eq!(sound(&store).await.ended, 1);
}

#[tokio::test]
async fn a_session_that_is_used_outlives_its_day_in_the_calendar() {
    let Some(redis) = RedisServer::start() else { return };
    let store = redis.store();
    let key = begun(&store, "a", "1").await;
    // As if it had been put down for an hour ago, and used since.
    let _: u64 = redis.ask(&["ZADD", "{dustdevil}:calendar", "1", &key.to_string()]);
    store.sweep().await.unwrap();
    assert_eq!(sound(&store).await.live, 1);
    let day: String = redis.ask(&["ZSCORE", "{dustdevil}:calendar", &key.to_string()]);
    let end: f64 = redis.ask(&["PEXPIRETIME", &session_of(key)]);
    assert!(day.parse::<f64>().unwrap() >= end, "{day} and {end}");
}

#[tokio::test]
async fn a_users_list_does_not_grow_with_sessions_that_vanished() {
    let Some(redis) = RedisServer::start() else { return };
    let store = redis.store();
    let length = || redis.ask::<u64>(&["ZCARD", "{dustdevil}:user:ada"]);
    let stays = begun(&store, USERNAME, "ada").await;
    for _ in 0..200 {
        let key = begun_for(&store, FLEETING, USERNAME, "ada").await;
        eventually("it vanishes", async || get(&store, key, "a").await.is_none()).await;
        eventually("it is gone", async || {
            redis.ask::<u64>(&["EXISTS", &session_of(key)]) == 0
        })
        .await;
    }
    assert!(length() < 20, "{} are on it, and one lives", length());
    assert_eq!(store.sessions_over_limit("ada", 1).await.unwrap(), []);
    let listed = store.sessions_of("ada").await.unwrap();
    assert_eq!(listed.iter().map(|listed| listed.key).collect::<Vec<_>>(), [stays]);
    assert_eq!(length(), 1, "whoever looks at all of it cleans it");
}

#[tokio::test]
async fn a_users_list_vanishes_with_the_last_session_that_may_be_on_it() {
    let Some(redis) = RedisServer::start() else { return };
    let store = redis.store();
    let list = || redis.ask::<u64>(&["PEXPIRETIME", "{dustdevil}:user:ada"]);
    let end = |key| redis.ask::<u64>(&["HGET", &session_of(key), "end"]);
    let day = Lifetime { idle: HOUR, absolute: 24 * HOUR };
    let key = begun_for(&store, LIFETIME, USERNAME, "ada").await;
    assert_eq!(list(), end(key));
    let long = begun_for(&store, day, USERNAME, "ada").await;
    assert_eq!(list(), end(long));
    begun_for(&store, LIFETIME, USERNAME, "ada").await;
    assert_eq!(list(), end(long), "a shorter one takes nothing away");
    let new = self::key();
    assert!(
        store
            .rotate(key, new, Some(Lifetime { absolute: 48 * HOUR, ..day }))
            .await
            .unwrap()
    );
    assert_eq!(list(), end(new), "and one that was made longer adds to it");
}

#[tokio::test]
async fn names_and_values_may_be_any_text() {
    let Some(redis) = RedisServer::start() else { return };
    let store = redis.store();
    for text in
        ["", "a b", "{dustdevil}:session:", "\0\r\n\"'\\", "value:x", "Zoë \u{1f32a}"]
    {
        let key = begun(&store, text, text).await;
        store.set(key, USERNAME, text).await.unwrap();
        assert_eq!(get(&store, key, text).await.as_deref(), Some(text), "{text:?}");
        assert_eq!(store.sessions_of(text).await.unwrap().len(), 1, "{text:?}");
        let mut keys = store.keys(key).await.unwrap().unwrap();
        keys.sort_unstable();
        let mut expected = [text, USERNAME];
        expected.sort_unstable();
        assert_eq!(keys, expected, "{text:?}");
        let swapped = store.compare_and_set(key, text, Some(text), "new").await.unwrap();
        assert_eq!(swapped, Some(true), "{text:?}");
    }
    for own in ["idle", "end", "began", "used", "told", "place", "octets"] {
        let key = begun(&store, own, "mine").await;
        assert_eq!(get(&store, key, own).await.as_deref(), Some("mine"));
        assert_eq!(store.keys(key).await.unwrap().unwrap(), [own]);
    }
}

#[tokio::test]
async fn a_full_redis_begins_no_session_and_ends_none() {
    let Some(redis) = RedisServer::start() else { return };
    let store = redis.store();
    let (key, other) =
        (begun(&store, "a", "1").await, begun(&store, USERNAME, "ada").await);
    let secret = store.shared_secret().await.unwrap();
    let due = Lifetime { idle: Duration::from_secs(1), ..LIFETIME };
    let due = begun_for(&store, due, "a", "1").await;
    let _: () = redis.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    let why = message(store.create(self::key(), LIFETIME, CLIENT_IP, "a", "1").await);
    assert!(why.contains("OOM"), "{why}");
    assert!(message(store.set(key, "a", "2").await).contains("OOM"));
    assert!(message(store.compare_and_set(key, "b", None, "2").await).contains("OOM"));
    assert_eq!(get(&store, key, "a").await.as_deref(), Some("1"));
    assert!(matches!(store.visit(key, CLIENT_IP, "a").await, Ok(Visit::Live(_))));
    assert_eq!(store.remove(key, "a").await, Ok(Some(Some(String::from("1")))));
    let new = self::key();
    assert!(store.rotate(other, new, None).await.unwrap());
    assert!(store.destroy(new).await.unwrap());
    assert_eq!(
        store.visit(new, CLIENT_IP, "a").await,
        Ok(Visit::Gone),
        "as if there were room"
    );
    assert_eq!(store.visit(other, CLIENT_IP, "a").await, Ok(Visit::Moved));
    assert_eq!(store.shared_secret().await.unwrap(), secret, "a server may start");
    // Used in time, it outlives the second at which it is looked at.
    for _ in 0..8 {
        assert!(get(&store, due, "a").await.is_some());
        store.sweep().await.unwrap();
        sleep(Duration::from_millis(200)).await;
    }
    let _: () = redis.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(store.set(key, "a", "2").await, Ok(Some(())));
    sound(&store).await;
}

#[tokio::test]
async fn a_replica_is_no_store_until_it_is_promoted() {
    let Some(redis) = RedisServer::start_with(&["--replica-serve-stale-data", "yes"])
    else {
        return;
    };
    let store = redis.store();
    let key = begun(&store, "a", "1").await;
    let _: () = redis.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    let why = message(store.set(key, "a", "2").await);
    assert!(why.contains("READONLY"), "{why}");
    let _: () = redis.ask(&["REPLICAOF", "NO", "ONE"]);
    eventually("it is one again", async || store.set(key, "a", "2").await.is_ok()).await;
}

#[tokio::test]
async fn a_wrong_password_is_told_from_a_redis_that_is_away_and_not_shown() {
    let Some(redis) = RedisServer::start_with(&["--requirepass", "open-sesame"]) else {
        return;
    };
    let at = |credentials: &str| {
        let url = format!("redis://{credentials}127.0.0.1:{}/", redis.port());
        RedisStore::new(RedisSettings { urls: vec![url], ..redis.settings() }).unwrap()
    };
    let why = message(at("").counters().await);
    assert!(why.contains("NOAUTH"), "{why}");
    let store = at(":open-barley@");
    let why = message(store.counters().await);
    assert!(why.contains("it refuses the username or the password"), "{why}");
    assert!(!why.contains("barley"), "{why}");

    // Redis is told the password that we have: no restart of ours is needed.
    let mut socket = TcpStream::connect(("127.0.0.1", redis.port())).unwrap();
    let commands = "AUTH open-sesame\r\nCONFIG SET requirepass open-barley\r\n";
    socket.write_all(commands.as_bytes()).unwrap();
    eventually("it is let in", async || store.counters().await.is_ok()).await;
}

#[test]
fn what_is_wrong_with_a_url_is_said_without_its_password() {
    for (url, what) in [
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
            panic!("{url} is taken");
        };
        assert!(message.contains(what), "{url}: {message}");
        assert!(!message.contains("barley"), "{message}");
    }
    let none = RedisSettings { urls: Vec::new(), ..RedisSettings::default() };
    assert!(matches!(RedisStore::new(none), Err(Error::Config(_))));
}

#[tokio::test]
async fn nothing_of_a_session_is_in_an_error() {
    // So that Redis repeats the whole command in its complaint.
    let options = ["--rename-command", "EVALSHA", ""];
    let Some(redis) = RedisServer::start_with(&options) else { return };
    let store = redis.store();
    let why = message(store.create(key(), LIFETIME, CLIENT_IP, "n", "barley").await);
    assert!(why.contains("unknown command"), "{why}");
    assert!(!why.contains("barley") && !why.contains("create"), "{why}");
}

#[tokio::test]
async fn the_shared_secret_is_one_for_all() {
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
async fn one_logs_in_at_one_process_and_walks_on_at_another() {
    let Some(redis) = RedisServer::start_with(&["--requirepass", "open-sesame"]) else {
        return;
    };
    let url = format!("redis://:open-sesame@127.0.0.1:{}/", redis.port());
    let [one, other] =
        [(); 2].map(|()| Process::start(&mut command(["--store", url.as_str()])));
    let mut visitor = visitor(one.address());
    // A form that one process shows, the other takes.
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
    assert_eq!(stolen.get("/main").await.status, 302, "it ended everywhere");
    for process in [one, other] {
        process.signal("TERM");
        let log = process.wait().log.join("\n");
        assert!(!log.contains("sesame"), "{log}");
    }
}

#[tokio::test]
async fn who_is_logged_in_stays_so_when_the_server_is_started_anew() {
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
    assert_eq!(reply.status, 302, "a form of before is good as well: {reply:?}");
}

/// What the demo says when it refuses to start with a store.
fn refusal(store: &str) -> String {
    let ended = Process::start(&mut command(["--store", store])).wait();
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.output.is_empty(), "{:?}", ended.output);
    let [line] = &ended.log[..] else { panic!("not one line: {:#?}", ended.log) };
    line.strip_prefix("dustdevil: ").expect(line).to_owned()
}

#[test]
fn a_redis_that_is_away_at_the_start_is_said_in_a_line() {
    // Nobody listens there: it is for those who are root.
    let line = refusal("redis://:open-sesame@127.0.0.1:1/");
    let start = "the session store is away: Redis at 127.0.0.1:1: ";
    assert!(line.starts_with(start), "{line}");
    assert!(!line.contains("sesame"), "{line}");
    let line = refusal("redis://:open-sesame@/");
    assert!(line.starts_with("the URL of a Redis, "), "{line}");
    assert!(!line.contains("sesame"), "{line}");
    assert!(refusal("redis://a/,http://b/").starts_with("--store takes memory"));
}

#[cfg(not(feature = "redis-tls"))]
#[test]
fn a_demo_without_tls_says_so() {
    let line = "this dustdevil was built without TLS; build it with --features redis-tls";
    assert_eq!(refusal("rediss://127.0.0.1/"), line);
}

/// Three nodes that are one cluster.
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

/// Settings that name two nodes of the three, for they know of the third.
fn of_cluster(nodes: &[RedisServer; 3]) -> RedisSettings {
    RedisSettings { urls: vec![nodes[0].url(), nodes[1].url()], ..nodes[0].settings() }
}

#[tokio::test]
async fn a_cluster_is_a_store_like_any() {
    let Some(nodes) = cluster() else { return };
    // What begins with different prefixes lies on different nodes.
    for prefix in ["{a}", "{b}", "{c}", "{d}", "x{e}y"] {
        let prefix = String::from(prefix);
        let store =
            RedisStore::new(RedisSettings { prefix, ..of_cluster(&nodes) }).unwrap();
        eventually("the cluster is there", async || store.counters().await.is_ok()).await;
        let (key, new) = (begun(&store, USERNAME, "ada").await, self::key());
        assert!(store.rotate(key, new, Some(LIFETIME)).await.unwrap());
        assert_eq!(store.visit(key, CLIENT_IP, "a").await.unwrap(), Visit::Moved);
        assert_eq!(get(&store, new, USERNAME).await.as_deref(), Some("ada"));
        assert_eq!(store.sessions_of("ada").await.unwrap()[0].key, new);
        store.sweep().await.unwrap();
        assert!(store.destroy(key).await.unwrap());
        assert_eq!(store.shared_secret().await.unwrap().len(), 32);
        assert_eq!(sound(&store).await.ended, 1);
        for node in &nodes {
            let _: () = node.ask(&["SCRIPT", "FLUSH"]);
        }
        assert_eq!(sound(&store).await.ended, 1, "the script is loaded again");
    }
    let untagged =
        RedisSettings { prefix: String::from("dustdevil"), ..of_cluster(&nodes) };
    assert!(matches!(RedisStore::new(untagged), Err(Error::Config(_))));
}

#[tokio::test]
async fn a_store_follows_its_keys_to_another_node_of_a_cluster() {
    let Some(mut nodes) = cluster() else { return };
    let store = RedisStore::new(of_cluster(&nodes)).unwrap();
    eventually("the cluster is there", async || store.counters().await.is_ok()).await;
    begun(&store, "a", "1").await;
    let from = nodes.iter().position(|node| node.ask::<u64>(&["DBSIZE"]) > 0).unwrap();
    let to = (from + 1) % 3;

    let _: () = nodes[from].ask(&["FLUSHALL"]);
    let slot = nodes[from].ask::<u64>(&["CLUSTER", "KEYSLOT", "{dustdevil}"]).to_string();
    let name: String = nodes[to].ask(&["CLUSTER", "MYID"]);
    for node in [&nodes[to], &nodes[from]] {
        let _: () = node.ask(&["CLUSTER", "SETSLOT", &slot, "NODE", &name]);
    }
    let key = begun(&store, "a", "1").await;
    assert!(nodes[to].ask::<u64>(&["DBSIZE"]) > 0);

    nodes[to].kill();
    assert!(store.get(key, "a").await.is_err());
    nodes[to].restart();
    eventually("it is to be found", async || store.get(key, "a").await.is_ok()).await;
}

#[cfg(feature = "redis-tls")]
#[tokio::test]
async fn tls_is_spoken_with_whom_a_certificate_vouches_for() {
    let folder = crate::redis_server::folder();
    let mut openssl = Command::new("openssl");
    openssl
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "key.pem", "-out", "certificate.pem"])
        .current_dir(&folder);
    let output = openssl.output().expect("openssl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let certificate = std::fs::read(folder.join("certificate.pem")).unwrap();

    let port = crate::redis_server::free_port();
    let options = format!(
        "--tls-port {port} --tls-cert-file certificate.pem --tls-key-file key.pem \
         --tls-auth-clients no"
    );
    let options: Vec<&str> = options.split(' ').collect();
    let Some(redis) = RedisServer::start_in(folder, &options) else { return };
    let settings = RedisSettings {
        urls: vec![format!("rediss://localhost:{port}/")],
        ..redis.settings()
    };

    let certificates = certificate.clone();
    let store =
        RedisStore::new(RedisSettings { certificates, ..settings.clone() }).unwrap();
    let key = begun(&store, "a", "1").await;
    assert_eq!(get(&redis.store(), key, "a").await.as_deref(), Some("1"), "it is the same");

    let why = message(RedisStore::new(settings.clone()).unwrap().counters().await);
    assert!(why.contains("certificate"), "nobody vouches for it: {why}");
    let urls = vec![format!("rediss://127.0.0.1:{port}/")];
    let other = RedisSettings { urls, certificates: certificate, ..settings.clone() };
    let why = message(RedisStore::new(other).unwrap().counters().await);
    assert!(why.contains("certificate"), "it is for another name: {why}");
    let certificates = b"nonsense".to_vec();
    let none = RedisSettings { certificates, ..settings };
    assert!(RedisStore::new(none).is_err(), "a certificate that is none");
}
