//! The contract of a session store, [`Store`]. One suite of tests (`tests/it/contract`) checks every
//! store against it; the one-lock store in that suite is the reference implementation.
//!
//! 1. Operations are atomic and linearizable: each happens completely or not at all, and
//!    concurrent ones have the effect of some sequential order.
//! 2. An operation addresses one session by its key. `None` means that no live session has this
//!    key: it never existed, has ended, was rotated, or has expired. The operation has then
//!    changed nothing.
//! 3. A session that has ended stays ended. Keys are random and are never used twice.
//! 4. A session expires when its idle timeout passes without use, or when its absolute timeout
//!    passes. Every operation on a live session is use.
//! 5. After [`Error::Unavailable`] it is not known whether the operation was done. After any
//!    other error it was not.
//!
//! The contract is about single values on purpose. A store that hands out snapshots (load the whole
//! session, change it, save it whole) loses updates: requests A and B load the same session, A sets
//! `theme` and saves, B adds to `cart` and saves, and B's save overwrites the theme. It can also
//! bring a session back to life that was destroyed between load and save.

use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::session::error::{Error, Result};
use crate::session::id::Key;

/// The name of the value that holds the logged-in user. A session without it is anonymous;
/// anonymous sessions are evicted first when a store is full.
pub const USERNAME: &str = "username";

/// The name of the value that describes the user's device, for the list of the user's sessions.
pub const DEVICE: &str = "device";

/// Grace period after a rotation: for so long the store knows the successor of an old key.
/// Requests that were already in flight with the old id use it to end the session. A store may
/// forget a successor earlier if it runs out of space.
pub const ROTATION_GRACE: Duration = Duration::from_secs(60);

/// The two timeouts of a session (OWASP Session Management Cheat Sheet).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// Idle timeout: the session expires when it has not been used for this long. Default:
    /// 5 minutes, as in the tutorial.
    pub idle: Duration,
    /// Absolute timeout: the session expires this long after its creation or last login, even if
    /// it is used all the time. Default: 8 hours.
    pub absolute: Duration,
}

impl Default for Lifetime {
    fn default() -> Lifetime {
        Lifetime { idle: Duration::from_secs(300), absolute: Duration::from_secs(8 * 3600) }
    }
}

impl Lifetime {
    /// Interval at which the client's cookie is renewed while the session is in use (sliding
    /// expiration): a tenth of the idle timeout, to save the bytes of a `Set-Cookie` in most
    /// responses.
    pub fn renew_interval(&self) -> Duration {
        self.idle / 10
    }

    /// Returns the `Max-Age` of a cookie that is sent now, if `left` remains until the absolute
    /// timeout. It is one [`renew_interval`](Lifetime::renew_interval) longer than the idle
    /// timeout, because the cookie is not renewed by each request.
    pub fn max_age(&self, left: Duration) -> Duration {
        self.idle.saturating_add(self.renew_interval()).min(left)
    }
}

/// The result of [`Store::visit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Visit {
    /// The session is live.
    Live(LiveVisit),
    /// The session was rotated to another key less than [`ROTATION_GRACE`] ago.
    Moved,
    /// No live session has this key.
    Gone,
}

/// What [`Store::visit`] returns about a live session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveVisit {
    /// The value of the requested name.
    pub value: Option<String>,
    /// `true` if the client's cookie should be renewed. Of several concurrent visits, one gets
    /// `true`.
    pub renew: bool,
    /// `Max-Age` of the cookie, if it is renewed now.
    pub max_age: Duration,
}

/// The result of [`Store::compare_and_set`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompareAndSet {
    /// The value was as expected and is set.
    Set,
    /// The value is another, this one, and was not changed.
    Differs(Option<String>),
}

/// The result of reading a value: `None` if the session is not live, and `Some(None)` if it has
/// no value of this name.
pub type Lookup = Option<Option<String>>;

/// A session in the list of its user's sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Its key. It gives no access, because it is not the secret id.
    pub key: Key,
    /// Its [`origin`](Store::origin), which stays the same when it is rotated.
    pub origin: Key,
    /// Time since its creation.
    pub age: Duration,
    /// Time since its last use.
    pub idle: Duration,
    /// Client address of its last visit.
    pub last_ip: IpAddr,
    /// The value of [`DEVICE`].
    pub device: Option<String>,
}

