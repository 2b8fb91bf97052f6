//! Eviction: which connection is closed when there are too many. No client, however slow, and
//! no network, however many connections it opens, can keep another one from being served.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use dustdevil::{
    Application, Exchange, Limits, Method, RequestHandler, Result, Settings, handler,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::support::{
    Client, Running, change_address, in_network_namespace, serve, settings,
};
use crate::webdriver::tell;

/// Responds immediately, with a large response, or never.
struct PathHandler;

impl RequestHandler for PathHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get, Method::Post];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        match exchange.request().path() {
            "/page" => exchange.write(vec![b'a'; 32 * 1024 * 1024]),
            "/stream" => exchange.stream(async |sender| {
                sender.send("first").await?;
                std::future::pending().await
            }),
            "/ticks" => exchange.stream(async |sender| {
                loop {
                    sender.send("tick").await?;
                    sleep(Duration::from_millis(100)).await;
                    if sender.ready().await.is_err() {
                        return Ok(());
                    }
                }
            }),
            "/blocks" => {
                std::thread::sleep(Duration::from_millis(400));
                exchange.write("Hello, world!")
            }
            "/handler" => std::future::pending().await,
            _ => exchange.write("Hello, world!"),
        }
    }

    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        exchange.write("done")
    }
}

const HELLO: &str = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";

/// Ways to occupy a slot: name, what the client sends first, and what it sends every 200 ms.
const OCCUPATIONS: [(&str, &str, &str); 7] = [
    ("idle", HELLO, ""),
    ("a head that trickles", "GET /hello HTTP/1.1\r\nField: ", "a"),
    (
        "content that trickles",
        "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n",
        "a",
    ),
    ("a response that is not read", "GET /page HTTP/1.1\r\nHost: a\r\n\r\n", ""),
    ("a running handler", "GET /handler HTTP/1.1\r\nHost: a\r\n\r\n", ""),
    ("a stream that waits", "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n", ""),
    ("a stream that sends often", "GET /ticks HTTP/1.1\r\nHost: a\r\n\r\n", ""),
];

async fn server(settings: Settings) -> Running {
    let routes = ["/hello", "/page", "/stream", "/ticks", "/blocks", "/handler"]
        .map(|path| (path, handler::<PathHandler> as dustdevil::Handler));
    let settings = Settings { check_origin: false, ..settings };
    serve(Application::new(routes, settings).expect("an application")).await
}

async fn connect(from: &str, to: SocketAddr) -> TcpStream {
    let from: IpAddr = from.parse().expect("an address");
    let socket = if from.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a smaller buffer");
    socket.bind((from, 0).into()).expect("an address of this host");
    socket.connect(to).await.expect("a connection")
}

/// Connects, and occupies a slot in one of these ways for as long as the socket is open.
async fn occupy(from: &str, to: SocketAddr, (_, first, more): (&str, &str, &'static str)) {
    let mut socket = connect(from, to).await;
    socket.write_all(first.as_bytes()).await.expect("the request is sent");
    tokio::spawn(async move {
        loop {
            sleep(Duration::from_millis(200)).await;
            if socket.write_all(more.as_bytes()).await.is_err() {
                return;
            }
        }
    });
}

/// Sends a request and returns the time until its response, or `None` if the connection is
/// closed without one.
async fn ask(socket: &mut TcpStream) -> Option<Duration> {
    let begun = Instant::now();
    socket.write_all(HELLO.as_bytes()).await.ok()?;
    let mut received = Vec::new();
    while !received.ends_with(b"Hello, world!") {
        let read = timeout(Duration::from_secs(30), socket.read_buf(&mut received)).await;
        if read.expect("a response").is_ok_and(|read| read > 0) {
            continue;
        }
        return None;
    }
    Some(begun.elapsed())
}

const ATTACKER: &str = "127.0.0.2";
const OTHER: &str = "127.0.0.3";

/// One address occupies all slots and one more, in each of the ways.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_occupies_all_slots_does_not_block_another() {
    for occupation in OCCUPATIONS {
        let server = server(Settings { max_connections: 100, ..settings() }).await;
        for _ in 0..101 {
            occupy(ATTACKER, server.address, occupation).await;
        }
        // Longer than min_idle_timeout, before which no connection is evicted.
        sleep(Duration::from_millis(400)).await;
        let mut slowest = Duration::ZERO;
        for _ in 0..20 {
            let begun = Instant::now();
            let mut newcomer = connect(OTHER, server.address).await;
            ask(&mut newcomer).await.expect("a response");
            slowest = slowest.max(begun.elapsed());
        }
        tell(&format!(
            "eviction: 101 clients occupy 100 slots by {}; another waits {slowest:.1?} at most",
            occupation.0
        ));
        assert!(slowest < Duration::from_secs(1), "{}: {slowest:?}", occupation.0);
    }
}

