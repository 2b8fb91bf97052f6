//! [`RedisStore`]: sessions in Redis or Valkey, shared by all servers of one site.
//!
//! A session is a Redis hash. Each operation is one call of the Lua script `script.lua`,
//! which costs one round trip. Redis executes a script atomically: it runs no other command
//! until the script ends. So operations are atomic between servers, too, as the
//! [contract](crate::session::store) requires. All times are read from Redis's clock, and
//! Redis deletes expired sessions itself.
//!
//! ```text
//!  RedisStore -----------------> SharedConnection -------> script.lua
//!               operation,         timeout,      EVALSHA     runs in Redis
//!               arguments          reconnect      HMGET
//! ```
//! A script call costs Redis several times what a plain command does. So a read is one plain
//! HMGET as long as it need not record anything: the use of a session is recorded once per
//! [`use_interval`], and not by every read.
//!
//! While Redis cannot be reached, every operation fails with [`Error::Unavailable`]. There
//! is no fallback to another store, because that store would not know which sessions are
//! live.

mod clock;

mod connection;

mod counts;

mod node;

use std::net::IpAddr;
use std::time::Duration;

use redis::{Cmd, FromRedisValue, Script, ToRedisArgs, Value};

use crate::crypto;
use crate::session::error::Error;
use crate::session::id::Key;
use crate::session::redis::clock::RedisClock;
use crate::session::redis::connection::{CallError, SharedConnection};
use crate::session::redis::counts::{Event, PendingCounts};
use crate::session::store::{
    CompareAndSet, Counters, Lifetime, LiveVisit, ROTATION_GRACE, SessionInfo, Store,
    StoreFuture, Visit, add_to_text,
};

const SCRIPT: &str = include_str!("script.lua");

/// Maximum number of sessions that one call of `sweep` checks. Redis is single-threaded, so
/// a script that checked all expired sessions in one call would block every other client
/// until it ends.
const SWEEP_BATCH: usize = 128;

/// Upper bound of a lifetime: 100 years in milliseconds. Redis stores times as 63-bit
/// milliseconds; with this bound, adding a lifetime to the current time cannot overflow.
const MAX_MILLIS: u64 = 100 * 365 * 24 * 3600 * 1000;

/// Number of anonymous sessions that a write evicts if Redis is out of memory: enough for the
/// write, and for some that follow.
const EVICTION_BATCH: usize = 16;

/// Addresses and limits of a [`RedisStore`].
#[derive(Clone)]
pub struct RedisSettings {
    /// URLs of the Redis servers: `redis://host:6379/`, `redis://name:password@host:6379/1`
    /// for the database 1, or `rediss://` for TLS (feature `redis-tls`). Several URLs are
    /// nodes of one cluster, or a primary and its replicas. The nodes of a cluster that are
    /// not listed are found through redirections. If one server cannot be reached or cannot
    /// write, the next is tried. Default: `redis://127.0.0.1/`.
    pub urls: Vec<String>,
    /// Prefix of all Redis keys. In a cluster it must contain a hash tag, that is, a part
    /// in braces. Default: `{dustdevil}`.
    pub prefix: String,
    /// Maximum size of a session: the bytes of its names and values, and 32 bytes for each
    /// value. Above the limit a write fails with [`Error::TooLarge`]. Default: 16 KiB.
    pub max_session_bytes: usize,
    /// Maximum number of anonymous sessions (sessions without a user), at least one. Above it,
    /// and also when Redis has reached its `maxmemory`, a new session ends the oldest anonymous
    /// ones. Default: 100,000, which take some 80 MB with one short value each.
    pub max_anonymous_sessions: usize,
    /// Timeout of an operation, including the time to connect. After it the operation fails
    /// with [`Error::Unavailable`]. Default: 1 s.
    pub timeout: Duration,
    /// CA certificates in PEM format, against which the certificates of Redis servers are
    /// verified. Only used with TLS. Default: empty, which selects the CA certificates of
    /// the operating system.
    pub ca_certificates: Vec<u8>,
}

