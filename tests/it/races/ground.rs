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

use crate::bystander::PATIENCE;
use crate::contract::counting::assert_add_up;
use crate::doing;
#[cfg(feature = "redis")]
use crate::processes;
#[cfg(feature = "redis")]
use crate::redis_server::RedisServer;
use crate::support::{Client, PLACE, SlowStore, serve};
#[cfg(feature = "redis")]
use crate::webdriver::find_program;
use crate::webdriver::tell;

/// How often each race is run.
pub const ROUNDS: u64 = 1_000;

/// Races that are run at once, so that no processor waits for the last of a round.
const LANES: u64 = 4;

/// A place that is still to be made ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// The memory store, by sessions as handlers hold them.
    MemoryDirectly,
    /// The same, where each answer takes a few turns of the runtime, and whatever can happen in
    /// between does.
    FarDirectly,
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
pub struct Ground {
    pub site: Site,
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
pub struct Heard {
    pub text: String,
    pub told: Told,
}

/// What the answer has to say about the cookie.
#[derive(Clone, Debug)]
pub enum Told {
    Nothing,
    Issued(Id),
    Withdrawn,
}

impl Site {
    /// Whether there is all that it takes. What is missing is told.
    pub fn is_there(self) -> bool {
        match self {
            Site::MemoryDirectly | Site::FarDirectly | Site::MemoryOverSockets => true,
            #[cfg(feature = "redis")]
            Site::RedisDirectly | Site::RedisOverSockets => {
                find_program("redis-server", "redis-server", "REDIS").is_some()
            }
        }
    }

    pub async fn prepare(self, rules: SessionConfig) -> Arc<Ground> {
        self.prepare_with(rules, MemoryLimits::default()).await
    }

    /// The same, with so much room where it is memory.
    pub async fn prepare_with(
        self,
        rules: SessionConfig,
        limits: MemoryLimits,
    ) -> Arc<Ground> {
        let memory: Arc<dyn Store> = Arc::new(MemoryStore::new(limits));
        let mut ground = match self {
            Site::MemoryDirectly | Site::MemoryOverSockets => Ground::new(self, memory),
            Site::FarDirectly => Ground::new(self, Arc::new(SlowStore(memory))),
            #[cfg(feature = "redis")]
            Site::RedisDirectly | Site::RedisOverSockets => Ground::on_redis(self, rules),
        };
        ground.rules = rules;
        if self == Site::MemoryOverSockets {
            ground.serve_here().await;
        }
        Arc::new(ground)
    }

    /// How many ask for one thing at once. Where each answer is a way over a network, and who
    /// comes too late goes it again, they are fewer.
    pub fn crowd(self) -> usize {
        match self {
            Site::MemoryDirectly | Site::FarDirectly | Site::MemoryOverSockets => 20,
            #[cfg(feature = "redis")]
            Site::RedisDirectly | Site::RedisOverSockets => 5,
        }
    }

    /// A lifetime in which somebody can be told an id and use it several times, and how many
    /// sessions may live it at once for that.
    pub fn short_life(self) -> (Duration, u64) {
        let (millis, lanes) = match self {
            Site::MemoryDirectly | Site::FarDirectly => (15, 20),
            Site::MemoryOverSockets => (60, 20),
            #[cfg(feature = "redis")]
            Site::RedisDirectly => (60, 20),
            #[cfg(feature = "redis")]
            Site::RedisOverSockets => (120, 20),
        };
        (Duration::from_millis(millis), lanes)
    }

    fn name(self) -> &'static str {
        match self {
            Site::MemoryDirectly => "directly",
            Site::FarDirectly => "directly, far away",
            Site::MemoryOverSockets => "over sockets",
            #[cfg(feature = "redis")]
            Site::RedisDirectly => "on Redis, directly",
            #[cfg(feature = "redis")]
            Site::RedisOverSockets => "on Redis, over sockets to two processes",
        }
    }
}

impl Heard {
    /// The id that was issued.
    pub fn issued(&self) -> Option<&Id> {
        match &self.told {
            Told::Issued(id) => Some(id),
            Told::Nothing | Told::Withdrawn => None,
        }
    }
}

