//! Deterministic simulation testing of one connection. The clock is paused, and a simulated
//! client acts in random order: it sends requests, whole or in part, pipelined or not; reads or
//! does not; closes its side or resets. In between, handlers and streams are woken, and time
//! advances.
//!
//! The invariants: a future that was woken is polled, because it may hold a lock that others
//! wait for; a handler is dropped after its timeout; a client that reads nothing is dropped
//! after its timeout. Each schedule is generated from a seed, and a failure names the seed.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use dustdevil::http::buffered::Socket;
use dustdevil::http::connection;
use dustdevil::http::server_state::ServerState;
use dustdevil::{
    Application, Exchange, Limits, Method, RequestHandler, Result, Settings, handler,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Builder;
use tokio::task::unconstrained;
use tokio::time::{Instant, advance};

use crate::support::{server_state, settings};
use crate::webdriver::tell;

/// Number of schedules. Two threads share them.
const SCHEDULES: u64 = 100_000;

/// Number of events in one schedule.
const STEPS: u32 = 16;

const HANDLER_TIMEOUT: Duration = Duration::from_secs(10);
const WRITE_TIMEOUT: Duration = Duration::from_secs(4);

/// How late a timer may fire: tokio's timers have a resolution of one millisecond.
const PRECISION: Duration = Duration::from_millis(2);

/// A pseudorandom number generator (splitmix64): the same numbers for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// The handlers and streams that are running, and counts of what has happened.
#[derive(Default)]
struct Works {
    alive: BTreeMap<u64, Work>,
    created: u64,
    polled: u64,
}

struct Work {
    began: Instant,
    is_stream: bool,
    waker: Option<Waker>,
    /// `true` if it was woken and has not been polled since.
    is_woken: bool,
    /// How often it may continue after a wait.
    permits: u32,
}

type SharedWorks = Arc<Mutex<Works>>;

/// One handler or stream, registered until it is dropped.
struct Worker {
    works: SharedWorks,
    number: u64,
}

impl Worker {
    fn new(works: &SharedWorks, is_stream: bool) -> Worker {
        let mut all = works.lock().unwrap();
        let (number, began) = (all.created, Instant::now());
        all.created += 1;
        let work = Work { began, is_stream, waker: None, is_woken: false, permits: 0 };
        all.alive.insert(number, work);
        Worker { works: Arc::clone(works), number }
    }

    /// Waits until it is woken with a permit to continue.
    async fn wait(&self) {
        poll_fn(|context| {
            let mut works = self.works.lock().unwrap();
            works.polled += 1;
            let work = works.alive.get_mut(&self.number).unwrap();
            work.is_woken = false;
            match work.permits.checked_sub(1) {
                Some(left) => {
                    (work.permits, work.waker) = (left, None);
                    Poll::Ready(())
                }
                None => {
                    work.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.works.lock().unwrap().alive.remove(&self.number);
    }
}

/// Waits for permits, before its response or in the middle of it.
struct WorkHandler;

impl RequestHandler for WorkHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get, Method::Post];

    async fn initialize(exchange: &mut Exchange) -> Result<Self> {
        if exchange.request().method() == Method::Post {
            // The content arrives, or does not, while `initialize` runs.
            Worker::new(&*exchange.state::<SharedWorks>()?, false).wait().await;
        }
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let works = exchange.state::<SharedWorks>()?;
        match exchange.request().path() {
            "/stream" => {
                let worker = Worker::new(&works, true);
                exchange.stream(async move |sender| {
                    for _ in 0..3 {
                        worker.wait().await;
                        sender.send(vec![b'a'; 100]).await?;
                    }
                    Ok(())
                })
            }
            "/large" => exchange.write(vec![b'a'; 20_000]),
            _ => {
                Worker::new(&works, false).wait().await;
                exchange.write("done")
            }
        }
    }

    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        self.get(exchange).await
    }
}

/// The state of the simulated socket.
#[derive(Default)]
struct Pipe {
    input: Vec<u8>,
    is_closed: bool,
    is_reset: bool,
    /// Number of bytes that the client accepts now.
    writable: usize,
    wakers: Vec<Waker>,
    /// Time since which a write has waited for the client.
    blocked_since: Option<Instant>,
}

impl Pipe {
    fn wait<T>(&mut self, context: &Context<'_>) -> Poll<T> {
        self.wakers.push(context.waker().clone());
        Poll::Pending
    }
}

#[derive(Clone, Default)]
struct SimulatedSocket(Arc<Mutex<Pipe>>);

impl SimulatedSocket {
    fn pipe(&self) -> MutexGuard<'_, Pipe> {
        self.0.lock().unwrap()
    }

    /// Changes the state, and wakes all tasks that wait for it.
    fn change(&self, change: impl FnOnce(&mut Pipe)) {
        let mut pipe = self.pipe();
        change(&mut pipe);
        pipe.wakers.drain(..).for_each(Waker::wake);
    }
}

impl Socket for SimulatedSocket {
    async fn failed(&mut self) -> io::Error {
        poll_fn(|context| match &mut *self.pipe() {
            pipe if pipe.is_reset => Poll::Ready(io::ErrorKind::ConnectionReset.into()),
            pipe => pipe.wait(context),
        })
        .await
    }
}

impl AsyncRead for SimulatedSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut pipe = self.pipe();
        if pipe.is_reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let length = pipe.input.len().min(into.remaining());
        if length == 0 && !pipe.is_closed {
            return pipe.wait(context);
        }
        into.put_slice(&pipe.input[..length]);
        pipe.input.drain(..length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for SimulatedSocket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut pipe = self.pipe();
        if pipe.is_reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if pipe.writable == 0 {
            pipe.blocked_since.get_or_insert_with(Instant::now);
            return pipe.wait(context);
        }
        let written = bytes.len().min(pipe.writable);
        pipe.writable -= written;
        pipe.blocked_since = None;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The waker of the connection's task: `true` if it was woken.
struct TaskWaker(AtomicBool);

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The requests of the client: their handlers wait before the response or in the middle of it,
/// read content, or respond immediately.
const REQUESTS: [&str; 5] = [
    "GET /handler HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /handler HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd",
    "POST /stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n",
];

struct Simulation {
    application: Arc<Application>,
    state: Arc<ServerState>,
    works: SharedWorks,
}

impl Simulation {
    fn new() -> Simulation {
        let works = SharedWorks::default();
        let limits = Limits {
            write_timeout: WRITE_TIMEOUT,
            half_close_timeout: Duration::from_secs(3),
            ..Limits::default()
        };
        let settings = Settings {
            handler_timeout: HANDLER_TIMEOUT,
            limits,
            check_origin: false,
            ..settings()
        };
        let routes = ["/handler", "/stream", "/large"]
            .map(|path| (path, handler::<WorkHandler> as dustdevil::Handler));
        let application = Application::new(routes, settings).expect("an application");
        let application = Arc::new(application.state(Arc::clone(&works)));
        Simulation { state: server_state(&application), application, works }
    }

    /// Runs one schedule.
    async fn run(&self, seed: u64) {
        let mut random = Random(seed);
        let socket = SimulatedSocket::default();
        let admission = self.state.admit("127.0.0.1:50000".parse().unwrap());
        let mut serving = pin!(connection::serve(
            socket.clone(),
            Arc::clone(&self.application),
            admission
        ));
        let task_waker = Arc::new(TaskWaker(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&task_waker));
        let mut is_closed = false;
        // The rest of a request that the client has begun to send.
        let mut unsent: &[u8] = b"";
        let mut history = String::new();
        for _ in 0..STEPS {
            let step = random.below(16);
            history.push_str(&format!("{step} "));
            match step {
                0..4 => {
                    if unsent.is_empty() {
                        let index = random.below(REQUESTS.len() as u64);
                        unsent = REQUESTS[usize::try_from(index).unwrap()].as_bytes();
                    }
                    let whole = unsent.len() as u64;
                    let length =
                        if random.below(4) == 0 { random.below(whole) } else { whole };
                    let (sent, rest) = unsent.split_at(usize::try_from(length).unwrap());
                    unsent = rest;
                    socket.change(|pipe| pipe.input.extend(sent));
                }
                4..7 => {
                    let bytes = [1, 100, 1000, 1_000_000]
                        [usize::try_from(random.below(4)).unwrap()];
                    socket.change(|pipe| pipe.writable += bytes);
                }
                7..12 => self.wake_one(&mut random),
                12..15 => {
                    let max =
                        [10, 500, 3000, 11_000][usize::try_from(random.below(4)).unwrap()];
                    advance(Duration::from_millis(random.below(max) + 1)).await;
                }
                _ if random.below(2) == 0 => socket.change(|pipe| pipe.is_closed = true),
                _ => socket.change(|pipe| pipe.is_reset = true),
            }
            while !is_closed && task_waker.0.swap(false, Ordering::SeqCst) {
                let mut context = Context::from_waker(&waker);
                is_closed = serving.as_mut().poll(&mut context).is_ready();
            }
            let violation = self.violation(&socket, is_closed);
            assert!(violation.is_none(), "{violation:?}, seed {seed}, steps {history}");
        }
    }

    /// Wakes one of the handlers and streams, with a permit to continue or without (a spurious
    /// wake-up).
    fn wake_one(&self, random: &mut Random) {
        let mut works = self.works.lock().unwrap();
        let count = works.alive.len() as u64;
        if count == 0 {
            return;
        }
        let index = usize::try_from(random.below(count)).unwrap();
        let work = works.alive.values_mut().nth(index).unwrap();
        work.permits += u32::from(random.below(2) == 0);
        if let Some(waker) = work.waker.take() {
            work.is_woken = true;
            drop(works);
            waker.wake();
        }
    }

    /// Returns the invariant that is violated, if any, when the connection's task is waiting.
    fn violation(&self, socket: &SimulatedSocket, is_closed: bool) -> Option<&'static str> {
        let (works, pipe, now) =
            (self.works.lock().unwrap(), socket.pipe(), Instant::now());
        let alive = || works.alive.values();
        let is_late = |work: &Work| now - work.began > HANDLER_TIMEOUT + PRECISION;
        let is_stuck = |since: Instant| now - since > WRITE_TIMEOUT + PRECISION;
        if alive().any(|work| work.is_woken) {
            Some("a future was woken and is not polled")
        } else if alive().any(|work| !work.is_stream && is_late(work)) {
            Some("a handler runs after its timeout")
        } else if pipe.is_reset && !is_closed {
            Some("the client has disconnected and the connection is open")
        } else if pipe.blocked_since.is_some_and(is_stuck) && !is_closed {
            Some("the client reads nothing and the connection is open after its timeout")
        } else if is_closed && alive().next().is_some() {
            Some("the connection is closed and a handler or stream still runs")
        } else {
            None
        }
    }
}

#[test]
fn woken_futures_are_polled_in_any_state_of_the_socket() {
    let threads = [0, 1].map(|thread| {
        std::thread::spawn(move || {
            let runtime =
                Builder::new_current_thread().enable_time().start_paused(true).build();
            let simulation = Simulation::new();
            runtime.expect("a runtime").block_on(async {
                for seed in (thread..SCHEDULES).step_by(2) {
                    // The schedule decides what is polled, and not tokio's coop budget.
                    unconstrained(simulation.run(seed)).await;
                }
            });
            let works = simulation.works.lock().unwrap();
            (works.created, works.polled)
        })
    });
    let figures = threads.map(|thread| thread.join().expect("no schedule fails"));
    let [(created, polled), more] = figures;
    let (created, polled) = (created + more.0, polled + more.1);
    tell(&format!(
        "simulation: {SCHEDULES} schedules, {created} handlers and streams, polled {polled} times"
    ));
    assert!(created > SCHEDULES, "the schedules hardly do anything");
}
