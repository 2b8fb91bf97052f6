//! Crash tests: two servers share one Redis; servers are killed or shut down, or Redis is
//! killed, while clients keep sending requests. Every acknowledged write must survive.
//!
//! A request without a response is the hard case: the write may or may not have happened. The
//! tests count such requests, and accept both outcomes for them and no others.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dustdevil::session::id::Id;
use dustdevil::{RedisStore, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::contract::counting::Dice;
use crate::control_client::RESPONSE_TIMEOUT;
use crate::process::Process;
use crate::processes;
use crate::redis_server::{DURABLE, RedisServer};
use crate::webdriver::tell;

/// Number of times that a process is killed.
const KILLS: usize = 24;

/// Number of clients. Each has its own session, and all share one more.
const CLIENTS: usize = 6;

/// Two servers, one Redis, and the clients.
struct Setup {
    redis: RedisServer,
    store: RedisStore,
    processes: [Process; 2],
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<(Id, Tally)>>,
}

/// The state that all clients share.
struct Shared {
    /// Addresses of the servers, replaced when a server restarts.
    addresses: Mutex<[SocketAddr; 2]>,
    /// The session whose counter all clients increment.
    counter_session: Id,
    is_finished: AtomicBool,
}

/// The requests of one client, by outcome.
#[derive(Default)]
struct Tally {
    /// Writes that were acknowledged.
    written: u64,
    /// The last number whose write was acknowledged.
    last_written: u64,
    /// The last number that was sent.
    tried: u64,
    /// Increments that were acknowledged.
    counted: u64,
    /// Increments with an unknown outcome: no response, or an error.
    unknown: u64,
    /// Responses with an error status.
    errors: u64,
    /// Requests without a response.
    unanswered: u64,
    /// Responses that were wrong: another session, or none.
    wrong: u64,
}

impl Setup {
    /// Starts everything; `None` if Redis is not installed.
    async fn open(options: &[&str]) -> Option<Setup> {
        let redis = RedisServer::start_with(options)?;
        let store = redis.store();
        let processes = [processes::start(&redis, &[]), processes::start(&redis, &[])];
        let addresses = Mutex::new([processes[0].address(), processes[1].address()]);
        let counter_session = begin(processes[0].address()).await;
        let shared = Arc::new(Shared {
            addresses,
            counter_session,
            is_finished: AtomicBool::new(false),
        });
        let mut clients = Vec::new();
        for number in 0..CLIENTS {
            let own_session = begin(processes[0].address()).await;
            let shared = Arc::clone(&shared);
            clients.push(tokio::spawn(run_client(shared, own_session, number % 2)));
        }
        Some(Setup { redis, store, processes, shared, clients })
    }

    /// Starts a server in place of one of the two, and returns the old one.
    fn replace(&mut self, number: usize) -> Process {
        let process = processes::start(&self.redis, &[]);
        self.shared.addresses.lock().unwrap()[number] = process.address();
        std::mem::replace(&mut self.processes[number], process)
    }

    /// Stops the clients and compares the store with the acknowledged writes. Returns the sum
    /// of the tallies and the value of the shared counter.
    async fn close(self, what: &str) -> (Tally, u64) {
        self.shared.is_finished.store(true, Ordering::SeqCst);
        let mut all = Tally::default();
        for client in self.clients {
            let (own_session, tally) = client.await.expect("a client does not panic");
            let stored = number(&self.store, &own_session, "last").await;
            let range = tally.last_written..=tally.tried;
            assert!(range.contains(&stored), "{stored} is not in {range:?}");
            all.written += tally.written;
            all.counted += tally.counted;
            all.unknown += tally.unknown;
            all.errors += tally.errors;
            all.unanswered += tally.unanswered;
            all.wrong += tally.wrong;
        }
        let stored = number(&self.store, &self.shared.counter_session, "visits").await;
        let Tally { written, counted, unknown, errors, unanswered, wrong, .. } = all;
        tell(&format!(
            "crashes: {what}: {written} writes and {counted} counts acknowledged, 0 of them lost; \
             {errors} answered with an error, {unanswered} not answered, {wrong} wrong"
        ));
        let range = counted..=counted + unknown;
        assert!(range.contains(&stored), "{stored} is not in {range:?}");
        assert_eq!(wrong, 0, "no response was of another session");
        assert!(written > 0 && counted > 0);
        (all, stored)
    }
}

async fn number(store: &RedisStore, id: &Id, name: &str) -> u64 {
    let value = store.get(id.key(), name).await.expect("Redis is available");
    value.expect("the session is live").map_or(0, |value| value.parse().expect("a number"))
}

/// Writes and increments until the test is finished, switching servers after each error.
async fn run_client(shared: Arc<Shared>, own_session: Id, mut at: usize) -> (Id, Tally) {
    let (mut tally, mut connection) = (Tally::default(), None);
    while !shared.is_finished.load(Ordering::SeqCst) {
        tally.tried += 1;
        let write = format!("/set?name=last&value={}", tally.tried);
        for (target, id) in [
            (write.as_str(), &own_session),
            ("/count?name=visits", &shared.counter_session),
        ] {
            let is_write = id.key() == own_session.key();
            let address = shared.addresses.lock().unwrap()[at];
            match ask(&mut connection, address, target, id).await {
                Ok(reply) if reply.status == 200 => {
                    let is_right = is_write || reply.text.parse().is_ok_and(|n: u64| n > 0);
                    tally.wrong += u64::from(reply.sets_cookie || !is_right);
                    match is_write {
                        true => {
                            tally.written += 1;
                            tally.last_written = tally.tried;
                        }
                        false => tally.counted += 1,
                    }
                }
                reply => {
                    tally.unknown += u64::from(!is_write);
                    match reply {
                        Ok(_) => tally.errors += 1,
                        Err(_) => tally.unanswered += 1,
                    }
                    // The other server may be available.
                    (connection, at) = (None, 1 - at);
                    sleep(Duration::from_millis(2)).await;
                }
            }
        }
    }
    (own_session, tally)
}

/// The parts of a response that these tests need.
struct Reply {
    status: u16,
    text: String,
    sets_cookie: bool,
    head: String,
}

/// Creates a session with one value.
async fn begin(address: SocketAddr) -> Id {
    let unknown = Id::generate();
    let reply = ask(&mut None, address, "/set?name=last&value=0", &unknown).await;
    let head = reply.expect("a response").head;
    let (_, rest) = head.split_once("session_id=").expect("a session");
    Id::parse(&rest[..32]).expect("an id")
}

/// Sends a request on the kept connection, or on a new one.
async fn ask(
    connection: &mut Option<TcpStream>,
    address: SocketAddr,
    target: &str,
    id: &Id,
) -> io::Result<Reply> {
    let ask = async {
        let mut socket = match connection.take() {
            Some(socket) => socket,
            None => TcpStream::connect(address).await?,
        };
        let cookie = id.reveal();
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\nCookie: session_id={cookie}\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await?;
        let reply = receive(&mut socket).await?;
        if !reply.head.contains("\r\nconnection: close") {
            *connection = Some(socket);
        }
        Ok(reply)
    };
    timeout(RESPONSE_TIMEOUT, ask).await.expect("every request ends within the timeout")
}

async fn receive(socket: &mut TcpStream) -> io::Result<Reply> {
    let mut bytes = Vec::new();
    loop {
        if socket.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, content)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_ascii_lowercase();
        let length = head.split_once("\r\ncontent-length: ").expect("a length").1;
        let length = length.split("\r\n").next().unwrap_or_default();
        if content.len() < length.parse().expect("a number") {
            continue;
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        return Ok(Reply {
            status: status.expect("a status"),
            text: content.to_owned(),
            sets_cookie: head.contains("\r\nset-cookie"),
            head,
        });
    }
}

/// Lets the clients run for a random 5 to 45 ms.
async fn run_for_a_while(dice: &mut Dice) {
    let millis = u64::try_from(dice.throw(40)).expect("a small number");
    sleep(Duration::from_millis(5 + millis)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_a_server_loses_no_acknowledged_write() {
    let Some(mut setup) = Setup::open(&[]).await else { return };
    let mut dice = Dice(7);
    for kill in 0..KILLS {
        run_for_a_while(&mut dice).await;
        setup.processes[kill % 2].signal("KILL");
        drop(setup.replace(kill % 2));
    }
    setup.close(&format!("{KILLS} servers killed")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_one_server_shuts_down_the_other_takes_over() {
    let Some(mut setup) = Setup::open(&[]).await else { return };
    let mut dice = Dice(8);
    for stop in 0..KILLS / 2 {
        run_for_a_while(&mut dice).await;
        let old = setup.replace(stop % 2);
        old.signal("TERM");
        let ended = tokio::task::spawn_blocking(|| old.wait()).await.unwrap();
        assert!(ended.status.success(), "{:#?}", ended.log);
    }
    let (all, stored) = setup.close(&format!("{} servers shut down", KILLS / 2)).await;
    assert_eq!(all.errors, 0, "no response is an error");
    // A request without a response was not performed either, so the client may safely send it
    // to the other server.
    assert_eq!(stored, all.counted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_redis_has_every_acknowledged_write() {
    let Some(mut setup) = Setup::open(&DURABLE).await else { return };
    let mut dice = Dice(9);
    for _ in 0..KILLS / 2 {
        run_for_a_while(&mut dice).await;
        setup.redis.kill();
        run_for_a_while(&mut dice).await;
        setup.redis.restart();
        for process in &setup.processes {
            wait_until_serving(process.address(), &setup.shared.counter_session).await;
        }
    }
    setup.close(&format!("Redis killed {} times", KILLS / 2)).await;
}

/// Waits until a server has found Redis again. The session must be unchanged.
async fn wait_until_serving(address: SocketAddr, id: &Id) {
    let started = Instant::now();
    loop {
        let reply =
            ask(&mut None, address, "/get?name=last", id).await.expect("a response");
        if reply.status == 200 {
            assert_eq!(reply.text, "0", "the session is as it was");
            return;
        }
        assert!(started.elapsed() < RESPONSE_TIMEOUT, "the status is {}", reply.status);
        sleep(Duration::from_millis(5)).await;
    }
}
