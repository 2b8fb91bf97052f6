//! [`RedisStore`]: sessions in Redis or Valkey, shared by all servers of one site.
//!
//! A session is a Redis hash. Each operation is one call of a Lua script (`storage.lua` and
//! `operations.lua`), which costs one round trip. Redis executes a script atomically: it runs no other command
//! until the script ends. So operations are atomic between servers, too, as the
//! [contract](crate::session::store) requires. All times are read from Redis's clock, and
//! Redis deletes expired sessions itself.
//!
//! ```text
//!  RedisStore -----------------> SharedConnection -------> script
//!               operation,         timeout,      EVALSHA     runs in Redis
//!               arguments          reconnect      HMGET
//! ```
//! A script call costs Redis several times what a plain command does. So a read is one plain
//! HMGET as long as it need not record anything: the use of a session is recorded once per
//! hundredth of its idle timeout, and not by every read.
//!
//! While Redis cannot be reached, every operation fails with [`Error::Unavailable`]. There
//! is no fallback to another store, because that store would not know which sessions are
//! live.

mod clock;

mod connection;

mod counts;

mod node;

mod reply;

mod settings;

mod store;

use std::collections::HashMap;

use redis::{Cmd, FromRedisValue, Script, ToRedisArgs};

use crate::crypto;
use crate::session::error::Error;
use crate::session::id::Key;
use crate::session::redis::clock::RedisClock;
use crate::session::redis::connection::{CallError, SharedConnection};
use crate::session::redis::counts::PendingCounts;
use crate::session::redis::reply::{
    RECORD_FIELDS, Record, RecordReply, VisitReply, live_visit,
};
pub use crate::session::redis::settings::RedisSettings;
use crate::session::store::{Counters, Lookup, Visit};

const SOURCE: &str = concat!(include_str!("storage.lua"), include_str!("operations.lua"));

/// Number of anonymous sessions that a write evicts if Redis is out of memory: enough for the
/// write, and for some that follow.
const EVICTION_BATCH: usize = 16;

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
/// [`sweep`](crate::session::store::Store::sweep): a server that is killed loses those of its last
/// second.
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
/// All keys of a store are in one slot of a Redis Cluster, so one node carries all sessions: some
/// 570 bytes for a session of a user with one value, so 1.8 million in a gigabyte. They
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
///
/// # Failover
///
/// List the primary and its replicas in `urls`. When Redis Sentinel, or you, promote a replica,
/// the store finds it: a node that is away or read-only is left for the next one. Until then
/// operations fail with [`Error::Unavailable`]. With a Sentinel that declares the primary down
/// after 500 ms, a test kills the primary and can write again after less than a second. An
/// address that always leads to the primary, such as a virtual IP or a TCP proxy, works as well:
/// the connection is made again when it breaks. The store does not ask Sentinel for addresses.
pub struct RedisStore {
    /// The script of each operation.
    scripts: HashMap<&'static str, Script>,
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
        let script = |name| (name, Script::new(&script_of(name)));
        Ok(RedisStore {
            scripts: operations().map(script).collect(),
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
            let mut script = self.scripts[operation].prepare_invoke();
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

    /// Calls a script that returns a value, which is in an array if the session is live.
    async fn look_up(
        &self,
        operation: &str,
        key: Key,
        name: &str,
    ) -> Result<Lookup, Error> {
        let reply: Option<(Option<String>,)> =
            self.call(operation, (key.to_string(), name)).await?;
        Ok(reply.map(|(value,)| value))
    }

    fn visit_from(&self, reply: VisitReply) -> Visit {
        match reply {
            VisitReply::NotLive(moved) => {
                self.counts.add(Counters { rejected_ids: 1, ..Counters::default() });
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

/// Returns the names of the operations that the source declares.
fn operations() -> impl Iterator<Item = &'static str> {
    SOURCE
        .lines()
        .filter_map(|line| line.strip_prefix("function operations.")?.split('(').next())
}

/// Returns the script of an operation: the source without the functions that it does not use. Redis
/// runs a script from its first line at each call, and then declares all its functions; with all
/// of them, that takes more time than the commands of most operations.
///
/// A function is declared before the functions that use it, so the source is read backwards: a
/// block (the text between two empty lines) stays if it declares no function, or one that is named
/// in a block that stays.
fn script_of(operation: &str) -> String {
    let mut script = String::new();
    for block in SOURCE.rsplit("\n\n") {
        let functions = block.lines().filter_map(|line| {
            let declaration = line.strip_prefix("local ").unwrap_or(line);
            declaration.strip_prefix("function ")?.split('(').next()
        });
        let is_used = |name: &str| {
            name.strip_prefix("operations.") == Some(operation)
                || script.contains(&format!("{name}("))
        };
        let mut functions = functions.peekable();
        if functions.peek().is_none() || functions.any(is_used) {
            script = format!("{block}\n\n{script}");
        }
    }
    script
}

/// Returns `true` if a prefix contains a hash tag: a non-empty part in braces. A cluster
/// hashes only this part, so keys with the same hash tag are in one slot, and thus on one
/// node.
fn has_hash_tag(prefix: &str) -> bool {
    let tag = prefix.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
    tag.is_some_and(|(tag, _)| !tag.is_empty())
}
