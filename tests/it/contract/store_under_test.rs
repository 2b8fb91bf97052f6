//! What is examined: a store with nothing in it, and the clock that it goes by.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use dustdevil::session::id::{Id, Key};
use dustdevil::session::store::{Counters, LiveVisit, SessionInfo, USERNAME, Visit};
use dustdevil::{Lifetime, MemoryLimits, MemoryStore, Store};
use tokio::time::{Instant, advance, sleep};

use crate::support::CLIENT_IP;

use super::reference_store::ReferenceStore;

/// Where most visits come from.
/// A store that nobody else knows, and its clock. All times in the suite are whole units of that
/// clock, so that the same requirement takes no time at all with one store, and a second or two
/// with another.
#[derive(Clone)]
pub struct StoreUnderTest {
    pub store: Arc<dyn Store>,
    clock: Clock,
    /// What the store stands on, and what ends with it.
    _kept: Option<Arc<dyn Any + Send + Sync>>,
}

/// How time passes for a store.
#[derive(Clone, Copy)]
enum Clock {
    /// When it is told to. The store goes by tokio's clock, which stands still in between.
    Paused,
    /// Of its own accord. A machine that is busy with something else may let more of it pass than
    /// anybody wanted: see [`StoreUnderTest::check_in_time`]. The larger the unit, the less often it does.
    Wall { unit: Duration },
}

/// What is said of a time that was not kept: the machine stalled, and the answer means nothing.
#[derive(Debug)]
pub struct Stalled;

/// How a requirement ends that depends on the time: if it was not kept, all begins anew.
pub type Timely = Result<(), Stalled>;

/// The memory store.
pub async fn memory() -> Option<StoreUnderTest> {
    Some(on_paused_clock(Arc::new(MemoryStore::new(MemoryLimits::default()))))
}

/// The same, where time passes as it does when nobody tests.
pub async fn memory_on_wall_clock() -> Option<StoreUnderTest> {
    let store = Arc::new(MemoryStore::new(MemoryLimits::default()));
    let clock = Clock::Wall { unit: Duration::from_millis(50) };
    Some(StoreUnderTest { store, clock, _kept: None })
}

/// A Redis of its own; none, where none is installed.
#[cfg(feature = "redis")]
pub async fn redis() -> Option<StoreUnderTest> {
    let server = crate::redis_server::RedisServer::start()?;
    let store = Arc::new(server.store());
    let clock = Clock::Wall { unit: Duration::from_millis(300) };
    Some(StoreUnderTest { store, clock, _kept: Some(Arc::new(server)) })
}

/// As somebody else might write it who has read the contract and nothing more.
pub async fn reference() -> Option<StoreUnderTest> {
    Some(on_paused_clock(Arc::new(ReferenceStore::default())))
}

/// A subject whose store goes by tokio's clock.
pub fn on_paused_clock(store: Arc<dyn Store>) -> StoreUnderTest {
    tokio::time::pause();
    StoreUnderTest { store, clock: Clock::Paused, _kept: None }
}

impl StoreUnderTest {
    /// So many units of time.
    pub fn units(&self, count: u32) -> Duration {
        let unit = match self.clock {
            Clock::Paused => Duration::from_secs(60),
            Clock::Wall { unit } => unit,
        };
        unit * count
    }

    /// Two clocks on the wall never agree in every millisecond.
    fn tolerance(&self) -> Duration {
        match self.clock {
            Clock::Paused => Duration::ZERO,
            Clock::Wall { .. } => Duration::from_millis(10),
        }
    }

    /// Lets time pass.
    pub async fn pass(&self, units: u32) {
        match self.clock {
            Clock::Paused => advance(self.units(units)).await,
            Clock::Wall { .. } => sleep(self.units(units) + self.tolerance()).await,
        }
    }

    /// Whether fewer than so many units have passed since then. Whoever wants to see that
    /// something still lives asks the store first and this after it, and believes the store only
    /// if this holds.
    pub fn check_in_time(&self, since: Instant, units: u32) -> Timely {
        let is_in_time = since.elapsed() + self.tolerance() < self.units(units);
        is_in_time.then_some(()).ok_or(Stalled)
    }

