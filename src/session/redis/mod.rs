//! Sessions in Redis or Valkey, for several servers that are one site.
//!
//! A session is a hash, and each operation one call of the script beside this file, `redis.lua`: one
//! way there and back, done as a whole. So what the contract promises holds between machines. The
//! time is that of Redis, and so is the care for what has expired; the script explains itself.
//!
//! A Redis that is away is [`Error::Unavailable`] for as long as it is. Nothing falls back to another
//! store.

mod connection;

mod node;

use std::net::IpAddr;
use std::time::Duration;

use redis::{FromRedisValue, Script, ScriptInvocation, ToRedisArgs, Value};

use crate::crypto;
use crate::session::error::Error;
use crate::session::id::Key;
use crate::session::redis::connection::Line;
use crate::session::store::StoreFuture;
use crate::session::store::{
    Counters, Lifetime, LiveVisit, ROTATION_GRACE, SessionInfo, Store, Visit,
};

const SCRIPT: &str = include_str!("script.lua");

/// Sessions that are looked at in one call while sweeping, so that nobody waits long for it.
const BITE: usize = 128;

/// Redis counts time in 63 bits of milliseconds. A lifetime of a hundred years leaves room.
const LONGEST: u64 = 100 * 365 * 24 * 3600 * 1000;

/// Where a [`RedisStore`] finds its Redis, and what it does there.
#[derive(Clone)]
pub struct RedisSettings {
    /// `redis://host:6379/`, or `redis://name:password@host:6379/1` for the database 1, or
    /// `rediss://` for TLS (feature `redis-tls`). Several are nodes of one cluster, which tell of the
    /// others, or a primary and its replicas: what one of them cannot do, the next is asked for.
    /// Default: `redis://127.0.0.1/`.
    pub urls: Vec<String>,
    /// What all keys begin with. On a cluster, it must have a part in braces. Default:
    /// `{dustdevil}`.
    pub prefix: String,
    /// Bytes of names and values in one session, and 32 for each value. Past it a write
    /// fails. Default: 16 KiB.
    pub max_session_bytes: usize,
    /// How long an operation may take, and connecting. Past it, it is
    /// [`Error::Unavailable`]. Default: 1 s.
    pub time: Duration,
    /// Certificates, in PEM, of who is trusted to vouch for a Redis that is reached with TLS.
    /// Default: empty, which is those that the system trusts.
    pub certificates: Vec<u8>,
}

impl Default for RedisSettings {
    fn default() -> RedisSettings {
        RedisSettings {
            urls: vec![String::from("redis://127.0.0.1/")],
            prefix: String::from("{dustdevil}"),
            max_session_bytes: 16 * 1024,
            time: Duration::from_secs(1),
            certificates: Vec::new(),
        }
    }
}

/// Sessions in Redis or Valkey.
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
///     // What one process signs, the others know.
///     cookie_secret: store.shared_secret().await?,
///     session_store: Some(Arc::new(store)),
///     ..Settings::default()
/// };
/// # Ok(())
/// # }
/// ```
///
/// It takes Redis 6 or later, or Valkey. Redis decides what becomes of sessions when it has no room
/// left or is killed:
///
/// - With `maxmemory-policy noeviction`, no session begins then and no value is set, and none that
///   there is is lost. Any other policy may throw away the list of a user's sessions or the trace of
///   one that moved, before the sessions themselves; nobody would find and end those. It is not for
///   this.
/// - With `appendonly yes` and `appendfsync always`, what was answered is on the disk. Else a Redis
///   that is killed forgets what happened last: a session that somebody ended a moment before may
///   live again. So does a replica that takes over before it was told.
pub struct RedisStore {
    script: Script,
    line: Line,
    prefix: String,
    max_session_bytes: usize,
}