/// While others want to connect, an address keeps no more than its share; its further
/// connections evict its own.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_keeps_no_more_than_its_share_while_others_connect() {
    let settings = Settings { max_connections: 20, max_network_share: 0.25, ..settings() };
    let server = server(settings).await;
    for _ in 0..20 {
        occupy(ATTACKER, server.address, OCCUPATIONS[4]).await;
    }
    sleep(Duration::from_millis(400)).await;
    let mut others = Vec::new();
    for number in 0..15 {
        // Each has its own address, so that none has more than its share.
        let mut other = connect(&format!("127.0.1.{number}"), server.address).await;
        ask(&mut other).await.expect("a response");
        others.push(other);
    }
    // Now the attacker has its share of five and opens more. The others have been idle longer.
    for _ in 0..40 {
        occupy(ATTACKER, server.address, OCCUPATIONS[0]).await;
    }
    sleep(Duration::from_millis(600)).await;
    let mut kept = 0;
    for other in &mut others {
        kept += usize::from(ask(other).await.is_some());
    }
    tell(&format!(
        "eviction: of 20 slots, 15 others keep {kept} while one address opens 40 more"
    ));
    assert_eq!(kept, 15);
}

/// Shares apply only while there are other networks: a single address may use all slots, and
/// its further clients wait for a free one.
#[tokio::test(flavor = "multi_thread")]
async fn a_single_address_may_use_all_slots_and_its_next_clients_wait() {
    let limits =
        Limits { half_close_timeout: Duration::from_millis(100), ..Limits::default() };
    let server = server(Settings { max_connections: 4, limits, ..settings() }).await;
    let mut working = Vec::new();
    for _ in 0..4 {
        let mut socket = connect(ATTACKER, server.address).await;
        socket.write_all(OCCUPATIONS[4].1.as_bytes()).await.unwrap();
        working.push(socket);
    }
    sleep(Duration::from_millis(400)).await;
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let mut socket = connect(ATTACKER, server.address).await;
        waiting.push(tokio::spawn(async move { ask(&mut socket).await }));
    }
    sleep(Duration::from_millis(400)).await;
    assert!(server.state.connections() <= 5, "more than one above the limit is accepted");
    drop(working);
    for client in waiting {
        client.await.unwrap().expect("a response");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trusted_proxies_may_use_all_slots() {
    let proxy: IpAddr = ATTACKER.parse().unwrap();
    let settings =
        Settings { max_connections: 20, trusted_proxies: vec![proxy.into()], ..settings() };
    let server = server(settings).await;
    let mut working = Vec::new();
    for _ in 0..20 {
        let mut socket = connect(ATTACKER, server.address).await;
        socket.write_all(OCCUPATIONS[5].1.as_bytes()).await.unwrap();
        working.push(socket);
    }
    sleep(Duration::from_millis(400)).await;
    for _ in 0..3 {
        occupy(OTHER, server.address, OCCUPATIONS[0]).await;
    }
    sleep(Duration::from_millis(600)).await;
    for socket in &mut working {
        let mut received = vec![0; 4096];
        // The head of the stream and its first piece have arrived; EOF must not follow.
        assert!(socket.read(&mut received).await.unwrap() > 0);
        let more = timeout(Duration::from_millis(10), socket.read(&mut received)).await;
        assert!(more.is_err(), "the proxy's connection ended");
    }
}

/// A slow head is as old as its first byte, however recently another byte has arrived.
#[tokio::test(flavor = "multi_thread")]
async fn closing_connections_are_evicted_first_then_the_longest_waiting() {
    let limits = Limits { linger_timeout: Duration::from_secs(60), ..Limits::default() };
    let server = server(Settings { max_connections: 3, limits, ..settings() }).await;
    let pause = || sleep(Duration::from_millis(400));
    // The oldest connection sends a slow head, the second is idle, the third is being closed.
    occupy("127.0.2.1", server.address, OCCUPATIONS[1]).await;
    pause().await;
    let mut idle = connect("127.0.2.2", server.address).await;
    ask(&mut idle).await.expect("a response");
    pause().await;
    let mut closing = connect("127.0.2.3", server.address).await;
    closing.write_all(b"no request\r\n\r\n").await.unwrap();
    let mut received = Vec::new();
    while !received.ends_with(b"\n") {
        closing.read_buf(&mut received).await.unwrap();
    }
    pause().await;
    let mut newcomers = Vec::new();
    for number in 4..6 {
        let mut newcomer = connect(&format!("127.0.2.{number}"), server.address).await;
        ask(&mut newcomer).await.expect("a response");
        newcomers.push(newcomer);
        pause().await;
    }
    assert_eq!(server.state.connections(), 3);
    ask(&mut idle).await.expect("the two others have been evicted");
}

/// A request may arrive at the moment at which its connection is evicted. The connection then
/// goes on, and another one must be evicted.
#[test]
fn an_eviction_that_comes_too_late_is_followed_by_another() {
    let (sender, receiver) = std::sync::mpsc::channel();
    // The server has one thread, which a handler blocks.
    std::thread::spawn(move || {
        let runtime =
            Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let server = server(Settings { max_connections: 2, ..settings() }).await;
            sender.send(server.address).expect("the test waits for it");
            std::future::pending::<()>().await;
        });
    });
    let address = receiver.recv().expect("an address");
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut idle = connect("127.0.4.1", address).await;
        ask(&mut idle).await.expect("a response");
        sleep(Duration::from_millis(600)).await;
        let mut blocking = connect("127.0.4.2", address).await;
        blocking.write_all(b"GET /blocks HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        sleep(Duration::from_millis(100)).await;
        // The server's thread is blocked, so it sees these two events in the same poll.
        let mut newcomer = connect("127.0.4.3", address).await;
        newcomer.write_all(HELLO.as_bytes()).await.unwrap();
        idle.write_all(HELLO.as_bytes()).await.unwrap();
        sleep(Duration::from_millis(1500)).await;
        let mut next = connect("127.0.4.4", address).await;
        let time = ask(&mut next).await.expect("a response");
        assert!(time < Duration::from_secs(1), "{time:?}");
    });
}

