//! The fixture of the races: sessions in some store, used directly or by requests over sockets,
//! and access to the store itself, to check the outcome.

use std::any::Any;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dustdevil::session::id::{Id, Key};
use dustdevil::session::store::Visit;
use dustdevil::session::{ClientUpdate, SessionConfig};
use dustdevil::{MemoryLimits, MemoryStore, Session, Settings, Store};
use tokio::time::{Instant, sleep};

use crate::contract::counting::adds_up;
use crate::control_client::RESPONSE_TIMEOUT;
#[cfg(feature = "redis")]
use crate::processes;
#[cfg(feature = "redis")]
use crate::redis_server::RedisServer;
use crate::session_app;
use crate::support::{CLIENT_IP, Client, SlowStore, serve};
#[cfg(feature = "redis")]
use crate::webdriver::find_program;
use crate::webdriver::tell;

/// Number of rounds of each race.
pub const ROUNDS: u64 = 1_000;

/// Number of rounds that run concurrently, so that no processor idles while a round ends.
const CONCURRENT_ROUNDS: u64 = 4;

/// The store, and the way in which it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The memory store, used through `Session`, as handlers do.
    MemoryDirectly,
    /// The memory store with latency: each operation yields to the runtime a few times, so that
    /// other tasks run between the operation and its result.
    SlowDirectly,
    /// The memory store, used by requests to a server in this process.
    MemoryOverSockets,
    /// A Redis, used through `Session`.
    #[cfg(feature = "redis")]
    RedisDirectly,
    /// A Redis, used by requests to two server processes.
    #[cfg(feature = "redis")]
    RedisOverSockets,
}

/// A backend that is ready for races.
pub struct RaceFixture {
    pub backend: Backend,
    /// The store that the races are about. Calls that check the outcome are not counted.
    pub store: Arc<dyn Store>,
    config: SessionConfig,
    /// Addresses of the servers; empty if the store is used directly.
    addresses: Vec<SocketAddr>,
    /// Idle keep-alive connections.
    idle: Mutex<Vec<Client>>,
    connections: AtomicUsize,
    requests: AtomicU64,
    /// Resources that are dropped at the end, such as servers and Redis.
    kept: Mutex<Vec<Box<dyn Any + Send>>>,
}

/// The outcome of one operation.
#[derive(Clone, Debug)]
pub struct Reply {
    pub text: String,
    pub cookie: CookieSeen,
}

/// The `Set-Cookie` of the reply.
#[derive(Clone, Debug)]
pub enum CookieSeen {
    Nothing,
    Issued(Id),
    Deleted,
}

impl Backend {
    /// Returns `true` if the backend is installed. Prints what is missing.
    pub fn is_available(self) -> bool {
        match self {
            Backend::MemoryDirectly
            | Backend::SlowDirectly
            | Backend::MemoryOverSockets => true,
            #[cfg(feature = "redis")]
            Backend::RedisDirectly | Backend::RedisOverSockets => {
                find_program("redis-server", "redis-server", "REDIS").is_some()
            }
        }
    }

    pub async fn prepare(self, config: SessionConfig) -> Arc<RaceFixture> {
        self.prepare_with(config, MemoryLimits::default()).await
    }

    /// Like `prepare`, with limits for the memory store.
    pub async fn prepare_with(
        self,
        config: SessionConfig,
        limits: MemoryLimits,
    ) -> Arc<RaceFixture> {
        let memory: Arc<dyn Store> = Arc::new(MemoryStore::new(limits));
        let mut fixture = match self {
            Backend::MemoryDirectly | Backend::MemoryOverSockets => {
                RaceFixture::new(self, memory)
            }
            Backend::SlowDirectly => RaceFixture::new(self, Arc::new(SlowStore(memory))),
            #[cfg(feature = "redis")]
            Backend::RedisDirectly | Backend::RedisOverSockets => {
                RaceFixture::on_redis(self, config)
            }
        };
        fixture.config = config;
        if self == Backend::MemoryOverSockets {
            fixture.start_server().await;
        }
        Arc::new(fixture)
    }

    /// Number of concurrent operations. It is lower on Redis: each retry of a compare-and-swap
    /// is a round trip.
    pub fn concurrency(self) -> usize {
        match self {
            Backend::MemoryDirectly
            | Backend::SlowDirectly
            | Backend::MemoryOverSockets => 20,
            #[cfg(feature = "redis")]
            Backend::RedisDirectly | Backend::RedisOverSockets => 5,
        }
    }

    /// A lifetime that is long enough to receive an id and use it several times, and the number
    /// of rounds that may run concurrently with it.
    pub fn short_lifetime(self) -> (Duration, u64) {
        let (millis, concurrent) = match self {
            Backend::MemoryDirectly | Backend::SlowDirectly => (15, 20),
            Backend::MemoryOverSockets => (60, 20),
            #[cfg(feature = "redis")]
            Backend::RedisDirectly => (60, 20),
            #[cfg(feature = "redis")]
            Backend::RedisOverSockets => (120, 20),
        };
        (Duration::from_millis(millis), concurrent)
    }

