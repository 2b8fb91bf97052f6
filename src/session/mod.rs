//! Sessions: what a server remembers of a visitor from one request to the next.
//!
//! A [`Session`] is live. It is not a copy that is loaded, changed and saved back whole, which
//! loses whatever another request wrote in between; every operation names one value, and happens
//! in the store, at once and as a whole. A session that ended accepts nothing and comes back for
//! nobody, whatever is still in flight.
//!
//! Nothing here knows HTTP. In reading order: the secret that names a session ([`id`]),
//! what a store promises ([`store`]), the store that is built in (`shard`, [`memory`]), and
//! the [`Session`] that a handler holds.

pub mod error;

pub mod id;

pub mod store;

mod shard;

pub mod memory;

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use crate::session::error::Error;

use crate::session::id::{Id, Key};
use crate::session::store::{Answer, Lifetime, Store};

pub use crate::session::store::USERNAME;

/// Where a message waits for the next page.
const FLASH: &str = "_flash";

/// Ids that one request may claim. A browser sends one; a neighboring domain that plays tricks
/// may plant many in front of it, and is not to hide it.
const MOST_CLAIMS: usize = 64;

type Result<T = ()> = std::result::Result<T, Error>;

/// One visitor's session, as one request sees it.
///
/// Where there is none, reading finds nothing, and the first write begins one: until then there
/// is no id and no entry. Where it ended while the request was under way, because another one
/// logged out, reading finds nothing too, and writing does nothing; it is no error.
///
/// Clones are the same session.
#[derive(Clone)]
pub struct Session {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    lifetime: Lifetime,
    /// Held while the standing changes: while a session is looked for, begun, rotated or ended.
    /// So two clones in two branches of a `join!` begin one session and not two.
    gate: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

struct State {
    standing: Standing,
    /// Whether anything was asked of the session.
    used: bool,
    news: News,
}

/// What is known of the session.
#[derive(Clone)]
enum Standing {
    /// The client says that it has one of these; nobody has looked yet.
    Claimed(Vec<Id>),
    /// There is none. The first write begins one.
    Anonymous,
    /// It was there when it was last looked at.
    Live(Id),
    /// It ended while it was held. It stays so.
    Ended,
}

/// What the client has to be told at the end of the request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum News {
    /// What it knows still holds.
    Nothing,
    /// The id that its session has now.
    Issue,
    /// To forget its id.
    Withdraw,
}

/// The news for the client, with the id where there is one to tell.
#[derive(Debug)]
pub enum Announcement {
    /// What it knows still holds.
    Nothing,
    /// Its id, and how long to keep it.
    Issue {
        /// The id.
        id: Id,
        /// Until it is of no use any more, even if it is used no more.
        keep: Duration,
    },
    /// To forget its id.
    Withdraw,
}

impl Session {
    /// The session of a client that claims one of these ids. An id is believed if the store
    /// knows it, and is nothing otherwise: never is one adopted that was not issued here. The
    /// store is not asked before the session is.
    pub fn new(
        store: Arc<dyn Store>,
        lifetime: Lifetime,
        claims: impl Iterator<Item = Id>,
    ) -> Session {
        let claims: Vec<Id> = claims.take(MOST_CLAIMS).collect();
        let standing = match claims.is_empty() {
            true => Standing::Anonymous,
            false => Standing::Claimed(claims),
        };
        let state = Mutex::new(State { standing, used: false, news: News::Nothing });
        let gate = tokio::sync::Mutex::new(());
        Session { inner: Arc::new(Inner { store, lifetime, gate, state }) }
    }