/// The connection limit holds for any share, however small or invalid. Two more connections may
/// be open for a moment: the newest, and the one that is being evicted for it.
#[tokio::test(flavor = "multi_thread")]
async fn the_connection_limit_holds_for_any_share() {
    for (max_connections, max_network_share) in
        [(2, 0.5), (20, 0.05), (20, f64::NAN), (20, -1.0), (20, 0.5)]
    {
        let settings = Settings { max_connections, max_network_share, ..settings() };
        let server = server(settings).await;
        let mut clients = Vec::new();
        for number in 1..=60 {
            let mut socket = connect(&format!("127.0.5.{number}"), server.address).await;
            socket.write_all(OCCUPATIONS[4].1.as_bytes()).await.unwrap();
            clients.push(socket);
        }
        sleep(Duration::from_millis(600)).await;
        let open = server.state.connections();
        assert!(
            open <= max_connections + 2,
            "{max_connections}, {max_network_share}: {open}"
        );
    }
}

/// The kernel reports a reader's progress in large steps. A client that reads steadily must not
/// be evicted as idle between two steps.
#[tokio::test(flavor = "multi_thread")]
async fn steady_readers_are_not_evicted_as_idle() {
    let server = server(Settings { max_connections: 5, ..settings() }).await;
    let mut readers = JoinSet::new();
    for number in 0..5 {
        let mut socket = connect(&format!("127.0.6.{number}"), server.address).await;
        socket.write_all(OCCUPATIONS[3].1.as_bytes()).await.unwrap();
        readers.spawn(async move {
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(4) {
                let mut block = vec![0; 32 * 1024];
                let read = socket.read_exact(&mut block).await;
                read.expect("the response is sent to its end");
                sleep(Duration::from_millis(150)).await;
            }
        });
    }
    sleep(Duration::from_secs(1)).await;
    for number in 0..6 {
        let mut newcomer = connect(&format!("127.0.7.{number}"), server.address).await;
        ask(&mut newcomer).await.expect("a response");
    }
    while let Some(reader) = readers.join_next().await {
        reader.expect("a reader that is not evicted");
    }
}