impl Default for RedisSettings {
    fn default() -> RedisSettings {
        RedisSettings {
            urls: vec![String::from("redis://127.0.0.1/")],
            prefix: String::from("{dustdevil}"),
            max_session_bytes: 16 * 1024,
            max_anonymous_sessions: 100_000,
            timeout: Duration::from_secs(1),
            ca_certificates: Vec::new(),
        }
    }
}

/// A session store in Redis 6 or later, or in Valkey.
///
/// ```no_run
/// # async fn example() -> dustdevil::Result {
/// use std::sync::Arc;
///
/// use dustdevil::{RedisSettings, RedisStore, Settings};
///
/// let urls = vec![String::from("redis://10.0.0.7/")];
/// let store = RedisStore::new(RedisSettings { urls, ..RedisSettings::default() })?;
/// let settings = Settings {
///     // All servers of the site accept each other's XSRF tokens.
///     cookie_secret: store.shared_secret().await?,
///     session_store: Some(Arc::new(store)),
///     ..Settings::default()
/// };
/// # Ok(())
/// # }
/// ```
///
/// # Cost
///
/// Redis executes commands on one thread, so its processor time bounds a site. A request that
/// reads a session costs it one plain command, because the use of a session is recorded only
/// every hundredth of its idle timeout, at most once per second. A session may therefore expire
/// earlier than its idle timeout after the last use by that much, and never later; the absolute
/// timeout is exact. A write is one call of a script. Counters are sent once per second, with
/// [`sweep`](Store::sweep): a server that is killed loses those of its last second.
///
/// # When Redis is full
///
/// Set `maxmemory`, and `maxmemory-policy noeviction`. When Redis reaches `maxmemory`, writes
/// end the oldest anonymous sessions, so a flood of new visitors costs no user a login. If there
/// are none left, creating a session and setting a value fail; existing sessions are still read,
/// rotated and destroyed, and none is lost.
///
/// No other policy is suitable, and the store logs a warning if it finds one. Redis could evict
/// the index of a user's sessions, or the trace of a rotation, before the sessions themselves.
/// Revoking all sessions of the user, or a logout with the old id, would then miss sessions that
/// are live.
///
/// # One node
///
/// All keys of a store are in one slot of a Redis Cluster, so one node carries all sessions. They
/// cannot be spread over slots without giving up guarantees of the [contract](crate::session::store):
/// scripts and transactions are atomic within one slot only. If each session had its own slot and
/// the index of a user another, then revoking all sessions of a user could miss a login between
/// the two writes, a limit per user could be exceeded by concurrent logins, and a rotation, which
/// changes the key and so the slot, could lose concurrent writes. To grow beyond one node, give
/// each part of the users a site of its own, with its own Redis.
///
/// # When Redis is killed
///
/// With `appendonly yes` and `appendfsync always`, a write is on disk before Redis replies.
/// With any other setting, a Redis that is killed loses its last writes: a session that was
/// destroyed a moment before may be live again. The same happens when a replica takes over,
/// because replication is asynchronous.
pub struct RedisStore {
    script: Script,
    connection: SharedConnection,
    clock: RedisClock,
    counts: PendingCounts,
    prefix: String,
    max_session_bytes: usize,
    max_anonymous_sessions: usize,
}

impl RedisStore {
    /// Creates a store, which connects when it is first used. Fails with [`Error::Config`]
    /// if the settings are invalid.
    pub fn new(settings: RedisSettings) -> Result<RedisStore, Error> {
        let RedisSettings { urls, prefix, timeout, ca_certificates, .. } = settings;
        if urls.len() > 1 && !has_hash_tag(&prefix) {
            return Err(Error::Config(format!(
                "the prefix {prefix:?} has no part in braces, which a cluster needs to keep \
                 all keys on one node"
            )));
        }
        let connection = SharedConnection::new(&urls, &ca_certificates, timeout)?;
        Ok(RedisStore {
            script: Script::new(SCRIPT),
            connection,
            clock: RedisClock::default(),
            counts: PendingCounts::default(),
            prefix,
            max_session_bytes: settings.max_session_bytes,
            max_anonymous_sessions: settings.max_anonymous_sessions.max(1),
        })
    }

