//! The [`Store`] operations of a [`RedisStore`].

use std::net::IpAddr;
use std::time::Duration;

use crate::session::error::Error;
use crate::session::id::Key;
use crate::session::redis::RedisStore;
use crate::session::redis::reply::{
    NOT_INTEGER, Row, VisitReply, WriteReply, live_visit, session_info,
};
use crate::session::store::{
    CompareAndSet, Counters, Lifetime, Lookup, ROTATION_GRACE, SessionInfo, Store,
    StoreFuture, Visit, add_to_text,
};

/// Maximum number of sessions that one call of `sweep` checks. Redis is single-threaded, so
/// a script that checked all expired sessions in one call would block every other client
/// until it ends.
const SWEEP_BATCH: usize = 128;

/// Upper bound of a lifetime: 100 years in milliseconds. Redis stores times as 63-bit
/// milliseconds; with this bound, adding a lifetime to the current time cannot overflow.
const MAX_MILLIS: u64 = 100 * 365 * 24 * 3600 * 1000;

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
            self.counts.add(Counters { created: is_created.into(), ..Counters::default() });
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

    fn get<'a>(&'a self, key: Key, name: &'a str) -> StoreFuture<'a, Lookup> {
        StoreFuture::boxed(async move {
            if let Some(now) = self.clock.now() {
                let Some(record) = self.read(key, name).await? else { return Ok(None) };
                if !record.must_record_use(now) {
                    return Ok(Some(record.value));
                }
            }
            self.look_up("get", key, name).await
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

    fn remove<'a>(&'a self, key: Key, name: &'a str) -> StoreFuture<'a, Lookup> {
        StoreFuture::boxed(self.look_up("remove", key, name))
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
            self.counts.add(Counters { ended: is_ended.into(), ..Counters::default() });
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
            self.counts.add(Counters { rotated: is_rotated.into(), ..Counters::default() });
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
                self.counts.add(Counters { expired, ..Counters::default() });
                if due < SWEEP_BATCH {
                    return Ok(());
                }
            }
        })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).map_or(MAX_MILLIS, |millis| millis.min(MAX_MILLIS))
}
