//! The contract of `src/session/store.rs` in its simplest form: one lock and a `BTreeMap`.
//!
//! This is the reference implementation, and the first stop for a reader of the session layer:
//! the memory store does the same faster, and the Redis store does it between processes. It is
//! also a template for a store of your own. That it passes the suite shows that the suite tests the contract, and not
//! habits of the built-in stores. It has no memory limit, so it evicts nothing.
//!
//! Each operation takes the lock once, does all its work and releases the lock. That is the
//! whole of rule 1 of the contract, atomic and linearizable operations: no other operation can
//! see or change a session halfway through. The mutex is a std one, because it is never held
//! across `.await`: every operation returns a future that is ready. A store on a network cannot
//! hold a lock; it sends each operation as one atomic command, as the Redis store does with Lua
//! scripts.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard};

use dustdevil::session::error::Error;
use dustdevil::session::id::Key;
use dustdevil::session::store::{
    CompareAndSet, Counters, DEVICE, LiveVisit, ROTATION_GRACE, SessionInfo, StoreFuture,
    USERNAME, Visit,
};
use dustdevil::{Lifetime, Store};
use tokio::time::Instant;

/// Maximum bytes of names and values in one session.
const MAX_SESSION_BYTES: usize = 12 * 1024;

#[derive(Default)]
pub struct ReferenceStore(Mutex<State>);

#[derive(Default)]
pub struct State {
    pub sessions: BTreeMap<Key, ReferenceSession>,
    /// Rotations by their old key: the new key, and the time of the rotation.
    pub rotations: BTreeMap<Key, (Key, Instant)>,
    pub counters: Counters,
    /// The number of the latest login.
    logins: u64,
}

#[derive(Clone)]
pub struct ReferenceSession {
    /// The key with which it was created.
    pub origin: Key,
    pub values: BTreeMap<String, String>,
    pub lifetime: Lifetime,
    /// Client address of the last visit.
    pub ip: IpAddr,
    /// Creation or last login: the absolute timeout starts here.
    pub created_at: Instant,
    /// Last use: the idle timeout starts here.
    pub used_at: Instant,
    /// Time at which the client's cookie was last set.
    pub renewed_at: Instant,
    /// Number of the login, which orders the sessions of a user. A time would not do: two
    /// logins can happen within one tick of the clock.
    pub login: u64,
}

