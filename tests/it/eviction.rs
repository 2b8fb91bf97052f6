//! Which connection makes room for another when there are too many: no client, however slow, and no
//! network, however many connections it opens, keeps another one out.

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

/// Answers at once, with much, or never.
struct AnyHandler;

impl RequestHandler for AnyHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get, Method::Post];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        match exchange.request().path() {
            "/page" => exchange.write(vec![b'a'; 32 * 1024 * 1024]),
            "/stream" => exchange.stream(async |sender| {
                sender.send("first").await?;
                std::future::pending::<std::io::Result<()>>().await
            }),
            "/ticks" => exchange.stream(async |sender| {
                loop {
                    sender.send("tick").await?;
                    sleep(Duration::from_millis(100)).await;
                    if sender.ready().await.is_err() {
                        return Ok::<_, std::io::Error>(());
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

/// What a client may do with its place: what it sends at first, and what it sends again and again.
const HOLDS: [(&str, &str, &str); 7] = [
    ("idle", HELLO, ""),
    ("a head that trickles", "GET /hello HTTP/1.1\r\nField: ", "a"),
    (
        "content that trickles",
        "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n",
        "a",
    ),
    ("a response that is not read", "GET /page HTTP/1.1\r\nHost: a\r\n\r\n", ""),
    ("a handler at work", "GET /handler HTTP/1.1\r\nHost: a\r\n\r\n", ""),
    ("a stream that waits", "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n", ""),
    ("a stream that never waits for long", "GET /ticks HTTP/1.1\r\nHost: a\r\n\r\n", ""),
];

async fn server(settings: Settings) -> Running {
    let routes = ["/hello", "/page", "/stream", "/ticks", "/blocks", "/handler"]
        .map(|path| (path, handler::<AnyHandler> as dustdevil::Handler));
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

/// Connects, and keeps a place in some way for as long as the socket is open.
async fn hold(from: &str, to: SocketAddr, (_, first, more): (&str, &str, &'static str)) {
    let mut socket = connect(from, to).await;
    socket.write_all(first.as_bytes()).await.expect("it is sent");
    tokio::spawn(async move {
        loop {
            sleep(Duration::from_millis(200)).await;
            if socket.write_all(more.as_bytes()).await.is_err() {
                return;
            }
        }
    });
}

/// Asks, and returns how long the answer took; none if the connection was closed instead.
async fn ask(socket: &mut TcpStream) -> Option<Duration> {
    let begun = Instant::now();
    socket.write_all(HELLO.as_bytes()).await.ok()?;
    let mut came = Vec::new();
    while !came.ends_with(b"Hello, world!") {
        let read = timeout(Duration::from_secs(30), socket.read_buf(&mut came)).await;
        if read.expect("an answer").is_ok_and(|read| read > 0) {
            continue;
        }
        return None;
    }
    Some(begun.elapsed())
}

const CROWD: &str = "127.0.0.2";
const OTHER: &str = "127.0.0.3";

/// A crowd of one address takes all places and more, in each way that there is.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_one_address_does_with_all_places_another_is_answered() {
    for held in HOLDS {
        let server = server(Settings { max_connections: 100, ..settings() }).await;
        for _ in 0..101 {
            hold(CROWD, server.address, held).await;
        }
        // Each of them has had the time that it has in any case.
        sleep(Duration::from_millis(400)).await;
        let mut slowest = Duration::ZERO;
        for _ in 0..20 {
            let begun = Instant::now();
            let mut newcomer = connect(OTHER, server.address).await;
            ask(&mut newcomer).await.expect("an answer");
            slowest = slowest.max(begun.elapsed());
        }
        tell(&format!(
            "eviction: 101 clients hold 100 places by {}; another waits {slowest:.1?} at most",
            held.0
        ));
        assert!(slowest < Duration::from_secs(1), "{}: {slowest:?}", held.0);
    }
}

/// While others want in, an address holds no more than its share, and what it wants beyond it takes
/// from itself.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_holds_no_more_than_its_share_while_others_want_in() {
    let settings = Settings { max_connections: 20, max_network_share: 0.25, ..settings() };
    let server = server(settings).await;
    for _ in 0..20 {
        hold(CROWD, server.address, HOLDS[4]).await;
    }
    sleep(Duration::from_millis(400)).await;
    let mut others = Vec::new();
    for number in 0..15 {
        // Each from an address of its own, so that none of them has more than its share.
        let mut other = connect(&format!("127.0.1.{number}"), server.address).await;
        ask(&mut other).await.expect("an answer");
        others.push(other);
    }
    // Now the crowd has its five, and wants more. The others have been idle longer.
    for _ in 0..40 {
        hold(CROWD, server.address, HOLDS[0]).await;
    }
    sleep(Duration::from_millis(600)).await;
    let mut kept = 0;
    for other in &mut others {
        kept += usize::from(ask(other).await.is_some());
    }
    tell(&format!(
        "eviction: of 20 places, 15 others keep {kept} while one address wants 40 more"
    ));
    assert_eq!(kept, 15);
}

/// An address has a share of the places only while there are others: alone, it may have them all,
/// and those that are too many wait until there is a place.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_alone_has_all_places_and_its_next_clients_wait() {
    let limits =
        Limits { half_close_timeout: Duration::from_millis(100), ..Limits::default() };
    let server = server(Settings { max_connections: 4, limits, ..settings() }).await;
    let mut working = Vec::new();
    for _ in 0..4 {
        let mut socket = connect(CROWD, server.address).await;
        socket.write_all(HOLDS[4].1.as_bytes()).await.unwrap();
        working.push(socket);
    }
    sleep(Duration::from_millis(400)).await;
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let mut socket = connect(CROWD, server.address).await;
        waiting.push(tokio::spawn(async move { ask(&mut socket).await }));
    }
    sleep(Duration::from_millis(400)).await;
    assert!(server.state.connections() <= 5, "more than one more is let in");
    drop(working);
    for client in waiting {
        client.await.unwrap().expect("an answer");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trusted_proxies_may_have_all_places() {
    let proxy: IpAddr = CROWD.parse().unwrap();
    let settings =
        Settings { max_connections: 20, trusted_proxies: vec![proxy], ..settings() };
    let server = server(settings).await;
    let mut working = Vec::new();
    for _ in 0..20 {
        let mut socket = connect(CROWD, server.address).await;
        socket.write_all(HOLDS[5].1.as_bytes()).await.unwrap();
        working.push(socket);
    }
    sleep(Duration::from_millis(400)).await;
    for _ in 0..3 {
        hold(OTHER, server.address, HOLDS[0]).await;
    }
    sleep(Duration::from_millis(600)).await;
    for socket in &mut working {
        let mut came = vec![0; 4096];
        // The head of the stream and its first piece are there, and no end.
        assert!(socket.read(&mut came).await.unwrap() > 0);
        let more = timeout(Duration::from_millis(10), socket.read(&mut came)).await;
        assert!(more.is_err(), "the proxy's connection ended");
    }
}

/// Heads that trickle are not younger than they are, however recently a byte of them has come.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_waited_longest_leaves_first_and_what_is_being_closed_before_it() {
    let limits = Limits { linger_timeout: Duration::from_secs(60), ..Limits::default() };
    let server = server(Settings { max_connections: 3, limits, ..settings() }).await;
    let pause = || sleep(Duration::from_millis(400));
    // The oldest is a head that trickles; then comes one that is idle, then one that is closed.
    hold("127.0.2.1", server.address, HOLDS[1]).await;
    pause().await;
    let mut idle = connect("127.0.2.2", server.address).await;
    ask(&mut idle).await.expect("an answer");
    pause().await;
    let mut closed = connect("127.0.2.3", server.address).await;
    closed.write_all(b"no request\r\n\r\n").await.unwrap();
    let mut came = Vec::new();
    while !came.ends_with(b"\n") {
        closed.read_buf(&mut came).await.unwrap();
    }
    pause().await;
    let mut newcomers = Vec::new();
    for number in 4..6 {
        let mut newcomer = connect(&format!("127.0.2.{number}"), server.address).await;
        ask(&mut newcomer).await.expect("an answer");
        newcomers.push(newcomer);
        pause().await;
    }
    assert_eq!(server.state.connections(), 3);
    ask(&mut idle).await.expect("those that were closed, or older, have left for the two");
}

/// What a connection waits for may come at the moment at which it is evicted. Then it goes on, and
/// another one has to leave.
#[test]
fn an_eviction_that_comes_too_late_is_not_the_last() {
    let (sender, receiver) = std::sync::mpsc::channel();
    // The server has one thread, and a handler that keeps it.
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
        ask(&mut idle).await.expect("an answer");
        sleep(Duration::from_millis(600)).await;
        let mut blocking = connect("127.0.4.2", address).await;
        blocking.write_all(b"GET /blocks HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        sleep(Duration::from_millis(100)).await;
        // Now the server hears of both of these at once.
        let mut newcomer = connect("127.0.4.3", address).await;
        newcomer.write_all(HELLO.as_bytes()).await.unwrap();
        idle.write_all(HELLO.as_bytes()).await.unwrap();
        sleep(Duration::from_millis(1500)).await;
        let mut next = connect("127.0.4.4", address).await;
        let time = ask(&mut next).await.expect("an answer");
        assert!(time < Duration::from_secs(1), "{time:?}");
    });
}

/// However small a share is, there are no more connections than there may be, and two on the way.
#[tokio::test(flavor = "multi_thread")]
async fn there_are_no_more_connections_than_there_may_be() {
    for (max_connections, max_network_share) in
        [(2, 0.5), (20, 0.05), (20, f64::NAN), (20, -1.0), (20, 0.5)]
    {
        let settings = Settings { max_connections, max_network_share, ..settings() };
        let server = server(settings).await;
        let mut held = Vec::new();
        for number in 1..=60 {
            let mut socket = connect(&format!("127.0.5.{number}"), server.address).await;
            socket.write_all(HOLDS[4].1.as_bytes()).await.unwrap();
            held.push(socket);
        }
        sleep(Duration::from_millis(600)).await;
        let open = server.state.connections();
        assert!(
            open <= max_connections + 2,
            "{max_connections}, {max_network_share}: {open}"
        );
    }
}

/// The kernel tells in large steps only that a client has read more; a client that is waited for in
/// between is not one that does not read.
#[tokio::test(flavor = "multi_thread")]
async fn steady_readers_are_not_taken_for_idle_ones() {
    let server = server(Settings { max_connections: 5, ..settings() }).await;
    let mut readers = JoinSet::new();
    for number in 0..5 {
        let mut socket = connect(&format!("127.0.6.{number}"), server.address).await;
        socket.write_all(HOLDS[3].1.as_bytes()).await.unwrap();
        readers.spawn(async move {
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(4) {
                let mut piece = vec![0; 32 * 1024];
                let read = socket.read_exact(&mut piece).await;
                read.expect("it is sent, and not cut off");
                sleep(Duration::from_millis(150)).await;
            }
        });
    }
    sleep(Duration::from_secs(1)).await;
    for number in 0..6 {
        let mut newcomer = connect(&format!("127.0.7.{number}"), server.address).await;
        ask(&mut newcomer).await.expect("an answer");
    }
    while let Some(reader) = readers.join_next().await {
        reader.expect("a reader that is not cut off");
    }
}

/// One that has an IPv6 network has as many addresses as it likes.
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
                .map(|path| (path, handler::<AnyHandler> as dustdevil::Handler));
            let settings = Settings { max_connections: 20, ..settings() };
            let application = Application::new(routes, settings).unwrap();
            let server = application.listen("[::]:0").await.unwrap();
            let port = server.local_addr().unwrap().port();
            tokio::spawn(server.run_until(std::future::pending()));
            let address: SocketAddr = format!("[::1]:{port}").parse().unwrap();
            for number in 1..=21 {
                hold(&format!("2001:db8:0:1::{number:x}"), address, HOLDS[4]).await;
            }
            sleep(Duration::from_millis(400)).await;
            let begun = Instant::now();
            let mut newcomer = connect("2001:db8:0:2::1", address).await;
            ask(&mut newcomer).await.expect("an answer");
            let time = begun.elapsed();
            tell(&format!(
                "eviction: 21 addresses of one /64 hold 20 places; another waits {time:.1?}"
            ));
            assert!(time < Duration::from_secs(1), "{time:?}");
        },
    )
    .await;
}