    /// Returns a secret that all stores with this Redis and this prefix share, for
    /// [`cookie_secret`](crate::Settings::cookie_secret). The first caller creates it.
    /// Every client that can read this Redis knows the secret, as it knows the sessions. If
    /// Redis loses the secret, the next caller creates another.
    pub async fn shared_secret(&self) -> Result<Vec<u8>, Error> {
        let offered = crypto::random::<32>();
        let secret: Vec<u8> = self.call("shared_secret", &offered[..]).await?;
        match secret.len() {
            32 => Ok(secret),
            _ => Err(Error::Config(String::from(
                "unexpected value of the shared secret in Redis",
            ))),
        }
    }

    /// Calls an operation of the script. Every call passes the prefix as its only Redis key, then
    /// the name of the operation, the number of sessions to evict first, and the arguments of the
    /// operation. If Redis is out of memory, the script has done nothing, and is called again
    /// with sessions to evict.
    async fn call<T: FromRedisValue + Send>(
        &self,
        operation: &str,
        arguments: impl ToRedisArgs,
    ) -> Result<T, Error> {
        let script = |evict: usize| {
            let mut script = self.script.prepare_invoke();
            script.key(&self.prefix).arg(operation).arg(evict).arg(&arguments);
            script
        };
        match self.connection.call(&script(0)).await {
            Err(CallError::OutOfMemory(_)) => {
                Ok(self.connection.call(&script(EVICTION_BATCH)).await?)
            }
            result => Ok(result?),
        }
    }

    /// Reads a session with one plain command. Returns `None` if it is not live.
    async fn read(&self, key: Key, name: &str) -> Result<Option<Record>, Error> {
        let mut command = Cmd::new();
        command.arg("HMGET").arg(format!("{}:session:{key}", self.prefix));
        command.arg(format!("value:{name}")).arg(&RECORD_FIELDS);
        let reply: RecordReply = self.connection.call(&command).await?;
        Ok(Record::new(reply))
    }

    fn visit_from(&self, reply: VisitReply) -> Visit {
        match reply {
            VisitReply::NotLive(moved) => {
                self.counts.add(Event::RejectedId, 1);
                if moved == 0 { Visit::Gone } else { Visit::Moved }
            }
            VisitReply::Live { value, renew, idle, left, now } => {
                self.clock.set(now);
                live_visit(value, renew, idle, left)
            }
        }
    }

    /// Converts the reply of an operation that sets a value: 1 if the value is set, 0 if it
    /// is not, -1 if the session would be too large.
    fn write_result(&self, reply: i64) -> Result<bool, Error> {
        match reply {
            ..0 => Err(Error::TooLarge { limit: self.max_session_bytes }),
            reply => Ok(reply > 0),
        }
    }
}

