//! A session in memory.

use std::net::IpAddr;
use std::time::Duration;

use crate::session::id::Key;
use crate::session::memory::clock::{Millis, millis};
use crate::session::memory::timer_wheel::Page;
use crate::session::memory::user_index::{Login, Writer};
use crate::session::memory::values::Values;
use crate::session::store::{DEVICE, Lifetime, LiveVisit, SessionInfo, USERNAME};

pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) values: Values,
    began: Millis,
    /// For how long it may go unused.
    idle: Millis,
    /// When its time is up, however it is used.
    end: Millis,
    /// Last of all.
    pub(crate) used: Millis,
    /// When the client was last told its id.
    id_sent_at: Millis,
    /// From where it was last visited.
    ip: IpAddr,
    /// Its page in the calendar.
    pub(crate) look_at: Page,
    /// Its place among its user's, if it is somebody's.
    pub(crate) login: Login,
}

impl Entry {
    pub(crate) fn new(key: Key, lifetime: Lifetime, ip: IpAddr, now: Millis) -> Entry {
        let mut entry = Entry {
            key,
            values: Values::default(),
            began: 0,
            idle: 0,
            end: 0,
            used: now,
            id_sent_at: now,
            ip,
            look_at: 0,
            login: 0,
        };
        entry.begin(lifetime, now);
        entry
    }

    /// When its time is up, unless it is used before.
    pub(crate) fn expiry(&self) -> Millis {
        self.used.saturating_add(self.idle).min(self.end)
    }

    pub(crate) fn user(&self) -> Option<&str> {
        self.values.get(USERNAME)
    }

    /// Enters it as the latest of its user's, if it is somebody's.
    pub(crate) fn enter(&mut self, users: &mut Writer) {
        if let Some(user) = self.user() {
            self.login = users.add(user, self.key, self.expiry());
        }
    }

    /// Enters by which key it goes now, and until when it lives at least.
    pub(crate) fn update(&self, users: &mut Writer) {
        if let Some(user) = self.user() {
            users.update(user, self.login, self.key, self.expiry());
        }
    }

    pub(crate) fn strike_out(&self, users: &mut Writer) {
        if let Some(user) = self.user() {
            users.remove(user, self.login);
        }
    }

    pub(crate) fn visit(&mut self, ip: IpAddr, name: &str, now: Millis) -> LiveVisit {
        self.ip = ip;
        let left = Duration::from_millis(self.end.saturating_sub(now));
        let lifetime = Lifetime { idle: Duration::from_millis(self.idle), absolute: left };
        let renew =
            now.saturating_sub(self.id_sent_at) >= millis(lifetime.renew_interval());
        if renew {
            self.id_sent_at = now;
        }
        let value = self.values.get(name).map(str::to_owned);
        LiveVisit { value, renew, max_age: lifetime.max_age(left) }
    }

    /// Goes by another key from now on, of which the client is told; perhaps for another lifetime.
    pub(crate) fn rotate(&mut self, new: Key, lifetime: Option<Lifetime>, now: Millis) {
        (self.key, self.id_sent_at) = (new, now);
        if let Some(lifetime) = lifetime {
            self.begin(lifetime, now);
        }
    }

    fn begin(&mut self, lifetime: Lifetime, now: Millis) {
        self.began = now;
        self.idle = millis(lifetime.idle);
        self.end = now.saturating_add(millis(lifetime.absolute));
    }

    pub(crate) fn listed(&self, now: Millis) -> SessionInfo {
        let ago = |time: Millis| Duration::from_millis(now.saturating_sub(time));
        SessionInfo {
            key: self.key,
            age: ago(self.began),
            idle: ago(self.used),
            last_ip: self.ip,
            device: self.values.get(DEVICE).map(str::to_owned),
        }
    }
}
