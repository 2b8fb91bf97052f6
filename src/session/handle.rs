//! [`Session`]: the handle through which one request uses its session.
//!
//! This file resolves the presented ids to a session, creates one, rotates its id, and keeps
//! concurrent branches of the same request (futures in one `join!`) in step. What a handler calls is in
//! [`operations`](crate::session::operations) and [`login`](crate::session::login).

use std::fmt::{self, Display};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use log::{info, warn};

use crate::session::error::Result;
use crate::session::id::{Id, Key};
use crate::session::state::{
    ClientUpdate, PendingUpdate, RequestState, Resolved, SessionState,
};
use crate::session::store::{Lifetime, LiveVisit, Store, StoreFuture, USERNAME, Visit};

/// Maximum number of different ids that one request may present. A browser sends one. A sibling
/// domain can plant more cookies of the same name in front of it (cookie tossing); some are
/// accepted, so that planted ones do not hide the genuine one.
const MAX_PRESENTED_IDS: usize = 16;

/// The settings that all sessions of an application share.
#[derive(Clone, Copy, Debug)]
pub struct SessionConfig {
    /// Idle and absolute timeout of a session.
    pub lifetime: Lifetime,
    /// Maximum number of concurrent sessions of one user, at least one. A login above the limit
    /// ends the session of the user that logged in first. Default: 100.
    pub max_sessions_per_user: usize,
}

impl Default for SessionConfig {
    fn default() -> SessionConfig {
        SessionConfig { lifetime: Lifetime::default(), max_sessions_per_user: 100 }
    }
}

/// The session of one client, as one request sees it.
///
/// A request without a session can read (it finds nothing) and write (the first write creates the
/// session; before that there is no id and no entry in the store). If another request destroys
/// the session in the meantime, for example by a logout, reads find nothing and writes do
/// nothing; neither is an error.
///
/// Clones are handles to the same session.
#[derive(Clone)]
pub struct Session {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) store: Arc<dyn Store>,
    pub(super) config: SessionConfig,
    client_ip: IpAddr,
    /// The ids that the client has sent, each once.
    pub(super) presented_ids: Vec<Id>,
    transition_lock: TransitionLock,
    state: Mutex<RequestState>,
}

/// An async mutex, because it is held across `.await`: a transition calls the store.
type TransitionLock = tokio::sync::Mutex<()>;
pub(super) type TransitionGuard<'s> = tokio::sync::MutexGuard<'s, ()>;

impl Session {
    /// Creates the handle for a client at `client_ip` that has presented these ids. The store is
    /// not asked until the session is used. An id that the store does not know is ignored: an id
    /// that was not issued here is never adopted, which prevents session fixation.
    pub fn new(
        store: Arc<dyn Store>,
        config: SessionConfig,
        client_ip: IpAddr,
        ids: impl Iterator<Item = Id>,
    ) -> Session {
        let mut presented_ids: Vec<Id> = Vec::new();
        for id in ids {
            let is_new = presented_ids.iter().all(|other| other.key() != id.key());
            if is_new && presented_ids.len() < MAX_PRESENTED_IDS {
                presented_ids.push(id);
            }
        }
        let session = match presented_ids[..] {
            [] => SessionState::Absent,
            _ => SessionState::Unresolved,
        };
        let state = Mutex::new(RequestState::new(session));
        let transition_lock = TransitionLock::default();
        let inner =
            Inner { store, config, client_ip, presented_ids, transition_lock, state };
        Session { inner: Arc::new(inner) }
    }

    /// Returns what the response must tell the client about its id. Asks the store once more, so
    /// that an id whose session was destroyed in the meantime is not sent.
    pub async fn client_update(&self) -> Result<ClientUpdate> {
        let (id, replaces_ended) = {
            let state = self.state();
            match (&state.session, state.update) {
                _ if !state.used => return Ok(ClientUpdate::Unused),
                (SessionState::Live(id), PendingUpdate::Send) => {
                    (id.clone(), state.has_ended_one)
                }
                (_, PendingUpdate::Forget) => return Ok(ClientUpdate::ForgetId),
                _ => return Ok(ClientUpdate::None),
            }
        };
        match self.inner.store.visit(id.key(), self.inner.client_ip, USERNAME).await? {
            Visit::Live(LiveVisit { max_age, .. }) => {
                Ok(ClientUpdate::SendId { id, max_age, replaces_ended })
            }
            Visit::Moved | Visit::Gone => Ok(ClientUpdate::None),
        }
    }

