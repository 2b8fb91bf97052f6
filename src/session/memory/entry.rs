//! A session in memory.

use std::net::IpAddr;
use std::time::Duration;

use crate::session::id::Key;
use crate::session::memory::calendar::Second;
use crate::session::memory::clock::{Millis, millis};
use crate::session::memory::users::Login;
use crate::session::memory::values::Values;
use crate::session::store::{DEVICE, Lifetime, Listed, USERNAME, Visited};

pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) values: Values,
    pub(crate) lifetime: Lifetime,
    pub(crate) began: Millis,
    /// Last of all.
    pub(crate) used: Millis,
    /// When the client was last told its id.
    pub(crate) told: Millis,
    /// From where it was last visited.
    pub(crate) place: IpAddr,
    /// Its place among the sessions of its user, if it is somebody's.
    pub(crate) login: Login,
    /// Its page in the calendar.
    pub(crate) look_at: Second,
}

impl Entry {
    pub(crate) fn new(key: Key, lifetime: Lifetime, place: IpAddr, now: Millis) -> Entry {
        Entry {
            key,
            values: Values::default(),
            lifetime,
            began: now,
            used: now,
            told: now,
            place,
            login: 0,
            look_at: 0,
        }
    }

    /// When its time is up, unless it is used before.
    pub(crate) fn expiry(&self) -> Millis {
        self.used.saturating_add(millis(self.lifetime.idle)).min(self.end())
    }

    /// When its time is up, however it is used.
    fn end(&self) -> Millis {
        self.began.saturating_add(millis(self.lifetime.absolute))
    }

    pub(crate) fn user(&self) -> Option<&str> {
        self.values.get(USERNAME)
    }

    pub(crate) fn visit(&mut self, place: IpAddr, name: &str, now: Millis) -> Visited {
        self.place = place;
        let renew = now.saturating_sub(self.told) >= millis(self.lifetime.renewal());
        if renew {
            self.told = now;
        }
        let left = Duration::from_millis(self.end().saturating_sub(now));
        let value = self.values.get(name).map(str::to_owned);
        Visited { value, renew, keep: self.lifetime.keep(left) }
    }

    /// Goes by another key from now on, of which the client is told; perhaps for another lifetime.
    pub(crate) fn rotate(&mut self, new: Key, lifetime: Option<Lifetime>, now: Millis) {
        (self.key, self.told) = (new, now);
        if let Some(lifetime) = lifetime {
            (self.lifetime, self.began) = (lifetime, now);
        }
    }

    pub(crate) fn listed(&self, now: Millis) -> Listed {
        let ago = |time: Millis| Duration::from_millis(now.saturating_sub(time));
        Listed {
            key: self.key,
            age: ago(self.began),
            unused: ago(self.used),
            place: self.place,
            device: self.values.get(DEVICE).map(str::to_owned),
        }
    }
}
