//! The fixture of the suite: an empty store, and the clock by which its sessions expire.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use dustdevil::session::id::{Id, Key};
use dustdevil::session::store::{Counters, LiveVisit, SessionInfo, USERNAME, Visit};
use dustdevil::{Lifetime, MemoryLimits, MemoryStore, Store};
use tokio::time::{Instant, advance, sleep};

use crate::support::CLIENT_IP;

use super::reference_store::ReferenceStore;

/// A new store, its clock, and helpers that call it. The suite measures time in units of the
/// clock: a minute that passes instantly on a paused clock, a fraction of a second on a real
/// one. So the same requirement is instant on one store and takes a second or two on another.
#[derive(Clone)]
pub struct StoreUnderTest {
    pub store: Arc<dyn Store>,
    clock: Clock,
    /// Resources that the store needs, such as a Redis process. They are dropped with the
    /// store.
    _kept: Option<Arc<dyn Any + Send + Sync>>,
}

/// How time passes for a store.
#[derive(Clone, Copy)]
enum Clock {
    /// tokio's paused clock, which only the test advances.
    Paused,
    /// The system clock, which advances by itself. On a busy machine more time may pass than
    /// intended; [`StoreUnderTest::check_in_time`] detects that. The larger the unit, the rarer
    /// it is.
    Wall { unit: Duration },
}

/// The machine stalled and a deadline passed too early, so the run proves nothing.
#[derive(Debug)]
pub struct Stalled;

/// The result of a requirement that depends on time. If it is `Err`, the requirement runs
/// again.
pub type Timely = Result<(), Stalled>;

/// The memory store, on a paused clock.
pub async fn memory() -> Option<StoreUnderTest> {
    Some(on_paused_clock(Arc::new(MemoryStore::new(MemoryLimits::default()))))
}

/// The memory store on the system clock, as in production.
pub async fn memory_on_wall_clock() -> Option<StoreUnderTest> {
    let store = Arc::new(MemoryStore::new(MemoryLimits::default()));
    let clock = Clock::Wall { unit: Duration::from_millis(50) };
    Some(StoreUnderTest { store, clock, _kept: None })
}

/// A Redis process for this test alone; `None` if Redis is not installed.
#[cfg(feature = "redis")]
pub async fn redis() -> Option<StoreUnderTest> {
    let server = crate::redis_server::RedisServer::start()?;
    let store = Arc::new(server.store());
    let clock = Clock::Wall { unit: Duration::from_millis(300) };
    Some(StoreUnderTest { store, clock, _kept: Some(Arc::new(server)) })
}

/// The reference implementation, on a paused clock.
pub async fn reference() -> Option<StoreUnderTest> {
    Some(on_paused_clock(Arc::new(ReferenceStore::default())))
}

/// Puts a store that uses tokio's clock under test, and pauses the clock.
pub fn on_paused_clock(store: Arc<dyn Store>) -> StoreUnderTest {
    tokio::time::pause();
    StoreUnderTest { store, clock: Clock::Paused, _kept: None }
}

impl StoreUnderTest {
    /// The duration of `count` units.
    pub fn units(&self, count: u32) -> Duration {
        let unit = match self.clock {
            Clock::Paused => Duration::from_secs(60),
            Clock::Wall { unit } => unit,
        };
        unit * count
    }

    /// The maximum difference between two system clocks, such as ours and that of Redis.
    fn tolerance(&self) -> Duration {
        match self.clock {
            Clock::Paused => Duration::ZERO,
            Clock::Wall { .. } => Duration::from_millis(10),
        }
    }

    /// Waits until so many units have passed.
    pub async fn pass(&self, units: u32) {
        match self.clock {
            Clock::Paused => advance(self.units(units)).await,
            Clock::Wall { .. } => sleep(self.units(units) + self.tolerance()).await,
        }
    }

    /// Returns `Err` if so many units may have passed since then. A test that asserts that a
    /// session is still live asks the store first and calls this afterwards: only if it returns
    /// `Ok` does a missing session mean a fault of the store.
    pub fn check_in_time(&self, since: Instant, units: u32) -> Timely {
        let is_in_time = since.elapsed() + self.tolerance() < self.units(units);
        is_in_time.then_some(()).ok_or(Stalled)
    }

    /// Asserts that a store measured a duration correctly: it is at least the time that the
    /// test waited, and at most the time that has passed.
    pub fn assert_passed(&self, measured: Duration, units: u32, since: Instant) {
        let least = self.units(units).saturating_sub(self.tolerance());
        let most = since.elapsed() + self.tolerance();
        assert!(
            least <= measured && measured <= most,
            "{least:?} <= {measured:?} <= {most:?}"
        );
    }

    /// A lifetime with both timeouts in units.
    pub fn lifetime(&self, idle: u32, absolute: u32) -> Lifetime {
        Lifetime { idle: self.units(idle), absolute: self.units(absolute) }
    }