    /// Returns the key to which XSRF tokens are bound: that of the session, or the one that it
    /// had until it ended.
    pub(crate) async fn xsrf_key(&self) -> Result<Option<Key>> {
        self.resolve(USERNAME).await?;
        Ok(match &self.state().session {
            SessionState::Live(id) | SessionState::Ended(id) => Some(id.key()),
            _ => None,
        })
    }

    /// Finds out which presented id belongs to a live session, once per request. The first call
    /// visits the store and returns the value of `name` from the same visit, so that reading one
    /// value costs one round trip; later calls return [`Resolved::KeyOnly`].
    ///
    /// The state is checked again under the lock, because another branch of the request may have
    /// resolved the ids while this one waited.
    pub(super) async fn resolve(&self, name: &str) -> Result<Resolved> {
        if let Some(resolved) = self.resolved() {
            return Ok(resolved);
        }
        let _guard = self.lock_transition().await;
        if let Some(resolved) = self.resolved() {
            return Ok(resolved);
        }
        let (mut live, mut others) = (None, Vec::new());
        let (mut moved, mut unknown) = (None, Vec::new());
        let mut sort = |id, visit| match visit {
            Visit::Live(visited) if live.is_none() => live = Some((id, visited)),
            Visit::Live(_) => others.push(id),
            Visit::Moved => moved = Some(id),
            Visit::Gone => unknown.push(Id::key(id)),
        };
        let Inner { store, client_ip, presented_ids, .. } = &*self.inner;
        match &presented_ids[..] {
            [id] => sort(id, store.visit(id.key(), *client_ip, name).await?),
            ids => {
                let keys: Vec<Key> = ids.iter().map(Id::key).collect();
                let visits = store.visit_all(&keys, *client_ip, name).await?;
                ids.iter().zip(visits).for_each(|(id, visit)| sort(id, visit));
            }
        }
        if let [first, ..] = &unknown[..] {
            let (session, count) = (first.fingerprint(), unknown.len());
            self.report(format_args!("session_unknown session={session} count={count}"));
        }
        let Some((id, visited)) = live else {
            let ended = moved.map(|id| SessionState::Ended(id.clone()));
            let session = ended.unwrap_or(SessionState::Absent);
            self.state().set(session, PendingUpdate::None);
            return Ok(Resolved::KeyOnly(None));
        };
        if let [second, ..] = &others[..] {
            // A browser sends one id. The others were planted by a sibling domain or on the
            // network (cookie tossing), and the server cannot tell which is genuine. Choosing one
            // could put the visitor into an attacker's session, so none is used.
            self.warn_of_ambiguity(&id.key(), &second.key());
            let ids = [id].into_iter().chain(others).cloned().collect();
            self.state().set(SessionState::Ambiguous(ids), PendingUpdate::None);
            return Ok(Resolved::KeyOnly(None));
        }
        let update = if visited.renew { PendingUpdate::Send } else { PendingUpdate::None };
        self.state().set(SessionState::Live(id.clone()), update);
        Ok(Resolved::WithValue(id.key(), visited.value))
    }

    /// Returns what is known of the session, or `None` if the store must be asked first. Marks
    /// the session as used.
    fn resolved(&self) -> Option<Resolved> {
        let mut state = self.state();
        state.used = true;
        match &state.session {
            SessionState::Unresolved => None,
            session => Some(Resolved::KeyOnly(session.live_key())),
        }
    }

    /// Creates a session with its first value unless there is one or one has ended. Returns `true`
    /// if it did.
    pub(super) async fn create_if_absent(
        &self,
        lifetime: Lifetime,
        name: &str,
        value: &str,
    ) -> Result<bool> {
        if self.store_key().await?.is_some() {
            return Ok(false);
        }
        let guard = self.lock_transition().await;
        if !matches!(
            self.state().session,
            SessionState::Absent | SessionState::Ambiguous(_)
        ) {
            return Ok(false);
        }
        self.create_new(&guard, lifetime, name, value).await?;
        Ok(true)
    }

