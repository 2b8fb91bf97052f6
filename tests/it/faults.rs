//! Fault injection: misbehaving clients and failing handlers, which must not cost another
//! client its response. A [`ControlClient`] sends requests during each test and prints its
//! figures.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dustdevil::{
    Application, Exchange, Limits, Method, RequestHandler, Result, Settings, handler,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::control_client::{
    ControlClient, HELLO, RESPONSE_TIMEOUT, ask, file_limit, memory, open_files,
    processor_time,
};
use crate::process::{Process, command, command_with_files, command_with_memory};
use crate::support::{Client, Visitor, project, serve, settings};
use crate::transcripts::HelloHandler;
use crate::webdriver::tell;

/// Runs these tests one at a time; two would slow each other down and falsify the figures.
static EXCLUSIVE: Mutex<()> = Mutex::const_new(());

/// Starts the demo without its log.
fn start_demo(arguments: &[&str]) -> Process {
    Process::start(command(arguments).env("RUST_LOG", "off"))
}

/// Starts the demo with this limit of file descriptors.
fn start_with_files(files: usize) -> Process {
    Process::start(command_with_files(files).env("RUST_LOG", "off"))
}

/// Sends one byte every 20 ms (a slowloris client).
async fn trickle(client: &mut Client, bytes: &[u8]) {
    for byte in bytes {
        client.send([*byte]).await;
        sleep(Duration::from_millis(20)).await;
    }
}

/// Runs this number of clients concurrently and returns the outcome of each.
async fn run_clients<W>(count: usize, client: impl Fn(usize) -> W) -> Vec<W::Output>
where
    W: Future<Output: Send + 'static> + Send + 'static,
{
    let mut tasks: JoinSet<_> = (0..count).map(client).collect();
    let mut outcomes = Vec::new();
    while let Some(outcome) = tasks.join_next().await {
        outcomes.push(outcome.expect("a client does not panic"));
    }
    outcomes
}

