//! A session as the memory store has it.

use std::net::IpAddr;
use std::time::Duration;

use crate::session::id::Key;
use crate::session::memory::clock::{Millis, millis};
use crate::session::memory::timer_wheel::Bucket;
use crate::session::memory::user_index::{LoginSeq, Writer};
use crate::session::memory::values::Values;
use crate::session::store::{DEVICE, Lifetime, LiveVisit, SessionInfo, USERNAME};

pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) values: Values,
    /// Time of the creation or of the last login.
    started_at: Millis,
    /// Idle timeout in milliseconds.
    idle_timeout: Millis,
    /// Time of the absolute timeout.
    deadline: Millis,
    /// Time of the last use. It never decreases, although the times of uses may: see
    /// [`clock`](crate::session::memory::clock).
    pub(crate) last_used: Millis,
    /// Time at which the client was last sent the session's id in a cookie.
    id_sent_at: Millis,
    /// Client address of the last visit.
    last_ip: IpAddr,
    /// The bucket of the timer wheel that the session is in.
    pub(crate) wheel_bucket: Bucket,
    /// Its number in the user index. Without meaning if the session is anonymous.
    pub(crate) login_seq: LoginSeq,
}

impl Entry {
    pub(crate) fn new(key: Key, lifetime: Lifetime, ip: IpAddr, now: Millis) -> Entry {
        let mut entry = Entry {
            key,
            values: Values::default(),
            started_at: 0,
            idle_timeout: 0,
            deadline: 0,
            last_used: now,
            id_sent_at: now,
            last_ip: ip,
            wheel_bucket: 0,
            login_seq: 0,
        };
        entry.start(lifetime, now);
        entry
    }

    /// Returns the time at which the session expires, by its idle or its absolute timeout,
    /// unless it is used before.
    pub(crate) fn expiry(&self) -> Millis {
        self.last_used.saturating_add(self.idle_timeout).min(self.deadline)
    }

    /// Returns the logged-in user, or `None` if the session is anonymous.
    pub(crate) fn user(&self) -> Option<&str> {
        self.values.get(USERNAME)
    }

    /// Adds the session to the user index as the user's latest login, unless it is anonymous.
    pub(crate) fn index_user(&mut self, users: &mut Writer) {
        if let Some(user) = self.user() {
            self.login_seq = users.add(user, self.key, self.expiry());
        }
    }

    /// Writes the current key and expiry to the user index.
    pub(crate) fn update_index(&self, users: &mut Writer) {
        if let Some(user) = self.user() {
            users.update(user, self.login_seq, self.key, self.expiry());
        }
    }

    pub(crate) fn unindex_user(&self, users: &mut Writer) {
        if let Some(user) = self.user() {
            users.remove(user, self.login_seq);
        }
    }

    /// Records a visit, and returns the value of `name`. The cookie should be renewed if the id
    /// was last sent longer ago than the renew interval (sliding expiration).
    pub(crate) fn visit(&mut self, ip: IpAddr, name: &str, now: Millis) -> LiveVisit {
        self.last_ip = ip;
        let left = Duration::from_millis(self.deadline.saturating_sub(now));
        let idle = Duration::from_millis(self.idle_timeout);
        let lifetime = Lifetime { idle, absolute: left };
        let renew =
            now.saturating_sub(self.id_sent_at) >= millis(lifetime.renew_interval());
        if renew {
            self.id_sent_at = now;
        }
        let value = self.values.get(name).map(str::to_owned);
        LiveVisit { value, renew, max_age: lifetime.max_age(left) }
    }

    /// Changes the key, which the caller sends to the client, and restarts the lifetime if one
    /// is given.
    pub(crate) fn rotate(&mut self, new: Key, lifetime: Option<Lifetime>, now: Millis) {
        (self.key, self.id_sent_at) = (new, now);
        if let Some(lifetime) = lifetime {
            self.start(lifetime, now);
        }
    }

    fn start(&mut self, lifetime: Lifetime, now: Millis) {
        self.started_at = now;
        self.idle_timeout = millis(lifetime.idle);
        self.deadline = now.saturating_add(millis(lifetime.absolute));
    }

    pub(crate) fn info(&self, now: Millis) -> SessionInfo {
        let since = |time: Millis| Duration::from_millis(now.saturating_sub(time));
        SessionInfo {
            key: self.key,
            age: since(self.started_at),
            idle: since(self.last_used),
            last_ip: self.last_ip,
            device: self.values.get(DEVICE).map(str::to_owned),
        }
    }
}
