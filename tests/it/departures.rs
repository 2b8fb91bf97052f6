//! Clients that disconnect, in every state of a connection: by a reset, by a half-close, or
//! because their host vanishes. Each test prints the time until the connection's slot is free:
//! the server no longer counts the connection, and the handler or stream that worked for it is
//! dropped.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dustdevil::{
    Application, Exchange, Limits, Method, RequestHandler, Result, Settings, handler,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use crate::support::{Running, change_address, in_network_namespace, serve, settings};
use crate::webdriver::tell;

/// The number of handlers and streams that are running.
type Working = Arc<AtomicUsize>;

/// Counts a handler or stream until it is dropped.
struct Guard(Working);

impl Guard {
    fn new(working: &Working) -> Guard {
        working.fetch_add(1, Ordering::SeqCst);
        Guard(Arc::clone(working))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Waits forever, before its response or in the middle of it; or sends a large or small
/// response.
struct WaitingHandler;

impl RequestHandler for WaitingHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get, Method::Post];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let guard = Guard::new(&*exchange.state::<Working>()?);
        match exchange.request().path() {
            "/stream" => exchange.stream(async move |sender| {
                let _guard = guard;
                sender.send("first").await?;
                std::future::pending().await
            }),
            "/page" => exchange.write(vec![b'a'; LARGE]),
            "/hello" => exchange.write("Hello, world!"),
            _ => std::future::pending().await,
        }
    }

    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        exchange.write("done")
    }
}

/// Size of a response in bytes: more than all socket buffers hold.
const LARGE: usize = 32 * 1024 * 1024;

/// The states of a connection: name, what the client sends to reach it, and what it then waits
/// to receive.
const STATES: [(&str, &str, &str); 8] = [
    ("idle", "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n", "Hello, world!"),
    ("head", "GET /hello HTTP/1.1\r\nHost", ""),
    ("content", "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab", ""),
    ("handler running", "GET /handler HTTP/1.1\r\nHost: a\r\n\r\n", ""),
    ("stream waiting", "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n", "first"),
    (
        "file being sent",
        "GET /static/large.bin HTTP/1.1\r\nHost: a\r\n\r\n",
        "HTTP/1.1 200 OK\r\n",
    ),
    ("response buffered", "GET /page HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\n"),
    ("lingering close", "no request\r\n\r\n", "Connection: close\r\n"),
];

/// Limits short enough to wait for, and different enough to be distinguished by their times.
fn limits() -> Limits {
    Limits {
        head_timeout: Duration::from_secs(4),
        content_timeout: Duration::from_secs(4),
        idle_timeout: Duration::from_secs(4),
        write_timeout: Duration::from_secs(4),
        half_close_timeout: Duration::from_secs(3),
        ..Limits::default()
    }
}

async fn server(working: &Working) -> Running {
    static DIRECTORY: LazyLock<PathBuf> = LazyLock::new(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("departures");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("large.bin"), vec![b'a'; LARGE]).unwrap();
        directory
    });
    let settings = Settings {
        static_path: DIRECTORY.clone(),
        limits: limits(),
        check_origin: false,
        // Keepalive times are whole seconds: 2, and three probes one second apart.
        tcp_keepalive: Duration::from_secs(4),
        ..settings()
    };
    let routes = ["/hello", "/handler", "/stream", "/page"]
        .map(|path| (path, handler::<WaitingHandler> as dustdevil::Handler));
    serve(Application::new(routes, settings).unwrap().state(Arc::clone(working))).await
}

/// Connects a client and brings its connection to a state.
async fn client(address: SocketAddr, from: SocketAddr, state: usize) -> TcpStream {
    let (_, request, wanted) = STATES[state];
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind(from).unwrap();
    let mut socket = socket.connect(address).await.expect("a connection");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut received = Vec::new();
    while !String::from_utf8_lossy(&received).contains(wanted) {
        let mut byte = [0; 1];
        socket.read_exact(&mut byte).await.expect(STATES[state].0);
        received.extend(byte);
    }
    socket
}