    fn name(self) -> &'static str {
        match self {
            Backend::MemoryDirectly => "directly",
            Backend::SlowDirectly => "directly, slow store",
            Backend::MemoryOverSockets => "over sockets",
            #[cfg(feature = "redis")]
            Backend::RedisDirectly => "on Redis, directly",
            #[cfg(feature = "redis")]
            Backend::RedisOverSockets => "on Redis, over sockets to two processes",
        }
    }
}

impl Reply {
    /// Returns the id that the reply set.
    pub fn issued(&self) -> Option<&Id> {
        match &self.cookie {
            CookieSeen::Issued(id) => Some(id),
            CookieSeen::Nothing | CookieSeen::Deleted => None,
        }
    }
}

impl RaceFixture {
    fn new(backend: Backend, store: Arc<dyn Store>) -> RaceFixture {
        RaceFixture {
            backend,
            store,
            config: SessionConfig::default(),
            addresses: Vec::new(),
            idle: Mutex::default(),
            connections: AtomicUsize::default(),
            requests: AtomicU64::default(),
            kept: Mutex::default(),
        }
    }

    fn keep(&mut self, resource: impl Any + Send) {
        self.kept
            .get_mut()
            .expect("the fixture is not shared yet")
            .push(Box::new(resource));
    }

    /// Starts a server in this process.
    async fn start_server(&mut self) {
        let settings = Settings {
            session_lifetime: self.config.lifetime,
            max_sessions_per_user: self.config.max_sessions_per_user,
            ..Settings::default()
        };
        let server =
            serve(session_app::application(Arc::clone(&self.store), settings)).await;
        self.addresses.push(server.address);
        self.keep(server);
    }

    #[cfg(feature = "redis")]
    fn on_redis(backend: Backend, config: SessionConfig) -> RaceFixture {
        let redis = RedisServer::start().expect("a Redis, which is installed");
        let mut fixture = RaceFixture::new(backend, Arc::new(redis.store()));
        if backend == Backend::RedisOverSockets {
            let arguments = [
                String::from("--absolute"),
                config.lifetime.absolute.as_millis().to_string(),
                String::from("--max-sessions-per-user"),
                config.max_sessions_per_user.to_string(),
            ];
            for _ in 0..2 {
                let process = processes::start(&redis, &arguments);
                fixture.addresses.push(process.address());
                fixture.keep(process);
            }
        }
        // Redis is dropped after the processes that use it.
        fixture.keep(redis);
        fixture
    }

    /// Returns an idle connection, or a new one to the servers in rotation.
    async fn connection(&self) -> Client {
        let free = self.idle.lock().unwrap().pop();
        match free {
            Some(client) => client,
            None => {
                let number = self.connections.fetch_add(1, Ordering::Relaxed);
                Client::connect(self.addresses[number % self.addresses.len()]).await
            }
        }
    }

    /// Counts calls of the store that bypass a session.
    pub fn count_requests(&self, requests: u64) {
        self.requests.fetch_add(requests, Ordering::Relaxed);
    }

    /// Performs [`session_app::run_operation`] with this id or without one.
    pub async fn ask(&self, id: Option<&Id>, what: &str, name: &str, value: &str) -> Reply {
        self.count_requests(1);
        if self.addresses.is_empty() {
            return self.ask_directly(id, what, name, value).await;
        }
        let mut client = self.connection().await;
        let reply = ask_over(&mut client, id, what, name, value).await;
        self.idle.lock().unwrap().push(client);
        reply
    }

    async fn ask_directly(
        &self,
        id: Option<&Id>,
        what: &str,
        name: &str,
        value: &str,
    ) -> Reply {
        let (store, ids) = (Arc::clone(&self.store), id.cloned().into_iter());
        let session = Session::new(store, self.config, CLIENT_IP, ids);
        let text =
            session_app::run_operation(&session, &*self.store, what, name, value).await;
        let cookie = match session.client_update().await.expect("the store is available") {
            ClientUpdate::Unused | ClientUpdate::None => CookieSeen::Nothing,
            ClientUpdate::SendId { id, .. } => CookieSeen::Issued(id),
            ClientUpdate::ForgetId => CookieSeen::Deleted,
        };
        Reply { text: text.expect("the store is available"), cookie }
    }