/// Uploads that arrive in a burst, and then no more, fill the memory for content.
#[tokio::test(flavor = "multi_thread")]
async fn bursts_that_fill_the_memory_are_evicted_and_small_forms_go_through() {
    let server = server(Settings { max_buffered: 8 << 20, ..settings() }).await;
    let head = |length: usize| {
        format!("POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n")
    };
    let mut bursts = Vec::new();
    for _ in 0..8 {
        let mut socket = connect(CROWD, server.address).await;
        socket.write_all(head(1 << 20).as_bytes()).await.unwrap();
        socket.write_all(&vec![b'a'; (1 << 20) - 1]).await.unwrap();
        bursts.push(socket);
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
    let mut refused = 0;
    loop {
        let reply = post(100_000).await;
        match reply.status {
            200 => break,
            status => assert_eq!((status, reply.field("Retry-After")), (503, Some("1"))),
        }
        refused += 1;
        sleep(Duration::from_millis(300)).await;
    }
    let time = begun.elapsed();
    tell(&format!(
        "eviction: 8 bursts fill 8 MiB; {refused} uploads are refused, and then, after {time:.1?}, none"
    ));
    assert!(time < Duration::from_secs(10), "{time:?}");
}

/// What a handler holds of a request is counted for as long as it works.
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
    let held = server.state.buffered();
    assert!(held > 900_000 && held <= 1 << 20, "{held} bytes");
    tell(&format!("eviction: of 100 heads of 30 KB, {held} bytes are held, and no more"));
    clients.clear();
    sleep(Duration::from_millis(500)).await;
    let left = (server.state.connections(), server.state.buffered());
    assert_eq!(left, (0, 0), "all of it is free again");
}
