//! Tests of the connection that a transcript cannot express: timeouts, several clients, several
//! writes.
//!
//! The tests use tokio's paused clock: when no task can run, the clock jumps to the next timer,
//! so a minute passes instantly. Waiting for a socket also lets the clock jump. The next timer
//! is then at most a second away, because the store sweeps every second. So a timeout is met
//! within a few seconds, and not to the millisecond.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use dustdevil::http::buffered::Socket;
use dustdevil::http::connection;
use dustdevil::{
    Application, Exchange, Limits, Method, RequestHandler, Result, Settings, handler,
};
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex,
};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};

use crate::support::{Client, Running, serve, server_state, settings};
use crate::transcripts::{self, BrokenStreamHandler, EchoHandler, HelloHandler};

const HELLO: &str = "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// The head of a request whose content follows later.
const POST_400_KB: &str =
    "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 400000\r\n\r\n";

const ECHO_OF_1_MIB: &str =
    "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048576\r\n\r\n";

const LARGE_ECHO: &str =
    "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n";

fn application(settings: Settings) -> Application {
    Application::new(
        [
            ("/hello", handler::<HelloHandler>),
            ("/echo", handler::<EchoHandler>),
            ("/slow", handler::<SlowHandler>),
            ("/slow-stream", handler::<SlowStreamHandler>),
            ("/broken-stream", handler::<BrokenStreamHandler>),
            ("/large", handler::<LargeHandler>),
        ],
        settings,
    )
    .expect("the application is whole")
}

/// Sleeps for the requested number of seconds.
struct SlowHandler;

impl RequestHandler for SlowHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let seconds = exchange.get_query_argument("seconds")?.parse().unwrap_or(0);
        sleep(Duration::from_secs(seconds)).await;
        exchange.write("at last")
    }
}

/// Sleeps for five seconds before each part of the stream.
struct SlowStreamHandler;

impl RequestHandler for SlowStreamHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        exchange.stream(|sender| async move {
            for word in ["at", "last"] {
                sleep(Duration::from_secs(5)).await;
                sender.send(word).await?;
            }
            Ok(())
        })
    }
}

/// More than all socket buffers hold.
const LARGE: usize = 32 * 1024 * 1024;

struct LargeHandler;

impl RequestHandler for LargeHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        exchange.write(vec![b'a'; LARGE])
    }
}

async fn server() -> Running {
    serve(application(settings())).await
}

/// Returns `true` if so many seconds have passed, with a tolerance of five.
fn is_about(seconds: u64, since: Instant) -> bool {
    (seconds..seconds + 5).contains(&since.elapsed().as_secs())
}

/// A slowloris attack keeps connections occupied with heads that never end. The timeout starts
/// with the first byte, and further bytes do not extend it.
#[tokio::test(start_paused = true)]
async fn a_head_has_ten_seconds_from_its_first_byte() {
    let server = server().await;
    let mut client = server.connect().await;
    sleep(Duration::from_secs(30)).await;
    let started = Instant::now();
    client.send("GET /hello").await;
    sleep(Duration::from_secs(6)).await;
    client.send(" HTTP/1.1\r\n").await;
    let reply = client.receive().await;
    assert_eq!(reply.status, 408);
    assert_eq!(reply.field("Connection"), Some("close"));
    assert!(is_about(10, started), "{:?}", started.elapsed());
    assert!(client.is_closed().await);
}

#[tokio::test(start_paused = true)]
async fn content_above_the_minimum_rate_is_not_cut_off() {
    let server = server().await;
    let mut client = server.connect().await;
    client.send(POST_400_KB).await;
    // 10 kB/s for 40 seconds, as a phone with a poor connection may have it, and then for half
    // a minute just above the minimum rate.
    for _ in 0..39 {
        client.send(vec![b'a'; 10_000]).await;
        sleep(Duration::from_secs(1)).await;
    }
    for _ in 0..20 {
        client.send([b'a'; 500]).await;
        sleep(Duration::from_millis(1900)).await;
    }
    let reply = client.receive().await;
    assert_eq!(
        (reply.status, reply.content.len()),
        (200, "POST /echo\r\n".len() + 400_000)
    );
}