impl Store for ReferenceStore {
    /// Creates the session only if the key is free. If two requests ever drew the same random
    /// key and the second overwrote the first, two clients would share a session.
    fn create<'a>(
        &'a self,
        key: Key,
        lifetime: Lifetime,
        ip: IpAddr,
        name: &'a str,
        value: &'a str,
    ) -> StoreFuture<'a, bool> {
        let mut state = self.lock();
        let is_free = state.live(key).is_none();
        let mut session = ReferenceSession::new(key, lifetime, ip);
        let result = session.set(name, value, state.next_login()).map(|()| is_free);
        if result == Ok(true) {
            state.counters.created += 1;
            state.sessions.insert(key, session);
        }
        StoreFuture::ready(result)
    }

    /// Combines four things that each request needs, so that a request which reads one value
    /// needs one round trip: the check that the session is live, the record of its use, the
    /// decision to renew the cookie, and a value.
    fn visit<'a>(&'a self, key: Key, ip: IpAddr, name: &'a str) -> StoreFuture<'a, Visit> {
        let mut state = self.lock();
        let is_moved = state.successor(key).is_some();
        let visit = match state.live(key) {
            Some(session) => Visit::Live(session.visit(ip, name)),
            None if is_moved => Visit::Moved,
            None => Visit::Gone,
        };
        state.counters.rejected_ids += u64::from(!matches!(visit, Visit::Live(_)));
        StoreFuture::ready(Ok(visit))
    }

    fn get<'a>(
        &'a self,
        key: Key,
        name: &'a str,
    ) -> StoreFuture<'a, Option<Option<String>>> {
        self.with(key, |session, _| Ok(session.values.get(name).cloned()))
    }

    /// Sets one value. There is no operation that saves a whole session: it would overwrite the
    /// values that other requests have set since the session was loaded (a lost update).
    fn set<'a>(
        &'a self,
        key: Key,
        name: &'a str,
        value: &'a str,
    ) -> StoreFuture<'a, Option<()>> {
        self.with(key, |session, login| session.set(name, value, login))
    }

    /// Removes and returns in one step, so that of two concurrent requests only one gets the
    /// value. A flash message is shown once because of this.
    fn remove<'a>(
        &'a self,
        key: Key,
        name: &'a str,
    ) -> StoreFuture<'a, Option<Option<String>>> {
        self.with(key, |session, _| Ok(session.values.remove(name)))
    }

    /// Compare-and-swap: what a read-modify-write such as a counter is built from. The caller
    /// reads a value, computes the next one, and starts again with the current value if it has
    /// changed in
    /// between.
    fn compare_and_set<'a>(
        &'a self,
        key: Key,
        name: &'a str,
        expected: Option<&'a str>,
        value: &'a str,
    ) -> StoreFuture<'a, Option<CompareAndSet>> {
        self.with(key, |session, login| {
            let current = session.values.get(name);
            if current.map(String::as_str) != expected {
                return Ok(CompareAndSet::Differs(current.cloned()));
            }
            session.set(name, value, login).map(|()| CompareAndSet::Set)
        })
    }

    fn keys(&self, key: Key) -> StoreFuture<'_, Option<Vec<String>>> {
        self.with(key, |session, _| Ok(session.values.keys().cloned().collect()))
    }

    fn clear(&self, key: Key) -> StoreFuture<'_, Option<()>> {
        self.with(key, |session, _| {
            session.values.clear();
            Ok(())
        })
    }

    /// Follows rotations to the current key first. Otherwise a logout that was sent with the
    /// old id, while another request rotated the session, would leave the user logged in.
    fn destroy(&self, mut key: Key) -> StoreFuture<'_, bool> {
        let mut state = self.lock();
        while let Some(new) = state.successor(key) {
            key = new;
        }
        let is_ended = state.live(key).is_some();
        state.sessions.remove(&key);
        state.counters.ended += u64::from(is_ended);
        StoreFuture::ready(Ok(is_ended))
    }

    /// Moves the session: the old key is dead from here on, which is what defeats session
    /// fixation. Only a rotation with a lifetime is a login: it restarts the absolute timeout
    /// and puts the session first in the list of its user. The new key has not been sent to the
    /// client yet, so the response sets the cookie and the renew interval starts now.
    fn rotate(
        &self,
        key: Key,
        new: Key,
        lifetime: Option<Lifetime>,
    ) -> StoreFuture<'_, bool> {
        let (mut state, now) = (self.lock(), Instant::now());
        let login = state.next_login();
        let Some(mut session) = state.live(key).cloned() else {
            return StoreFuture::ready(Ok(false));
        };
        session.renewed_at = now;
        if let Some(lifetime) = lifetime {
            (session.lifetime, session.created_at, session.login) = (lifetime, now, login);
        }
        state.sessions.remove(&key);
        state.rotations.insert(key, (new, now));
        state.counters.rotated += 1;
        let is_overwritten = state.sessions.insert(new, session).is_some();
        state.counters.ended += u64::from(is_overwritten);
        StoreFuture::ready(Ok(true))
    }

    /// The name of a session that rotations do not change. A request that revokes the other
    /// sessions of a user recognizes its own by it, even if another request is rotating that.
    fn origin(&self, mut key: Key) -> StoreFuture<'_, Option<Key>> {
        let state = self.lock();
        while let Some(new) = state.successor(key) {
            key = new;
        }
        let live = state.sessions.get(&key).filter(|session| session.is_live());
        StoreFuture::ready(Ok(live.map(|session| session.origin)))
    }

    /// Looks at every session, which a real store avoids with an index by user. It checks
    /// expiry without [`State::live`], because listing is not use.
    fn sessions_of<'a>(&'a self, user: &'a str) -> StoreFuture<'a, Vec<SessionInfo>> {
        let state = self.lock();
        let sessions = state.sessions.iter();
        let mut sessions: Vec<_> = sessions
            .filter(|(_, session)| session.is_live() && session.is_of(user))
            .collect();
        sessions.sort_by_key(|(_, session)| Reverse(session.login));
        let infos = sessions.into_iter().map(|(key, session)| session.info(*key));
        StoreFuture::ready(Ok(infos.collect()))
    }

    fn counters(&self) -> StoreFuture<'_, Counters> {
        let state = self.lock();
        let live = state.sessions.len() as u64;
        StoreFuture::ready(Ok(Counters { live, ..state.counters }))
    }

    /// Only frees memory. An expired session is gone for all operations before it is swept.
    fn sweep(&self) -> StoreFuture<'_, ()> {
        let mut state = self.lock();
        let before = state.sessions.len();
        state.sessions.retain(|_, session| session.is_live());
        state.counters.expired += (before - state.sessions.len()) as u64;
        state.rotations.retain(|_, (_, at)| at.elapsed() < ROTATION_GRACE);
        StoreFuture::ready(Ok(()))
    }
}