/// A slowloris attack.
#[tokio::test(flavor = "multi_thread")]
async fn slow_heads_do_not_disturb_other_clients() {
    let _alone = EXCLUSIVE.lock().await;
    let demo = start_demo(&[]);
    let address = demo.address();
    let control = ControlClient::begin(address);
    let statuses = run_clients(500, move |_| async move {
        let mut client = Client::connect(address).await;
        trickle(&mut client, HELLO).await;
        client.receive().await.status
    })
    .await;
    assert_eq!(statuses, [200; 500]);
    control
        .end("500 clients send a head byte by byte, and all are answered", demo.id())
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_content_does_not_disturb_other_clients() {
    let _alone = EXCLUSIVE.lock().await;
    let demo = start_demo(&[]);
    let address = demo.address();
    let control = ControlClient::begin(address);
    let statuses = run_clients(500, move |_| async move {
        let mut client = Client::connect(address).await;
        client
            .send("POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40\r\n\r\n")
            .await;
        trickle(&mut client, &[b'a'; 40]).await;
        client.receive().await.status
    })
    .await;
    assert_eq!(statuses, [403; 500], "a form without its token");
    let what = "500 clients send content byte by byte, and all are answered";
    control.end(what, demo.id()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_and_content_that_never_end_do_not_disturb_other_clients() {
    let _alone = EXCLUSIVE.lock().await;
    let short = Duration::from_millis(500);
    let limits =
        Limits { head_timeout: short, content_timeout: short, ..Limits::default() };
    let server = serve(application(Settings { limits, ..settings() })).await;
    let address = server.address;
    let control = ControlClient::begin(address);
    let statuses = run_clients(500, move |number| async move {
        let mut client = Client::connect(address).await;
        client
            .send("POST /work HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40\r\n")
            .await;
        if number % 2 == 0 {
            client.send("\r\nfields=and&much=more").await;
        }
        client.receive().await.status
    })
    .await;
    assert_eq!(statuses, [408; 500]);
    let what = "500 clients stop within a head or content, and get 408";
    control.end(what, process::id()).await;
}

const LARGE: usize = 4 * 1024 * 1024;

/// Creates a static directory for the demo, with a large file in it.
fn static_folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("faults").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    fs::copy(project("static/site.css"), folder.join("site.css")).unwrap();
    fs::write(folder.join("large.bin"), vec![b'a'; LARGE]).unwrap();
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_stop_reading_do_not_disturb_other_clients() {
    let _alone = EXCLUSIVE.lock().await;
    let folder = static_folder("readers");
    let demo = start_demo(&["--static-path", folder.to_str().unwrap()]);
    let before = memory(demo.id(), "VmRSS");
    let control = ControlClient::begin(demo.address());
    let mut readers = Vec::new();
    for _ in 0..200 {
        let mut client = Client::connect(demo.address()).await;
        client.send("GET /static/large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert_eq!(client.receive_head().await.status, 200);
        readers.push(client);
    }
    // The server buffers one or two parts of the file for each reader, and not the whole file.
    let memory = memory(demo.id(), "VmHWM");
    if let (Some(before), Some(memory)) = (before, memory) {
        assert!(memory - before < 200 * 1024 * 1024, "{memory} bytes");
    }
    for reader in &mut readers[..20] {
        assert_eq!(reader.bytes(LARGE).await, vec![b'a'; LARGE], "the reader resumes");
    }
    let what = "200 clients request 4 MiB each and stop reading; 20 resume and receive all";
    control.end(what, demo.id()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_connections_do_not_disturb_other_clients() {
    let _alone = EXCLUSIVE.lock().await;
    let demo = start_demo(&[]);
    let before = memory(demo.id(), "VmRSS").unwrap_or(0);
    // Leaves descriptors for the control client.
    let count = (file_limit().saturating_sub(1000)).min(9_990);
    let mut idle = Vec::new();
    for _ in 0..count {
        let mut socket = TcpStream::connect(demo.address()).await.expect("a connection");
        ask(&mut socket).await.expect("a response");
        idle.push(socket);
    }
    let each =
        memory(demo.id(), "VmRSS").map(|now| now.saturating_sub(before) / count as u64);
    let control = ControlClient::begin(demo.address());
    sleep(Duration::from_millis(500)).await;
    let each = each.map_or(String::from("unknown"), |bytes| format!("{bytes} bytes"));
    let what = format!("{count} connections idle after a response, each {each}");
    control.end(&what, demo.id()).await;
    for socket in &mut idle {
        ask(socket).await.expect("an idle connection is still served");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_above_the_descriptor_limit_are_all_answered() {
    let _alone = EXCLUSIVE.lock().await;
    let demo = Process::start(command_with_files(100).env("RUST_LOG", "warn"));
    let address = demo.address();
    let control = ControlClient::begin(address);
    // All clients connect concurrently, and none disconnects. The server closes idle
    // connections to accept the others.
    let sockets = run_clients(500, move |_| async move {
        let mut socket = TcpStream::connect(address).await.ok()?;
        timeout(RESPONSE_TIMEOUT, ask(&mut socket)).await.ok()?.ok()?;
        Some(socket)
    })
    .await;
    assert!(sockets.iter().all(Option::is_some), "a response was lost");
    // The server has descriptors left to open a file that is not in the cache.
    let mut visitor = Visitor { address, cookies: BTreeMap::new() };
    assert_eq!(visitor.get("/static/site.css").await.status, 200);
    let what = "500 clients connect with 100 file descriptors, and all are answered";
    control.end(what, demo.id()).await;
    demo.signal("TERM");
    let ended = demo.wait();
    assert!(ended.status.success());
    let warnings =
        ended.log.iter().filter(|line| line.contains("out of file descriptors")).count();
    // One warning for a period, and not one for each client.
    assert!((1..10).contains(&warnings), "{:?}", ended.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_above_the_descriptor_limit_do_not_disturb_other_clients() {
    exceed_descriptor_limit("silent clients", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_heads_above_the_descriptor_limit_do_not_disturb_other_clients() {
    exceed_descriptor_limit("clients with unfinished heads", "GET /hello HTTP/1.1\r\n")
        .await;
}

/// The server accepts these connections one after the other, and closes the oldest for the
/// next.
async fn exceed_descriptor_limit(clients: &str, bytes: &'static str) {
    let _alone = EXCLUSIVE.lock().await;
    let demo = start_with_files(100);
    let address = demo.address();
    let control = ControlClient::begin(address);
    let sockets = run_clients(500, move |_| async move {
        let mut socket = TcpStream::connect(address).await.ok()?;
        socket.write_all(bytes.as_bytes()).await.ok()?;
        Some(socket)
    })
    .await;
    let mut closed = 0;
    for mut socket in sockets.into_iter().flatten() {
        let read = timeout(Duration::from_millis(10), socket.read_u8()).await;
        closed += usize::from(read.is_ok());
    }
    let what = format!("500 {clients} with 100 file descriptors, {closed} closed");
    control.end(&what, demo.id()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_free_descriptors_waits_and_does_not_spin() {
    let _alone = EXCLUSIVE.lock().await;
    let demo = start_with_files(100);
    let address = demo.address();
    // None of these connections is idle, so the server cannot evict one.
    let busy = run_clients(200, move |_| async move {
        let mut client = Client::connect(address).await;
        client
            .send("POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40\r\n\r\n")
            .await;
        client
    })
    .await;
    let (before, started) = (processor_time(demo.id()), Instant::now());
    sleep(Duration::from_secs(1)).await;
    let spent = processor_time(demo.id())
        .zip(before)
        .map(|(now, before)| now.saturating_sub(before));
    if let Some(spent) = spent {
        assert!(spent < started.elapsed() / 2, "{spent:?}");
    }
    drop(busy);
    let control = ControlClient::begin(address);
    let spent = spent.map_or(String::from("unknown"), |spent| format!("{spent:?}"));
    let what = format!(
        "200 unfinished requests with 100 file descriptors, {spent} of CPU per second"
    );
    control.end(&what, demo.id()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resets_at_every_byte_do_not_disturb_other_clients() {
    let _alone = EXCLUSIVE.lock().await;
    let folder = static_folder("resets");
    let demo = start_demo(&["--static-path", folder.to_str().unwrap()]);
    let address = demo.address();
    let mut socket = TcpStream::connect(address).await.unwrap();
    ask(&mut socket).await.unwrap();
    let files = open_files(demo.id());
    let control = ControlClient::begin(address);
    let conversation = [
        HELLO,
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"GET /static/large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ]
    .concat();
    let length = conversation.len();
    // One connection is reset after each byte of the requests, and then one after each part of
    // the responses.
    let resets = run_clients(length + 100, move |number| {
        let conversation = conversation.clone();
        async move {
            let mut socket = TcpStream::connect(address).await?;
            socket.write_all(&conversation[..number.min(length)]).await?;
            for _ in length..number {
                socket.read_exact(&mut [0; 100]).await?;
            }
            socket.set_zero_linger()
        }
    })
    .await;
    assert!(resets.iter().all(Result::is_ok));
    let what = format!("{} connections reset, one after each byte", resets.len());
    control.end(&what, demo.id()).await;
    // All their sockets are closed.
    let all_gone = async {
        while open_files(demo.id()) > files {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(RESPONSE_TIMEOUT, all_gone).await.expect("their sockets are closed");
}

/// Counts handlers that ran to completion.
type Done = Arc<AtomicUsize>;

/// Panics, never returns, or works for a while, depending on the path.
struct FaultyHandler;

impl RequestHandler for FaultyHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get, Method::Post];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        match exchange.request().path() {
            "/panic" => panic!("on purpose"),
            "/forever" => std::future::pending().await,
            "/spawned" => {
                let done = exchange.state::<Done>()?;
                let work = tokio::spawn(async move {
                    sleep(Duration::from_millis(100)).await;
                    done.fetch_add(1, Ordering::SeqCst);
                });
                work.await.map_err(dustdevil::Error::other)?;
                return exchange.write("done");
            }
            _ => sleep(Duration::from_millis(100)).await,
        }
        exchange.state::<Done>()?.fetch_add(1, Ordering::SeqCst);
        exchange.write("done")
    }

    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        exchange.write("done")
    }
}

fn application(settings: Settings) -> Application {
    let routes = [
        ("/hello", handler::<HelloHandler> as dustdevil::Handler),
        ("/panic", handler::<FaultyHandler>),
        ("/forever", handler::<FaultyHandler>),
        ("/work", handler::<FaultyHandler>),
        ("/spawned", handler::<FaultyHandler>),
    ];
    Application::new(routes, settings).expect("the application is whole")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_panics_fails_only_its_own_request() {
    let _alone = EXCLUSIVE.lock().await;
    let server = serve(application(settings())).await;
    let address = server.address;
    let control = ControlClient::begin(address);
    let statuses = run_clients(200, move |_| async move {
        let mut client = Client::connect(address).await;
        let status = client.ask("GET /panic").await.status;
        (status, client.is_closed().await)
    })
    .await;
    assert_eq!(statuses, [(500, true); 200]);
    let what = "200 requests whose handler panics, each answered 500 and closed";
    control.end(what, process::id()).await;
    server.stop().await;
}

/// The handler timeout drops the handler's future; the connection can serve the next request.
#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_never_returns_times_out() {
    let _alone = EXCLUSIVE.lock().await;
    let settings = Settings { handler_timeout: Duration::from_millis(300), ..settings() };
    let server = serve(application(settings)).await;
    let address = server.address;
    let control = ControlClient::begin(address);
    let statuses = run_clients(200, move |_| async move {
        let mut client = Client::connect(address).await;
        let status = client.ask("GET /forever").await.status;
        (status, client.ask("GET /hello").await.status)
    })
    .await;
    assert_eq!(statuses, [(503, 200); 200], "the connection stays open");
    let what = "200 requests whose handler never returns, each answered 503";
    control.end(what, process::id()).await;
    server.stop().await;
}

/// A handler is dropped when its client resets the connection. It runs to completion if the
/// client only closes its sending side, and spawned tasks always do.
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_disconnect_during_a_handler_do_not_disturb_other_clients() {
    let _alone = EXCLUSIVE.lock().await;
    for (path, completed) in [("/work", 100), ("/spawned", 200)] {
        let done = Done::default();
        let server = serve(application(settings()).state(Arc::clone(&done))).await;
        let address = server.address;
        let control = ControlClient::begin(address);
        let work = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let left = run_clients(200, move |number| {
            let requests = [HELLO, work.as_bytes()].concat();
            async move {
                let mut client = Client::connect(address).await;
                client.send(requests).await;
                // The first response is flushed when the second one is pending.
                let status = client.receive().await.status;
                if number % 2 == 0 {
                    client.reset();
                }
                status
            }
        })
        .await;
        assert_eq!(left, [200; 200]);
        let what = format!("200 clients leave during {path}, half of them with a reset");
        control.end(&what, process::id()).await;
        server.stop().await;
        // A spawned task does not belong to a connection, so it may outlive the server.
        let deadline = Instant::now() + RESPONSE_TIMEOUT;
        while done.load(Ordering::SeqCst) < completed && Instant::now() < deadline {
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(done.load(Ordering::SeqCst), completed, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_under_load_loses_no_response() {
    let _alone = EXCLUSIVE.lock().await;
    let demo = start_demo(&[]);
    let address = demo.address();
    let responses = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&responses);
    let clients = tokio::spawn(run_clients(64, move |_| {
        let counter = Arc::clone(&counter);
        async move {
            let mut client = Client::connect(address).await;
            let mut responses = 0;
            // A client whose connection is closed has nothing more to send on it.
            while client.is_open() {
                let reply = client.ask("GET /hello").await;
                assert_eq!(reply.text(), "Hello, world!");
                responses += 1;
                counter.fetch_add(1, Ordering::SeqCst);
                if reply.field("Connection") == Some("close") {
                    return (responses, client.is_closed().await);
                }
            }
            (responses, true)
        }
    }));
    while responses.load(Ordering::SeqCst) < 2000 {
        sleep(Duration::from_millis(1)).await;
    }
    demo.signal("TERM");
    let ended = clients.await.expect("no client misses a response");
    let responses: usize = ended.iter().map(|(responses, _)| responses).sum();
    assert!(ended.iter().all(|(_, closed)| *closed));
    assert_eq!(demo.wait().status.code(), Some(0));
    tell(&format!(
        "fault: SIGTERM while 64 clients ask; {responses} responses, 0 lost, then `Connection: \
         close` or a closed connection, and exit 0"
    ));
}

/// The connections in the accept backlog are accepted one by one as descriptors become free,
/// and are all answered before the process ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_without_free_descriptors_loses_no_response() {
    let _alone = EXCLUSIVE.lock().await;
    let demo = start_with_files(60);
    let address = demo.address();
    // While the process is stopped, more clients connect than it has descriptors. Then it gets
    // SIGTERM.
    demo.signal("STOP");
    let waiting = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&waiting);
    let clients = tokio::spawn(run_clients(300, move |_| {
        let counter = Arc::clone(&counter);
        async move {
            let mut client = Client::connect(address).await;
            client.send(HELLO).await;
            counter.fetch_add(1, Ordering::SeqCst);
            client.receive().await.text()
        }
    }));
    while waiting.load(Ordering::SeqCst) < 300 {
        sleep(Duration::from_millis(1)).await;
    }
    demo.signal("TERM");
    demo.signal("CONT");
    let responses = clients.await.expect("no client misses its response");
    assert_eq!(responses, ["Hello, world!"; 300]);
    assert_eq!(demo.wait().status.code(), Some(0));
    tell(
        "fault: SIGTERM while 300 requests wait with 60 file descriptors; all are answered",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_under_load_ends_the_server_immediately() {
    let _alone = EXCLUSIVE.lock().await;
    let demo = start_demo(&[]);
    let address = demo.address();
    let head = "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40\r\n\r\n";
    let mut busy = run_clients(50, move |_| async move {
        let mut client = Client::connect(address).await;
        assert_eq!(client.ask("GET /hello").await.status, 200);
        client.send(head).await;
        client
    })
    .await;
    let mut idle = Client::connect(address).await;
    assert_eq!(idle.ask("GET /hello").await.status, 200);
    demo.signal("TERM");
    assert!(idle.is_closed().await, "the first signal closes idle connections");
    demo.signal("INT");
    let status = demo.wait().status;
    assert_eq!(status.code(), Some(1), "requests were cut off");
    for client in &mut busy {
        assert!(client.is_closed().await);
    }
    tell("fault: two signals while 50 requests are in flight; all are cut off, exit 1");
}

/// A deployment that replaces the static directory while files are sent: each response is the
/// complete old file or a 404.
#[tokio::test(flavor = "multi_thread")]
async fn files_that_vanish_do_not_disturb_other_clients() {
    let _alone = EXCLUSIVE.lock().await;
    let folder = static_folder("vanishing");
    let demo = start_demo(&["--static-path", folder.to_str().unwrap()]);
    let address = demo.address();
    let control = ControlClient::begin(address);
    let clients = tokio::spawn(run_clients(20, move |number| async move {
        let mut outcomes: HashMap<&str, u32> = HashMap::new();
        let (name, whole) = match number % 2 {
            0 => ("site.css", fs::read(project("static/site.css")).unwrap()),
            _ => ("large.bin", vec![b'a'; LARGE]),
        };
        for _ in 0..50 {
            let mut client = Client::connect(address).await;
            let request = format!("GET /static/{name} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            client.send(request).await;
            let head = client.receive_head().await;
            let length: usize = head.field("Content-Length").unwrap().parse().unwrap();
            client.half_close().await;
            let content = client.rest().await;
            let outcome = match (head.status, content.len() == length) {
                (200, true) if content == whole => "whole",
                (404, true) => "404",
                other => panic!("{other:?}"),
            };
            *outcomes.entry(outcome).or_default() += 1;
        }
        outcomes
    }));
    let away = folder.with_extension("away");
    let _ = fs::remove_dir_all(&away);
    while !clients.is_finished() {
        for name in ["site.css", "large.bin"] {
            fs::copy(folder.join(name), folder.join(name).with_extension("new")).unwrap();
            fs::remove_file(folder.join(name)).unwrap();
        }
        sleep(Duration::from_millis(10)).await;
        fs::rename(&folder, &away).unwrap();
        sleep(Duration::from_millis(10)).await;
        fs::rename(&away, &folder).unwrap();
        for name in ["site.css", "large.bin"] {
            fs::rename(folder.join(name).with_extension("new"), folder.join(name)).unwrap();
        }
        sleep(Duration::from_millis(10)).await;
    }
    let mut outcomes: HashMap<&str, u32> = HashMap::new();
    for (outcome, count) in
        clients.await.expect("no response is wrong").into_iter().flatten()
    {
        *outcomes.entry(outcome).or_default() += count;
    }
    let what = format!("files vanish and come back during 1000 requests: {outcomes:?}");
    control.end(&what, demo.id()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_requests_of_maximum_size_stay_within_the_limits() {
    let _alone = EXCLUSIVE.lock().await;
    let limits = Limits::default();
    let demo = start_demo(&[]);
    let address = demo.address();
    let before = memory(demo.id(), "VmRSS");
    // So many that all their content together is within the memory budget.
    let count = 200;
    let control = ControlClient::begin(address);
    let line = "POST /login HTTP/1.1\r\nHost: localhost\r\n";
    let end = format!("Content-Length: {}\r\n\r\n", limits.max_content);
    let padding =
        "a".repeat(limits.max_head - line.len() - end.len() - "Field: \r\n".len());
    let head = format!("{line}Field: {padding}\r\n{end}");
    // All but the last byte, so that all requests are in memory at the same time.
    let mut clients = run_clients(count, move |_| {
        let head = head.clone();
        async move {
            let mut client = Client::connect(address).await;
            client.send(head).await;
            client.send(vec![b'a'; limits.max_content - 1]).await;
            client
        }
    })
    .await;
    for client in &mut clients {
        client.send("a").await;
        assert_eq!(client.receive().await.status, 403, "a form without its token");
    }
    if let (Some(before), Some(most)) = (before, memory(demo.id(), "VmHWM")) {
        let each = (most - before) / count as u64;
        tell(&format!(
            "fault: each of {count} requests of maximum size takes {} KiB",
            each / 1024
        ));
        let bound = 2 * limits.max_head + limits.max_content + 64 * 1024;
        assert!(each < bound as u64, "{each} bytes");
    }
    let what = format!("{count} clients with head and content of maximum size");
    control.end(&what, demo.id()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn content_takes_memory_as_it_arrives_and_not_as_announced() {
    let _alone = EXCLUSIVE.lock().await;
    let demo = start_demo(&[]);
    let before = memory(demo.id(), "VmRSS").unwrap_or_default();
    let head =
        "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048576\r\n\r\na";
    let mut clients = Vec::new();
    for _ in 0..1000 {
        let mut client = Client::connect(demo.address()).await;
        client.send(head).await;
        clients.push(client);
    }
    // After another request has been answered, the server has read all these heads.
    assert_eq!(Client::connect(demo.address()).await.ask("GET /hello").await.status, 200);
    if let Some(now) = memory(demo.id(), "VmRSS") {
        let each = now.saturating_sub(before) / 1000;
        tell(&format!(
            "fault: an announced MiB of which one byte has arrived takes {each} bytes"
        ));
        assert!(each < 32 * 1024, "{each} bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_chunks_of_one_byte_do_not_disturb_other_clients() {
    let _alone = EXCLUSIVE.lock().await;
    let demo = start_demo(&[]);
    let address = demo.address();
    let head =
        "POST /login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    let before = processor_time(demo.id());
    let control = ControlClient::begin(address);
    let statuses = run_clients(50, move |_| async move {
        let mut socket = TcpStream::connect(address).await.expect("a connection");
        socket.write_all(head.as_bytes()).await.expect("a head");
        let (mut receive, mut send) = socket.split();
        let chunks = "1\r\na\r\n".repeat(1 << 20);
        let mut status = [0; 12];
        let send = async { drop(send.write_all(chunks.as_bytes()).await) };
        let receive = async { receive.read_exact(&mut status).await.map(drop) };
        tokio::join!(send, receive).1.expect("a response");
        status
    })
    .await;
    assert!(statuses.iter().all(|status| status == b"HTTP/1.1 413"), "{statuses:?}");
    let spent = processor_time(demo.id())
        .zip(before)
        .map(|(now, before)| now.saturating_sub(before));
    let spent = spent.map_or(String::from("unknown"), |spent| format!("{:?}", spent / 50));
    let what =
        format!("50 clients send a million chunks of one byte; each takes {spent} of CPU");
    control.end(&what, demo.id()).await;
}

/// The responses that the clients of the next tests received.
#[derive(Debug, Default)]
struct Outcomes {
    answered: usize,
    refused: usize,
    closed: usize,
}

/// Ten thousand clients send a head of maximum size, announce content of maximum size, and send
/// as much of it as the server takes. If `kibibytes` is given, the address space of the process
/// is limited (`RLIMIT_AS`), so allocations fail.
async fn send_largest_requests(kibibytes: Option<u64>) {
    let _alone = EXCLUSIVE.lock().await;
    let demo = match kibibytes {
        None => start_demo(&[]),
        // Each worker thread reserves address space, so their number is fixed.
        Some(limit) => Process::start(
            command_with_memory(limit)
                .env("RUST_LOG", "off")
                .env("TOKIO_WORKER_THREADS", "2"),
        ),
    };
    let address = demo.address();
    let control = ControlClient::begin(address);
    let limits = Limits::default();
    let count = (file_limit().saturating_sub(1000)).min(9_990);
    let line = "POST /login HTTP/1.1\r\nHost: localhost\r\n";
    let end = format!("Content-Length: {}\r\n\r\n", limits.max_content);
    let padding =
        "a".repeat(limits.max_head - line.len() - end.len() - "Field: \r\n".len());
    let head = format!("{line}Field: {padding}\r\n{end}");
    let content = Arc::new(vec![b'a'; limits.max_content]);
    let clients = run_clients(count, move |_| {
        let (head, content) = (head.clone(), Arc::clone(&content));
        async move {
            let mut socket = TcpStream::connect(address).await.ok()?;
            let send = async {
                socket.write_all(head.as_bytes()).await?;
                socket.write_all(&content).await
            };
            // The send ends by this timeout if the server stops reading.
            let _ = timeout(Duration::from_secs(1), send).await;
            let mut status = [0; 12];
            let read = timeout(Duration::from_millis(500), socket.read_exact(&mut status));
            Some((read.await, status, socket))
        }
    })
    .await;
    let mut outcomes = Outcomes::default();
    for (read, status, _) in clients.iter().flatten() {
        match (read, &status[9..]) {
            (Ok(Ok(_)), b"503") => outcomes.refused += 1,
            (Ok(Ok(_)), _) => outcomes.answered += 1,
            _ => outcomes.closed += 1,
        }
    }
    let most = memory(demo.id(), "VmHWM");
    let limit = kibibytes
        .map_or(String::new(), |limit| format!(" and a limit of {} MiB", limit / 1024));
    tell(&format!(
        "fault: memory of {} MiB at most with {count} requests of maximum size{limit}: {outcomes:?}",
        most.unwrap_or_default() / 1024 / 1024,
    ));
    drop(clients);
    control.end("ten thousand concurrent requests of maximum size", demo.id()).await;
    if let Some(most) = most {
        assert!(most < 512 * 1024 * 1024, "{most} bytes");
    }
    demo.signal("TERM");
    assert!(demo.wait().status.success(), "the process survives");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_requests_of_maximum_size_stay_within_the_memory_budget() {
    send_largest_requests(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_survives_failed_allocations() {
    send_largest_requests(Some(500 * 1024)).await;
}