impl Store for RedisStore {
    fn create<'a>(
        &'a self,
        key: Key,
        lifetime: Lifetime,
        ip: IpAddr,
        name: &'a str,
        value: &'a str,
    ) -> StoreFuture<'a, bool> {
        StoreFuture::boxed(async move {
            let (idle, absolute) = (millis(lifetime.idle), millis(lifetime.absolute));
            let (key, ip, max_bytes) =
                (key.to_string(), ip.to_string(), self.max_session_bytes);
            let max_anonymous = self.max_anonymous_sessions;
            let arguments =
                (key, idle, absolute, ip, name, value, max_bytes, max_anonymous);
            let is_created = self.write_result(self.call("create", arguments).await?)?;
            self.counts.add(Event::Created, is_created.into());
            Ok(is_created)
        })
    }

    fn visit<'a>(&'a self, key: Key, ip: IpAddr, name: &'a str) -> StoreFuture<'a, Visit> {
        StoreFuture::boxed(async move {
            if let Some(now) = self.clock.now()
                && let Some(record) = self.read(key, name).await?
                && record.needs_no_visit(now, ip)
            {
                return Ok(live_visit(record.value, false, record.idle, record.end - now));
            }
            let arguments = (key.to_string(), ip.to_string(), name);
            Ok(self.visit_from(self.call("visit", arguments).await?))
        })
    }

    fn visit_all<'a>(
        &'a self,
        keys: &'a [Key],
        ip: IpAddr,
        name: &'a str,
    ) -> StoreFuture<'a, Vec<Visit>> {
        StoreFuture::boxed(async move {
            let keys: Vec<String> = keys.iter().map(Key::to_string).collect();
            let replies: Vec<VisitReply> =
                self.call("visit_all", (ip.to_string(), name, keys)).await?;
            Ok(replies.into_iter().map(|reply| self.visit_from(reply)).collect())
        })
    }

    fn get<'a>(
        &'a self,
        key: Key,
        name: &'a str,
    ) -> StoreFuture<'a, Option<Option<String>>> {
        StoreFuture::boxed(async move {
            if let Some(now) = self.clock.now() {
                let Some(record) = self.read(key, name).await? else { return Ok(None) };
                if !record.must_record_use(now) {
                    return Ok(Some(record.value));
                }
            }
            let reply: Option<(Option<String>,)> =
                self.call("get", (key.to_string(), name)).await?;
            Ok(reply.map(|(value,)| value))
        })
    }

    fn set<'a>(
        &'a self,
        key: Key,
        name: &'a str,
        value: &'a str,
    ) -> StoreFuture<'a, Option<()>> {
        StoreFuture::boxed(async move {
            let arguments = (key.to_string(), name, value, self.max_session_bytes);
            let reply: Option<i64> = self.call("set", arguments).await?;
            reply.map(|reply| self.write_result(reply).map(drop)).transpose()
        })
    }

    fn remove<'a>(
        &'a self,
        key: Key,
        name: &'a str,
    ) -> StoreFuture<'a, Option<Option<String>>> {
        StoreFuture::boxed(async move {
            let reply: Option<(Option<String>,)> =
                self.call("remove", (key.to_string(), name)).await?;
            Ok(reply.map(|(value,)| value))
        })
    }

    fn compare_and_set<'a>(
        &'a self,
        key: Key,
        name: &'a str,
        expected: Option<&'a str>,
        value: &'a str,
    ) -> StoreFuture<'a, Option<CompareAndSet>> {
        StoreFuture::boxed(async move {
            // The redis crate passes `None` as no argument, which the script reads as nil.
            let arguments =
                (key.to_string(), name, value, self.max_session_bytes, expected);
            Ok(match self.call("compare_and_set", arguments).await? {
                WriteReply::NotLive => None,
                WriteReply::Value(current) => Some(CompareAndSet::Differs(current)),
                WriteReply::Status(status) => {
                    self.write_result(status)?;
                    Some(CompareAndSet::Set)
                }
            })
        })
    }

    fn add<'a>(
        &'a self,
        key: Key,
        name: &'a str,
        amount: i64,
    ) -> StoreFuture<'a, Option<i64>> {
        StoreFuture::boxed(async move {
            // Fails here if the amount itself has too many digits.
            add_to_text(name, None, amount)?;
            let arguments = (key.to_string(), name, amount, self.max_session_bytes);
            match self.call("add", arguments).await? {
                WriteReply::NotLive => Ok(None),
                WriteReply::Value(sum) => Ok(sum.and_then(|sum| sum.parse().ok())),
                WriteReply::Status(NOT_INTEGER) => {
                    Err(Error::WrongType { name: name.to_owned() })
                }
                WriteReply::Status(_) => {
                    Err(Error::TooLarge { limit: self.max_session_bytes })
                }
            }
        })
    }

    fn keys(&self, key: Key) -> StoreFuture<'_, Option<Vec<String>>> {
        StoreFuture::boxed(self.call("keys", key.to_string()))
    }

    fn clear(&self, key: Key) -> StoreFuture<'_, Option<()>> {
        StoreFuture::boxed(async move {
            let reply: Option<i64> = self.call("clear", key.to_string()).await?;
            Ok(reply.map(drop))
        })
    }

    fn destroy(&self, key: Key) -> StoreFuture<'_, bool> {
        StoreFuture::boxed(async move {
            let is_ended: bool = self.call("destroy", key.to_string()).await?;
            self.counts.add(Event::Ended, is_ended.into());
            Ok(is_ended)
        })
    }

    fn rotate(
        &self,
        key: Key,
        new: Key,
        lifetime: Option<Lifetime>,
    ) -> StoreFuture<'_, bool> {
        StoreFuture::boxed(async move {
            let lifetime =
                lifetime.map(|lifetime| (millis(lifetime.idle), millis(lifetime.absolute)));
            let arguments =
                (key.to_string(), new.to_string(), millis(ROTATION_GRACE), lifetime);
            let is_rotated: bool = self.call("rotate", arguments).await?;
            self.counts.add(Event::Rotated, is_rotated.into());
            Ok(is_rotated)
        })
    }

    fn origin(&self, key: Key) -> StoreFuture<'_, Option<Key>> {
        StoreFuture::boxed(async move {
            let origin: Option<String> = self.call("origin", key.to_string()).await?;
            Ok(origin.as_deref().and_then(Key::parse))
        })
    }

    fn sessions_of<'a>(&'a self, user: &'a str) -> StoreFuture<'a, Vec<SessionInfo>> {
        StoreFuture::boxed(async move {
            let rows: Vec<Row> = self.call("sessions_of", user).await?;
            Ok(rows.into_iter().filter_map(session_info).collect())
        })
    }

    fn sessions_over_limit<'a>(
        &'a self,
        user: &'a str,
        max: usize,
    ) -> StoreFuture<'a, Vec<Key>> {
        StoreFuture::boxed(async move {
            let keys: Vec<String> = self.call("sessions_over_limit", (user, max)).await?;
            Ok(keys.iter().filter_map(|key| Key::parse(key)).collect())
        })
    }

    fn counters(&self) -> StoreFuture<'_, Counters> {
        StoreFuture::boxed(async move {
            let pending = self.counts.take();
            let counts: [Option<u64>; 7] = self.call("counters", pending.text()).await?;
            pending.sent();
            let [live, created, ended, expired, evicted, rotated, rejected_ids] =
                counts.map(Option::unwrap_or_default);
            Ok(Counters { live, created, ended, expired, evicted, rotated, rejected_ids })
        })
    }

    /// Sends the counters and corrects the expiry index; the sessions themselves are deleted by
    /// Redis. It is also the health check of the connection: the server calls it every
    /// second, so a dead connection is replaced even if no request needs a session.
    fn sweep(&self) -> StoreFuture<'_, ()> {
        StoreFuture::boxed(async move {
            loop {
                let pending = self.counts.take();
                let (due, expired, now): (usize, u64, u64) =
                    self.call("sweep", (SWEEP_BATCH, pending.text())).await?;
                pending.sent();
                self.clock.set(now);
                self.counts.add(Event::Expired, expired);
                if due < SWEEP_BATCH {
                    return Ok(());
                }
            }
        })
    }
}

