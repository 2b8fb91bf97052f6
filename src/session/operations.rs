//! The operations of a [`Session`]: read, write, update, flash messages, rotate, destroy.
//!
//! Each goes to the store at once and names one value. Nothing is loaded and saved back whole, so
//! two requests that write different values cannot overwrite each other (lost update).

use std::str::FromStr;

use tokio::sync::{Mutex, MutexGuard};

use crate::session::error::{Error, Result};
use crate::session::handle::Session;
use crate::session::id::Key;
use crate::session::state::{PendingUpdate, Resolved, SessionState};
use crate::session::store::{CompareAndSet, Lookup, USERNAME};

/// The name of the value that holds the flash message.
const FLASH: &str = "_flash";

/// Tokio's mutexes are fair: tasks get them in the order in which they asked.
static UPDATE_QUEUES: [Mutex<()>; 64] = [const { Mutex::const_new(()) }; 64];

impl Session {
    /// Returns the value of a name.
    pub async fn get(&self, name: &str) -> Result<Option<String>> {
        Ok(self.read(name).await?.flatten())
    }

    /// Returns the value of a name, parsed as `T`. [`Error::WrongType`] if it cannot be parsed.
    pub async fn get_as<T: FromStr>(&self, name: &str) -> Result<Option<T>> {
        self.get(name).await?.map(|value| typed(name, &value)).transpose()
    }

    /// Returns `true` if the name has a value.
    pub async fn contains(&self, name: &str) -> Result<bool> {
        Ok(self.get(name).await?.is_some())
    }

    /// Returns the names that have a value, in no particular order.
    pub async fn keys(&self) -> Result<Vec<String>> {
        let found = self.with_key(|key| self.inner.store.keys(key)).await?;
        Ok(found.unwrap_or_default())
    }

    /// Sets a value, and creates a session if there is none. [`Error::TooLarge`] if the session
    /// would exceed the store's limit; nothing is changed then. Setting [`USERNAME`] logs a user
    /// in without a new id: use [`log_in`](Session::log_in) instead. The limit of sessions per
    /// user is enforced here, too.
    pub async fn set(&self, name: &str, value: impl ToString) -> Result {
        let value = value.to_string();
        if !self.create_if_absent(self.inner.config.lifetime, name, &value).await? {
            self.with_key(|key| self.inner.store.set(key, name, &value)).await?;
        }
        if name == USERNAME { self.enforce_session_limit(&value).await } else { Ok(()) }
    }

    /// Removes a value and returns it. If two requests remove it concurrently, one gets it.
    pub async fn remove(&self, name: &str) -> Result<Option<String>> {
        let taken = self.with_key(|key| self.inner.store.remove(key, name)).await?;
        Ok(taken.flatten())
    }

