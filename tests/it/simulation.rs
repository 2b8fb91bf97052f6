//! A simulation of one connection, with a clock that stands still and a client that does anything in
//! any order: it sends requests, whole or in part, behind one another; reads, or does not; closes its
//! side, or resets. Meanwhile handlers and streams are woken, and time passes.
//!
//! What must hold, whatever happens: work that was woken is polled, for it may hold a lock that others
//! wait for; a handler is dropped when its time is over; a client that takes nothing is dropped when
//! its time is. Each schedule is made of its seed, and a failure names it.

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

/// Schedules in all. Two threads share them.
const SCHEDULES: u64 = 100_000;

/// Things that happen in one schedule.
const STEPS: u32 = 16;

const HANDLER_TIME: Duration = Duration::from_secs(10);
const WRITE_TIME: Duration = Duration::from_secs(4);

/// What a timer may be late: tokio's have milliseconds.
const PRECISION: Duration = Duration::from_millis(2);

/// Numbers that look random (splitmix64), the same for the same seed.
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

/// Handlers and streams that are at work, and what was done to them.
#[derive(Default)]
struct Works {
    alive: BTreeMap<u64, Work>,
    made: u64,
    polled: u64,
}

struct Work {
    began: Instant,
    is_stream: bool,
    waker: Option<Waker>,
    /// It was woken and has not been polled since.
    is_woken: bool,
    /// How often it may go on.
    permits: u32,
}

type SharedWorks = Arc<Mutex<Works>>;

/// One handler or stream, for as long as it lives.
struct Worker {
    works: SharedWorks,
    number: u64,
}

impl Worker {
    fn new(works: &SharedWorks, is_stream: bool) -> Worker {
        let mut all = works.lock().unwrap();
        let (number, began) = (all.made, Instant::now());
        all.made += 1;
        let work = Work { began, is_stream, waker: None, is_woken: false, permits: 0 };
        all.alive.insert(number, work);
        Worker { works: Arc::clone(works), number }
    }