impl RedisStore {
    /// A store that connects when it is first used. [`Error::Config`] for settings that cannot be
    /// right.
    pub fn new(settings: RedisSettings) -> Result<RedisStore, Error> {
        let RedisSettings { urls, prefix, max_session_bytes, time, certificates } =
            settings;
        if urls.len() > 1 && !has_tag(&prefix) {
            return Err(Error::Config(format!(
                "the prefix {prefix:?} has no part in braces, which a cluster needs to keep \
                 all keys on one node"
            )));
        }
        let line = Line::new(&urls, &certificates, time)?;
        Ok(RedisStore { script: Script::new(SCRIPT), line, prefix, max_session_bytes })
    }

    /// A secret that all who use this Redis and this prefix have in common, for
    /// [`cookie_secret`](crate::Settings::cookie_secret). Whoever may read this Redis knows it, as
    /// they know all sessions. If Redis forgets it, who asks later is given another.
    pub async fn shared_secret(&self) -> Result<Vec<u8>, Error> {
        let offered = crypto::random::<32>();
        let secret: Vec<u8> =
            self.operation("shared_secret").with(&offered[..]).run().await?;
        match secret.len() {
            32 => Ok(secret),
            _ => Err(Error::Config(String::from("the secret in Redis is none of ours"))),
        }
    }

    fn operation(&self, name: &str) -> Operation<'_> {
        let mut script = self.script.prepare_invoke();
        script.key(&self.prefix).arg(name);
        Operation { line: &self.line, script }
    }

    /// An operation on one session.
    fn on(&self, key: Key, name: &str) -> Operation<'_> {
        self.operation(name).with(key.to_string())
    }

    /// What an operation that sets a value says it did.
    fn outcome(&self, done: i64) -> Result<bool, Error> {
        match done {
            ..0 => Err(Error::TooLarge { limit: self.max_session_bytes }),
            done => Ok(done > 0),
        }
    }
}

/// A call of the script that is being put together.
struct Operation<'a> {
    line: &'a Line,
    script: ScriptInvocation<'a>,
}

