//! What a handler does with a session.

use std::str::FromStr;

use crate::session::error::Error;
use crate::session::handle::Session;
use crate::session::id::Key;
use crate::session::state::{News, Settled, Standing};
use crate::session::store::USERNAME;

/// Where a message waits for the next page.
const FLASH: &str = "_flash";

type Result<T = ()> = std::result::Result<T, Error>;

impl Session {
    /// The value of a name.
    pub async fn get(&self, name: &str) -> Result<Option<String>> {
        Ok(self.read(name).await?.flatten())
    }

    /// The value of a name, as the type that it was set from; [`Error::WrongType`] if it is not of
    /// that type.
    pub async fn get_as<T: FromStr>(&self, name: &str) -> Result<Option<T>> {
        self.get(name).await?.map(|value| typed(name, &value)).transpose()
    }

    /// Whether a name has a value.
    pub async fn contains(&self, name: &str) -> Result<bool> {
        Ok(self.get(name).await?.is_some())
    }

    /// The names that have a value, in no order.
    pub async fn keys(&self) -> Result<Vec<String>> {
        let found = self.ask(|key| self.inner.store.keys(key)).await?;
        Ok(found.unwrap_or_default())
    }

    /// Gives a name a value, and begins a session if there is none. [`Error::TooLarge`] past what
    /// the store allows a session, and nothing is changed. To set [`USERNAME`] is to log somebody
    /// in, for which there is [`log_in`](Session::log_in); here, too, whoever has too many
    /// sessions loses the first.
    pub async fn set(&self, name: &str, value: impl ToString) -> Result {
        let value = value.to_string();
        if !self.begin(self.inner.rules.lifetime, name, &value).await? {
            self.ask(|key| self.inner.store.set(key, name, &value)).await?;
        }
        match name {
            USERNAME => self.keep_to_limit(&value).await,
            _ => Ok(()),
        }
    }

    /// Takes a value away, and gives it. Of two who take at once, one gets it.
    pub async fn remove(&self, name: &str) -> Result<Option<String>> {
        let taken = self.ask(|key| self.inner.store.remove(key, name)).await?;
        Ok(taken.flatten())
    }

    /// Gives a name what `change` makes of its value, and loses nothing: where another
    /// request wrote in between, `change` is called again with what it wrote. Gives the new
    /// value, or nothing where the session has ended.
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

    /// The same, with values as they are kept: `change` makes of one a text, and what is given
    /// back for it.
    pub(super) async fn update_text<T>(
        &self,
        name: &str,
        mut change: impl FnMut(Option<&str>) -> Result<(String, T)>,
    ) -> Result<Option<T>> {
        loop {
            let Some(old) = self.read(name).await? else {
                let (text, new) = change(None)?;
                if self.begin(self.inner.rules.lifetime, name, &text).await? {
                    return Ok(Some(new));
                }
                match self.live_key() {
                    // Another branch of this request began one in the meantime.
                    Some(_) => continue,
                    None => return Ok(None),
                }
            };
            let (text, new) = change(old.as_deref())?;
            let swap =
                |key| self.inner.store.compare_and_set(key, name, old.as_deref(), &text);
            match self.ask(swap).await? {
                None => return Ok(None),
                Some(true) => return Ok(Some(new)),
                Some(false) => {}
            }
        }
    }

    /// Takes all values away. The session goes on.
    pub async fn clear(&self) -> Result {
        self.ask(|key| self.inner.store.clear(key)).await?;
        Ok(())
    }

    /// Leaves a message for the next page, in place of one that waits there. See
    /// [`take_flash`](Session::take_flash).
    pub async fn flash(&self, message: &str) -> Result {
        self.set(FLASH, message).await
    }

    /// The message that was left, once. For a request that shows it to nobody, as HEAD does, it
    /// stays.
    pub async fn take_flash(&self) -> Result<Option<String>> {
        let keeps_flash = self.state().keeps_flash;
        match keeps_flash {
            true => self.get(FLASH).await,
            false => self.remove(FLASH).await,
        }
    }

    /// Gives the session another id, and kills the old one. Whoever knew the old id can do nothing
    /// with it now, except, for a minute, to log out. To be done whenever a visitor may do more than
    /// before; [`log_in`](Session::log_in) does it by itself. Where there is no session there is
    /// nothing to do, for the first write makes a new id.
    pub async fn rotate(&self) -> Result {
        self.store_key().await?;
        let gate = self.gate().await;
        self.rotate_for(&gate, None).await?;
        Ok(())
    }

    /// Ends the session, here and for every request that is under way with it. A write after
    /// it begins a new one. Where a client claims several, all of them end.
    pub async fn destroy(&self) -> Result {
        self.store_key().await?;
        let _gate = self.gate().await;
        // Where another request has moved it away in the meantime, the store knows whereto.
        let ids = self.state().standing.ids().to_vec();
        for id in ids {
            if self.inner.store.destroy(id.key()).await? {
                self.report(&id.key(), "was ended");
            }
        }
        let mut state = self.state();
        state.has_ended_one = true;
        state.turn(Standing::Anonymous, News::Withdraw);
        Ok(())
    }

    /// Keeps the message for the next page where it is.
    pub(crate) fn keep_flash(&self) {
        self.state().keeps_flash = true;
    }

    /// Whether there is nothing in it but a message for the next page.
    pub(crate) async fn holds_nothing(&self) -> Result<bool> {
        Ok(self.keys().await?.iter().all(|name| name == FLASH))
    }

    /// The key under which the store has the session; none if there is no session. Whoever
    /// sees it can do nothing with it: it is not the id.
    pub async fn store_key(&self) -> Result<Option<Key>> {
        match self.settle(USERNAME).await? {
            Settled::Found(key, _) => Ok(Some(key)),
            Settled::Known(key) => Ok(key),
        }
    }

    /// The value of a name, where there is a session.
    async fn read(&self, name: &str) -> Result<Option<Option<String>>> {
        match self.settle(name).await? {
            Settled::Found(_, value) => Ok(Some(value)),
            Settled::Known(key) => {
                self.ask_of(key, |key| self.inner.store.get(key, name)).await
            }
        }
    }
}

fn typed<T: FromStr>(name: &str, value: &str) -> Result<T> {
    value.parse().map_err(|_| Error::WrongType { name: name.to_owned() })
}