    /// Asserts that a time was measured right: it is at least what was waited for, and at most
    /// what passed since.
    pub fn assert_passed(&self, measured: Duration, units: u32, since: Instant) {
        let least = self.units(units).saturating_sub(self.tolerance());
        let most = since.elapsed() + self.tolerance();
        assert!(
            least <= measured && measured <= most,
            "{least:?} <= {measured:?} <= {most:?}"
        );
    }

    /// A lifetime in units.
    pub fn lifetime(&self, idle: u32, absolute: u32) -> Lifetime {
        Lifetime { idle: self.units(idle), absolute: self.units(absolute) }
    }

    /// One that lasts for longer than anybody waits here.
    pub fn long_lifetime(&self) -> Lifetime {
        self.lifetime(1_000, 10_000)
    }

    /// A session with one value.
    pub async fn begin(&self, name: &str, value: &str) -> Key {
        self.begin_for(self.long_lifetime(), name, value).await
    }

    /// The same, for a lifetime.
    pub async fn begin_for(&self, lifetime: Lifetime, name: &str, value: &str) -> Key {
        let key = key();
        assert!(self.store.create(key, lifetime, CLIENT_IP, name, value).await.unwrap());
        key
    }

    /// A session of a user.
    pub async fn begin_as(&self, user: &str) -> Key {
        self.begin(USERNAME, user).await
    }

    /// The value of a name; none, too, if there is no session.
    pub async fn get(&self, key: Key, name: &str) -> Option<String> {
        self.store.get(key, name).await.unwrap().flatten()
    }

    /// Sets a value in a session that lives.
    pub async fn set(&self, key: Key, name: &str, value: &str) {
        assert_eq!(self.store.set(key, name, value).await.unwrap(), Some(()));
    }

    /// The names that have a value, in alphabetical order.
    pub async fn keys(&self, key: Key) -> Option<Vec<String>> {
        let mut keys = self.store.keys(key).await.unwrap()?;
        keys.sort();
        Some(keys)
    }

    pub async fn visit(&self, key: Key) -> Visit {
        self.store.visit(key, CLIENT_IP, "a").await.unwrap()
    }

    /// What a visit finds in a session that lives.
    pub async fn visited(&self, key: Key) -> LiveVisit {
        match self.visit(key).await {
            Visit::Live(visited) => visited,
            other => panic!("{key} is {other:?}"),
        }
    }

    /// What a visit finds in a session that lives for so many units from then.
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

    /// Whether a visit finds the session alive, which makes it so for a while.
    pub async fn lives(&self, key: Key) -> bool {
        matches!(self.visit(key).await, Visit::Live(_))
    }

    /// Moves a session that lives to a new key, which is given.
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

    /// The keys of a user's sessions, in the order of the list.
    pub async fn keys_of(&self, user: &str) -> Vec<Key> {
        self.sessions_of(user).await.into_iter().map(|listed| listed.key).collect()
    }

    pub async fn counters(&self) -> Counters {
        self.store.counters().await.unwrap()
    }

    /// Asserts that no operation finds a session here, and that none brings one to life. (To end
    /// it is left out: that may well find where it moved to.)
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
        assert!(!self.lives(key).await, "it came to life");
        assert!(!self.lives(new).await, "it came to life under another key");
        assert_eq!(store.get(new, "a").await.unwrap(), None, "in another session");
        assert!(self.keys_of("ghost").await.is_empty(), "it became somebody's");
    }

    /// The same, of a session that did not move either: to end it is nothing.
    pub async fn assert_dead(&self, key: Key) {
        self.assert_accepts_nothing(key).await;
        assert!(!self.destroy(key).await, "destroy");
        assert_eq!(self.visit(key).await, Visit::Gone);
    }
}

/// A key that nobody ever had.
pub fn key() -> Key {
    Id::generate().key()
}