/// Waits until the server has reached the state, calls `disconnect`, and returns the time until
/// the slot is free.
async fn time_until_free<T>(
    server: &Running,
    working: &Working,
    disconnect: impl AsyncFnOnce() -> T,
) -> Duration {
    let is_open = || server.state.connections() == 1;
    while !is_open() {
        sleep(Duration::from_millis(1)).await;
    }
    // By then the server has read the request and waits.
    sleep(Duration::from_millis(100)).await;
    let disconnected = Instant::now();
    // Keeps a socket that the client has not closed open until the slot is free.
    let _open = disconnect().await;
    let is_free = async {
        while is_open() || working.load(Ordering::SeqCst) > 0 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    let freed = timeout(Duration::from_secs(30), is_free).await;
    let (open, working) = (is_open(), working.load(Ordering::SeqCst));
    assert!(freed.is_ok(), "never free: open is {open}, {working} handlers and streams");
    disconnected.elapsed()
}

const ANYWHERE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_frees_the_slot_within_a_second() {
    let working = Working::default();
    let server = server(&working).await;
    for (number, (state, ..)) in STATES.iter().enumerate() {
        let socket = client(server.address, ANYWHERE, number).await;
        let reset = async || socket.set_zero_linger().map(|()| drop(socket));
        let time = time_until_free(&server, &working, reset).await;
        tell(&format!("departure: reset, {state}: free after {time:.1?}"));
        assert!(time < Duration::from_secs(1), "{state}: {time:?}");
    }
}

/// The server notices the reset even if pipelined requests fill its input buffer, so that it
/// does not read until EOF.
#[tokio::test(flavor = "multi_thread")]
async fn a_reset_after_pipelined_requests_frees_the_slot_within_a_second() {
    let working = Working::default();
    let server = server(&working).await;
    let mut socket = client(server.address, ANYWHERE, 3).await;
    let more = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000);
    let sent = timeout(Duration::from_secs(1), socket.write_all(more.as_bytes())).await;
    assert!(sent.is_ok(), "the kernel must accept them, or the reset proves nothing");
    let reset = async || socket.set_zero_linger().map(|()| drop(socket));
    let time = time_until_free(&server, &working, reset).await;
    tell(&format!("departure: reset, after 1,000 more requests: free after {time:.1?}"));
    assert!(time < Duration::from_secs(1), "{time:?}");
}

/// A client that closes its side may still read, so it gets the responses to its requests. The
/// server waits for it no longer than the timeout of the state.
#[tokio::test(flavor = "multi_thread")]
async fn a_half_close_frees_the_slot_within_its_timeout() {
    // In seconds: immediately, half_close_timeout, or write_timeout.
    let timeouts = [0, 0, 0, 3, 3, 4, 4, 0];
    let rows = (0..STATES.len()).map(async |number| {
        let working = Working::default();
        let server = server(&working).await;
        let mut socket = client(server.address, ANYWHERE, number).await;
        let half_close = async || {
            socket.shutdown().await.unwrap();
            socket
        };
        (number, time_until_free(&server, &working, half_close).await)
    });
    for (number, time) in join_all(rows).await {
        let (state, timeout) = (STATES[number].0, Duration::from_secs(timeouts[number]));
        tell(&format!("departure: half-close, {state}: free after {time:.1?}"));
        let is_on_time = time + Duration::from_millis(300) > timeout
            && time < timeout + Duration::from_secs(1);
        assert!(is_on_time, "{state}: {time:?}");
    }
}

