//! Where the races are run: sessions in some store, asked directly or by requests over sockets, and
//! the store itself, to see what became of them.

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

use crate::contract::counting::assert_add_up;
use crate::control_client::PATIENCE;
#[cfg(feature = "redis")]
use crate::processes;
#[cfg(feature = "redis")]
use crate::redis_server::RedisServer;
use crate::session_app;
use crate::support::{CLIENT_IP, Client, SlowStore, serve};
#[cfg(feature = "redis")]
use crate::webdriver::find_program;
use crate::webdriver::tell;

/// How often each race is run.
pub const ROUNDS: u64 = 1_000;

/// Races that are run at once, so that no processor waits for the last of a round.
const LANES: u64 = 4;

/// A place that is still to be made ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The memory store, by sessions as handlers hold them.
    MemoryDirectly,
    /// The same, where each answer takes a few turns of the runtime, and whatever can happen in
    /// between does.
    SlowDirectly,
    /// The memory store, by requests to a server.
    MemoryOverSockets,
    /// A Redis, by sessions as handlers hold them.
    #[cfg(feature = "redis")]
    RedisDirectly,
    /// A Redis, by requests to two servers, each a process of its own.
    #[cfg(feature = "redis")]
    RedisOverSockets,
}

/// A place to race in.
pub struct RaceFixture {
    pub backend: Backend,
    /// What everybody races for. To look at it from here is not counted.
    pub store: Arc<dyn Store>,
    rules: SessionConfig,
    /// Where the servers listen; nowhere, where sessions are asked directly.
    addresses: Vec<SocketAddr>,
    /// Connections that nobody uses right now.
    idle: Mutex<Vec<Client>>,
    connections: AtomicUsize,
    asked: AtomicU64,
    /// What ends when the race is over: servers, and what they stand on.
    kept: Mutex<Vec<Box<dyn Any + Send>>>,
}

/// Somebody's answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub text: String,
    pub cookie: CookieSeen,
}

/// What the answer has to say about the cookie.
#[derive(Clone, Debug)]
pub enum CookieSeen {
    Nothing,
    Issued(Id),
    Deleted,
}

impl Backend {
    /// Whether there is all that it takes. What is missing is cookie.
    pub fn is_there(self) -> bool {
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

    pub async fn prepare(self, rules: SessionConfig) -> Arc<RaceFixture> {
        self.prepare_with(rules, MemoryLimits::default()).await
    }

    /// The same, with so much room where it is memory.
    pub async fn prepare_with(
        self,
        rules: SessionConfig,
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
                RaceFixture::on_redis(self, rules)
            }
        };
        fixture.rules = rules;
        if self == Backend::MemoryOverSockets {
            fixture.serve_here().await;
        }
        Arc::new(fixture)
    }

    /// How many ask for one thing at once. Where each answer is a way over a network, and who
    /// comes too late goes it again, they are fewer.
    pub fn crowd(self) -> usize {
        match self {
            Backend::MemoryDirectly
            | Backend::SlowDirectly
            | Backend::MemoryOverSockets => 20,
            #[cfg(feature = "redis")]
            Backend::RedisDirectly | Backend::RedisOverSockets => 5,
        }
    }

    /// A lifetime in which somebody can be cookie an id and use it several times, and how many
    /// sessions may live it at once for that.
    pub fn short_life(self) -> (Duration, u64) {
        let (millis, lanes) = match self {
            Backend::MemoryDirectly | Backend::SlowDirectly => (15, 20),
            Backend::MemoryOverSockets => (60, 20),
            #[cfg(feature = "redis")]
            Backend::RedisDirectly => (60, 20),
            #[cfg(feature = "redis")]
            Backend::RedisOverSockets => (120, 20),
        };
        (Duration::from_millis(millis), lanes)
    }

    fn name(self) -> &'static str {
        match self {
            Backend::MemoryDirectly => "directly",
            Backend::SlowDirectly => "directly, far away",
            Backend::MemoryOverSockets => "over sockets",
            #[cfg(feature = "redis")]
            Backend::RedisDirectly => "on Redis, directly",
            #[cfg(feature = "redis")]
            Backend::RedisOverSockets => "on Redis, over sockets to two processes",
        }
    }
}

