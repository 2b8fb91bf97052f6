//! Two servers on one Redis, and one after the other is killed, or told to stop, or Redis is killed,
//! while customers go on asking. What was answered is so, and stays so.

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
use crate::control_client::PATIENCE;
use crate::process::Process;
use crate::processes;
use crate::redis_server::{DURABLE, RedisServer};
use crate::webdriver::tell;

/// How often somebody is killed.
const KILLS: usize = 24;

/// Those who ask all the while, each with a session of their own, and all with one that they share.
const CUSTOMERS: usize = 6;

/// Two servers, one Redis, and customers.
struct Setup {
    redis: RedisServer,
    store: RedisStore,
    processes: [Process; 2],
    shared: Arc<Shared>,
    customers: Vec<JoinHandle<(Id, Ledger)>>,
}

/// What all customers know.
struct Shared {
    /// Where the servers are now.
    addresses: Mutex<[SocketAddr; 2]>,
    /// The session in which all of them count.
    common: Id,
    is_over: AtomicBool,
}

/// What one customer did.
#[derive(Default)]
struct Ledger {
    /// How many writes were answered.
    written: u64,
    /// The last number of which it was answered that it was written.
    last_written: u64,
    /// The last number that was to be written.
    tried: u64,
    /// How often it was answered that all have counted one more.
    counted: u64,
    /// How often nobody knows whether it was counted: nobody answered, or with an error.
    unknown: u64,
    /// Answers with an error.
    errors: u64,
    /// Requests that nobody answered.
    unanswered: u64,
    /// Answers that were wrong: of another session, or of none.
    wrong: u64,
}

impl Setup {
    /// `None`, where there is no Redis to be had.
    async fn open(options: &[&str]) -> Option<Setup> {
        let redis = RedisServer::start_with(options)?;
        let store = redis.store();
        let processes = [processes::start(&redis, &[]), processes::start(&redis, &[])];
        let addresses = Mutex::new([processes[0].address(), processes[1].address()]);
        let common = begin(processes[0].address()).await;
        let shared =
            Arc::new(Shared { addresses, common, is_over: AtomicBool::new(false) });
        let mut customers = Vec::new();
        for number in 0..CUSTOMERS {
            let own = begin(processes[0].address()).await;
            let shared = Arc::clone(&shared);
            customers.push(tokio::spawn(be_a_customer(shared, own, number % 2)));
        }
        Some(Setup { redis, store, processes, shared, customers })
    }

    /// Puts another server in the place of one.
    fn replace(&mut self, number: usize) -> Process {
        let process = processes::start(&self.redis, &[]);
        self.shared.addresses.lock().unwrap()[number] = process.address();
        std::mem::replace(&mut self.processes[number], process)
    }

    /// Lets the customers come to an end, and compares what they were told with what there is.
    /// Gives what they did in all, and what they counted to.
    async fn close(self, what: &str) -> (Ledger, u64) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        let mut all = Ledger::default();
        for customer in self.customers {
            let (own, ledger) = customer.await.expect("a customer comes back");
            let stored = number(&self.store, &own, "last").await;
            let range = ledger.last_written..=ledger.tried;
            assert!(range.contains(&stored), "{stored} is not in {range:?}");
            all.written += ledger.written;
            all.counted += ledger.counted;
            all.unknown += ledger.unknown;
            all.errors += ledger.errors;
            all.unanswered += ledger.unanswered;
            all.wrong += ledger.wrong;
        }
        let stored = number(&self.store, &self.shared.common, "visits").await;
        let Ledger { written, counted, unknown, errors, unanswered, wrong, .. } = all;
        tell(&format!(
            "crashes: {what}: {written} writes and {counted} counts answered, 0 of them lost; \
             {errors} answered with an error, {unanswered} not answered, {wrong} wrong"
        ));
        let range = counted..=counted + unknown;
        assert!(range.contains(&stored), "{stored} is not in {range:?}");
        assert_eq!(wrong, 0, "each customer kept their session");
        assert!(written > 0 && counted > 0);
        (all, stored)
    }
}

async fn number(store: &RedisStore, id: &Id, name: &str) -> u64 {
    let value = store.get(id.key(), name).await.expect("Redis is there");
    value.expect("the session is there").map_or(0, |value| value.parse().expect("a number"))
}