/// Interval at which the use of a session is recorded, in milliseconds: a hundredth of its idle
/// timeout, at most a second.
fn use_interval(idle: u64) -> u64 {
    (idle / 100).min(1000)
}

/// What a plain read finds of a session. Times are in milliseconds of Redis's clock.
struct Record {
    value: Option<String>,
    idle: u64,
    end: u64,
    last_used: u64,
    id_sent_at: u64,
    last_ip: String,
}

/// The fields of a session's hash that a [`Record`] has besides the value.
const RECORD_FIELDS: [&str; 5] =
    ["idle", "absolute_end", "last_used", "id_sent_at", "last_ip"];

type RecordReply =
    (Option<String>, Option<u64>, Option<u64>, Option<u64>, Option<u64>, Option<String>);

impl Record {
    fn new((value, idle, end, last_used, id_sent_at, ip): RecordReply) -> Option<Record> {
        let (end, last_used, id_sent_at) = (end?, last_used?, id_sent_at?);
        Some(Record { value, idle: idle?, end, last_used, id_sent_at, last_ip: ip? })
    }

    fn must_record_use(&self, now: u64) -> bool {
        now >= self.last_used.saturating_add(use_interval(self.idle)) || now >= self.end
    }

    /// Returns `true` if a visit would neither record the use, nor the client address, nor renew
    /// the cookie.
    fn needs_no_visit(&self, now: u64, ip: IpAddr) -> bool {
        !self.must_record_use(now)
            && now < self.id_sent_at.saturating_add(self.idle / 10)
            && self.last_ip.parse() == Ok(ip)
    }
}