/// Runs futures concurrently and returns their results in the order of completion.
async fn join_all<W: Future>(rows: impl IntoIterator<Item = W>) -> Vec<W::Output> {
    let mut rows: Vec<_> = rows.into_iter().map(|row| Some(Box::pin(row))).collect();
    let mut done = Vec::new();
    poll_fn(|context| {
        for slot in &mut rows {
            if let Some(row) = slot
                && let Poll::Ready(outcome) = row.as_mut().poll(context)
            {
                done.push(outcome);
                *slot = None;
            }
        }
        if done.len() == rows.len() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done
}

/// A vanished host sends neither FIN nor RST. The test removes its address from a network
/// namespace.
#[tokio::test(flavor = "multi_thread")]
async fn a_vanished_host_frees_the_slot_within_its_timeout() {
    in_network_namespace(
        "departures::a_vanished_host_frees_the_slot_within_its_timeout",
        remove_hosts,
    )
    .await;
}

async fn remove_hosts() {
    let ip = |verb: &str, host: &str| change_address(verb, &format!("{host}/32"));
    let rows = (0..STATES.len()).map(async |number| {
        let working = Working::default();
        let server = server(&working).await;
        let host = format!("10.9.9.{}", number + 1);
        ip("add", &host);
        let from = format!("{host}:0").parse().unwrap();
        let socket = client(server.address, from, number).await;
        let vanish = async || {
            ip("del", &host);
            socket
        };
        (number, time_until_free(&server, &working, vanish).await)
    });
    for (number, time) in join_all(rows).await {
        let state = STATES[number].0;
        tell(&format!("departure: host vanished, {state}: free after {time:.1?}"));
        // Every timeout is 4 seconds here, followed by a lingering close of 2.
        assert!(time < Duration::from_secs(7), "{state}: {time:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn event_streams_of_disconnected_clients_do_not_block_new_ones() {
    let working = Working::default();
    let settings = Settings { max_connections: 20, ..settings() };
    let routes = ["/hello", "/stream"]
        .map(|path| (path, handler::<WaitingHandler> as dustdevil::Handler));
    let application = Application::new(routes, settings).unwrap();
    let server = serve(application.state(Arc::clone(&working))).await;
    for _ in 0..21 {
        let socket = client(server.address, ANYWHERE, 4).await;
        socket.set_zero_linger().unwrap();
    }
    let begun = Instant::now();
    let mut newcomer = server.connect().await;
    let reply = timeout(Duration::from_secs(10), newcomer.ask("GET /hello")).await;
    assert_eq!(reply.expect("a response").text(), "Hello, world!");
    let time = begun.elapsed();
    tell(&format!(
        "departure: 21 event streams reset in 20 slots; the next client waits {time:.1?}"
    ));
    assert!(time < Duration::from_secs(1), "{time:?}");
}

/// Sends its last bytes when the server shuts down: an event stream and a long poll.
struct EventsHandler;

impl RequestHandler for EventsHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let shutdown = exchange.shutdown();
        if exchange.request().path() == "/poll" {
            shutdown.begun().await;
            return exchange.write("bye");
        }
        exchange.stream(async move |sender| {
            sender.send("hello, ").await?;
            shutdown.begun().await;
            Ok(sender.send(Bytes::from_static(b"bye")).await?)
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_streams_and_handlers_are_notified_of_the_shutdown() {
    let settings = Settings { drain_timeout: Duration::from_secs(30), ..settings() };
    let routes = ["/events", "/poll"]
        .map(|path| (path, handler::<EventsHandler> as dustdevil::Handler));
    let mut server = serve(Application::new(routes, settings).unwrap()).await;
    let mut listening = server.connect().await;
    listening.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut polling = server.connect().await;
    polling.send("GET /poll HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(listening.receive_head().await.status, 200);
    sleep(Duration::from_millis(50)).await;
    let begun = Instant::now();
    server.begin_shutdown();
    assert_eq!(polling.receive().await.text(), "bye");
    drop(polling);
    let events = listening.rest().await;
    assert!(String::from_utf8_lossy(&events).ends_with("3\r\nbye\r\n0\r\n\r\n"));
    drop(listening);
    server.stop().await;
    let time = begun.elapsed();
    tell(&format!("departure: shutdown with an event stream and a long poll: {time:.1?}"));
    assert!(time < Duration::from_secs(1), "{time:?}");
}