impl ReferenceStore {
    /// Locks the state. The mutants of the suite use it, too.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Runs an operation on a live session; `None` if there is none. The operation also gets
    /// the number of the next login, in case it sets the user.
    fn with<'a, T: Send + 'a>(
        &self,
        key: Key,
        operation: impl FnOnce(&mut ReferenceSession, u64) -> Result<T, Error>,
    ) -> StoreFuture<'a, Option<T>> {
        let mut state = self.lock();
        let login = state.next_login();
        let result = state.live(key).map(|session| operation(session, login));
        StoreFuture::ready(result.transpose())
    }
}

impl State {
    /// Returns a session if it is live, and records the use. Removes it if it has expired: this
    /// is lazy expiry, so no operation depends on the sweep.
    pub fn live(&mut self, key: Key) -> Option<&mut ReferenceSession> {
        if !self.sessions.get(&key)?.is_live() {
            self.sessions.remove(&key);
            self.counters.expired += 1;
        }
        let session = self.sessions.get_mut(&key)?;
        session.used_at = Instant::now();
        Some(session)
    }

    /// Returns the key to which a session was rotated from this one within [`ROTATION_GRACE`].
    fn successor(&self, key: Key) -> Option<Key> {
        let (new, at) = self.rotations.get(&key)?;
        (at.elapsed() < ROTATION_GRACE).then_some(*new)
    }

    fn next_login(&mut self) -> u64 {
        self.logins += 1;
        self.logins
    }
}

impl ReferenceSession {
    fn new(origin: Key, lifetime: Lifetime, ip: IpAddr) -> ReferenceSession {
        let now = Instant::now();
        ReferenceSession {
            origin,
            values: BTreeMap::new(),
            lifetime,
            ip,
            created_at: now,
            used_at: now,
            renewed_at: now,
            login: 0,
        }
    }

    fn is_live(&self) -> bool {
        self.used_at.elapsed() < self.lifetime.idle
            && self.created_at.elapsed() < self.lifetime.absolute
    }

    fn is_of(&self, user: &str) -> bool {
        self.values.get(USERNAME).is_some_and(|name| name == user)
    }

    /// Records a visit from `ip`. The first visit after the renew interval gets `renew`, and
    /// starts the next interval, so that one of several concurrent responses sets the cookie.
    fn visit(&mut self, ip: IpAddr, name: &str) -> LiveVisit {
        self.ip = ip;
        let renew = self.renewed_at.elapsed() >= self.lifetime.renew_interval();
        if renew {
            self.renewed_at = Instant::now();
        }
        let left = self.lifetime.absolute.saturating_sub(self.created_at.elapsed());
        let value = self.values.get(name).cloned();
        LiveVisit { value, renew, max_age: self.lifetime.max_age(left) }
    }

    /// Sets a value, or fails without a change if the session would exceed its limit. A new
    /// value of [`USERNAME`] is a login with this number.
    fn set(&mut self, name: &str, value: &str, login: u64) -> Result<(), Error> {
        let others = self.values.iter().filter(|(other, _)| *other != name);
        let bytes: usize = others.map(|(name, value)| name.len() + value.len()).sum();
        if bytes + name.len() + value.len() > MAX_SESSION_BYTES {
            return Err(Error::TooLarge { limit: MAX_SESSION_BYTES });
        }
        let old = self.values.insert(name.to_owned(), value.to_owned());
        if name == USERNAME && old.as_deref() != Some(value) {
            self.login = login;
        }
        Ok(())
    }

    fn info(&self, key: Key) -> SessionInfo {
        let (age, idle) = (self.created_at.elapsed(), self.used_at.elapsed());
        let device = self.values.get(DEVICE).cloned();
        SessionInfo { key, origin: self.origin, age, idle, last_ip: self.ip, device }
    }
}