fn live_visit(value: Option<String>, renew: bool, idle: u64, left: u64) -> Visit {
    let left = Duration::from_millis(left);
    let lifetime = Lifetime { idle: Duration::from_millis(idle), absolute: left };
    Visit::Live(LiveVisit { value, renew, max_age: lifetime.max_age(left) })
}

/// The reply of the operation `visit`.
enum VisitReply {
    /// No live session has this key. 1 if it was rotated to another key, otherwise 0.
    NotLive(i64),
    /// The session is live. `idle` is its idle timeout and `left` the rest of its absolute
    /// timeout, both in milliseconds; `now` is the time.
    Live { value: Option<String>, renew: bool, idle: u64, left: u64, now: u64 },
}

impl FromRedisValue for VisitReply {
    fn from_redis_value(reply: Value) -> Result<VisitReply, redis::ParsingError> {
        if let Value::Int(moved) = reply {
            return Ok(VisitReply::NotLive(moved));
        }
        let (value, renew, idle, left, now) = redis::from_redis_value(reply)?;
        Ok(VisitReply::Live { value, renew, idle, left, now })
    }
}

/// The status of a write whose value is no integer.
const NOT_INTEGER: i64 = -2;

/// The reply of an operation that sets a value and may return another.
enum WriteReply {
    NotLive,
    /// See [`RedisStore::write_result`].
    Status(i64),
    Value(Option<String>),
}

impl FromRedisValue for WriteReply {
    fn from_redis_value(reply: Value) -> Result<WriteReply, redis::ParsingError> {
        Ok(match reply {
            Value::Nil => WriteReply::NotLive,
            Value::Int(status) => WriteReply::Status(status),
            list => WriteReply::Value(redis::from_redis_value::<(_,)>(list)?.0),
        })
    }
}

/// A row of the reply of `sessions_of`: the session's key, its age and the time since its
/// last use, both in milliseconds, its last client address, its origin and its device.
type Row = (String, u64, u64, String, String, Option<String>);

/// Returns `None` if the row is malformed, which means that another program has written it.
fn session_info((key, age, idle, ip, origin, device): Row) -> Option<SessionInfo> {
    Some(SessionInfo {
        key: Key::parse(&key)?,
        origin: Key::parse(&origin)?,
        age: Duration::from_millis(age),
        idle: Duration::from_millis(idle),
        last_ip: ip.parse().ok()?,
        device,
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).map_or(MAX_MILLIS, |millis| millis.min(MAX_MILLIS))
}

/// Returns `true` if a prefix contains a hash tag: a non-empty part in braces. A cluster
/// hashes only this part, so keys with the same hash tag are in one slot, and thus on one
/// node.
fn has_hash_tag(prefix: &str) -> bool {
    let tag = prefix.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
    tag.is_some_and(|(tag, _)| !tag.is_empty())
}
