//! [`RedisSettings`]: where Redis is, and how much a store may keep there.

use std::time::Duration;

/// Addresses and limits of a [`RedisStore`](crate::RedisStore).
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
    /// value. Above the limit a write fails with
    /// [`Error::TooLarge`](crate::session::Error::TooLarge). Default: 16 KiB.
    pub max_session_bytes: usize,
    /// Maximum number of anonymous sessions (sessions without a user), at least one. Above it,
    /// and also when Redis has reached its `maxmemory`, a new session ends the oldest anonymous
    /// ones. Default: 100,000, which take some 75 MB with one short value each.
    pub max_anonymous_sessions: usize,
    /// Timeout of an operation, including the time to connect. After it the operation fails
    /// with [`Error::Unavailable`](crate::session::Error::Unavailable). Default: 1 s.
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