    /// Replaces a value by what `change` computes from it, atomically: a compare-and-set loop. If
    /// another request has written in between, `change` is called again with the new value.
    /// Returns the value that was set, or `None` if the session has ended.
    ///
    /// ```
    /// # async fn example(session: dustdevil::Session) -> dustdevil::Result {
    /// let count = |visits: Option<u32>| visits.unwrap_or(0) + 1;
    /// let visits = session.update("visits", count).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn update<T: FromStr + ToString>(
        &self,
        name: &str,
        mut change: impl FnMut(Option<T>) -> T,
    ) -> Result<Option<T>> {
        let change = |old: Option<&str>| {
            let new = change(old.map(|value| typed(name, value)).transpose()?);
            Ok((new.to_string(), new))
        };
        self.update_text(name, change).await
    }

    /// Adds to a value that is an integer of at most 15 digits, atomically, and returns the sum;
    /// `None` if the session has ended. No value counts as 0. [`Error::WrongType`] if the value
    /// is something else. Creates a session if there is none. It is the cheapest way to count:
    /// however many requests count in one session, none has to try again.
    pub async fn increment(&self, name: &str, amount: i64) -> Result<Option<i64>> {
        let text = amount.to_string();
        if self.create_if_absent(self.inner.config.lifetime, name, &text).await? {
            return Ok(Some(amount));
        }
        self.with_key(|key| self.inner.store.add(key, name, amount)).await
    }

    /// [`update`](Session::update) with values as the store has them. `change` returns the new text
    /// and the value to return for it.
    pub(super) async fn update_text<T>(
        &self,
        name: &str,
        mut change: impl FnMut(Option<&str>) -> Result<(String, T)>,
    ) -> Result<Option<T>> {
        let _turn = self.wait_in_update_queue().await;
        let mut old = self.read(name).await?;
        loop {
            let Some(current) = old else {
                let (text, new) = change(None)?;
                if self.create_if_absent(self.inner.config.lifetime, name, &text).await? {
                    return Ok(Some(new));
                }
                // Another branch of this request has created a session in the meantime, or it
                // has ended.
                match self.live_key() {
                    Some(_) => old = self.read(name).await?,
                    None => return Ok(None),
                }
                continue;
            };
            let (text, new) = change(current.as_deref())?;
            let set = |key| {
                self.inner.store.compare_and_set(key, name, current.as_deref(), &text)
            };
            match self.with_key(set).await? {
                None => return Ok(None),
                Some(CompareAndSet::Set) => return Ok(Some(new)),
                Some(CompareAndSet::Differs(value)) => old = Some(value),
            }
        }
    }

    /// Waits until the earlier updates of the session in this process are done. Without the
    /// queue, of 32 concurrent compare-and-set loops one succeeds per round, and 31 have asked
    /// the store for nothing.
    ///
    /// The mutex is chosen by the presented id, which is known without asking the store, so that
    /// the first read is already in the queue. Two sessions may share one.
    async fn wait_in_update_queue(&self) -> Option<MutexGuard<'static, ()>> {
        let id = self.inner.presented_ids.first()?;
        let number = usize::from(id.key().as_bytes()[0]) % UPDATE_QUEUES.len();
        Some(UPDATE_QUEUES[number].lock().await)
    }

    /// Removes all values. The session stays live.
    pub async fn clear(&self) -> Result {
        self.with_key(|key| self.inner.store.clear(key)).await?;
        Ok(())
    }

    /// Stores a flash message for the next page, and replaces an earlier one. See
    /// [`take_flash`](Session::take_flash).
    pub async fn flash(&self, message: &str) -> Result {
        self.set(FLASH, message).await
    }

    /// Removes the flash message and returns it. For a HEAD request it is not removed, because
    /// the response does not show it.
    pub async fn take_flash(&self) -> Result<Option<String>> {
        let keeps_flash = self.state().keeps_flash;
        if keeps_flash { self.get(FLASH).await } else { self.remove(FLASH).await }
    }

    /// Rotates the session: it gets a new id, and the old one no longer works, except that for
    /// [`ROTATION_GRACE`](crate::session::store::ROTATION_GRACE) it can still end the session
    /// (a logout that was sent with the old id must not be lost). Call it whenever the rights of
    /// the session grow, against session fixation; [`log_in`](Session::log_in) does. Without a
    /// session it does nothing.
    pub async fn rotate(&self) -> Result {
        self.store_key().await?;
        let guard = self.lock_transition().await;
        self.rotate_for(&guard, None).await?;
        Ok(())
    }

    /// Destroys the session, also for every request that is in flight with it. A later write
    /// creates a new one. If the client has presented several live ids, all of them are
    /// destroyed.
    pub async fn destroy(&self) -> Result {
        self.store_key().await?;
        let _guard = self.lock_transition().await;
        // If another request has rotated the session, the store follows the old key to the new.
        let ids = self.state().session.ids().to_vec();
        for id in ids {
            self.destroy_one(id.key(), "logout").await?;
        }
        let mut state = self.state();
        state.has_ended_one = true;
        state.set(SessionState::Absent, PendingUpdate::Forget);
        Ok(())
    }

    /// Makes [`take_flash`](Session::take_flash) leave the message in the session.
    pub(crate) fn keep_flash(&self) {
        self.state().keeps_flash = true;
    }

    /// Returns `true` if the session has no value but a flash message.
    pub(crate) async fn is_empty(&self) -> Result<bool> {
        Ok(self.keys().await?.iter().all(|name| name == FLASH))
    }

    /// Returns the key under which the store has the session, or `None` without a session. The
    /// key is not the secret id and gives no access.
    pub async fn store_key(&self) -> Result<Option<Key>> {
        match self.resolve(USERNAME).await? {
            Resolved::WithValue(key, _) => Ok(Some(key)),
            Resolved::KeyOnly(key) => Ok(key),
        }
    }

    /// Returns the value of a name; the outer `None` without a session.
    async fn read(&self, name: &str) -> Result<Lookup> {
        match self.resolve(name).await? {
            Resolved::WithValue(_, value) => Ok(Some(value)),
            Resolved::KeyOnly(key) => {
                self.with_known_key(key, |key| self.inner.store.get(key, name)).await
            }
        }
    }
}

fn typed<T: FromStr>(name: &str, value: &str) -> Result<T> {
    value.parse().map_err(|_| Error::WrongType { name: name.to_owned() })
}