    /// A lifetime that outlasts every test.
    pub fn long_lifetime(&self) -> Lifetime {
        self.lifetime(1_000, 10_000)
    }

    /// Creates a session with one value.
    pub async fn begin(&self, name: &str, value: &str) -> Key {
        self.begin_for(self.long_lifetime(), name, value).await
    }

    /// Creates a session with one value and this lifetime.
    pub async fn begin_for(&self, lifetime: Lifetime, name: &str, value: &str) -> Key {
        let key = key();
        assert!(self.store.create(key, lifetime, CLIENT_IP, name, value).await.unwrap());
        key
    }

    /// Creates a session of a user.
    pub async fn begin_as(&self, user: &str) -> Key {
        self.begin(USERNAME, user).await
    }

    /// Returns a value; `None` also if there is no session.
    pub async fn get(&self, key: Key, name: &str) -> Option<String> {
        self.store.get(key, name).await.unwrap().flatten()
    }

    /// Sets a value in a live session.
    pub async fn set(&self, key: Key, name: &str, value: &str) {
        assert_eq!(self.store.set(key, name, value).await.unwrap(), Some(()));
    }

    /// Returns the names that have a value, sorted; `None` if there is no session.
    pub async fn keys(&self, key: Key) -> Option<Vec<String>> {
        let mut keys = self.store.keys(key).await.unwrap()?;
        keys.sort();
        Some(keys)
    }

    pub async fn visit(&self, key: Key) -> Visit {
        self.store.visit(key, CLIENT_IP, "a").await.unwrap()
    }

    /// Visits a session that must be live.
    pub async fn visited(&self, key: Key) -> LiveVisit {
        match self.visit(key).await {
            Visit::Live(visited) => visited,
            other => panic!("{key} is {other:?}"),
        }
    }

    /// Visits a session that must be live for so many units after `since`.
    pub async fn visited_in_time(
        &self,
        key: Key,
        since: Instant,
        units: u32,
    ) -> Result<LiveVisit, Stalled> {
        let visit = self.visit(key).await;
        self.check_in_time(since, units)?;
        match visit {
            Visit::Live(visited) => Ok(visited),
            other => panic!("{key} is {other:?}"),
        }
    }

    /// Returns `true` if a visit finds the session live. The visit is use.
    pub async fn is_live(&self, key: Key) -> bool {
        matches!(self.visit(key).await, Visit::Live(_))
    }

    /// Rotates a live session and returns its new key.
    pub async fn rotate(&self, key: Key, lifetime: Option<Lifetime>) -> Key {
        let new = self::key();
        assert!(self.store.rotate(key, new, lifetime).await.unwrap());
        new
    }

    pub async fn destroy(&self, key: Key) -> bool {
        self.store.destroy(key).await.unwrap()
    }

    pub async fn sessions_of(&self, user: &str) -> Vec<SessionInfo> {
        self.store.sessions_of(user).await.unwrap()
    }

    /// Returns the keys of a user's sessions, in the order of the list.
    pub async fn keys_of(&self, user: &str) -> Vec<Key> {
        self.sessions_of(user).await.into_iter().map(|listed| listed.key).collect()
    }

    pub async fn counters(&self) -> Counters {
        self.store.counters().await.unwrap()
    }

    /// Asserts that no operation finds a session with this key, and that none creates one.
    /// `destroy` is not called, because it follows rotations.
    pub async fn assert_accepts_nothing(&self, key: Key) {
        let (store, new) = (&self.store, self::key());
        assert_eq!(store.get(key, "a").await.unwrap(), None, "get");
        assert_eq!(store.set(key, "a", "1").await.unwrap(), None, "set");
        assert_eq!(store.set(key, USERNAME, "ghost").await.unwrap(), None, "set a user");
        assert_eq!(store.remove(key, "a").await.unwrap(), None, "remove");
        for expected in [None, Some("1")] {
            let swapped = store.compare_and_set(key, "a", expected, "2").await.unwrap();
            assert_eq!(swapped, None, "swap for {expected:?}");
        }
        assert_eq!(store.keys(key).await.unwrap(), None, "keys");
        assert_eq!(store.clear(key).await.unwrap(), None, "clear");
        for lifetime in [None, Some(self.long_lifetime())] {
            assert!(!store.rotate(key, new, lifetime).await.unwrap(), "rotate");
        }
        assert!(!self.is_live(key).await, "it is live");
        assert!(!self.is_live(new).await, "it is live under another key");
        assert_eq!(store.get(new, "a").await.unwrap(), None, "in another session");
        assert!(self.keys_of("ghost").await.is_empty(), "a user has it");
    }

    /// Like `assert_accepts_nothing`, for a key that was not rotated either: `destroy` finds
    /// nothing.
    pub async fn assert_dead(&self, key: Key) {
        self.assert_accepts_nothing(key).await;
        assert!(!self.destroy(key).await, "destroy");
        assert_eq!(self.visit(key).await, Visit::Gone);
    }
}

/// A new random key.
pub fn key() -> Key {
    Id::generate().key()
}
