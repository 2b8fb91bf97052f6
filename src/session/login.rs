//! The user of a session: login, the list of the user's sessions, and revoking them.

use log::info;

use crate::session::error::{Error, Result};
use crate::session::handle::{Session, TransitionGuard};
use crate::session::id::Key;
use crate::session::store::{Lifetime, SessionInfo, Store, USERNAME};

impl Session {
    /// Binds the session to a user whose password or other proof the caller has just checked:
    /// rotates its id (which defeats session fixation), restarts its lifetime and sets
    /// [`USERNAME`].
    ///
    /// Values that an anonymous visitor stored stay, if the session has space for the name, too.
    /// If the session belonged to another user, it is destroyed and a new one is created. A login
    /// does not fail because of a race: if another request has ended or rotated the session, the
    /// login creates a new one.
    ///
    /// If the user then has more than
    /// [`max_sessions_per_user`](crate::session::handle::SessionConfig::max_sessions_per_user)
    /// sessions, the one that logged in first is ended.
    pub async fn log_in(&self, username: &str) -> Result {
        self.log_in_for(username, self.inner.config.lifetime).await
    }

    /// Like [`log_in`](Session::log_in), with another lifetime than the configured one: "remember
    /// me".
    pub async fn log_in_for(&self, username: &str, lifetime: Lifetime) -> Result {
        let user = self.get(USERNAME).await?;
        if user.is_some_and(|user| user != username) {
            self.destroy().await?;
        }
        {
            let guard = self.lock_transition().await;
            let is_bound = match self.bind_user(&guard, username, lifetime).await {
                // The visitor's values leave no space for the name, so they are dropped.
                Err(Error::TooLarge { .. }) => false,
                outcome => outcome?,
            };
            if !is_bound {
                if let Some(key) = self.live_key() {
                    self.inner.store.destroy(key).await?;
                }
                self.create_new(&guard, lifetime, USERNAME, username).await?;
            }
        }
        if let Some(key) = self.live_key() {
            let session = key.fingerprint();
            self.report(format_args!(
                "authn_login_success user={username:?} session={session}"
            ));
        }
        self.enforce_session_limit(username).await
    }

    /// Rotates the session and sets its user, in this order, so that the old id never belongs to
    /// a user. Returns `false` if the session has ended.
    async fn bind_user(
        &self,
        guard: &TransitionGuard<'_>,
        username: &str,
        lifetime: Lifetime,
    ) -> Result<bool> {
        if !self.rotate_for(guard, Some(lifetime)).await? {
            return Ok(false);
        }
        let Some(key) = self.live_key() else { return Ok(false) };
        Ok(self.inner.store.set(key, USERNAME, username).await?.is_some())
    }

    /// Returns the live sessions of the user of this session, the latest login first; an empty
    /// list if there is no user.
    pub async fn sessions(&self) -> Result<Vec<SessionInfo>> {
        let Some(user) = self.get(USERNAME).await? else { return Ok(Vec::new()) };
        self.inner.store.sessions_of(&user).await
    }

    /// Revokes one of the user's [`sessions`](Session::sessions). Returns `false`, and does
    /// nothing, if the key is not one of them.
    pub async fn revoke(&self, key: Key) -> Result<bool> {
        if !self.sessions().await?.iter().any(|info| info.key == key) {
            return Ok(false);
        }
        if self.live_key() == Some(key) {
            self.destroy().await?;
            return Ok(true);
        }
        self.destroy_one(key, "revoked").await
    }

    /// Revokes all [`sessions`](Session::sessions) of the user but this one, and returns how
    /// many. Call it after a change of password.
    pub async fn revoke_others(&self) -> Result<usize> {
        let sessions = self.sessions().await?;
        let Some(this) = self.live_key() else { return Ok(0) };
        // Another request may rotate this session at any time, so its key may be another one in
        // the list than here. The origin stays the same.
        let origin = self.inner.store.origin(this).await?;
        let mut revoked = 0;
        for other in sessions.iter().filter(|info| Some(info.origin) != origin) {
            revoked += usize::from(self.destroy_one(other.key, "revoked").await?);
        }
        Ok(revoked)
    }

    /// Destroys the sessions of a user above the limit, the oldest logins first.
    pub(super) async fn enforce_session_limit(&self, user: &str) -> Result {
        let max = self.inner.config.max_sessions_per_user.max(1);
        for key in self.inner.store.sessions_over_limit(user, max).await? {
            self.destroy_one(key, "limit_per_user").await?;
        }
        Ok(())
    }

    /// Destroys a session, and reports why if it was live.
    pub(super) async fn destroy_one(&self, key: Key, reason: &str) -> Result<bool> {
        let is_ended = self.inner.store.destroy(key).await?;
        if is_ended {
            let session = key.fingerprint();
            self.report(format_args!("session_expired reason={reason} session={session}"));
        }
        Ok(is_ended)
    }
}

/// Revokes all sessions of a user and returns how many. Sessions that existed when this was
/// called are ended even if they are rotated at the same time.
pub async fn revoke_all(store: &dyn Store, user: &str) -> Result<usize> {
    let mut revoked = 0;
    for info in store.sessions_of(user).await? {
        if store.destroy(info.key).await? {
            let session = info.key.fingerprint();
            info!(target: "dustdevil::security", "session_expired reason=revoked_all session={session}");
            revoked += 1;
        }
    }
    Ok(revoked)
}