/// Counts of events since the store was created. While no operation is in flight, `live` equals
/// `created` minus `ended`, `expired` and `evicted`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Sessions in the store, including expired ones that have not been swept yet.
    pub live: u64,
    /// Sessions created.
    pub created: u64,
    /// Sessions destroyed or revoked.
    pub ended: u64,
    /// Sessions expired.
    pub expired: u64,
    /// Sessions evicted because the store was full.
    pub evicted: u64,
    /// Rotations.
    pub rotated: u64,
    /// Visits with an id that no live session has.
    pub rejected_ids: u64,
}

impl Counters {
    /// Returns the sums of two stores, or of two parts of one.
    #[must_use]
    pub fn plus(self, other: Counters) -> Counters {
        Counters {
            live: self.live + other.live,
            created: self.created + other.created,
            ended: self.ended + other.ended,
            expired: self.expired + other.expired,
            evicted: self.evicted + other.evicted,
            rotated: self.rotated + other.rotated,
            rejected_ids: self.rejected_ids + other.rejected_ids,
        }
    }
}

/// A session store. The [module](self) states the rules that all operations follow.
pub trait Store: Send + Sync + 'static {
    /// Creates a session with one value. Returns `false`, and changes nothing, if the key is
    /// taken.
    fn create<'a>(
        &'a self,
        key: Key,
        lifetime: Lifetime,
        ip: IpAddr,
        name: &'a str,
        value: &'a str,
    ) -> StoreFuture<'a, bool>;

    /// Loads and touches a session: checks that it is live, records the use and the client
    /// address, and returns one value, so that a request that reads one value needs one round
    /// trip.
    fn visit<'a>(&'a self, key: Key, ip: IpAddr, name: &'a str) -> StoreFuture<'a, Visit>;

    /// [Visits](Store::visit) the sessions of a request that presents several ids. A store with
    /// a network between should do it in one round trip.
    fn visit_all<'a>(
        &'a self,
        keys: &'a [Key],
        ip: IpAddr,
        name: &'a str,
    ) -> StoreFuture<'a, Vec<Visit>> {
        StoreFuture::boxed(async move {
            let mut visits = Vec::with_capacity(keys.len());
            for key in keys {
                visits.push(self.visit(*key, ip, name).await?);
            }
            Ok(visits)
        })
    }

    /// Returns a value; the inner `None` if the name has no value.
    fn get<'a>(&'a self, key: Key, name: &'a str) -> StoreFuture<'a, Lookup>;

    /// Sets a value. Like every operation that sets one, it fails with [`Error::TooLarge`] if the
    /// session would exceed the store's limit.
    fn set<'a>(
        &'a self,
        key: Key,
        name: &'a str,
        value: &'a str,
    ) -> StoreFuture<'a, Option<()>>;

    /// Removes a value and returns it; the inner `None` if the name had no value.
    fn remove<'a>(&'a self, key: Key, name: &'a str) -> StoreFuture<'a, Lookup>;

    /// Sets a value if the current one equals `expected` (`None`: if there is none). Otherwise
    /// nothing is changed, and the current value is returned.
    fn compare_and_set<'a>(
        &'a self,
        key: Key,
        name: &'a str,
        expected: Option<&'a str>,
        value: &'a str,
    ) -> StoreFuture<'a, Option<CompareAndSet>>;

    /// Adds to a value that is a decimal integer of at most 15 digits, and returns the sum. No
    /// value counts as 0; another value, and an `amount` of more digits, is
    /// [`Error::WrongType`]. A store can do this without a loop, so that clients which count in
    /// one session at the same time do not delay each other.
    fn add<'a>(
        &'a self,
        key: Key,
        name: &'a str,
        amount: i64,
    ) -> StoreFuture<'a, Option<i64>> {
        StoreFuture::boxed(async move {
            let Some(mut old) = self.get(key, name).await? else { return Ok(None) };
            loop {
                let sum = add_to_text(name, old.as_deref(), amount)?;
                let text = sum.to_string();
                let set = self.compare_and_set(key, name, old.as_deref(), &text);
                match set.await? {
                    None => return Ok(None),
                    Some(CompareAndSet::Set) => return Ok(Some(sum)),
                    Some(CompareAndSet::Differs(current)) => old = current,
                }
            }
        })
    }

    /// Returns the names that have a value, in no particular order.
    fn keys(&self, key: Key) -> StoreFuture<'_, Option<Vec<String>>>;

    /// Removes all values. The session stays live.
    fn clear(&self, key: Key) -> StoreFuture<'_, Option<()>>;

    /// Destroys a session; also one that was rotated away from this key less than
    /// [`ROTATION_GRACE`] ago. Returns `false` if there is none.
    fn destroy(&self, key: Key) -> StoreFuture<'_, bool>;

    /// Moves a session with its values to a new key; the old key ends. The lifetime continues, or
    /// restarts if `lifetime` is given (as at a login). Returns `false` if there is no such
    /// session; nothing is created then. A session that already has the new key is overwritten;
    /// keys are random, so this does not happen.
    fn rotate(
        &self,
        key: Key,
        new: Key,
        lifetime: Option<Lifetime>,
    ) -> StoreFuture<'_, bool>;

    /// Returns the key with which a live session was created, which names it through all its
    /// rotations. `key` is its current key, or one that it had less than [`ROTATION_GRACE`] ago.
    /// This is not use.
    fn origin(&self, key: Key) -> StoreFuture<'_, Option<Key>>;

    /// Returns the live sessions whose [`USERNAME`] this is, the latest login first. This is not
    /// use.
    fn sessions_of<'a>(&'a self, user: &'a str) -> StoreFuture<'a, Vec<SessionInfo>>;

    /// Returns the keys of the user's sessions that come after the first `max` of
    /// [`sessions_of`](Store::sessions_of).
    fn sessions_over_limit<'a>(
        &'a self,
        user: &'a str,
        max: usize,
    ) -> StoreFuture<'a, Vec<Key>> {
        StoreFuture::boxed(async move {
            let sessions = self.sessions_of(user).await?;
            Ok(sessions.into_iter().skip(max).map(|info| info.key).collect())
        })
    }

    /// Returns the counts of events so far.
    fn counters(&self) -> StoreFuture<'_, Counters>;

    /// Frees the memory of expired sessions. The server calls it about once a second. Expiry does
    /// not depend on it: an operation on an expired session returns `None` before and after.
    fn sweep(&self) -> StoreFuture<'_, ()> {
        StoreFuture::ready(Ok(()))
    }
}

