//! What clients do, or fail to do, that must not cost another client its answer. Each test has a
//! bystander who asks all the while, and prints its figures.

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

use crate::bystander::{
    Bystander, HELLO, PATIENCE, ask, file_limit, memory, open_files, processor_time,
};
use crate::process::{Process, command, command_with_files, command_with_memory};
use crate::support::{Client, Visitor, project, serve, settings};
use crate::transcripts::HelloHandler;
use crate::webdriver::tell;

/// Crowds come one at a time: two would slow each other down, and their figures would say nothing.
static STAGE: Mutex<()> = Mutex::const_new(());

/// The demo, without its log.
fn start_demo(arguments: &[&str]) -> Process {
    Process::start(command(arguments).env("RUST_LOG", "off"))
}

/// The same, where the system gives it so many files and no more.
fn start_with_files(files: usize) -> Process {
    Process::start(command_with_files(files).env("RUST_LOG", "off"))
}

/// Sends bytes one by one, and takes its time.
async fn trickle(client: &mut Client, bytes: &[u8]) {
    for byte in bytes {
        client.send([*byte]).await;
        sleep(Duration::from_millis(20)).await;
    }
}

/// Has so many clients do the same at once; says what came of each.
async fn crowd<W>(count: usize, client: impl Fn(usize) -> W) -> Vec<W::Output>
where
    W: Future<Output: Send + 'static> + Send + 'static,
{
    let mut crowd: JoinSet<_> = (0..count).map(client).collect();
    let mut outcomes = Vec::new();
    while let Some(outcome) = crowd.join_next().await {
        outcomes.push(outcome.expect("a client does not panic"));
    }
    outcomes
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_heads_cost_nobody_an_answer() {
    let _alone = STAGE.lock().await;
    let demo = start_demo(&[]);
    let address = demo.address();
    let bystander = Bystander::begin(address);
    let answered = crowd(500, move |_| async move {
        let mut client = Client::connect(address).await;
        trickle(&mut client, HELLO).await;
        client.receive().await.status
    })
    .await;
    assert_eq!(answered, [200; 500]);
    bystander
        .end("500 clients send a head byte by byte, and have their answer", demo.id())
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_content_costs_nobody_an_answer() {
    let _alone = STAGE.lock().await;
    let demo = start_demo(&[]);
    let address = demo.address();
    let bystander = Bystander::begin(address);
    let answered = crowd(500, move |_| async move {
        let mut client = Client::connect(address).await;
        client
            .send("POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40\r\n\r\n")
            .await;
        trickle(&mut client, &[b'a'; 40]).await;
        client.receive().await.status
    })
    .await;
    assert_eq!(answered, [403; 500], "a form without its token");
    let what = "500 clients send content byte by byte, and have their answer";
    bystander.end(what, demo.id()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_and_content_that_never_end_cost_nobody_an_answer() {
    let _alone = STAGE.lock().await;
    let soon = Duration::from_millis(500);
    let limits = Limits { head_timeout: soon, content_timeout: soon, ..Limits::default() };
    let server = serve(application(Settings { limits, ..settings() })).await;
    let address = server.address;
    let bystander = Bystander::begin(address);
    let answered = crowd(500, move |number| async move {
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
    assert_eq!(answered, [408; 500]);
    let what = "500 clients stop within a head or content, and are told";
    bystander.end(what, process::id()).await;
}

const LARGE: usize = 4 * 1024 * 1024;

/// A folder for the demo's files, with a large one among them.
fn static_folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("faults").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    fs::copy(project("static/site.css"), folder.join("site.css")).unwrap();
    fs::write(folder.join("large.bin"), vec![b'a'; LARGE]).unwrap();
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_stop_reading_cost_nobody_an_answer() {
    let _alone = STAGE.lock().await;
    let folder = static_folder("readers");
    let demo = start_demo(&["--static-path", folder.to_str().unwrap()]);
    let before = memory(demo.id(), "VmRSS");
    let bystander = Bystander::begin(demo.address());
    let mut readers = Vec::new();
    for _ in 0..200 {
        let mut client = Client::connect(demo.address()).await;
        client.send("GET /static/large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert_eq!(client.receive_head().await.status, 200);
        readers.push(client);
    }
    // What waits to be taken is a piece or two for each of them, and not the file.
    let memory = memory(demo.id(), "VmHWM");
    if let (Some(before), Some(memory)) = (before, memory) {
        assert!(memory - before < 200 * 1024 * 1024, "{memory} bytes");
    }
    for reader in &mut readers[..20] {
        assert_eq!(reader.bytes(LARGE).await, vec![b'a'; LARGE], "it reads on");
    }
    let what = "200 clients ask for 4 MiB each and stop reading; 20 go on and have it all";
    bystander.end(what, demo.id()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_crowd_costs_nobody_an_answer() {
    let _alone = STAGE.lock().await;
    let demo = start_demo(&[]);
    let before = memory(demo.id(), "VmRSS").unwrap_or(0);
    // With room for the bystander.
    let count = (file_limit().saturating_sub(1000)).min(9_990);
    let mut idle = Vec::new();
    for _ in 0..count {
        let mut socket = TcpStream::connect(demo.address()).await.expect("a connection");
        ask(&mut socket).await.expect("an answer");
        idle.push(socket);
    }
    let each =
        memory(demo.id(), "VmRSS").map(|now| now.saturating_sub(before) / count as u64);
    let bystander = Bystander::begin(demo.address());
    sleep(Duration::from_millis(500)).await;
    let each = each.map_or(String::from("unknown"), |bytes| format!("{bytes} bytes"));
    let what = format!("{count} connections idle after an answer, each {each}");
    bystander.end(&what, demo.id()).await;
    for socket in &mut idle {
        ask(socket).await.expect("who was idle is still served");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_past_the_file_limit_are_all_answered() {
    let _alone = STAGE.lock().await;
    let demo = Process::start(command_with_files(100).env("RUST_LOG", "warn"));
    let address = demo.address();
    let bystander = Bystander::begin(address);
    // All at once, and nobody leaves: whoever was answered first makes room for the others.
    let answered = crowd(500, move |_| async move {
        let mut socket = TcpStream::connect(address).await.ok()?;
        timeout(PATIENCE, ask(&mut socket)).await.ok()?.ok()?;
        Some(socket)
    })
    .await;
    assert!(answered.iter().all(Option::is_some), "an answer was lost");
    // There are files left for what is not in memory.
    let mut visitor = Visitor { address, cookies: BTreeMap::new() };
    assert_eq!(visitor.get("/static/site.css").await.status, 200);
    let what = "500 clients connect where there are files for 100, and have their answer";
    bystander.end(what, demo.id()).await;
    demo.signal("TERM");
    let ended = demo.wait();
    assert!(ended.status.success());
    let complaints =
        ended.log.iter().filter(|line| line.contains("out of file descriptors")).count();
    // One for a while, and not one for each client.
    assert!((1..10).contains(&complaints), "{:?}", ended.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_past_the_file_limit_cost_nobody_an_answer() {
    more_than_there_are_files("silent clients", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_heads_past_the_file_limit_cost_nobody_an_answer() {
    more_than_there_are_files("half heads", "GET /hello HTTP/1.1\r\n").await;
}

/// One after the other they are let in, and leave for the next.
async fn more_than_there_are_files(who: &str, says: &'static str) {
    let _alone = STAGE.lock().await;
    let demo = start_with_files(100);
    let address = demo.address();
    let bystander = Bystander::begin(address);
    let crowd = crowd(500, move |_| async move {
        let mut socket = TcpStream::connect(address).await.ok()?;
        socket.write_all(says.as_bytes()).await.ok()?;
        Some(socket)
    })
    .await;
    let mut closed = 0;
    for mut socket in crowd.into_iter().flatten() {
        let read = timeout(Duration::from_millis(10), socket.read_u8()).await;
        closed += usize::from(read.is_ok());
    }
    let what = format!("500 {who} where there are files for 100, {closed} sent away");
    bystander.end(&what, demo.id()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_files_waits_and_does_not_spin() {
    let _alone = STAGE.lock().await;
    let demo = start_with_files(100);
    let address = demo.address();
    // Nobody of them is idle, so nobody can be asked to leave.
    let busy = crowd(200, move |_| async move {
        let mut client = Client::connect(address).await;
        client
            .send("POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40\r\n\r\n")
            .await;
        client
    })
    .await;
    let (before, begun) = (processor_time(demo.id()), Instant::now());
    sleep(Duration::from_secs(1)).await;
    let spent = processor_time(demo.id())
        .zip(before)
        .map(|(now, before)| now.saturating_sub(before));
    if let Some(spent) = spent {
        assert!(spent < begun.elapsed() / 2, "{spent:?}");
    }
    drop(busy);
    let bystander = Bystander::begin(address);
    let spent = spent.map_or(String::from("unknown"), |spent| format!("{spent:?}"));
    let what =
        format!("200 half requests where there are files for 100, {spent} of CPU a second");
    bystander.end(&what, demo.id()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resets_at_every_point_cost_nobody_an_answer() {
    let _alone = STAGE.lock().await;
    let folder = static_folder("resets");
    let demo = start_demo(&["--static-path", folder.to_str().unwrap()]);
    let address = demo.address();
    let mut socket = TcpStream::connect(address).await.unwrap();
    ask(&mut socket).await.unwrap();
    let files = open_files(demo.id());
    let bystander = Bystander::begin(address);
    let conversation = [
        HELLO,
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"GET /static/large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ]
    .concat();
    let length = conversation.len();
    // Behind each byte that is sent, and behind each piece of the answers that comes.
    let resets = crowd(length + 100, move |number| {
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
    let what = format!("{} connections reset, one behind each byte", resets.len());
    bystander.end(&what, demo.id()).await;
    // Nothing is left of them.
    let all_gone = async {
        while open_files(demo.id()) > files {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, all_gone).await.expect("their sockets are closed");
}

/// How often work was done to its end.
type Done = Arc<AtomicUsize>;

/// Panics, never ends, or works a while: as it is asked to.
struct FaultyHandler;

impl RequestHandler for FaultyHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get, Method::Post];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        match exchange.request().path() {
            "/panic" => panic!("the handler meant to"),
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
async fn a_handler_that_panics_is_one_requests_misfortune() {
    let _alone = STAGE.lock().await;
    let server = serve(application(settings())).await;
    let address = server.address;
    let bystander = Bystander::begin(address);
    let answered = crowd(200, move |_| async move {
        let mut client = Client::connect(address).await;
        let status = client.ask("GET /panic").await.status;
        (status, client.is_closed().await)
    })
    .await;
    assert_eq!(answered, [(500, true); 200]);
    let what = "200 requests whose handler panics, each answered 500 and closed";
    bystander.end(what, process::id()).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_never_returns_is_given_up() {
    let _alone = STAGE.lock().await;
    let settings = Settings { handler_timeout: Duration::from_millis(300), ..settings() };
    let server = serve(application(settings)).await;
    let address = server.address;
    let bystander = Bystander::begin(address);
    let answered = crowd(200, move |_| async move {
        let mut client = Client::connect(address).await;
        let status = client.ask("GET /forever").await.status;
        (status, client.ask("GET /hello").await.status)
    })
    .await;
    assert_eq!(answered, [(503, 200); 200], "and the connection goes on");
    let what = "200 requests whose handler never returns, each answered 503";
    bystander.end(what, process::id()).await;
    server.stop().await;
}

/// A handler whose client has reset the connection is dropped. One whose client has closed its side
/// works to its end, and so does work that was spawned, whatever its client does.
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_leave_while_a_handler_works_cost_nobody_an_answer() {
    let _alone = STAGE.lock().await;
    for (path, completed) in [("/work", 100), ("/spawned", 200)] {
        let done = Done::default();
        let server = serve(application(settings()).state(Arc::clone(&done))).await;
        let address = server.address;
        let bystander = Bystander::begin(address);
        let work = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let left = crowd(200, move |number| {
            let requests = [HELLO, work.as_bytes()].concat();
            async move {
                let mut client = Client::connect(address).await;
                client.send(requests).await;
                // This answer leaves when the next one has to be waited for.
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
        bystander.end(&what, process::id()).await;
        server.stop().await;
        assert_eq!(done.load(Ordering::SeqCst), completed, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_told_to_stop_under_load_owes_nobody_an_answer() {
    let _alone = STAGE.lock().await;
    let demo = start_demo(&[]);
    let address = demo.address();
    let under_way = Arc::new(AtomicUsize::new(0));
    let so_far = Arc::clone(&under_way);
    let clients = tokio::spawn(crowd(64, move |_| {
        let so_far = Arc::clone(&so_far);
        async move {
            let mut client = Client::connect(address).await;
            let mut answers = 0;
            // Whoever finds the connection closed has nothing more to ask on it.
            while client.is_open() {
                let reply = client.ask("GET /hello").await;
                assert_eq!(reply.text(), "Hello, world!");
                answers += 1;
                so_far.fetch_add(1, Ordering::SeqCst);
                if reply.field("Connection") == Some("close") {
                    return (answers, client.is_closed().await);
                }
            }
            (answers, true)
        }
    }));
    while under_way.load(Ordering::SeqCst) < 2000 {
        sleep(Duration::from_millis(1)).await;
    }
    demo.signal("TERM");
    let ended = clients.await.expect("no client misses an answer");
    let answers: usize = ended.iter().map(|(answers, _)| answers).sum();
    assert!(ended.iter().all(|(_, closed)| *closed));
    assert_eq!(demo.wait().status.code(), Some(0));
    tell(&format!(
        "fault: SIGTERM while 64 clients ask; {answers} answers, 0 lost, then `Connection: \
         close` or a closed connection, and exit 0"
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_told_to_stop_without_files_owes_nobody_an_answer() {
    let _alone = STAGE.lock().await;
    let demo = start_with_files(60);
    let address = demo.address();
    // More than there are files for connect while it stands still, and then it is told to stop.
    demo.signal("STOP");
    let waiting = Arc::new(AtomicUsize::new(0));
    let so_far = Arc::clone(&waiting);
    let clients = tokio::spawn(crowd(300, move |_| {
        let so_far = Arc::clone(&so_far);
        async move {
            let mut client = Client::connect(address).await;
            client.send(HELLO).await;
            so_far.fetch_add(1, Ordering::SeqCst);
            client.receive().await.text()
        }
    }));
    while waiting.load(Ordering::SeqCst) < 300 {
        sleep(Duration::from_millis(1)).await;
    }
    demo.signal("TERM");
    demo.signal("CONT");
    let answers = clients.await.expect("no client misses its answer");
    assert_eq!(answers, ["Hello, world!"; 300]);
    assert_eq!(demo.wait().status.code(), Some(0));
    tell(
        "fault: SIGTERM while 300 requests wait where there are files for 60; all are answered",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_under_load_ends_it_at_once() {
    let _alone = STAGE.lock().await;
    let demo = start_demo(&[]);
    let address = demo.address();
    let head = "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40\r\n\r\n";
    let mut busy = crowd(50, move |_| async move {
        let mut client = Client::connect(address).await;
        assert_eq!(client.ask("GET /hello").await.status, 200);
        client.send(head).await;
        client
    })
    .await;
    let mut idle = Client::connect(address).await;
    assert_eq!(idle.ask("GET /hello").await.status, 200);
    demo.signal("TERM");
    assert!(idle.is_closed().await, "it has heard the first");
    demo.signal("INT");
    let status = demo.wait().status;
    assert_eq!(status.code(), Some(1), "requests were cut off");
    for client in &mut busy {
        assert!(client.is_closed().await);
    }
    tell("fault: two signals while 50 requests are under way; all are cut off, exit 1");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_vanish_cost_nobody_an_answer() {
    let _alone = STAGE.lock().await;
    let folder = static_folder("vanishing");
    let demo = start_demo(&["--static-path", folder.to_str().unwrap()]);
    let address = demo.address();
    let bystander = Bystander::begin(address);
    let clients = tokio::spawn(crowd(20, move |number| async move {
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
                (404, true) => "not there",
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
    for (outcome, count) in clients.await.expect("no answer is wrong").into_iter().flatten()
    {
        *outcomes.entry(outcome).or_default() += count;
    }
    let what = format!("files vanish and come back, 1000 times asked for: {outcomes:?}");
    bystander.end(&what, demo.id()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_requests_at_once_take_what_the_limits_say() {
    let _alone = STAGE.lock().await;
    let limits = Limits::default();
    let demo = start_demo(&[]);
    let address = demo.address();
    let before = memory(demo.id(), "VmRSS");
    // So many that all of their content is within the budget.
    let count = 200;
    let bystander = Bystander::begin(address);
    let line = "POST /login HTTP/1.1\r\nHost: localhost\r\n";
    let end = format!("Content-Length: {}\r\n\r\n", limits.max_content);
    let padding =
        "a".repeat(limits.max_head - line.len() - end.len() - "Field: \r\n".len());
    let head = format!("{line}Field: {padding}\r\n{end}");
    // All but the last byte, so that all of them are there at once.
    let mut clients = crowd(count, move |_| {
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
        tell(&format!("fault: each of {count} largest requests takes {} KiB", each / 1024));
        let bound = 2 * limits.max_head + limits.max_content + 64 * 1024;
        assert!(each < bound as u64, "{each} bytes");
    }
    let what = format!("{count} clients with the largest head and content at once");
    bystander.end(&what, demo.id()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn content_takes_memory_as_it_arrives_and_not_as_it_is_announced() {
    let _alone = STAGE.lock().await;
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
    // Once another is answered, all of it has been read.
    assert_eq!(Client::connect(demo.address()).await.ask("GET /hello").await.status, 200);
    if let Some(now) = memory(demo.id(), "VmRSS") {
        let each = now.saturating_sub(before) / 1000;
        tell(&format!("fault: of a MiB that is announced, one byte takes {each} bytes"));
        assert!(each < 32 * 1024, "{each} bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_chunks_of_one_byte_cost_nobody_an_answer() {
    let _alone = STAGE.lock().await;
    let demo = start_demo(&[]);
    let address = demo.address();
    let head =
        "POST /login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    let before = processor_time(demo.id());
    let bystander = Bystander::begin(address);
    let answered = crowd(50, move |_| async move {
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
    assert!(answered.iter().all(|status| status == b"HTTP/1.1 413"), "{answered:?}");
    let spent = processor_time(demo.id())
        .zip(before)
        .map(|(now, before)| now.saturating_sub(before));
    let spent = spent.map_or(String::from("unknown"), |spent| format!("{:?}", spent / 50));
    let what =
        format!("50 clients send a million chunks of one byte; each takes {spent} of CPU");
    bystander.end(&what, demo.id()).await;
}

/// What the clients of the next test had as a response.
#[derive(Debug, Default)]
struct Outcomes {
    answered: usize,
    refused: usize,
    closed: usize,
}

/// Ten thousand clients have the largest head, announce the largest content, and send as much of it
/// as the system takes. Where `kibibytes` is given, the process may not have more memory than that
/// (`RLIMIT_AS`), and what it asks for beyond it fails.
async fn the_largest_requests(kibibytes: Option<u64>) {
    let _alone = STAGE.lock().await;
    let demo = match kibibytes {
        None => start_demo(&[]),
        // How much a process has from its start depends on its threads.
        Some(limit) => Process::start(
            command_with_memory(limit)
                .env("RUST_LOG", "off")
                .env("TOKIO_WORKER_THREADS", "2"),
        ),
    };
    let address = demo.address();
    let bystander = Bystander::begin(address);
    let limits = Limits::default();
    let count = (file_limit().saturating_sub(1000)).min(9_990);
    let line = "POST /login HTTP/1.1\r\nHost: localhost\r\n";
    let end = format!("Content-Length: {}\r\n\r\n", limits.max_content);
    let padding =
        "a".repeat(limits.max_head - line.len() - end.len() - "Field: \r\n".len());
    let head = format!("{line}Field: {padding}\r\n{end}");
    let content = Arc::new(vec![b'a'; limits.max_content]);
    let clients = crowd(count, move |_| {
        let (head, content) = (head.clone(), Arc::clone(&content));
        async move {
            let mut socket = TcpStream::connect(address).await.ok()?;
            let send = async {
                socket.write_all(head.as_bytes()).await?;
                socket.write_all(&content).await
            };
            // Where the server reads no more, there is no end to it.
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
        "fault: memory of {} MiB at most with {count} largest requests{limit}: {outcomes:?}",
        most.unwrap_or_default() / 1024 / 1024,
    ));
    drop(clients);
    bystander.end("ten thousand of the largest requests at once", demo.id()).await;
    if let Some(most) = most {
        assert!(most < 512 * 1024 * 1024, "{most} bytes");
    }
    demo.signal("TERM");
    assert!(demo.wait().status.success(), "the process survives");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_of_the_largest_requests_take_no_more_than_the_budget() {
    the_largest_requests(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_system_has_no_more_memory_the_process_survives() {
    the_largest_requests(Some(500 * 1024)).await;
}