    /// Performs operations concurrently with the same id. Returns the replies in order.
    pub async fn ask_concurrently(
        self: &Arc<RaceFixture>,
        id: &Id,
        requests: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Vec<Reply> {
        let requests = requests.into_iter();
        let requests = requests.map(|(what, name)| (Some(id.clone()), what, name));
        self.ask_for_each(requests.collect()).await
    }

    /// Performs operations concurrently, each with its own id or none. The value equals the
    /// name; for a login it is the user.
    pub async fn ask_for_each(
        self: &Arc<RaceFixture>,
        requests: Vec<(Option<Id>, &'static str, String)>,
    ) -> Vec<Reply> {
        let tasks = requests.into_iter().map(|(id, what, name)| {
            let fixture = Arc::clone(self);
            tokio::spawn(async move { fixture.ask(id.as_ref(), what, &name, &name).await })
        });
        let mut replies = Vec::new();
        for task in tasks.collect::<Vec<_>>() {
            replies.push(task.await.expect("the request does not panic"));
        }
        replies
    }

    /// Creates a session with one value.
    pub async fn begin(&self, name: &str, value: &str) -> Id {
        let reply = self.ask(None, "set", name, value).await;
        reply.issued().cloned().expect("an id for a new session")
    }

    /// Creates a session of a user.
    pub async fn log_in(&self, user: &str) -> Id {
        let reply = self.ask(None, "login", "", user).await;
        reply.issued().cloned().expect("an id for the login")
    }

    /// Returns a value in the store; `None` also if there is no session.
    pub async fn stored(&self, key: Key, name: &str) -> Option<String> {
        self.store.get(key, name).await.expect("the store is available").flatten()
    }

    /// Returns the names in the store, sorted; `None` if there is no session.
    pub async fn names(&self, key: Key) -> Option<Vec<String>> {
        let mut names = self.store.keys(key).await.expect("the store is available")?;
        names.sort();
        Some(names)
    }

    pub async fn is_live(&self, key: Key) -> bool {
        let visit = self.store.visit(key, CLIENT_IP, "").await;
        matches!(visit.expect("the store is available"), Visit::Live(_))
    }

    /// Returns how many of these sessions are live.
    pub async fn count_live<'i>(&self, ids: impl IntoIterator<Item = &'i Id>) -> u64 {
        let mut live = 0;
        for id in ids {
            live += u64::from(self.is_live(id.key()).await);
        }
        live
    }

    pub async fn end(&self, id: &Id) -> bool {
        self.store.destroy(id.key()).await.expect("the store is available")
    }

    /// Runs all rounds of a race, and returns the sum of what they lost.
    pub async fn run<F: Future<Output = u64> + Send + 'static>(
        self: &Arc<RaceFixture>,
        round: fn(Arc<RaceFixture>, u64) -> F,
    ) -> u64 {
        self.run_in(CONCURRENT_ROUNDS, round).await
    }

    /// Like `run`, with this number of concurrent rounds.
    pub async fn run_in<F: Future<Output = u64> + Send + 'static>(
        self: &Arc<RaceFixture>,
        concurrent: u64,
        round: fn(Arc<RaceFixture>, u64) -> F,
    ) -> u64 {
        let lane = |first: u64| {
            let fixture = Arc::clone(self);
            tokio::spawn(async move {
                let mut lost = 0;
                let rounds = (0..ROUNDS).filter(|number| number % concurrent == first);
                for number in rounds {
                    lost += round(Arc::clone(&fixture), number).await;
                }
                lost
            })
        };
        let mut lost = 0;
        for lane in (0..concurrent).map(lane).collect::<Vec<_>>() {
            lost += lane.await.expect("the lane does not panic");
        }
        lost
    }

    /// Prints the figures, and asserts that nothing was lost, that no session is left, and that
    /// the counters of the store add up.
    pub async fn finish(&self, race: &str, lost: u64) {
        self.tell(race, lost);
        assert_eq!(lost, 0, "{race}");
        let started = Instant::now();
        loop {
            self.store.sweep().await.expect("the store is available");
            let counters = self.store.counters().await.expect("the store is available");
            if counters.live == 0 && adds_up(counters) {
                return;
            }
            // Redis removes expired keys in the background, and the other process sends its
            // counts once a second.
            assert!(started.elapsed() < RESPONSE_TIMEOUT, "{race}: {counters:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Prints the figures.
    pub fn tell(&self, race: &str, lost: u64) {
        let requests = self.requests.load(Ordering::Relaxed);
        let (rounds, requests) = (with_commas(ROUNDS), with_commas(requests));
        let backend = self.backend.name();
        tell(&format!(
            "races::{race} {backend}: {rounds} rounds, {requests} requests, {lost} lost"
        ));
    }
}

async fn ask_over(
    client: &mut Client,
    id: Option<&Id>,
    what: &str,
    name: &str,
    value: &str,
) -> Reply {
    let cookie = id.map(|id| format!("\nCookie: session_id={}", id.reveal()));
    let cookie = cookie.unwrap_or_default();
    let reply = client.ask(&format!("GET /{what}?name={name}&value={value}{cookie}")).await;
    assert_eq!(reply.status, 200, "{what}: {}", reply.text());
    let cookie = match reply.cookie("session_id") {
        None => CookieSeen::Nothing,
        Some("") => CookieSeen::Deleted,
        Some(id) => CookieSeen::Issued(Id::parse(id).expect("an id in the cookie")),
    };
    Reply { text: reply.text(), cookie }
}

fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let group = |at: usize| at > 0 && (digits.len() - at).is_multiple_of(3);
    let commas = digits
        .char_indices()
        .map(|(at, digit)| if group(at) { format!(",{digit}") } else { digit.to_string() });
    commas.collect()
}