/// The upper bound of integers that [`Store::add`] takes: 15 digits, which Redis's scripts can
/// add without rounding.
const MAX_INTEGER: u64 = 999_999_999_999_999;

/// Adds to an integer as [`Store::add`] does.
pub(crate) fn add_to_text(name: &str, old: Option<&str>, amount: i64) -> Result<i64> {
    // `parse` would also take a plus sign.
    let old = old.unwrap_or("0");
    let old = old.parse().ok().filter(|_| !old.starts_with('+'));
    let is_small = |number: &i64| number.unsigned_abs() <= MAX_INTEGER;
    match old.filter(is_small).filter(|_| is_small(&amount)) {
        Some(old) => Ok(old + amount),
        None => Err(Error::WrongType { name: name.to_owned() }),
    }
}

/// The future that a store operation returns: either a result that is already there, as from the
/// memory store, or a boxed future, as from Redis. A ready result needs no allocation.
///
/// If it is dropped before it resolves, the operation may or may not have happened.
#[must_use = "a store may do nothing before its future is awaited"]
pub struct StoreFuture<'a, T>(Inner<'a, T>);

enum Inner<'a, T> {
    /// `None` after the result was taken.
    Ready(Option<Result<T>>),
    Boxed(Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>),
}

impl<'a, T> StoreFuture<'a, T> {
    /// A future that resolves immediately.
    pub fn ready(result: Result<T>) -> Self {
        StoreFuture(Inner::Ready(Some(result)))
    }

    /// A future that does the work of `future`.
    pub fn boxed(future: impl Future<Output = Result<T>> + Send + 'a) -> Self {
        StoreFuture(Inner::Boxed(Box::pin(future)))
    }
}

/// The result is moved out when it is taken and is never pinned.
impl<T> Unpin for StoreFuture<'_, T> {}

impl<T> Future for StoreFuture<'_, T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Inner::Ready(result) => {
                Poll::Ready(result.take().expect("the future was polled after completion"))
            }
            Inner::Boxed(future) => future.as_mut().poll(context),
        }
    }
}
