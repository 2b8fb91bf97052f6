//! Allocation budgets: how many allocations, and how many bytes, a request may cost, and how
//! much memory an idle connection may hold.
//!
//! The tests count allocations instead of measuring time. A time also depends on the machine,
//! and is reliable only after many rounds next to other servers (`make bench`). The counts are
//! the same in each run, under any load, so one more allocation is seen immediately.
//!
//! A test that fails here has found a new allocation. If it is worth it, change the budget in
//! the same commit; also if an allocation has gone. `--nocapture` prints the new numbers. The
//! size of a future is up to the compiler: a new version may change bytes, and no counts.
//!
//! The server runs on the thread of the test, and allocation-counter counts on that thread
//! alone. The client runs on another thread, over a real socket. While the client works,
//! tokio's clock is paused, so that no timer interferes.

// Other platforms have other sizes and other sockets.
#![cfg(all(unix, target_pointer_width = "64"))]

use std::fs;
use std::future::pending;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use allocation_counter::{AllocationInfo, measure};
use dustdevil::{
    Application, Exchange, MemoryLimits, MemoryStore, Method, RequestHandler, Result,
    SessionHandler, Settings, handler,
};
use tokio::runtime::{self, Runtime};

/// The total cost. Each growth of a buffer counts as an allocation.
#[derive(Debug)]
struct Cost {
    allocations: u64,
    bytes: u64,
}

/// - The head, and the list of its fields.
/// - The exchange, and the future of its handler.
/// - The content that the handler writes.
const PAGE: Cost = Cost { allocations: 5, bytes: 1035 };

#[test]
fn a_page_keeps_to_its_budget() {
    Counted::start().assert_costs(&PAGE, &request("GET /hello", ""), "200 OK");
}

#[test]
fn pipelined_requests_cost_no_more_than_separate_ones() {
    let budget = Cost { allocations: 16 * PAGE.allocations, bytes: 16 * PAGE.bytes };
    Counted::start().assert_costs(&budget, &request("GET /hello", "").repeat(16), "200 OK");
}

/// - The cost of a page.
/// - The session, the list of presented ids, and the user name.
const PAGE_BEHIND_THE_LOGIN: Cost = Cost { allocations: 8, bytes: 1900 };

#[test]
fn a_logged_in_page_keeps_to_its_budget() {
    let server = Counted::start();
    let client = server.client(&request("POST /login", ""));
    let cookie = client.field("Set-Cookie").and_then(|cookie| cookie.split(';').next());
    let cookie = format!("Cookie: {}\r\n", cookie.expect("a session begins"));
    server.assert_costs(&PAGE_BEHIND_THE_LOGIN, &request("GET /main", &cookie), "200 OK");
}

/// - The cost of a page, and the list of response fields.
/// - The session, the template values, and the output buffer that the connection shares.
/// - The visitor cookie: its name and value, the list of cookies, and the cookie's line.
/// - The XSRF token.
const FORM_FOR_A_NEW_VISITOR: Cost = Cost { allocations: 14, bytes: 3393 };

#[test]
fn a_form_for_a_new_visitor_keeps_to_its_budget() {
    let server = Counted::start();
    server.assert_costs(&FORM_FOR_A_NEW_VISITOR, &request("GET /login", ""), "200 OK");
}

/// - The cost of a page without the handler's output: the file is cached.
/// - The list of path arguments, and the name and value of one.
/// - The list of response fields, its growth, and the entity tag, date and content type in it.
const FILE: Cost = Cost { allocations: 12, bytes: 1916 };

#[test]
fn a_file_keeps_to_its_budget() {
    Counted::start().assert_costs(&FILE, &request("GET /static/file.txt", ""), "200 OK");
}

/// - The cost of a file without its content type, and without the growth of the list for it.
const FILE_THAT_HAS_NOT_CHANGED: Cost = Cost { allocations: 10, bytes: 1574 };

#[test]
fn a_file_that_has_not_changed_keeps_to_its_budget() {
    let server = Counted::start();
    let client = server.client(&request("GET /static/file.txt", ""));
    let tag = client.field("ETag").expect("the file has a tag");
    let request = request("GET /static/file.txt", &format!("If-None-Match: {tag}\r\n"));
    server.assert_costs(&FILE_THAT_HAS_NOT_CHANGED, &request, "304 Not Modified");
}

/// - The task of the connection, 1152, whose size is a multiple of 128.
/// - tokio's share: 256 for the socket, 112 for the timer, 56 for the task.
const BYTES_OF_AN_IDLE_CONNECTION: i64 = 1576;

#[test]
fn an_idle_connection_keeps_to_its_budget() {
    // Each connection holds the same, so more of them would only need more file descriptors.
    const CONNECTIONS: i64 = 100;
    let server = Counted::start();
    let address = server.address;
    let ask = move |_| Client::connect(address, &request("GET /hello", "")).ask(1);
    // The first connection fills the buffers that all of them share.
    let first = server.count(move || ask(0)).1;
    let (counted, others) =
        server.count(move || (0..CONNECTIONS).map(ask).collect::<Vec<_>>());
    let bytes = counted.bytes_current;
    println!("an idle connection: {} bytes", bytes / CONNECTIONS);
    let budget = CONNECTIONS * BYTES_OF_AN_IDLE_CONNECTION;
    assert!(bytes <= budget, "all of them hold {bytes} bytes, and may hold {budget}");
    drop((first, others));
}

/// Writes a greeting, without a session.
struct HelloHandler;

impl RequestHandler for HelloHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        exchange.write("Hello, world!")
    }
}

/// Greets the logged-in user.
struct MainHandler {
    base: SessionHandler,
}