    /// Creates a session with its first value. The guard proves that the caller holds the
    /// transition lock.
    pub(super) async fn create_new(
        &self,
        _: &TransitionGuard<'_>,
        lifetime: Lifetime,
        name: &str,
        value: &str,
    ) -> Result {
        loop {
            let (id, ip) = (Id::generate(), self.inner.client_ip);
            // Two equal ids of 128 random bits do not happen in practice. If they did, one client
            // would get another's session, so the store checks.
            if self.inner.store.create(id.key(), lifetime, ip, name, value).await? {
                let session = id.key().fingerprint();
                self.report(format_args!("session_created session={session}"));
                self.state().set(SessionState::Live(id), PendingUpdate::Send);
                return Ok(());
            }
        }
    }

    /// Rotates the session to a new id, optionally with another lifetime. Returns `false` if the
    /// session has ended.
    pub(super) async fn rotate_for(
        &self,
        _: &TransitionGuard<'_>,
        lifetime: Option<Lifetime>,
    ) -> Result<bool> {
        let Some(old) = self.live_key() else { return Ok(false) };
        let id = Id::generate();
        if !self.inner.store.rotate(old, id.key(), lifetime).await? {
            self.state().end();
            return Ok(false);
        }
        let (from, to) = (old.fingerprint(), id.key().fingerprint());
        self.report(format_args!("session_rotated from={from} to={to}"));
        self.state().set(SessionState::Live(id), PendingUpdate::Send);
        Ok(true)
    }

    /// Returns the key of the session if it is known to be live.
    pub(super) fn live_key(&self) -> Option<Key> {
        self.state().session.live_key()
    }

    /// Runs a store operation on the session, if there is one.
    pub(super) async fn with_key<'a, T>(
        &'a self,
        operation: impl Fn(Key) -> StoreFuture<'a, Option<T>>,
    ) -> Result<Option<T>> {
        self.with_known_key(self.store_key().await?, operation).await
    }

    /// Runs a store operation on the session with this key.
    ///
    /// The store may answer that no session has this key because another branch of this request
    /// (a `join!`) has just rotated it. So if the key has changed in the meantime, the operation
    /// runs again with the new one; if it has not, the session has ended.
    pub(super) async fn with_known_key<'a, T>(
        &'a self,
        mut key: Option<Key>,
        operation: impl Fn(Key) -> StoreFuture<'a, Option<T>>,
    ) -> Result<Option<T>> {
        while let Some(tried) = key {
            let result = operation(tried).await?;
            if result.is_some() {
                return Ok(result);
            }
            let _guard = self.lock_transition().await;
            key = self.live_key();
            if key == Some(tried) {
                self.state().end();
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// Writes a line of the security log: the event's name as in OWASP's logging vocabulary, then
    /// `key=value` pairs. A session is named by its fingerprint, which is not its secret id.
    pub(super) fn report(&self, event: impl Display) {
        info!(target: "dustdevil::security", "{event} ip={}", self.inner.client_ip);
    }

    fn warn_of_ambiguity(&self, first: &Key, second: &Key) {
        let (first, second) = (first.fingerprint(), second.fingerprint());
        let ip = self.inner.client_ip;
        let why = "several live ids in one request, none is used";
        warn!(
            target: "dustdevil::security",
            "session_ambiguous first={first} second={second} ip={ip}: {why}"
        );
    }

    /// Locks out other transitions of the same request: resolve, create, rotate, destroy. Without
    /// it, two branches of a `join!` that both write first would create two sessions. It is an
    /// async mutex, because it is held across `.await`, while the store works; the locks of the
    /// memory store are std mutexes, which are faster and are never held across `.await`.
    ///
    /// Cancellation safety: if the future is dropped, the guard is released and `state` still
    /// says what was true before; every transition writes `state` after its store operation.
    pub(super) async fn lock_transition(&self) -> TransitionGuard<'_> {
        match self.inner.transition_lock.try_lock() {
            Ok(guard) => guard,
            // Rare, and the future of `lock` is large: boxed, it costs the usual path nothing.
            Err(_) => Box::pin(self.inner.transition_lock.lock()).await,
        }
    }

    /// A std mutex is enough here, because this one is never held across `.await`. Nothing panics
    /// while it is held, so a poisoned lock cannot hold a half-written state.
    pub(super) fn state(&self) -> MutexGuard<'_, RequestState> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.state().session {
            SessionState::Unresolved => "Session(unresolved)",
            SessionState::Absent => "Session(absent)",
            SessionState::Ambiguous(_) => "Session(ambiguous)",
            SessionState::Live(_) => "Session(live)",
            SessionState::Ended(_) => "Session(ended)",
        })
    }
}
