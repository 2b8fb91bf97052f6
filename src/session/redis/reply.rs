//! The replies of Redis: of the plain read, and of the operations of the script.

use std::net::IpAddr;
use std::time::Duration;

use redis::{FromRedisValue, Value};

use crate::session::id::Key;
use crate::session::store::{Lifetime, LiveVisit, SessionInfo, Visit};

/// Interval at which the use of a session is recorded, in milliseconds: a hundredth of its idle
/// timeout, at most a second.
fn use_interval(idle: u64) -> u64 {
    (idle / 100).min(1000)
}

/// What a plain read finds of a session. Times are in milliseconds of Redis's clock.
pub(super) struct Record {
    pub(super) value: Option<String>,
    pub(super) idle: u64,
    pub(super) end: u64,
    last_used: u64,
    id_sent_at: u64,
    last_ip: String,
}

/// The fields of a session's hash that a [`Record`] has besides the value.
pub(super) const RECORD_FIELDS: [&str; 5] =
    ["idle", "absolute_end", "last_used", "id_sent_at", "last_ip"];

pub(super) type RecordReply =
    (Option<String>, Option<u64>, Option<u64>, Option<u64>, Option<u64>, Option<String>);

impl Record {
    pub(super) fn new(
        (value, idle, end, last_used, id_sent_at, ip): RecordReply,
    ) -> Option<Record> {
        let (end, last_used, id_sent_at) = (end?, last_used?, id_sent_at?);
        Some(Record { value, idle: idle?, end, last_used, id_sent_at, last_ip: ip? })
    }

    pub(super) fn must_record_use(&self, now: u64) -> bool {
        now >= self.last_used.saturating_add(use_interval(self.idle)) || now >= self.end
    }

    /// Returns `true` if a visit would neither record the use, nor the client address, nor renew
    /// the cookie.
    pub(super) fn needs_no_visit(&self, now: u64, ip: IpAddr) -> bool {
        !self.must_record_use(now)
            && now < self.id_sent_at.saturating_add(self.idle / 10)
            && self.last_ip.parse() == Ok(ip)
    }
}

pub(super) fn live_visit(
    value: Option<String>,
    renew: bool,
    idle: u64,
    left: u64,
) -> Visit {
    let left = Duration::from_millis(left);
    let lifetime = Lifetime { idle: Duration::from_millis(idle), absolute: left };
    Visit::Live(LiveVisit { value, renew, max_age: lifetime.max_age(left) })
}

/// The reply of the operation `visit`.
pub(super) enum VisitReply {
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
pub(super) const NOT_INTEGER: i64 = -2;

/// The reply of an operation that sets a value and may return another.
pub(super) enum WriteReply {
    NotLive,
    /// See [`RedisStore::write_result`](crate::session::redis::RedisStore).
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
pub(super) type Row = (String, u64, u64, String, String, Option<String>);

/// Returns `None` if the row is malformed, which means that another program has written it.
pub(super) fn session_info(
    (key, age, idle, ip, origin, device): Row,
) -> Option<SessionInfo> {
    Some(SessionInfo {
        key: Key::parse(&key)?,
        origin: Key::parse(&origin)?,
        age: Duration::from_millis(age),
        idle: Duration::from_millis(idle),
        last_ip: ip.parse().ok()?,
        device,
    })
}