    /// Waits until it is woken with a permit to go on.
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

/// Works until it is let go, before its response or within it.
struct WorkHandler;

impl RequestHandler for WorkHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get, Method::Post];

    async fn initialize(exchange: &mut Exchange) -> Result<Self> {
        if exchange.request().method() == Method::Post {
            // Content comes, or does not, while the hook is at work.
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
                    Ok::<_, io::Error>(())
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

/// What goes through the socket.
#[derive(Default)]
struct Pipe {
    input: Vec<u8>,
    is_closed: bool,
    is_reset: bool,
    /// Bytes that the client takes now.
    room: usize,
    wakers: Vec<Waker>,
    /// Since when a write has waited for the client.
    blocked: Option<Instant>,
}

impl Pipe {
    fn wait<T>(&mut self, context: &Context<'_>) -> Poll<T> {
        self.wakers.push(context.waker().clone());
        Poll::Pending
    }
}

#[derive(Clone, Default)]
struct Simulated(Arc<Mutex<Pipe>>);

impl Simulated {
    fn pipe(&self) -> MutexGuard<'_, Pipe> {
        self.0.lock().unwrap()
    }

    /// Changes something, and wakes what waits for it.
    fn change(&self, change: impl FnOnce(&mut Pipe)) {
        let mut pipe = self.pipe();
        change(&mut pipe);
        pipe.wakers.drain(..).for_each(Waker::wake);
    }
}

impl Socket for Simulated {
    async fn failed(&mut self) -> io::Error {
        poll_fn(|context| match &mut *self.pipe() {
            pipe if pipe.is_reset => Poll::Ready(io::ErrorKind::ConnectionReset.into()),
            pipe => pipe.wait(context),
        })
        .await
    }
}

impl AsyncRead for Simulated {
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

impl AsyncWrite for Simulated {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut pipe = self.pipe();
        if pipe.is_reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if pipe.room == 0 {
            pipe.blocked.get_or_insert_with(Instant::now);
            return pipe.wait(context);
        }
        let written = bytes.len().min(pipe.room);
        pipe.room -= written;
        pipe.blocked = None;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Whether the task of the connection was woken.
struct Task(AtomicBool);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// What a client sends: requests that wait before their response or within it, that have content, or
/// that are answered at once.
const REQUESTS: [&str; 5] = [
    "GET /handler HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /handler HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd",
    "POST /stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n",
];

struct World {
    application: Arc<Application>,
    state: Arc<ServerState>,
    works: SharedWorks,
}

impl World {
    fn new() -> World {
        let works = SharedWorks::default();
        let limits = Limits {
            write_timeout: WRITE_TIME,
            half_close_timeout: Duration::from_secs(3),
            ..Limits::default()
        };
        let settings = Settings {
            handler_timeout: HANDLER_TIME,
            limits,
            check_origin: false,
            ..settings()
        };
        let routes = ["/handler", "/stream", "/large"]
            .map(|path| (path, handler::<WorkHandler> as dustdevil::Handler));
        let application = Application::new(routes, settings).expect("an application");
        let application = Arc::new(application.state(Arc::clone(&works)));
        World { state: server_state(&application), application, works }
    }

    /// Plays one schedule.
    async fn play(&self, seed: u64) {
        let mut random = Random(seed);
        let socket = Simulated::default();
        let admission = self.state.admit("127.0.0.1:50000".parse().unwrap());
        let mut serving = pin!(connection::serve(
            socket.clone(),
            Arc::clone(&self.application),
            admission
        ));
        let task = Arc::new(Task(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&task));
        let mut is_over = false;
        // What the client has begun to send.
        let mut unsent: &[u8] = b"";
        let mut history = String::new();
        for _ in 0..STEPS {
            let step = random.below(16);
            history.push_str(&format!("{step} "));
            match step {
                0..4 => {
                    if unsent.is_empty() {
                        let which = random.below(REQUESTS.len() as u64);
                        unsent = REQUESTS[usize::try_from(which).unwrap()].as_bytes();
                    }
                    let most = unsent.len() as u64;
                    let length =
                        if random.below(4) == 0 { random.below(most) } else { most };
                    let (sent, rest) = unsent.split_at(usize::try_from(length).unwrap());
                    unsent = rest;
                    socket.change(|pipe| pipe.input.extend(sent));
                }
                4..7 => {
                    let room = [1, 100, 1000, 1_000_000]
                        [usize::try_from(random.below(4)).unwrap()];
                    socket.change(|pipe| pipe.room += room);
                }
                7..12 => self.wake_one(&mut random),
                12..15 => {
                    let most =
                        [10, 500, 3000, 11_000][usize::try_from(random.below(4)).unwrap()];
                    advance(Duration::from_millis(random.below(most) + 1)).await;
                }
                _ if random.below(2) == 0 => socket.change(|pipe| pipe.is_closed = true),
                _ => socket.change(|pipe| pipe.is_reset = true),
            }
            while !is_over && task.0.swap(false, Ordering::SeqCst) {
                let mut context = Context::from_waker(&waker);
                is_over = serving.as_mut().poll(&mut context).is_ready();
            }
            let wrong = self.wrong(&socket, is_over);
            assert!(wrong.is_none(), "{wrong:?}, with the seed {seed}, steps {history}");
        }
    }

    /// Wakes one of those that wait, with a permit to go on or without.
    fn wake_one(&self, random: &mut Random) {
        let mut works = self.works.lock().unwrap();
        let count = works.alive.len() as u64;
        if count == 0 {
            return;
        }
        let which = usize::try_from(random.below(count)).unwrap();
        let work = works.alive.values_mut().nth(which).unwrap();
        work.permits += u32::from(random.below(2) == 0);
        if let Some(waker) = work.waker.take() {
            work.is_woken = true;
            drop(works);
            waker.wake();
        }
    }

    /// What is not as it should be, now that the connection waits for something to happen.
    fn wrong(&self, socket: &Simulated, is_over: bool) -> Option<&'static str> {
        let (works, pipe, now) =
            (self.works.lock().unwrap(), socket.pipe(), Instant::now());
        let alive = || works.alive.values();
        let is_late = |work: &Work| now - work.began > HANDLER_TIME + PRECISION;
        let is_stuck = |since: Instant| now - since > WRITE_TIME + PRECISION;
        if alive().any(|work| work.is_woken) {
            Some("work was woken, and is not polled")
        } else if alive().any(|work| !work.is_stream && is_late(work)) {
            Some("a handler is at work whose time is over")
        } else if pipe.is_reset && !is_over {
            Some("the client is gone, and the connection is not")
        } else if pipe.blocked.is_some_and(is_stuck) && !is_over {
            Some("the client takes nothing, and the connection goes on")
        } else if is_over && alive().next().is_some() {
            Some("the connection is over, and work for it is not")
        } else {
            None
        }
    }
}

#[test]
fn work_that_is_woken_is_polled_whatever_the_socket_does() {
    let threads = [0, 1].map(|thread| {
        std::thread::spawn(move || {
            let runtime =
                Builder::new_current_thread().enable_time().start_paused(true).build();
            let world = World::new();
            runtime.expect("a runtime").block_on(async {
                for seed in (thread..SCHEDULES).step_by(2) {
                    // The schedule decides what is polled, and not tokio's budget for a task.
                    unconstrained(world.play(seed)).await;
                }
            });
            let works = world.works.lock().unwrap();
            (works.made, works.polled)
        })
    });
    let figures = threads.map(|thread| thread.join().expect("no schedule fails"));
    let [(made, polled), more] = figures;
    let (made, polled) = (made + more.0, polled + more.1);
    tell(&format!(
        "simulation: {SCHEDULES} schedules, {made} handlers and streams, polled {polled} times"
    ));
    assert!(made > SCHEDULES, "the schedules hardly do anything");
}