    /// The value of a name.
    pub async fn get(&self, name: &str) -> Result<Option<String>> {
        let found = self.ask(|key| self.inner.store.get(key, name)).await?;
        Ok(found.flatten())
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
    /// the store allows a session, and nothing is changed.
    pub async fn set(&self, name: &str, value: impl ToString) -> Result {
        let value = value.to_string();
        if !self.begin(name, &value).await? {
            self.ask(|key| self.inner.store.set(key, name, &value)).await?;
        }
        Ok(())
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
        if self.store_key().await?.is_none() {
            let new = change(None);
            if self.begin(name, &new.to_string()).await? {
                return Ok(Some(new));
            }
        }
        loop {
            let found = self.ask(|key| self.inner.store.get(key, name)).await?;
            let Some(old) = found else { return Ok(None) };
            let value = old.as_deref().map(|value| typed(name, value)).transpose()?;
            let new = change(value);
            let (old, text) = (old.as_deref(), new.to_string());
            let swap = |key| self.inner.store.compare_and_set(key, name, old, &text);
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

    /// The message that was left, once.
    pub async fn take_flash(&self) -> Result<Option<String>> {
        self.remove(FLASH).await
    }

    /// Gives the session another id, and kills the old one. Whoever knew the old id knows nothing
    /// now. To be done whenever a visitor becomes somebody else: above all when logging in.
    /// Where there is no session there is nothing to do, for the first write makes a new id.
    pub async fn rotate(&self) -> Result {
        // Settles the claims, if nobody has.
        self.store_key().await?;
        let _gate = self.inner.gate.lock().await;
        let Some(key) = self.known().flatten() else { return Ok(()) };
        let id = Id::generate();
        let rotated = self.inner.store.rotate(key, id.key()).await?;
        let mut state = self.state();
        if rotated {
            state.standing = Standing::Live(id);
            state.news = News::Issue;
        } else {
            state.standing = Standing::Ended;
        }
        Ok(())
    }

    /// Ends the session, here and for every request that is under way with it. A write after
    /// it begins a new one.
    pub async fn destroy(&self) -> Result {
        self.store_key().await?;
        let _gate = self.inner.gate.lock().await;
        if let Some(key) = self.known().flatten() {
            self.inner.store.destroy(key).await?;
        }
        let mut state = self.state();
        state.standing = Standing::Anonymous;
        state.news = News::Withdraw;
        Ok(())
    }

    /// The key under which the store has the session; none if there is no session. Whoever
    /// sees it can do nothing with it: it is not the id.
    pub async fn store_key(&self) -> Result<Option<Key>> {
        self.state().used = true;
        match self.known() {
            Some(key) => Ok(key),
            None => self.believe().await,
        }
    }

    /// Whether anything was asked of the session: an answer may then depend on it.
    pub fn was_used(&self) -> bool {
        self.state().used
    }

    /// What the client has to be told, looked up at the last moment: an id that has died in the
    /// meantime is not given out again.
    pub async fn announcement(&self) -> Result<Announcement> {
        let (standing, news) = {
            let state = self.state();
            (state.standing.clone(), state.news)
        };
        match (standing, news) {
            (Standing::Live(id), News::Issue) => {
                let touched = self.inner.store.touch(id.key()).await?;
                Ok(match touched {
                    Some(touched) => Announcement::Issue { id, keep: touched.keep },
                    None => Announcement::Nothing,
                })
            }
            (_, News::Withdraw) => Ok(Announcement::Withdraw),
            _ => Ok(Announcement::Nothing),
        }
    }

    /// Finds the one of the claimed ids that the store knows.
    async fn believe(&self) -> Result<Option<Key>> {
        let _gate = self.inner.gate.lock().await;
        let claims = match &self.state().standing {
            Standing::Claimed(claims) => claims.clone(),
            _ => Vec::new(),
        };
        for id in claims {
            if let Some(touched) = self.inner.store.touch(id.key()).await? {
                let mut state = self.state();
                if touched.renew {
                    state.news = News::Issue;
                }
                state.standing = Standing::Live(id);
                break;
            }
        }
        // Whoever came first through the gate may have found out already.
        let mut state = self.state();
        if let Standing::Claimed(_) = state.standing {
            state.standing = Standing::Anonymous;
        }
        drop(state);
        Ok(self.known().flatten())
    }

    /// Begins a session with its first value, if there is none and none has ended; `true` if it
    /// did.
    async fn begin(&self, name: &str, value: &str) -> Result<bool> {
        if self.store_key().await?.is_some() {
            return Ok(false);
        }
        let _gate = self.inner.gate.lock().await;
        if !matches!(self.state().standing, Standing::Anonymous) {
            return Ok(false);
        }
        loop {
            let id = Id::generate();
            let created =
                self.inner.store.create(id.key(), self.inner.lifetime, name, value).await?;
            // That the id is taken will not happen in the life of this universe; but if it
            // did, somebody would be given another's session.
            if created {
                let mut state = self.state();
                state.standing = Standing::Live(id);
                state.news = News::Issue;
                return Ok(true);
            }
        }
    }

    /// The key as far as it is known: `None` if nobody has looked yet, `Some(None)` if there is no
    /// session.
    fn known(&self) -> Option<Option<Key>> {
        match &self.state().standing {
            Standing::Claimed(_) => None,
            Standing::Live(id) => Some(Some(id.key())),
            Standing::Anonymous | Standing::Ended => Some(None),
        }
    }

    /// Asks the store, if there is a session. Where it says that there is none of this key any
    /// more, it may have been this very request that moved it, in another branch of a `join!`;
    /// then it is asked again, with the key that it moved to.
    async fn ask<'a, T>(
        &'a self,
        question: impl Fn(Key) -> Answer<'a, Option<T>>,
    ) -> Result<Option<T>> {
        let mut key = self.store_key().await?;
        while let Some(asked) = key {
            let answer = question(asked).await?;
            if answer.is_some() {
                return Ok(answer);
            }
            let _gate = self.inner.gate.lock().await;
            key = self.known().flatten();
            if key == Some(asked) {
                self.state().standing = Standing::Ended;
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// This is a `std::sync::Mutex` because it is never held while anything is waited for.
    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.state().standing {
            Standing::Claimed(_) => "Session(claimed)",
            Standing::Anonymous => "Session(none)",
            Standing::Live(_) => "Session(live)",
            Standing::Ended => "Session(ended)",
        })
    }
}

fn typed<T: FromStr>(name: &str, value: &str) -> Result<T> {
    value.parse().map_err(|_| Error::WrongType { name: name.to_owned() })
}
