//! Whose a session is, and the sessions that somebody has: on a telephone, at work, and the one
//! that was forgotten in a library.

use log::info;

use crate::session::error::Error;
use crate::session::handle::{InGate, Session};
use crate::session::id::Key;
use crate::session::store::{Lifetime, Listed, Store, USERNAME};

type Result<T = ()> = std::result::Result<T, Error>;

impl Session {
    /// Makes the session that of a user who has just proven to be one: gives it a new id, lets its
    /// time begin anew, and sets [`USERNAME`]. What an anonymous visitor had in it stays, if
    /// there is room for it; the session of another user ends, wherever it is by now.
    ///
    /// Whoever shows a password need not lose a race: where another request has ended or moved
    /// the session in the meantime, the login begins one of its own. Past
    /// [`max_sessions_per_user`](crate::session::handle::Rules::max_sessions_per_user), the one of the user's
    /// sessions that logged in first ends.
    pub async fn log_in(&self, username: &str) -> Result {
        self.log_in_for(username, self.inner.rules.lifetime).await
    }

    /// The same, for another lifetime than all sessions have: "remember me".
    pub async fn log_in_for(&self, username: &str, lifetime: Lifetime) -> Result {
        let user = self.get(USERNAME).await?;
        if user.is_some_and(|user| user != username) {
            self.destroy().await?;
        }
        {
            let gate = self.gate().await;
            let is_handed_over = match self.hand_over(&gate, username, lifetime).await {
                // What the visitor had leaves no room for a name. The name is more.
                Err(Error::TooLarge { .. }) => false,
                outcome => outcome?,
            };
            if !is_handed_over {
                if let Some(key) = self.live_key() {
                    self.inner.store.destroy(key).await?;
                }
                self.begin_anew(&gate, lifetime, USERNAME, username).await?;
            }
        }
        if let Some(key) = self.live_key() {
            self.report(&key, format_args!("is {username:?}'s"));
        }
        self.keep_to_limit(username).await
    }

    /// Moves the session to a new id, and makes it the user's; `false` if there is none any more.
    /// In this order: the old id is never that of somebody.
    async fn hand_over(
        &self,
        gate: &InGate<'_>,
        username: &str,
        lifetime: Lifetime,
    ) -> Result<bool> {
        if !self.rotate_for(gate, Some(lifetime)).await? {
            return Ok(false);
        }
        match self.live_key() {
            Some(key) => Ok(self.inner.store.set(key, USERNAME, username).await?.is_some()),
            None => Ok(false),
        }
    }

    /// The sessions of whoever is logged in here, the latest login first. None, if nobody is.
    pub async fn sessions(&self) -> Result<Vec<Listed>> {
        match self.get(USERNAME).await? {
            Some(user) => self.inner.store.sessions_of(&user).await,
            None => Ok(Vec::new()),
        }
    }

    /// Ends one of the [`sessions`](Session::sessions) of whoever is logged in here. `false` if
    /// there is none of that key among them: nobody ends what is not theirs.
    pub async fn end(&self, key: Key) -> Result<bool> {
        if !self.sessions().await?.iter().any(|listed| listed.key == key) {
            return Ok(false);
        }
        if self.live_key() == Some(key) {
            self.destroy().await?;
            return Ok(true);
        }
        self.end_another(key).await
    }

    /// Ends all [`sessions`](Session::sessions) of whoever is logged in here but this one; gives
    /// how many. To be done when a password was changed.
    pub async fn end_others(&self) -> Result<usize> {
        let sessions = self.sessions().await?;
        let Some(this) = self.live_key() else { return Ok(0) };
        // Where another request has moved this one meanwhile, it is listed by one of these.
        let moves = self.inner.store.moves_from(this).await?;
        let others = sessions.iter().map(|listed| listed.key);
        let mut ended = 0;
        for key in others.filter(|key| *key != this && !moves.contains(key)) {
            ended += usize::from(self.end_another(key).await?);
        }
        Ok(ended)
    }

    async fn end_another(&self, key: Key) -> Result<bool> {
        let ended = self.inner.store.destroy(key).await?;
        if ended {
            self.report(&key, "was ended from another");
        }
        Ok(ended)
    }

    /// Ends what the user has too much of.
    pub(super) async fn keep_to_limit(&self, user: &str) -> Result {
        let most = self.inner.rules.max_sessions_per_user.max(1);
        for key in self.inner.store.sessions_beyond(user, most).await? {
            if self.inner.store.destroy(key).await? {
                self.report(&key, "was one too many");
            }
        }
        Ok(())
    }
}

/// Ends all sessions of a user; gives how many. All that were the user's when it was asked have
/// ended then, whatever id they have by now.
pub async fn end_all(store: &dyn Store, user: &str) -> Result<usize> {
    let mut ended = 0;
    for listed in store.sessions_of(user).await? {
        if store.destroy(listed.key).await? {
            let fingerprint = listed.key.fingerprint();
            info!(target: "dustdevil::security", "session {fingerprint} was ended with all");
            ended += 1;
        }
    }
    Ok(ended)
}