impl RequestHandler for MainHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(exchange: &mut Exchange) -> Result<Self> {
        Ok(Self { base: SessionHandler::initialize(exchange).await? })
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let username = self.base.authenticated(exchange).await?;
        exchange.write(username)
    }
}

/// Shows a form, and logs in the user that sends it.
struct LoginHandler {
    base: SessionHandler,
}

impl RequestHandler for LoginHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get, Method::Post];

    async fn initialize(exchange: &mut Exchange) -> Result<Self> {
        Ok(Self { base: SessionHandler::initialize(exchange).await? })
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        self.base.render(exchange, "login.html", &[("message", &"Who is there?")]).await
    }

    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        self.base.session.log_in("administrator").await?;
        exchange.redirect("/main")
    }
}

/// A server on the thread of the test, where all its allocations are counted.
struct Counted {
    runtime: Runtime,
    address: SocketAddr,
}

impl Counted {
    fn start() -> Counted {
        let runtime =
            runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        let runtime = runtime.expect("a runtime");
        let server = runtime.block_on(application().listen("127.0.0.1:0"));
        let server = server.expect("a free port");
        let address = server.local_addr().expect("an address");
        runtime.spawn(server.run_until(pending()));
        Counted { runtime, address }
    }

    /// Returns the allocations of the server while a client works on another thread.
    fn count<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> (AllocationInfo, T) {
        let mut client = self.runtime.spawn_blocking(work);
        let mut done = None;
        let counted = measure(|| done = Some(self.runtime.block_on(&mut client)));
        (counted, done.expect("it was waited for").expect("the client is content"))
    }

    /// A client that has received its response twice, because the first time may take a slower
    /// path.
    fn client(&self, request: &str) -> Client {
        let client = Client::connect(self.address, request);
        self.count(move || client.ask(2)).1
    }

    /// Asserts that a request gets this status and stays within its budget.
    fn assert_costs(&self, budget: &Cost, request: &str, status: &str) {
        let client = self.client(request);
        let status_line = format!("HTTP/1.1 {status}\r\n");
        assert!(client.head.starts_with(&status_line), "{request}{}", client.head);
        let cost = self.cost(client);
        println!("{}: {cost:?}", request.lines().next().unwrap_or_default());
        assert!(
            cost.allocations <= budget.allocations && cost.bytes <= budget.bytes,
            "this costs {cost:?}, and may cost {budget:?}:\n{request}"
        );
    }

    /// Returns the average cost of a request, rounded up.
    fn cost(&self, client: Client) -> Cost {
        const TIMES: u64 = 100;
        let (counted, _) = self.count(move || client.ask(TIMES));
        Cost {
            allocations: counted.count_total.div_ceil(TIMES),
            bytes: counted.bytes_total.div_ceil(TIMES),
        }
    }
}

/// A client that repeats one request on its connection.
struct Client {
    socket: BufReader<TcpStream>,
    request: String,
    /// Head of the last response.
    head: String,
}

impl Client {
    fn connect(address: SocketAddr, request: &str) -> Client {
        let socket = TcpStream::connect(address).expect("a connection");
        socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a time limit");
        let (socket, request) = (BufReader::new(socket), request.to_owned());
        Client { socket, request, head: String::new() }
    }

    fn ask(mut self, times: u64) -> Client {
        let requests = self.request.matches("\r\n\r\n").count();
        for _ in 0..times {
            self.socket.get_mut().write_all(self.request.as_bytes()).expect("it is sent");
            (0..requests).for_each(|_| self.receive());
        }
        self
    }

    fn receive(&mut self) {
        self.head.clear();
        while !self.head.ends_with("\r\n\r\n") {
            let read = self.socket.read_line(&mut self.head).expect("a response");
            assert!(read > 0, "the connection ended: {}{}", self.request, self.head);
        }
        let length = self.field("Content-Length").unwrap_or("0").parse();
        let mut content = self.socket.by_ref().take(length.expect("a length"));
        io::copy(&mut content, &mut io::sink()).expect("content");
    }

    fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(found, _)| *found == name).map(|(_, value)| value)
    }
}

/// Builds a request from its line without the version, and more fields.
fn request(line: &str, fields: &str) -> String {
    format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/8.14.1\r\n\
         Accept: */*\r\n{fields}\r\n"
    )
}

fn application() -> Application {
    let settings = Settings {
        session_store: Some(Arc::new(MemoryStore::new(MemoryLimits::default()))),
        template_path: FOLDER.clone(),
        static_path: FOLDER.clone(),
        ..Settings::default()
    };
    Application::new(
        [
            ("/hello", handler::<HelloHandler>),
            ("/main", handler::<MainHandler>),
            ("/login", handler::<LoginHandler>),
        ],
        settings,
    )
    .expect("an application")
}

/// The directory of a template and a static file, created once.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("budget");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("login.html"), FORM).expect("a template");
    let (file, content) = (folder.join("file.txt"), "a line of 16 ...".repeat(64));
    if fs::read_to_string(&file).ok().as_ref() != Some(&content) {
        fs::write(&file, content).expect("a file");
        // A file that was just modified is read each time (racy timestamps), so it must be
        // older.
        std::thread::sleep(Duration::from_millis(2100));
    }
    folder
});

const FORM: &str = "\
<!DOCTYPE html>
<title>Log in</title>
<p>{{ message }}</p>
<form method=\"post\">
  <input type=\"hidden\" name=\"_xsrf\" value=\"{{ xsrf_token }}\">
  <input name=\"username\"> <input name=\"password\" type=\"password\"> <button>Log in</button>
</form>
";