#[tokio::test(start_paused = true)]
async fn content_has_an_hour_in_total() {
    let server = server().await;
    let mut client = server.connect().await;
    let started = Instant::now();
    client.send(ECHO_OF_1_MIB).await;
    // Faster than the minimum rate.
    while started.elapsed().as_secs() < 3600 - 1 {
        client.send([b'a'; 280]).await;
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(client.receive().await.status, 408);
    assert!(is_about(3600, started), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_handler_timeout_does_not_include_the_arrival_of_content() {
    let settings = Settings { handler_timeout: Duration::from_secs(5), ..settings() };
    let server = serve(application(settings)).await;
    let mut client = server.connect().await;
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n").await;
    for _ in 0..10 {
        sleep(Duration::from_secs(1)).await;
        client.send("ab").await;
    }
    assert_eq!(client.receive().await.status, 200);
}

/// The same attack with content. A fixed timeout would cut off slow but honest clients, so the
/// server requires a minimum rate after a grace period.
#[tokio::test(start_paused = true)]
async fn content_below_the_minimum_rate_is_refused() {
    let server = server().await;
    let mut client = server.connect().await;
    let started = Instant::now();
    client.send(LARGE_ECHO).await;
    client.send([b'a'; 512]).await;
    // 15 seconds of grace period, and one more for each 256 bytes.
    assert_eq!(client.receive().await.status, 408);
    assert!(is_about(17, started), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_without_a_response() {
    let server = server().await;
    let mut client = server.connect().await;
    assert_eq!(client.ask("GET /hello").await.status, 200);
    let started = Instant::now();
    assert!(client.is_closed().await);
    assert!(is_about(60, started), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_stays_open_without_an_idle_timeout() {
    let limits = Limits { idle_timeout: Duration::MAX, ..Limits::default() };
    let server = serve(application(Settings { limits, ..settings() })).await;
    let mut client = server.connect().await;
    for _ in 0..3 {
        assert_eq!(client.ask("GET /hello").await.status, 200);
        sleep(Duration::from_secs(3600)).await;
    }
}

/// The idle timer is armed at different points of a connection's work, and must fire after
/// each.
#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_in_time_whatever_it_did_before() {
    // The paused clock jumps whenever all tasks wait, also while the kernel still delivers the
    // large response; with a shorter timeout, such a jump could cut it off.
    let limits = Limits { write_timeout: Duration::MAX, ..Limits::default() };
    let server = serve(application(Settings { limits, ..settings() })).await;
    for request in ["GET /hello", "GET /slow?seconds=20", "GET /large"] {
        for milliseconds in [0, 249, 250, 251, 30_000] {
            let mut client = server.connect().await;
            sleep(Duration::from_millis(milliseconds)).await;
            client.ask(request).await;
            client.ask("GET /hello").await;
            let started = Instant::now();
            assert!(client.is_closed().await);
            let elapsed = started.elapsed();
            assert!(
                is_about(60, started),
                "{request} after {milliseconds} ms: {elapsed:?}"
            );
        }
    }
}

/// tokio gives a task a budget per poll (cooperative scheduling). With the budget used up, even
/// a timer returns `Pending` without registering a waker, so the idle timeout could be lost.
#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_in_time_after_many_pipelined_requests() {
    let application = Arc::new(application(settings()));
    let state = server_state(&application);
    let peer = "127.0.0.1:50000".parse().unwrap();
    for requests in 50..80 {
        let (mut client, socket) = duplex(1024 * 1024);
        let socket =
            CountingSocket { socket, writes: Arc::default(), max_read: HELLO.len() };
        client.write_all(HELLO.repeat(requests).as_bytes()).await.unwrap();
        yield_now().await;
        let started = Instant::now();
        let serving =
            connection::serve(socket, Arc::clone(&application), state.admit(peer));
        timeout(Duration::from_secs(300), serving)
            .await
            .expect("the connection is closed in the end");
        assert!(is_about(60, started), "{requests} requests: {:?}", started.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stops_reading_is_dropped() {
    let server = server().await;
    let mut client = server.connect().await;
    client.send("GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    sleep(Duration::from_secs(40)).await;
    let received = client.rest().await.len();
    assert!(received > 0 && received < LARGE, "{received} bytes");
}

/// Idle keep-alive connections are closed to free slots for new ones, like nginx's "reusable
/// connections".
#[tokio::test(start_paused = true)]
async fn at_the_connection_limit_the_longest_idle_connection_is_closed() {
    let settings = Settings { max_connections: 2, ..settings() };
    let server = serve(application(settings)).await;
    let mut first = server.connect().await;
    let mut second = server.connect().await;
    assert_eq!(first.ask("GET /hello").await.status, 200);
    assert_eq!(second.ask("GET /hello").await.status, 200);
    sleep(Duration::from_millis(10)).await;
    assert_eq!(first.ask("GET /hello").await.status, 200);
    let started = Instant::now();
    let mut third = server.connect().await;
    assert_eq!(third.ask("GET /hello").await.status, 200);
    assert!(second.is_closed().await);
    assert_eq!(first.ask("GET /hello").await.status, 200);
    assert!(is_about(0, started), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn at_the_connection_limit_a_new_connection_has_time_to_send_a_request() {
    let settings = Settings { max_connections: 1, ..settings() };
    let server = serve(application(settings)).await;
    let mut busy = server.connect().await;
    busy.send("GET /slow?seconds=20 HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    sleep(Duration::from_secs(1)).await;
    let mut new_client = server.connect().await;
    sleep(Duration::from_millis(200)).await;
    assert_eq!(new_client.ask("GET /hello").await.status, 200);
    // A connection that stays idle is closed to free its slot.
    assert!(new_client.is_closed().await);
    assert_eq!(busy.receive().await.text(), "at last");
}

#[tokio::test(start_paused = true)]
async fn an_eviction_is_cancelled_when_another_connection_ends() {
    let settings = Settings { max_connections: 1, ..settings() };
    let server = serve(application(settings)).await;
    let mut first = server.connect().await;
    first
        .send(
            "GET /slow?seconds=2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        )
        .await;
    sleep(Duration::from_secs(1)).await;
    let mut second = server.connect().await;
    second.send("GET /slow?seconds=2 HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(first.receive().await.text(), "at last");
    assert!(first.is_closed().await);
    drop(first);
    assert_eq!(second.receive().await.text(), "at last");
    sleep(Duration::from_secs(30)).await;
    assert_eq!(second.ask("GET /hello").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn with_all_connections_busy_new_ones_wait_in_the_backlog() {
    let settings = Settings { max_connections: 2, ..settings() };
    let server = serve(application(settings)).await;
    let slow = "GET /slow?seconds=20 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut busy = Vec::new();
    for _ in 0..3 {
        let mut client = server.connect().await;
        client.send(slow).await;
        sleep(Duration::from_secs(1)).await;
        busy.push(client);
    }
    let mut next = server.connect().await;
    next.send(HELLO).await;
    let waited = timeout(Duration::from_secs(10), next.receive()).await;
    assert!(waited.is_err(), "the last client gets no response yet");
    for client in &mut busy {
        assert_eq!(client.receive().await.text(), "at last");
    }
    assert_eq!(next.receive().await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_closes_idle_connections() {
    let mut server = server().await;
    let mut used = server.connect().await;
    let mut fresh = server.connect().await;
    assert_eq!(used.ask("GET /hello").await.status, 200);
    let started = Instant::now();
    server.begin_shutdown();
    assert!(used.is_closed().await);
    assert!(fresh.is_closed().await);
    server.stop().await;
    assert!(is_about(0, started), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_request_in_flight_at_shutdown_is_answered() {
    let mut server = server().await;
    let mut used = server.connect().await;
    let mut fresh = server.connect().await;
    assert_eq!(used.ask("GET /hello").await.status, 200);
    // The grace period starts at the shutdown, however long a connection has been idle before.
    sleep(Duration::from_millis(240)).await;
    server.begin_shutdown();
    sleep(Duration::from_millis(240)).await;
    for client in [&mut used, &mut fresh] {
        let reply = client.ask("GET /hello").await;
        assert_eq!((reply.status, reply.field("Connection")), (200, Some("close")));
    }
    drop((used, fresh));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_begun_to_send_content_gets_no_100_continue() {
    let server = server().await;
    let mut client = server.connect().await;
    let head =
        "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5";
    client.send(format!("{head}\r\n\r\nhel")).await;
    sleep(Duration::from_secs(1)).await;
    client.send("lo").await;
    let reply = client.receive().await;
    assert_eq!((reply.status, reply.text().as_str()), (200, "POST /echo\r\nhello"));
}

#[tokio::test]
async fn a_connection_in_the_backlog_at_shutdown_is_answered() {
    let (stop, stopped) = oneshot::channel::<()>();
    let listening = application(settings()).listen("127.0.0.1:0").await.unwrap();
    let address = listening.local_addr().unwrap();
    let mut clients = Vec::new();
    // More than the server accepts in one batch.
    for _ in 0..500 {
        let mut client = Client::connect(address).await;
        client.send(HELLO).await;
        clients.push(client);
    }
    // The shutdown starts before any connection is accepted.
    stop.send(()).unwrap();
    let server = tokio::spawn(listening.run_until(async {
        let _ = stopped.await;
    }));
    for mut client in clients {
        assert_eq!(client.receive().await.text(), "Hello, world!");
    }
    server.await.unwrap();
}

/// Graceful shutdown: requests in flight are completed, and `Connection: close` tells their
/// clients.
#[tokio::test(start_paused = true)]
async fn a_server_that_stops_answers_what_it_has_begun() {
    let mut server = server().await;
    let mut client = server.connect().await;
    client.send("GET /slow?seconds=8 HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    sleep(Duration::from_secs(3)).await;
    server.begin_shutdown();
    let reply = client.receive().await;
    assert_eq!(reply.text(), "at last");
    assert_eq!(reply.field("Connection"), Some("close"));
    assert!(client.is_closed().await);
    drop(client);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_waits_ten_seconds_at_most() {
    let server = server().await;
    let mut client = server.connect().await;
    client.send("GET /slow?seconds=50 HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    sleep(Duration::from_secs(3)).await;
    let started = Instant::now();
    server.stop().await;
    assert!(is_about(10, started), "{:?}", started.elapsed());
    assert!(client.is_closed().await);
}

/// Lingering close: if the server closed the socket with unread bytes in it, the kernel would
/// send RST, and the client might never see the response. So the server half-closes, and reads
/// and discards for a while.
#[tokio::test]
async fn a_refusal_arrives_even_if_the_client_goes_on_sending() {
    let server = server().await;
    let mut client = server.connect().await;
    client
        .send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000000\r\n\r\n")
        .await;
    for _ in 0..64 {
        client.send(vec![b'a'; 16 * 1024]).await;
    }
    assert_eq!(client.receive().await.status, 413);
    assert!(client.is_closed().await);
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn the_last_response_arrives_even_if_more_requests_follow() {
    let server = server().await;
    let mut client = server.connect().await;
    let last = "GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    client.send(format!("{last}{HELLO}")).await;
    for _ in 0..64 {
        client.send(HELLO.repeat(400)).await;
    }
    assert_eq!(client.receive().await.text(), "Hello, world!");
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_large_last_response_arrives_even_if_bytes_follow_its_request() {
    let server = server().await;
    for version in ["1.0\r\n", "1.1\r\nHost: localhost\r\nConnection: close\r\n"] {
        let mut client = Client::connect_with_small_receive_buffer(server.address).await;
        client.send(format!("GET /large HTTP/{version}\r\n")).await;
        assert_eq!(client.receive_head().await.status, 200);
        // If the server closed with these bytes unread, the kernel would send RST and discard
        // the response.
        client.send("\r\n").await;
        assert_eq!(client.rest().await.len(), LARGE);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_half_closed_may_wait_for_its_response() {
    let server = server().await;
    for (slow, expected) in [("/slow?seconds=8", "at last"), ("/slow-stream", "atlast")] {
        let mut client = server.connect().await;
        client.send(format!("GET {slow} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        client.half_close().await;
        assert_eq!(client.receive().await.text(), expected);
        assert!(client.is_closed().await);
    }
}

#[tokio::test]
async fn a_panic_affects_no_other_request() {
    let server = serve(transcripts::application(settings())).await;
    let mut before = server.connect().await;
    assert_eq!(before.ask("GET /hello").await.status, 200);
    assert_eq!(server.connect().await.ask("GET /panic").await.status, 500);
    assert_eq!(before.ask("GET /hello").await.status, 200);
    assert_eq!(server.connect().await.ask("GET /hello").await.status, 200);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_response_does_not_delay_the_response_before_it() {
    let server = server().await;
    for slow in ["/slow?seconds=8", "/slow-stream"] {
        let mut client = server.connect().await;
        let started = Instant::now();
        client.send(format!("{HELLO}GET {slow} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        assert_eq!(client.receive().await.text(), "Hello, world!");
        assert!(is_about(0, started), "{:?}", started.elapsed());
        client.receive().await;
        assert!(started.elapsed().as_secs() >= 8, "{:?}", started.elapsed());
    }
}

/// A close-delimited response that is cut off looks complete. A reset tells the client that it
/// is not.
#[tokio::test]
async fn in_http_1_0_an_aborted_response_ends_in_a_reset() {
    let server = server().await;
    for target in ["/broken-stream", "/broken-stream?panic"] {
        let mut socket = TcpStream::connect(server.address).await.unwrap();
        let request = format!("GET {target} HTTP/1.0\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let error = socket.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{target}");
    }
}

#[tokio::test]
async fn an_aborted_response_does_not_discard_earlier_responses() {
    let server = server().await;
    for target in ["/broken-stream", "/broken-stream?panic"] {
        let mut client = server.connect().await;
        let broken = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        client.send(format!("{HELLO}{broken}")).await;
        assert_eq!(client.receive().await.text(), "Hello, world!");
        assert_eq!(client.receive_head().await.status, 200);
        assert_eq!(client.rest().await, b"5\r\nonce \r\n", "{target}");
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_chunk_of_a_stream_is_sent_before_the_next_is_produced() {
    let server = server().await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    let started = Instant::now();
    socket
        .write_all(b"GET /slow-stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut received = Vec::new();
    while !received.ends_with(b"2\r\nat\r\n") {
        assert!(socket.read_buf(&mut received).await.unwrap() > 0, "the stream goes on");
    }
    assert!(is_about(5, started), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_head_may_come_byte_by_byte() {
    let server = server().await;
    let mut client = server.connect().await;
    for byte in HELLO.bytes() {
        client.send([byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.receive().await.text(), "Hello, world!");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_wrong_line_is_refused_before_the_head_is_whole() {
    let server = server().await;
    let mut client = server.connect().await;
    let started = Instant::now();
    client.send("BR").await;
    sleep(Duration::from_secs(1)).await;
    client.send("EW /hello HTTP/1.1\r\n").await;
    assert_eq!(client.receive().await.status, 501);
    assert!(is_about(1, started), "{:?}", started.elapsed());
    let mut client = server.connect().await;
    client.send("GET /hello HTTP/1.1\r\nHost: localhost\r\nX: ").await;
    sleep(Duration::from_secs(1)).await;
    client.send("\0").await;
    assert_eq!(client.receive().await.status, 400);
    assert!(is_about(2, started), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_partly_sent_response_is_not_sent_again_after_a_handler_timeout() {
    let (mut client, socket) = duplex(100);
    let settings = Settings { handler_timeout: Duration::from_secs(1), ..settings() };
    let application = Arc::new(application(settings));
    let conversation = async move {
        let requests = ["/hello", "/slow?seconds=10"]
            .map(|target| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        client.write_all(requests.concat().as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        // The first response is being written meanwhile; the client does not read it.
        sleep(Duration::from_secs(2)).await;
        let mut responses = String::new();
        let _ =
            timeout(Duration::from_secs(5), client.read_to_string(&mut responses)).await;
        responses
    };
    let state = server_state(&application);
    let peer = "127.0.0.1:50000".parse().unwrap();
    let serving = timeout(
        Duration::from_secs(100),
        connection::serve(socket, Arc::clone(&application), state.admit(peer)),
    );
    let (responses, _) = tokio::join!(conversation, serving);
    let (first, second) =
        responses.split_once("Hello, world!").expect("the first response");
    assert!(first.starts_with("HTTP/1.1 200 OK\r\n"), "{responses}");
    assert!(second.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{responses}");
    assert_eq!(responses.matches("HTTP/1.1").count(), 2, "{responses}");
}

#[tokio::test]
async fn a_slow_but_steady_reader_receives_the_whole_response() {
    let limits = Limits { write_timeout: Duration::from_secs(2), ..Limits::default() };
    let server = serve(application(Settings { limits, ..settings() })).await;
    let mut client = server.connect().await;
    client.send("GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(client.receive_head().await.status, 200);
    let mut received = 0;
    // Much less than the kernel would buffer, for several times the write timeout.
    for _ in 0..50 {
        received += client.bytes(30 * 1024).await.len();
        sleep(Duration::from_millis(100)).await;
    }
    received += client.bytes(LARGE - received).await.len();
    assert_eq!(received, LARGE);
}

#[tokio::test(start_paused = true)]
async fn at_the_connection_limit_connections_with_unfinished_heads_are_closed() {
    let settings = Settings { max_connections: 20, ..settings() };
    let server = serve(application(settings)).await;
    let mut half = Vec::new();
    for _ in 0..100 {
        let mut client = server.connect().await;
        client.send("GET /hello HTTP/1.1\r\n").await;
        half.push(client);
    }
    let started = Instant::now();
    assert_eq!(server.connect().await.ask("GET /hello").await.status, 200);
    assert!(is_about(0, started), "{:?}", started.elapsed());
    // Below the connection limit, unfinished heads get the full timeout, and then a 408.
    drop(half);
    let mut client = server.connect().await;
    client.send("GET /hello HTTP/1.1\r\n").await;
    assert_eq!(client.receive().await.status, 408);
}

#[tokio::test(start_paused = true)]
async fn at_the_connection_limit_a_response_closes_its_connection() {
    let settings = Settings { max_connections: 1, ..settings() };
    let server = serve(application(settings)).await;
    let mut first = server.connect().await;
    first.send("GET /slow?seconds=2 HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    sleep(Duration::from_secs(1)).await;
    let mut second = server.connect().await;
    second.send("GET /slow?seconds=2 HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let reply = first.receive().await;
    assert_eq!(
        (reply.text().as_str(), reply.field("Connection")),
        ("at last", Some("close"))
    );
    assert!(first.is_closed().await);
    drop(first);
    let reply = second.receive().await;
    assert_eq!((reply.text().as_str(), reply.field("Connection")), ("at last", None));
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let settings = Settings { max_connections: 1, ..settings() };
    let server = serve(application(settings)).await;
    let mut client = server.connect().await;
    for _ in 0..500 {
        assert_eq!(client.ask("GET /hello").await.status, 200);
    }
    server.stop().await;
}

/// One system call and one packet for all responses that are ready.
#[tokio::test]
async fn responses_to_pipelined_requests_leave_in_one_write() {
    let (mut client, socket) = duplex(64 * 1024);
    client.write_all(HELLO.repeat(20).as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    let writes = Arc::new(AtomicUsize::new(0));
    let writes_of = Arc::clone(&writes);
    let counting = CountingSocket { socket, writes: writes_of, max_read: usize::MAX };
    let application = Arc::new(application(settings()));
    let state = server_state(&application);
    let peer = "127.0.0.1:50000".parse().unwrap();
    connection::serve(counting, application, state.admit(peer)).await;
    let mut responses = String::new();
    client.read_to_string(&mut responses).await.unwrap();
    assert_eq!(responses.matches("Hello, world!").count(), 20);
    assert_eq!(writes.load(Ordering::Relaxed), 1);
}

/// A socket that counts writes and limits the size of reads.
struct CountingSocket {
    socket: DuplexStream,
    writes: Arc<AtomicUsize>,
    /// Maximum number of bytes of one read.
    max_read: usize,
}

impl Socket for CountingSocket {}

impl AsyncRead for CountingSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut read = vec![0; self.max_read.min(bytes.remaining())];
        let mut read = ReadBuf::new(&mut read);
        ready!(Pin::new(&mut self.socket).poll_read(context, &mut read))?;
        bytes.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for CountingSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

/// Blocks its thread for longer than every timeout, and then may yield for a while.
struct BlockingHandler;

impl RequestHandler for BlockingHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let path = exchange.request().path();
        if path.contains("blocks") {
            std::thread::sleep(Duration::from_millis(1500));
        }
        if path.contains("stream") {
            return exchange.stream(async |sender| {
                sender.send("at last").await?;
                std::thread::sleep(Duration::from_millis(900));
                Ok(())
            });
        }
        if path.contains("waits") {
            sleep(Duration::from_millis(400)).await;
        }
        exchange.write("at last")
    }
}

/// A server whose timeouts are all one second, on the system clock. A paused clock would not
/// advance while a thread is blocked.
async fn server_with_one_second_timeouts() -> Running {
    let second = Duration::from_secs(1);
    let limits = Limits { head_timeout: second, idle_timeout: second, ..Limits::default() };
    let settings = Settings { limits, handler_timeout: second, ..settings() };
    let routes = [
        ("/blocks", handler::<BlockingHandler> as dustdevil::Handler),
        ("/blocks-and-waits", handler::<BlockingHandler>),
        ("/waits", handler::<BlockingHandler>),
        ("/stream", handler::<BlockingHandler>),
    ];
    serve(Application::new(routes, settings).expect("an application")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_timeout_starts_before_a_blocking_handler_returns() {
    let server = server_with_one_second_timeouts().await;
    let mut client = server.connect().await;
    // The handler is followed by half a head, whose other half comes soon.
    client.send("GET /blocks HTTP/1.1\r\nHost: a\r\n\r\nGET /waits HT").await;
    assert_eq!(client.receive().await.text(), "at last");
    sleep(Duration::from_millis(200)).await;
    client.send("TP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.receive().await.status, 200);
    // The handler is followed by nothing: the connection becomes idle only now.
    client.send("GET /blocks HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.receive().await.status, 200);
    sleep(Duration::from_millis(400)).await;
    // The idle timeout does not start before a blocking stream ends, either.
    client.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.receive().await.status, 200);
    sleep(Duration::from_millis(400)).await;
    // The handler is followed by a complete request with its own handler timeout.
    client.send("GET /blocks HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.send("GET /waits HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.receive().await.status, 200);
    assert_eq!(client.receive().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_timeout_of_a_blocking_handler_starts_at_its_head() {
    let server = server_with_one_second_timeouts().await;
    let mut client = server.connect().await;
    assert_eq!(client.ask("GET /blocks-and-waits").await.status, 503);
}