impl Reply {
    /// The id that was issued.
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
            rules: SessionConfig::default(),
            addresses: Vec::new(),
            idle: Mutex::default(),
            connections: AtomicUsize::default(),
            asked: AtomicU64::default(),
            kept: Mutex::default(),
        }
    }

    fn keep(&mut self, thing: impl Any + Send) {
        self.kept.get_mut().expect("nobody has it yet").push(Box::new(thing));
    }

    /// Has a server listen in this process.
    async fn serve_here(&mut self) {
        let settings = Settings {
            session_lifetime: self.rules.lifetime,
            max_sessions_per_user: self.rules.max_sessions_per_user,
            ..Settings::default()
        };
        let server =
            serve(session_app::application(Arc::clone(&self.store), settings)).await;
        self.addresses.push(server.address);
        self.keep(server);
    }

    #[cfg(feature = "redis")]
    fn on_redis(backend: Backend, rules: SessionConfig) -> RaceFixture {
        let redis = RedisServer::start().expect("a Redis, which is installed");
        let mut fixture = RaceFixture::new(backend, Arc::new(redis.store()));
        if backend == Backend::RedisOverSockets {
            let arguments = [
                String::from("--absolute"),
                rules.lifetime.absolute.as_millis().to_string(),
                String::from("--max-sessions-per-user"),
                rules.max_sessions_per_user.to_string(),
            ];
            for _ in 0..2 {
                let process = processes::start(&redis, &arguments);
                fixture.addresses.push(process.address());
                fixture.keep(process);
            }
        }
        // It is let go of after them.
        fixture.keep(redis);
        fixture
    }

    /// A connection that nobody uses, or a new one, to each of the servers in turn.
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

    /// Counts what is asked of the store without a session between.
    pub fn note(&self, asked: u64) {
        self.asked.fetch_add(asked, Ordering::Relaxed);
    }

    /// Has something done, as [`session_app::run_operation`] does it, by somebody who has this id or none.
    pub async fn ask(&self, id: Option<&Id>, what: &str, name: &str, value: &str) -> Reply {
        self.note(1);
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
        let (store, claims) = (Arc::clone(&self.store), id.cloned().into_iter());
        let session = Session::new(store, self.rules, CLIENT_IP, claims);
        let text =
            session_app::run_operation(&session, &*self.store, what, name, value).await;
        let cookie = match session.client_update().await.expect("the store is there") {
            ClientUpdate::Unused | ClientUpdate::None => CookieSeen::Nothing,
            ClientUpdate::SendId { id, .. } => CookieSeen::Issued(id),
            ClientUpdate::ForgetId => CookieSeen::Deleted,
        };
        Reply { text: text.expect("the store is there"), cookie }
    }

    /// Has all of this done at once, with one id, and gives the answers in the same order.
    pub async fn ask_at_once(
        self: &Arc<RaceFixture>,
        id: &Id,
        wishes: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Vec<Reply> {
        let wishes = wishes.into_iter();
        let wishes = wishes.map(|(what, name)| (Some(id.clone()), what, name));
        self.ask_for_each(wishes.collect()).await
    }

    /// The same, each with an id of its own, or with none. Whoever logs in does so by the name.
    pub async fn ask_for_each(
        self: &Arc<RaceFixture>,
        wishes: Vec<(Option<Id>, &'static str, String)>,
    ) -> Vec<Reply> {
        let tasks = wishes.into_iter().map(|(id, what, name)| {
            let fixture = Arc::clone(self);
            tokio::spawn(async move { fixture.ask(id.as_ref(), what, &name, &name).await })
        });
        let mut reply = Vec::new();
        for task in tasks.collect::<Vec<_>>() {
            reply.push(task.await.expect("whoever asks is answered"));
        }
        reply
    }

    /// A session of somebody who was not there before, with one value.
    pub async fn begin(&self, name: &str, value: &str) -> Id {
        let reply = self.ask(None, "set", name, value).await;
        reply.issued().cloned().expect("an id for a new session")
    }

    /// A session of a user.
    pub async fn log_in(&self, user: &str) -> Id {
        let reply = self.ask(None, "login", "", user).await;
        reply.issued().cloned().expect("an id for whoever logs in")
    }

    /// What the store has under a name; none, too, if there is no session.
    pub async fn stored(&self, key: Key, name: &str) -> Option<String> {
        self.store.get(key, name).await.expect("the store is there").flatten()
    }

    /// All names that the store has, in alphabetical order.
    pub async fn names(&self, key: Key) -> Option<Vec<String>> {
        let mut names = self.store.keys(key).await.expect("the store is there")?;
        names.sort();
        Some(names)
    }

    pub async fn is_live(&self, key: Key) -> bool {
        let visit = self.store.visit(key, CLIENT_IP, "").await;
        matches!(visit.expect("the store is there"), Visit::Live(_))
    }

    /// How many of these live.
    pub async fn count_live<'i>(&self, ids: impl IntoIterator<Item = &'i Id>) -> u64 {
        let mut live = 0;
        for id in ids {
            live += u64::from(self.is_live(id.key()).await);
        }
        live
    }

    pub async fn end(&self, id: &Id) -> bool {
        self.store.destroy(id.key()).await.expect("the store is there")
    }

    /// Runs a race a thousand times, and gives the sum of what the rounds give: what was lost.
    pub async fn run<F: Future<Output = u64> + Send + 'static>(
        self: &Arc<RaceFixture>,
        round: fn(Arc<RaceFixture>, u64) -> F,
    ) -> u64 {
        self.run_in(LANES, round).await
    }

    /// The same, with so many races at once.
    pub async fn run_in<F: Future<Output = u64> + Send + 'static>(
        self: &Arc<RaceFixture>,
        lanes: u64,
        round: fn(Arc<RaceFixture>, u64) -> F,
    ) -> u64 {
        let lane = |first: u64| {
            let fixture = Arc::clone(self);
            tokio::spawn(async move {
                let mut lost = 0;
                let rounds = (0..ROUNDS).filter(|number| number % lanes == first);
                for number in rounds {
                    lost += round(Arc::clone(&fixture), number).await;
                }
                lost
            })
        };
        let mut lost = 0;
        for lane in (0..lanes).map(lane).collect::<Vec<_>>() {
            lost += lane.await.expect("the race is run");
        }
        lost
    }

    /// Says how it went, and insists that nothing was lost, that nothing is left over, and that
    /// the store has counted right.
    pub async fn finish(&self, race: &str, lost: u64) {
        self.tell(race, lost);
        assert_eq!(lost, 0, "{race}");
        let began = Instant::now();
        loop {
            self.store.sweep().await.expect("the store is there");
            let counters = self.store.counters().await.expect("the store is there");
            assert_add_up(counters);
            if counters.live == 0 {
                return;
            }
            // What has expired is let go of soon.
            assert!(began.elapsed() < PATIENCE, "{race}: {counters:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Prints the figures.
    pub fn tell(&self, race: &str, lost: u64) {
        let asked = self.asked.load(Ordering::Relaxed);
        let (rounds, asked) = (with_commas(ROUNDS), with_commas(asked));
        let backend = self.backend.name();
        tell(&format!(
            "races::{race} {backend}: {rounds} rounds, {asked} requests, {lost} lost"
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