impl Operation<'_> {
    fn with(mut self, argument: impl ToRedisArgs) -> Self {
        self.script.arg(argument);
        self
    }

    async fn run<T: FromRedisValue>(self) -> Result<T, Error> {
        self.line.call(&self.script).await
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
            let operation = self
                .on(key, "create")
                .with(millis(lifetime.idle))
                .with(millis(lifetime.absolute))
                .with(ip.to_string())
                .with(name)
                .with(value)
                .with(self.max_session_bytes);
            self.outcome(operation.run().await?)
        })
    }

    fn visit<'a>(&'a self, key: Key, ip: IpAddr, name: &'a str) -> StoreFuture<'a, Visit> {
        StoreFuture::boxed(async move {
            let operation = self.on(key, "visit").with(ip.to_string()).with(name);
            Ok(match operation.run().await? {
                Found::Not(0) => Visit::Gone,
                Found::Not(_) => Visit::Moved,
                Found::Live { value, renew, idle, left } => {
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
            let found: Option<(Option<String>,)> =
                self.on(key, "get").with(name).run().await?;
            Ok(found.map(|(value,)| value))
        })
    }

    fn set<'a>(
        &'a self,
        key: Key,
        name: &'a str,
        value: &'a str,
    ) -> StoreFuture<'a, Option<()>> {
        StoreFuture::boxed(async move {
            let operation =
                self.on(key, "set").with(name).with(value).with(self.max_session_bytes);
            let done: Option<i64> = operation.run().await?;
            done.map(|done| self.outcome(done).map(drop)).transpose()
        })
    }

    fn remove<'a>(
        &'a self,
        key: Key,
        name: &'a str,
    ) -> StoreFuture<'a, Option<Option<String>>> {
        StoreFuture::boxed(async move {
            let taken: Option<(Option<String>,)> =
                self.on(key, "remove").with(name).run().await?;
            Ok(taken.map(|(value,)| value))
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
            // An `expected` that is none adds no argument.
            let operation = self
                .on(key, "compare_and_set")
                .with(name)
                .with(value)
                .with(self.max_session_bytes)
                .with(expected);
            let done: Option<i64> = operation.run().await?;
            done.map(|done| self.outcome(done)).transpose()
        })
    }

    fn keys(&self, key: Key) -> StoreFuture<'_, Option<Vec<String>>> {
        StoreFuture::boxed(self.on(key, "keys").run())
    }

    fn clear(&self, key: Key) -> StoreFuture<'_, Option<()>> {
        StoreFuture::boxed(async move {
            let done: Option<i64> = self.on(key, "clear").run().await?;
            Ok(done.map(drop))
        })
    }

    fn destroy(&self, key: Key) -> StoreFuture<'_, bool> {
        StoreFuture::boxed(self.on(key, "destroy").run())
    }

    fn rotate(
        &self,
        key: Key,
        new: Key,
        lifetime: Option<Lifetime>,
    ) -> StoreFuture<'_, bool> {
        let operation =
            self.on(key, "rotate").with(new.to_string()).with(millis(ROTATION_GRACE));
        StoreFuture::boxed(match lifetime {
            Some(lifetime) => {
                operation.with(millis(lifetime.idle)).with(millis(lifetime.absolute)).run()
            }
            None => operation.run(),
        })
    }

    fn successors(&self, key: Key) -> StoreFuture<'_, Vec<Key>> {
        StoreFuture::boxed(async move {
            let keys: Vec<String> = self.on(key, "successors").run().await?;
            Ok(keys.iter().filter_map(|key| Key::parse(key)).collect())
        })
    }

    fn sessions_of<'a>(&'a self, user: &'a str) -> StoreFuture<'a, Vec<SessionInfo>> {
        StoreFuture::boxed(async move {
            let rows: Vec<Row> = self.operation("sessions_of").with(user).run().await?;
            Ok(rows.into_iter().filter_map(listed).collect())
        })
    }

    fn sessions_over_limit<'a>(
        &'a self,
        user: &'a str,
        most: usize,
    ) -> StoreFuture<'a, Vec<Key>> {
        StoreFuture::boxed(async move {
            let keys: Vec<String> =
                self.operation("sessions_over_limit").with(user).with(most).run().await?;
            Ok(keys.iter().filter_map(|key| Key::parse(key)).collect())
        })
    }

    fn counters(&self) -> StoreFuture<'_, Counters> {
        StoreFuture::boxed(async move {
            let counted: [Option<u64>; 6] = self.operation("counters").run().await?;
            let [live, created, ended, expired, rotated, rejected_ids] =
                counted.map(Option::unwrap_or_default);
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

    /// It is what notices a connection that has died, too: a server sweeps every second, whether
    /// anybody comes or not.
    fn sweep(&self) -> StoreFuture<'_, ()> {
        StoreFuture::boxed(async move {
            while self.operation("sweep").with(BITE).run::<usize>().await? == BITE {}
            Ok(())
        })
    }
}

/// What a visit finds.
enum Found {
    /// No live session: 0, or 1 if it moved.
    Not(i64),
    Live {
        value: Option<String>,
        renew: bool,
        idle: u64,
        left: u64,
    },
}

impl FromRedisValue for Found {
    fn from_redis_value(answer: Value) -> Result<Found, redis::ParsingError> {
        if let Value::Int(moved) = answer {
            return Ok(Found::Not(moved));
        }
        let (value, renew, idle, left) = redis::from_redis_value(answer)?;
        Ok(Found::Live { value, renew, idle, left })
    }
}

/// A session as the script lists it: its key, its age, for how long nobody used it, both in
/// milliseconds, its place and its device.
type Row = (String, u64, u64, String, Option<String>);

/// None for a row that nobody here wrote.
fn listed((key, age, unused, ip, device): Row) -> Option<SessionInfo> {
    Some(SessionInfo {
        key: Key::parse(&key)?,
        age: Duration::from_millis(age),
        idle: Duration::from_millis(unused),
        last_ip: ip.parse().ok()?,
        device,
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).map_or(LONGEST, |millis| millis.min(LONGEST))
}

/// Whether a prefix has a part in braces, by which a cluster knows what belongs together.
fn has_tag(prefix: &str) -> bool {
    let tag = prefix.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
    tag.is_some_and(|(tag, _)| !tag.is_empty())
}