impl Ground {
    fn new(site: Site, store: Arc<dyn Store>) -> Ground {
        Ground {
            site,
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
        let server = serve(doing::application(Arc::clone(&self.store), settings)).await;
        self.addresses.push(server.address);
        self.keep(server);
    }

    #[cfg(feature = "redis")]
    fn on_redis(site: Site, rules: SessionConfig) -> Ground {
        let redis = RedisServer::start().expect("a Redis, which is installed");
        let mut ground = Ground::new(site, Arc::new(redis.store()));
        if site == Site::RedisOverSockets {
            let arguments = [
                String::from("--absolute"),
                rules.lifetime.absolute.as_millis().to_string(),
                String::from("--max-sessions-per-user"),
                rules.max_sessions_per_user.to_string(),
            ];
            for _ in 0..2 {
                let process = processes::start(&redis, &arguments);
                ground.addresses.push(process.address());
                ground.keep(process);
            }
        }
        // It is let go of after them.
        ground.keep(redis);
        ground
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

    /// Has something done, as [`doing::act`] does it, by somebody who has this id or none.
    pub async fn ask(&self, id: Option<&Id>, what: &str, name: &str, value: &str) -> Heard {
        self.note(1);
        if self.addresses.is_empty() {
            return self.ask_directly(id, what, name, value).await;
        }
        let mut client = self.connection().await;
        let heard = ask_over(&mut client, id, what, name, value).await;
        self.idle.lock().unwrap().push(client);
        heard
    }

    async fn ask_directly(
        &self,
        id: Option<&Id>,
        what: &str,
        name: &str,
        value: &str,
    ) -> Heard {
        let (store, claims) = (Arc::clone(&self.store), id.cloned().into_iter());
        let session = Session::new(store, self.rules, PLACE, claims);
        let text = doing::act(&session, &*self.store, what, name, value).await;
        let told = match session.client_update().await.expect("the store is there") {
            ClientUpdate::Unused | ClientUpdate::None => Told::Nothing,
            ClientUpdate::SendId { id, .. } => Told::Issued(id),
            ClientUpdate::ForgetId => Told::Withdrawn,
        };
        Heard { text: text.expect("the store is there"), told }
    }

    /// Has all of this done at once, with one id, and gives the answers in the same order.
    pub async fn ask_at_once(
        self: &Arc<Ground>,
        id: &Id,
        wishes: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Vec<Heard> {
        let wishes = wishes.into_iter();
        let wishes = wishes.map(|(what, name)| (Some(id.clone()), what, name));
        self.ask_for_each(wishes.collect()).await
    }

    /// The same, each with an id of its own, or with none. Whoever logs in does so by the name.
    pub async fn ask_for_each(
        self: &Arc<Ground>,
        wishes: Vec<(Option<Id>, &'static str, String)>,
    ) -> Vec<Heard> {
        let tasks = wishes.into_iter().map(|(id, what, name)| {
            let ground = Arc::clone(self);
            tokio::spawn(async move { ground.ask(id.as_ref(), what, &name, &name).await })
        });
        let mut heard = Vec::new();
        for task in tasks.collect::<Vec<_>>() {
            heard.push(task.await.expect("whoever asks is answered"));
        }
        heard
    }

    /// A session of somebody who was not there before, with one value.
    pub async fn begin(&self, name: &str, value: &str) -> Id {
        let heard = self.ask(None, "set", name, value).await;
        heard.issued().cloned().expect("an id for a new session")
    }

    /// A session of a user.
    pub async fn log_in(&self, user: &str) -> Id {
        let heard = self.ask(None, "login", "", user).await;
        heard.issued().cloned().expect("an id for whoever logs in")
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

    pub async fn lives(&self, key: Key) -> bool {
        let visit = self.store.visit(key, PLACE, "").await;
        matches!(visit.expect("the store is there"), Visit::Live(_))
    }

    /// How many of these live.
    pub async fn count_living<'i>(&self, ids: impl IntoIterator<Item = &'i Id>) -> u64 {
        let mut living = 0;
        for id in ids {
            living += u64::from(self.lives(id.key()).await);
        }
        living
    }

    pub async fn end(&self, id: &Id) -> bool {
        self.store.destroy(id.key()).await.expect("the store is there")
    }

    /// Runs a race a thousand times, and gives the sum of what the rounds give: what was lost.
    pub async fn run<F: Future<Output = u64> + Send + 'static>(
        self: &Arc<Ground>,
        round: fn(Arc<Ground>, u64) -> F,
    ) -> u64 {
        self.run_in(LANES, round).await
    }

    /// The same, with so many races at once.
    pub async fn run_in<F: Future<Output = u64> + Send + 'static>(
        self: &Arc<Ground>,
        lanes: u64,
        round: fn(Arc<Ground>, u64) -> F,
    ) -> u64 {
        let lane = |first: u64| {
            let ground = Arc::clone(self);
            tokio::spawn(async move {
                let mut lost = 0;
                let rounds = (0..ROUNDS).filter(|number| number % lanes == first);
                for number in rounds {
                    lost += round(Arc::clone(&ground), number).await;
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
        let site = self.site.name();
        tell(&format!(
            "races::{race} {site}: {rounds} rounds, {asked} requests, {lost} lost"
        ));
    }
}

async fn ask_over(
    client: &mut Client,
    id: Option<&Id>,
    what: &str,
    name: &str,
    value: &str,
) -> Heard {
    let cookie = id.map(|id| format!("\nCookie: session_id={}", id.reveal()));
    let cookie = cookie.unwrap_or_default();
    let reply = client.ask(&format!("GET /{what}?name={name}&value={value}{cookie}")).await;
    assert_eq!(reply.status, 200, "{what}: {}", reply.text());
    let told = match reply.cookie("session_id") {
        None => Told::Nothing,
        Some("") => Told::Withdrawn,
        Some(id) => Told::Issued(Id::parse(id).expect("an id in the cookie")),
    };
    Heard { text: reply.text(), told }
}

fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let group = |at: usize| at > 0 && (digits.len() - at).is_multiple_of(3);
    let commas = digits
        .char_indices()
        .map(|(at, digit)| if group(at) { format!(",{digit}") } else { digit.to_string() });
    commas.collect()
}
