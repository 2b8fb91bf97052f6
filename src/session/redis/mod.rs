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
//!               arguments          reconnect
//! ```
//! While Redis cannot be reached, every operation fails with [`Error::Unavailable`]. There
//! is no fallback to another store, because that store would not know which sessions are
//! live.

mod connection;

mod node;

use std::net::IpAddr;
use std::time::Duration;

use redis::{FromRedisValue, Script, ToRedisArgs, Value};

use crate::crypto;
use crate::session::error::Error;
use crate::session::id::Key;
use crate::session::redis::connection::SharedConnection;
use crate::session::store::{
    Counters, Lifetime, LiveVisit, ROTATION_GRACE, SessionInfo, Store, StoreFuture, Visit,
};

const SCRIPT: &str = include_str!("script.lua");

/// Maximum number of sessions that one call of `sweep` checks. Redis is single-threaded, so
/// a script that checked all expired sessions in one call would block every other client
/// until it ends.
const SWEEP_BATCH: usize = 128;

/// Upper bound of a lifetime: 100 years in milliseconds. Redis stores times as 63-bit
/// milliseconds; with this bound, adding a lifetime to the current time cannot overflow.
const MAX_MILLIS: u64 = 100 * 365 * 24 * 3600 * 1000;

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
/// # When Redis is full
///
/// Set `maxmemory-policy noeviction`. When Redis reaches `maxmemory`, creating a session
/// and setting a value then fail; existing sessions are still read, rotated and destroyed,
/// and none is lost.
///
/// No other policy is suitable. Redis could evict the index of a user's sessions, or the
/// successor of a rotated session, before the sessions themselves. Revoking all sessions of
/// the user, or a logout with the old id, would then miss sessions that are live.
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
    prefix: String,
    max_session_bytes: usize,
}

impl RedisStore {
    /// Creates a store, which connects when it is first used. Fails with [`Error::Config`]
    /// if the settings are invalid.
    pub fn new(settings: RedisSettings) -> Result<RedisStore, Error> {
        let RedisSettings { urls, prefix, max_session_bytes, timeout, ca_certificates } =
            settings;
        if urls.len() > 1 && !has_hash_tag(&prefix) {
            return Err(Error::Config(format!(
                "the prefix {prefix:?} has no part in braces, which a cluster needs to keep \
                 all keys on one node"
            )));
        }
        let connection = SharedConnection::new(&urls, &ca_certificates, timeout)?;
        let script = Script::new(SCRIPT);
        Ok(RedisStore { script, connection, prefix, max_session_bytes })
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

    /// Calls an operation of the script. Every call passes the prefix as its only Redis key,
    /// then the name of the operation and its arguments, usually a tuple.
    async fn call<T: FromRedisValue>(
        &self,
        operation: &str,
        arguments: impl ToRedisArgs,
    ) -> Result<T, Error> {
        let mut script = self.script.prepare_invoke();
        script.key(&self.prefix).arg(operation).arg(arguments);
        self.connection.call(&script).await
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
            let arguments = (key, idle, absolute, ip, name, value, max_bytes);
            self.write_result(self.call("create", arguments).await?)
        })
    }

    fn visit<'a>(&'a self, key: Key, ip: IpAddr, name: &'a str) -> StoreFuture<'a, Visit> {
        StoreFuture::boxed(async move {
            let arguments = (key.to_string(), ip.to_string(), name);
            Ok(match self.call("visit", arguments).await? {
                VisitReply::NotLive(0) => Visit::Gone,
                VisitReply::NotLive(_) => Visit::Moved,
                VisitReply::Live { value, renew, idle, left } => {
                    let left = Duration::from_millis(left);
                    let lifetime =
                        Lifetime { idle: Duration::from_millis(idle), absolute: left };
                    Visit::Live(LiveVisit { value, renew, max_age: lifetime.max_age(left) })
                }
            })
        })
    }

    fn get<'a>(
        &'a self,
        key: Key,
        name: &'a str,
    ) -> StoreFuture<'a, Option<Option<String>>> {
        StoreFuture::boxed(async move {
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
    ) -> StoreFuture<'a, Option<bool>> {
        StoreFuture::boxed(async move {
            // The redis crate passes `None` as no argument, which the script reads as nil.
            let arguments =
                (key.to_string(), name, value, self.max_session_bytes, expected);
            let reply: Option<i64> = self.call("compare_and_set", arguments).await?;
            reply.map(|reply| self.write_result(reply)).transpose()
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
        StoreFuture::boxed(self.call("destroy", key.to_string()))
    }

    fn rotate(
        &self,
        key: Key,
        new: Key,
        lifetime: Option<Lifetime>,
    ) -> StoreFuture<'_, bool> {
        let lifetime =
            lifetime.map(|lifetime| (millis(lifetime.idle), millis(lifetime.absolute)));
        let arguments =
            (key.to_string(), new.to_string(), millis(ROTATION_GRACE), lifetime);
        StoreFuture::boxed(self.call("rotate", arguments))
    }

    fn successors(&self, key: Key) -> StoreFuture<'_, Vec<Key>> {
        StoreFuture::boxed(async move {
            let keys: Vec<String> = self.call("successors", key.to_string()).await?;
            Ok(keys.iter().filter_map(|key| Key::parse(key)).collect())
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
            let counts: [Option<u64>; 6] = self.call("counters", None::<&str>).await?;
            let [live, created, ended, expired, rotated, rejected_ids] =
                counts.map(Option::unwrap_or_default);
            Ok(Counters {
                live,
                created,
                ended,
                expired,
                evicted: 0,
                rotated,
                rejected_ids,
            })
        })
    }

    /// Corrects the counters and the expiry index; the sessions themselves are deleted by
    /// Redis. It is also the health check of the connection: the server calls it every
    /// second, so a dead connection is replaced even if no request needs a session.
    fn sweep(&self) -> StoreFuture<'_, ()> {
        StoreFuture::boxed(async move {
            while self.call::<usize>("sweep", SWEEP_BATCH).await? == SWEEP_BATCH {}
            Ok(())
        })
    }
}

/// The reply of the operation `visit`.
enum VisitReply {
    /// No live session has this key. 1 if it was rotated to another key, otherwise 0.
    NotLive(i64),
    /// The session is live. `idle` is its idle timeout and `left` the rest of its absolute
    /// timeout, both in milliseconds.
    Live { value: Option<String>, renew: bool, idle: u64, left: u64 },
}

impl FromRedisValue for VisitReply {
    fn from_redis_value(reply: Value) -> Result<VisitReply, redis::ParsingError> {
        if let Value::Int(moved) = reply {
            return Ok(VisitReply::NotLive(moved));
        }
        let (value, renew, idle, left) = redis::from_redis_value(reply)?;
        Ok(VisitReply::Live { value, renew, idle, left })
    }
}

/// A row of the reply of `sessions_of`: the session's key, its age and the time since its
/// last use, both in milliseconds, its last client address and its device.
type Row = (String, u64, u64, String, Option<String>);

/// Returns `None` if the row is malformed, which means that another program has written it.
fn session_info((key, age, idle, ip, device): Row) -> Option<SessionInfo> {
    Some(SessionInfo {
        key: Key::parse(&key)?,
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
