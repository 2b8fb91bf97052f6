//! What a store of sessions promises. Every store keeps all of it, and one suite of tests is run
//! against each.
//!
//! - An operation is atomic: it happens as a whole or not at all, and two that come at once
//!   happen one after the other.
//! - Each means one session, by its key. `None` says that there is no live session of that name:
//!   it never was, it ended, or its time is up. The operation has then done nothing.
//! - A session that ended stays ended. Its key is never live again.
//! - A session's time is up when nobody used it for its idle limit, or when its absolute limit
//!   is over, however busily it is used. Any operation on a live session is use.

use std::pin::Pin;
use std::time::Duration;

use crate::session::error::Error;
use crate::session::id::Key;

/// The name under which a session remembers who is logged in. A session that has it is somebody's;
/// one without is anonymous, and is the first to go when a store is full.
pub const USERNAME: &str = "username";

/// An answer that may come over a network.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// How long a session lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// Without being used. Default: 5 minutes, as in the tutorial.
    pub idle: Duration,
    /// In all. Default: 8 hours.
    pub absolute: Duration,
}

impl Default for Lifetime {
    fn default() -> Lifetime {
        Lifetime { idle: Duration::from_secs(300), absolute: Duration::from_secs(8 * 3600) }
    }
}

impl Lifetime {
    /// How long after the client was last told its id it is told again: a tenth of the idle
    /// limit. More often is not worth the octets.
    pub fn renewal(&self) -> Duration {
        self.idle / 10
    }

    /// How long a client is to keep an id that is told to it now, when the session has
    /// `left` of its absolute time. It is a little longer than the idle limit, because for
    /// a while after this it will not be told again.
    pub fn keep(&self, left: Duration) -> Duration {
        self.idle.saturating_add(self.renewal()).min(left)
    }
}

/// What [`Store::touch`] has to say of a live session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touched {
    /// The client should be told its id again: the last time is a while ago. Of several who
    /// touch at once, one is asked to do it.
    pub renew: bool,
    /// How long the client is to keep it.
    pub keep: Duration,
}

/// Where sessions live.
pub trait Store: Send + Sync + 'static {
    /// Begins a session with one value. `false` if there is one of that key: it is left alone.
    fn create<'a>(
        &'a self,
        key: Key,
        lifetime: Lifetime,
        name: &'a str,
        value: &'a str,
    ) -> Answer<'a, bool>;

    /// Counts as use, and changes nothing else.
    fn touch(&self, key: Key) -> Answer<'_, Option<Touched>>;

    /// A value; the inner `None` if there is none of that name.
    fn get<'a>(&'a self, key: Key, name: &'a str) -> Answer<'a, Option<Option<String>>>;

    /// Sets a value.
    fn set<'a>(&'a self, key: Key, name: &'a str, value: &'a str)
    -> Answer<'a, Option<()>>;

    /// Takes a value away and gives it; the inner `None` if there was none of that name.
    fn remove<'a>(&'a self, key: Key, name: &'a str) -> Answer<'a, Option<Option<String>>>;

    /// Sets a value if it still is what it is expected to be, where `None` is that there is
    /// none. `Some(false)` if it is not: nothing was changed.
    fn compare_and_set<'a>(
        &'a self,
        key: Key,
        name: &'a str,
        expected: Option<&'a str>,
        value: &'a str,
    ) -> Answer<'a, Option<bool>>;

    /// The names that have a value, in no order.
    fn keys(&self, key: Key) -> Answer<'_, Option<Vec<String>>>;

    /// Takes all values away. The session goes on.
    fn clear(&self, key: Key) -> Answer<'_, Option<()>>;

    /// Ends a session. `false` if there was none.
    fn destroy(&self, key: Key) -> Answer<'_, bool>;

    /// Moves a session to another key, with its values and what is left of its time, and ends
    /// the old key. `false` if there was none; the new key is then not live either. What lived
    /// under the new key is lost: keys are random, so that nothing does.
    fn rotate(&self, key: Key, new: Key) -> Answer<'_, bool>;

    /// Lets go of what has expired. A server calls it every second or so; nothing may depend
    /// on it, for an expired session is gone whether it was swept or not.
    fn sweep(&self) -> Answer<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}