/// Writes and counts until it is over, at one server or the other.
async fn be_a_customer(shared: Arc<Shared>, own: Id, mut at: usize) -> (Id, Ledger) {
    let (mut ledger, mut connection) = (Ledger::default(), None);
    while !shared.is_over.load(Ordering::SeqCst) {
        ledger.tried += 1;
        let write = format!("/set?name=last&value={}", ledger.tried);
        for (target, id) in [(write.as_str(), &own), ("/count?name=visits", &shared.common)]
        {
            let is_write = id.key() == own.key();
            let address = shared.addresses.lock().unwrap()[at];
            match ask(&mut connection, address, target, id).await {
                Ok(answer) if answer.status == 200 => {
                    let is_right =
                        is_write || answer.text.parse().is_ok_and(|n: u64| n > 0);
                    ledger.wrong += u64::from(answer.sets_cookie || !is_right);
                    match is_write {
                        true => {
                            ledger.written += 1;
                            ledger.last_written = ledger.tried;
                        }
                        false => ledger.counted += 1,
                    }
                }
                answer => {
                    ledger.unknown += u64::from(!is_write);
                    match answer {
                        Ok(_) => ledger.errors += 1,
                        Err(_) => ledger.unanswered += 1,
                    }
                    // The other one may fare better.
                    (connection, at) = (None, 1 - at);
                    sleep(Duration::from_millis(2)).await;
                }
            }
        }
    }
    (own, ledger)
}

/// An answer, as far as it matters here.
struct Brief {
    status: u16,
    text: String,
    sets_cookie: bool,
    head: String,
}

/// Begins a session, with one value.
async fn begin(address: SocketAddr) -> Id {
    let nobody = Id::generate();
    let answer = ask(&mut None, address, "/set?name=last&value=0", &nobody).await;
    let head = answer.expect("an answer").head;
    let (_, rest) = head.split_once("session_id=").expect("a session");
    Id::parse(&rest[..32]).expect("an id")
}

/// Asks on a connection that is kept, or on a new one.
async fn ask(
    connection: &mut Option<TcpStream>,
    address: SocketAddr,
    target: &str,
    id: &Id,
) -> io::Result<Brief> {
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
        let answer = receive(&mut socket).await?;
        if !answer.head.contains("\r\nconnection: close") {
            *connection = Some(socket);
        }
        Ok(answer)
    };
    timeout(PATIENCE, ask).await.expect("whoever asks hears something")
}

async fn receive(socket: &mut TcpStream) -> io::Result<Brief> {
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
        return Ok(Brief {
            status: status.expect("a status"),
            text: content.to_owned(),
            sets_cookie: head.contains("\r\nset-cookie"),
            head,
        });
    }
}

/// Lets the customers go on for a moment that is another each time.
async fn carry_on(dice: &mut Dice) {
    let millis = u64::try_from(dice.throw(40)).expect("a small number");
    sleep(Duration::from_millis(5 + millis)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_a_server_loses_no_acknowledged_write() {
    let Some(mut site) = Setup::open(&[]).await else { return };
    let mut dice = Dice(7);
    for kill in 0..KILLS {
        carry_on(&mut dice).await;
        site.processes[kill % 2].signal("KILL");
        drop(site.replace(kill % 2));
    }
    site.close(&format!("{KILLS} servers killed")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_one_server_shuts_down_the_other_takes_over() {
    let Some(mut site) = Setup::open(&[]).await else { return };
    let mut dice = Dice(8);
    for stop in 0..KILLS / 2 {
        carry_on(&mut dice).await;
        let old = site.replace(stop % 2);
        old.signal("TERM");
        let ended = tokio::task::spawn_blocking(|| old.wait()).await.unwrap();
        assert!(ended.status.success(), "{:#?}", ended.log);
    }
    let (all, stored) = site.close(&format!("{} servers told to stop", KILLS / 2)).await;
    assert_eq!(all.errors, 0, "whoever is answered is answered well");
    // Whom nobody answered was not served either, so that they may ask the other one.
    assert_eq!(stored, all.counted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_redis_has_every_acknowledged_write() {
    let Some(mut site) = Setup::open(&DURABLE).await else { return };
    let mut dice = Dice(9);
    for _ in 0..KILLS / 2 {
        carry_on(&mut dice).await;
        site.redis.kill();
        carry_on(&mut dice).await;
        site.redis.restart();
        for process in &site.processes {
            wait_until_it_serves(process.address(), &site.shared.common).await;
        }
    }
    site.close(&format!("Redis killed {} times", KILLS / 2)).await;
}

/// Both servers are the same as before, and find Redis again.
async fn wait_until_it_serves(address: SocketAddr, id: &Id) {
    let began = Instant::now();
    loop {
        let answer =
            ask(&mut None, address, "/get?name=last", id).await.expect("an answer");
        if answer.status == 200 {
            assert_eq!(answer.text, "0", "the session is as it was");
            return;
        }
        assert!(began.elapsed() < PATIENCE, "it answers {}", answer.status);
        sleep(Duration::from_millis(5)).await;
    }
}
