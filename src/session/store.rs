//! What a store of sessions promises. Every store keeps all of it, and one suite of tests is run
//! against each.
//!
//! - An operation is atomic: it happens as a whole or not at all, and two that come at once
//!   happen one after the other.
//! - Each means one session, by its key. `None` says that there is no live session of that key:
//!   it never was, it ended, it moved to another key, or its time is up. The operation has then
//!   done nothing.
//! - A session that ended stays ended. No key is used a second time, for keys are random, so its
//!   key is never live again.
//! - A session's time is up when nobody used it for its idle limit, or when its absolute limit
//!   is over, however busily it is used. Any operation on a live session is use.
//! - [`Error::Unavailable`](crate::session::Error::Unavailable) says that the store does not know
//!   whether it was done; any other error, that it was not.

use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::session::error::Error;
use crate::session::id::Key;

/// The name under which a session remembers who is logged in. A session that has it is somebody's;
/// one without is anonymous, and is the first to go when a store is full.
pub const USERNAME: &str = "username";

/// The name under which a session may remember what it is used with, for its user to know it by.
pub const DEVICE: &str = "device";

/// For how long a store remembers where a session has moved, unless so many move that it runs out
/// of room. Requests that were sent with the old id before its client was told the new one are
/// known by it.
pub const MOVED: Duration = Duration::from_secs(60);

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

/// What a request finds where it claims that its session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Visit {
    /// A live session.
    Live(Visited),
    /// None any more: it moved to another key, less than [`MOVED`] ago.
    Moved,
    /// None.
    Gone,
}

/// What [`Store::visit`] has to say of a live session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visited {
    /// The value of the name that was asked for.
    pub value: Option<String>,
    /// The client should be told its id again: the last time is a while ago. Of several who
    /// visit at once, one is asked to do it.
    pub renew: bool,
    /// How long the client is to keep it.
    pub keep: Duration,
}

/// A session as its user sees it in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its key. Whoever sees it can do nothing with it: it is not the id.
    pub key: Key,
    /// How long ago it began.
    pub age: Duration,
    /// How long ago it was last used.
    pub unused: Duration,
    /// From where it was last visited.
    pub place: IpAddr,
    /// What it has as its [`DEVICE`].
    pub device: Option<String>,
}

/// What has happened in a store since it was made. At any moment at which nothing is under way,
/// `live` is `created` less `ended`, `expired` and `evicted`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Sessions that there are, with those whose time is up and that were not swept yet.
    pub live: u64,
    /// Sessions that began.
    pub created: u64,
    /// Sessions that somebody ended.
    pub ended: u64,
    /// Sessions whose time was up.
    pub expired: u64,
    /// Sessions that had to go because the store was full.
    pub evicted: u64,
    /// Sessions that were moved to another key.
    pub rotated: u64,
    /// Visits that found no live session.
    pub refused: u64,
}

impl Counters {
    /// Of two stores, or of two parts of one, together.
    #[must_use]
    pub fn plus(self, other: Counters) -> Counters {
        Counters {
            live: self.live + other.live,
            created: self.created + other.created,
            ended: self.ended + other.ended,
            expired: self.expired + other.expired,
            evicted: self.evicted + other.evicted,
            rotated: self.rotated + other.rotated,
            refused: self.refused + other.refused,
        }
    }
}

/// Where sessions live.
pub trait Store: Send + Sync + 'static {
    /// Begins a session with one value, for somebody at `place`. `false` if there is one of that
    /// key: it is left alone.
    fn create<'a>(
        &'a self,
        key: Key,
        lifetime: Lifetime,
        place: IpAddr,
        name: &'a str,
        value: &'a str,
    ) -> Answer<'a, bool>;

    /// What a request does first with a session that it claims: counts as use from `place`, and
    /// gives the value of a name on the way, so that to read one is one trip.
    fn visit<'a>(&'a self, key: Key, place: IpAddr, name: &'a str) -> Answer<'a, Visit>;

    /// A value; the inner `None` if there is none of that name.
    fn get<'a>(&'a self, key: Key, name: &'a str) -> Answer<'a, Option<Option<String>>>;

    /// Sets a value. [`Error::TooLarge`](crate::session::Error::TooLarge) past what the store
    /// allows a session, and nothing is changed; so for every operation that sets one.
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

    /// Ends a session; one that moved from this key less than [`MOVED`] ago, too, wherever it is
    /// by now. `false` if there was none.
    fn destroy(&self, key: Key) -> Answer<'_, bool>;

    /// Moves a session to another key, with its values, and ends the old key. Its time goes on;
    /// or, where it is given another lifetime, as at a login, begins anew. `false` if there was
    /// none; the new key is then not live either. What lived under the new key is lost: keys are
    /// random, so that nothing does.
    fn rotate(&self, key: Key, new: Key, lifetime: Option<Lifetime>) -> Answer<'_, bool>;

    /// The keys that a session has had since it moved from this one, each less than [`MOVED`] ago;
    /// the one that it has now comes last. None if it did not move.
    fn moves_from(&self, key: Key) -> Answer<'_, Vec<Key>>;

    /// The live sessions that have this [`USERNAME`], in the order in which they came to have it,
    /// or were given another lifetime since: the latest login first. Looking is not use.
    fn sessions_of<'a>(&'a self, user: &'a str) -> Answer<'a, Vec<Listed>>;

    /// The keys of those sessions but for the first so many of them: whoever ends them leaves no
    /// more than that.
    fn sessions_beyond<'a>(&'a self, user: &'a str, most: usize) -> Answer<'a, Vec<Key>> {
        Answer::later(async move {
            let listed = self.sessions_of(user).await?;
            Ok(listed.into_iter().skip(most).map(|listed| listed.key).collect())
        })
    }

    /// What has happened so far.
    fn counters(&self) -> Answer<'_, Counters>;

    /// Lets go of what has expired. A server calls it every second or so; nothing may depend
    /// on it, for an expired session is gone whether it was swept or not.
    fn sweep(&self) -> Answer<'_, ()> {
        Answer::at_once(Ok(()))
    }
}

/// An answer that may come over a network. Whoever drops one does not know whether it was done.
///
/// A store in memory has its answers at once, and those need no allocation.
#[must_use = "a store may do nothing before its answer is waited for"]
pub struct Answer<'a, T>(Inner<'a, T>);

enum Inner<'a, T> {
    /// Until it is taken.
    AtOnce(Option<Result<T, Error>>),
    Later(Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>),
}

impl<'a, T> Answer<'a, T> {
    /// One that is there.
    pub fn at_once(result: Result<T, Error>) -> Answer<'a, T> {
        Answer(Inner::AtOnce(Some(result)))
    }

    /// One that `work` comes to.
    pub fn later(
        work: impl Future<Output = Result<T, Error>> + Send + 'a,
    ) -> Answer<'a, T> {
        Answer(Inner::Later(Box::pin(work)))
    }
}

/// What is inside is moved when it is taken, and never pinned.
impl<T> Unpin for Answer<'_, T> {}

impl<T> Future for Answer<'_, T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Inner::AtOnce(result) => {
                Poll::Ready(result.take().expect("an answer is asked for once"))
            }
            Inner::Later(work) => work.as_mut().poll(context),
        }
    }
}