/// A subscriber with an IPv6 /64 can use any of its 2^64 addresses, so they count as one
/// network.
#[tokio::test(flavor = "multi_thread")]
async fn all_addresses_of_an_ipv6_network_have_one_share() {
    in_network_namespace(
        "eviction::all_addresses_of_an_ipv6_network_have_one_share",
        async || {
            for number in 1..=21 {
                change_address("add", &format!("2001:db8:0:1::{number:x}/128"));
            }
            change_address("add", "2001:db8:0:2::1/128");
            sleep(Duration::from_secs(2)).await;
            let routes = ["/hello", "/handler"]
                .map(|path| (path, handler::<PathHandler> as dustdevil::Handler));
            let settings = Settings { max_connections: 20, ..settings() };
            let application = Application::new(routes, settings).unwrap();
            let server = application.listen("[::]:0").await.unwrap();
            let port = server.local_addr().unwrap().port();
            tokio::spawn(server.run_until(std::future::pending()));
            let address: SocketAddr = format!("[::1]:{port}").parse().unwrap();
            for number in 1..=21 {
                occupy(&format!("2001:db8:0:1::{number:x}"), address, OCCUPATIONS[4]).await;
            }
            sleep(Duration::from_millis(400)).await;
            let begun = Instant::now();
            let mut newcomer = connect("2001:db8:0:2::1", address).await;
            ask(&mut newcomer).await.expect("a response");
            let time = begun.elapsed();
            tell(&format!(
                "eviction: 21 addresses of one /64 occupy 20 slots; another waits {time:.1?}"
            ));
            assert!(time < Duration::from_secs(1), "{time:?}");
        },
    )
    .await;
}

/// Uploads that stop one byte before their end fill the buffer budget.
#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_fill_the_buffer_budget_are_evicted_and_small_forms_succeed() {
    let server = server(Settings { max_buffered: 8 << 20, ..settings() }).await;
    let head = |length: usize| {
        format!("POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n")
    };
    let mut uploads = Vec::new();
    for _ in 0..8 {
        let mut socket = connect(ATTACKER, server.address).await;
        socket.write_all(head(1 << 20).as_bytes()).await.unwrap();
        socket.write_all(&vec![b'a'; (1 << 20) - 1]).await.unwrap();
        uploads.push(socket);
    }
    let begun = Instant::now();
    let post = async |length: usize| {
        let mut client = Client::connect(server.address).await;
        client.send(head(length)).await;
        sleep(Duration::from_millis(50)).await;
        client.send(vec![b'a'; length]).await;
        client.receive().await
    };
    assert_eq!(post(1000).await.status, 200, "a small form");
    let mut rejected = 0;
    loop {
        let reply = post(100_000).await;
        match reply.status {
            200 => break,
            status => assert_eq!((status, reply.field("Retry-After")), (503, Some("1"))),
        }
        rejected += 1;
        sleep(Duration::from_millis(300)).await;
    }
    let time = begun.elapsed();
    tell(&format!(
        "eviction: 8 uploads fill 8 MiB; {rejected} others get 503, and none after {time:.1?}"
    ));
    assert!(time < Duration::from_secs(10), "{time:?}");
}

/// A large head stays reserved in the buffer budget while its handler runs.
#[tokio::test(flavor = "multi_thread")]
async fn large_heads_are_counted_while_their_handlers_work() {
    let limits =
        Limits { half_close_timeout: Duration::from_millis(100), ..Limits::default() };
    let server = server(Settings { max_buffered: 1 << 20, limits, ..settings() }).await;
    let head = format!(
        "GET /handler HTTP/1.1\r\nHost: a\r\nField: {}\r\n\r\n",
        "a".repeat(30_000)
    );
    let mut clients = Vec::new();
    for _ in 0..100 {
        let mut client = Client::connect(server.address).await;
        client.send(&head).await;
        clients.push(client);
    }
    sleep(Duration::from_millis(500)).await;
    let buffered = server.state.buffered();
    assert!(buffered > 900_000 && buffered <= 1 << 20, "{buffered} bytes");
    tell(&format!("eviction: 100 heads of 30 KB buffer {buffered} bytes, and no more"));
    clients.clear();
    sleep(Duration::from_millis(500)).await;
    let left = (server.state.connections(), server.state.buffered());
    assert_eq!(left, (0, 0), "everything is free again");
}
