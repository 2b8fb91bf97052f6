//! Helpers of the tests: servers on free ports, a client that sees every byte, a visitor that
//! keeps cookies like a browser, and a store with latency.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use bytes::BytesMut;
use dustdevil::http::limits::Limits;
use dustdevil::http::server_state::{ServerLimits, ServerState};
use dustdevil::session::id::Key;
use dustdevil::session::store::StoreFuture;
use dustdevil::session::store::{CompareAndSet, Counters, SessionInfo, Visit};
use dustdevil::{
    Application, Exchange, Lifetime, MemoryLimits, MemoryStore, Request, Settings, Store,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::webdriver::tell;

/// The client address of sessions that are used without a socket.
pub const CLIENT_IP: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Returns a path below the root of the repository, whatever the working directory is.
pub fn project(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The demo, with all settings at their defaults.
pub fn demo() -> Application {
    crate::demo::make_app(crate::demo::options::Options::default())
        .expect("the demo is whole")
}

/// Serves the demo with a user that no other test uses, because the default store is shared.
pub async fn demo_of(username: &str) -> Running {
    use crate::demo::{make_app, options::Options};
    let options = Options { username: username.to_owned(), ..Options::default() };
    serve(make_app(options).expect("the demo is whole")).await
}

/// Default settings with a new store.
pub fn settings() -> Settings {
    Settings { session_store: Some(store()), ..Settings::default() }
}

/// A new memory store.
pub fn store() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new(MemoryLimits::default()))
}

/// A store with latency, like one on a network: each operation yields to the runtime a few
/// times, so that other tasks run between the operation and its result.
pub struct SlowStore(pub Arc<dyn Store>);

/// Yields to the runtime so many times.
pub async fn yields(count: usize) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

impl Store for SlowStore {
    fn create<'a>(
        &'a self,
        key: Key,
        lifetime: Lifetime,
        ip: IpAddr,
        name: &'a str,
        value: &'a str,
    ) -> StoreFuture<'a, bool> {
        delayed(2, move || self.0.create(key, lifetime, ip, name, value))
    }

    fn visit<'a>(&'a self, key: Key, ip: IpAddr, name: &'a str) -> StoreFuture<'a, Visit> {
        delayed(2, move || self.0.visit(key, ip, name))
    }

    fn get<'a>(
        &'a self,
        key: Key,
        name: &'a str,
    ) -> StoreFuture<'a, Option<Option<String>>> {
        delayed(2, move || self.0.get(key, name))
    }

    fn set<'a>(
        &'a self,
        key: Key,
        name: &'a str,
        value: &'a str,
    ) -> StoreFuture<'a, Option<()>> {
        delayed(2, move || self.0.set(key, name, value))
    }

    fn remove<'a>(
        &'a self,
        key: Key,
        name: &'a str,
    ) -> StoreFuture<'a, Option<Option<String>>> {
        delayed(2, move || self.0.remove(key, name))
    }

    fn compare_and_set<'a>(
        &'a self,
        key: Key,
        name: &'a str,
        expected: Option<&'a str>,
        value: &'a str,
    ) -> StoreFuture<'a, Option<CompareAndSet>> {
        delayed(2, move || self.0.compare_and_set(key, name, expected, value))
    }

    fn keys(&self, key: Key) -> StoreFuture<'_, Option<Vec<String>>> {
        delayed(2, move || self.0.keys(key))
    }

    fn clear(&self, key: Key) -> StoreFuture<'_, Option<()>> {
        delayed(2, move || self.0.clear(key))
    }

    fn destroy(&self, key: Key) -> StoreFuture<'_, bool> {
        delayed(2, move || self.0.destroy(key))
    }

    /// The longest latency: other tasks see the effect of the rotation long before its result
    /// arrives.
    fn rotate(
        &self,
        key: Key,
        new: Key,
        lifetime: Option<Lifetime>,
    ) -> StoreFuture<'_, bool> {
        delayed(20, move || self.0.rotate(key, new, lifetime))
    }

    fn origin(&self, key: Key) -> StoreFuture<'_, Option<Key>> {
        delayed(2, move || self.0.origin(key))
    }

    fn sessions_of<'a>(&'a self, user: &'a str) -> StoreFuture<'a, Vec<SessionInfo>> {
        delayed(2, move || self.0.sessions_of(user))
    }

    fn sessions_over_limit<'a>(
        &'a self,
        user: &'a str,
        max: usize,
    ) -> StoreFuture<'a, Vec<Key>> {
        delayed(2, move || self.0.sessions_over_limit(user, max))
    }

    fn counters(&self) -> StoreFuture<'_, Counters> {
        delayed(2, move || self.0.counters())
    }

    fn sweep(&self) -> StoreFuture<'_, ()> {
        delayed(2, move || self.0.sweep())
    }
}

/// Performs an operation after one yield, and returns its result after some more.
fn delayed<'a, T: Send + 'a>(
    yields_before_result: usize,
    operation: impl FnOnce() -> StoreFuture<'a, T> + Send + 'a,
) -> StoreFuture<'a, T> {
    StoreFuture::boxed(async move {
        yields(1).await;
        let result = operation().await;
        yields(yields_before_result).await;
        result
    })
}

/// The state that a server shares with its connections, for an application without a server.
pub fn server_state(application: &Application) -> Arc<ServerState> {
    let connection = application.settings().limits.clone();
    let limits = ServerLimits { connection, ..ServerLimits::default() };
    Arc::new(ServerState::new(limits, application.shutdown().clone()))
}

/// An exchange without a socket. `head` is a request line and fields, one per line.
pub fn exchange(application: &Application, head: &str) -> Exchange {
    application.exchange(request(head), "127.0.0.1:50000".parse().unwrap())
}

/// Parses a request from its lines, and adds the mandatory Host field.
pub fn request(lines: &str) -> Request {
    let mut bytes = BytesMut::from(&*head(lines));
    let parsed = Request::parse(&mut bytes, &mut 0, &Limits::default());
    parsed.expect("a request").expect("a whole head")
}

/// A head from a request line without its version and fields, one per line.
fn head(lines: &str) -> String {
    let (line, fields) = lines.split_once('\n').unwrap_or((lines, ""));
    let fields: String =
        fields.lines().map(|field| format!("{}\r\n", field.trim())).collect();
    format!("{} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n", line.trim())
}

/// A server in the runtime of the test, and on its clock.
pub struct Running {
    pub address: SocketAddr,
    pub state: Arc<ServerState>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

/// Serves an application on a free port.
pub async fn serve(application: Application) -> Running {
    let server = application.listen("127.0.0.1:0").await.expect("a free port");
    let address = server.local_addr().expect("an address");
    let state = Arc::clone(server.state());
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(server.run_until(async {
        let _ = stopped.await;
    }));
    Running { address, state, stop: Some(stop), task }
}

impl Running {
    /// Shuts the server down gracefully and waits for the end.
    pub async fn stop(mut self) {
        self.begin_shutdown();
        (&mut self.task).await.expect("the server ends well");
    }

    /// Starts a graceful shutdown.
    pub fn begin_shutdown(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Opens a connection.
    pub async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }

    /// A new visitor, without cookies.
    pub fn visitor(&self) -> Visitor {
        Visitor { address: self.address, cookies: BTreeMap::new() }
    }
}

/// A connection, read and written byte by byte.
pub struct Client {
    socket: TcpStream,
    input: Vec<u8>,
}

/// A response as the client received it.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub reason: String,
    pub fields: Vec<(String, String)>,
    pub content: Vec<u8>,
}

impl Reply {
    /// Returns the first value of a field.
    pub fn field<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.fields_named(name).next()
    }

    /// Returns the values of all lines of a field.
    pub fn fields_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let fields =
            self.fields.iter().filter(move |(found, _)| found.eq_ignore_ascii_case(name));
        fields.map(|(_, value)| value.as_str())
    }

    /// Returns the content as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.content).into_owned()
    }

    /// Returns the value of a cookie that the response sets.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookie_line(name)?.split(';').next()?.split_once('=').map(|(_, value)| value)
    }

    /// Returns a complete Set-Cookie line.
    pub fn cookie_line(&self, name: &str) -> Option<&str> {
        let mut lines = self.fields_named("Set-Cookie");
        lines.find(|line| line.split_once('=').is_some_and(|(found, _)| found == name))
    }

    /// Returns the `_xsrf` token of the form in the content.
    pub fn xsrf_token(&self) -> String {
        let page = self.text();
        let (_, rest) =
            page.split_once("name=\"_xsrf\" value=\"").expect("a form with a token");
        rest.split('"').next().unwrap_or_default().to_owned()
    }
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Client {
        let socket = TcpStream::connect(address).await.expect("a connection");
        Client { socket, input: Vec::new() }
    }

    /// Connects with a small receive buffer (`SO_RCVBUF`), so that most unread bytes stay in
    /// the server.
    pub async fn connect_with_small_receive_buffer(address: SocketAddr) -> Client {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a smaller buffer");
        let socket = socket.connect(address).await.expect("a connection");
        Client { socket, input: Vec::new() }
    }

    /// Sends bytes unchanged.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).await.expect("bytes sent");
    }

    /// Receives a response to any request except HEAD.
    pub async fn receive(&mut self) -> Reply {
        let head = self.receive_head().await;
        self.with_content(head).await
    }

    /// Receives a response without content: to HEAD, or an interim one.
    pub async fn receive_head(&mut self) -> Reply {
        loop {
            let found = self.input.windows(4).position(|window| window == b"\r\n\r\n");
            if let Some(end) = found {
                let head: Vec<u8> = self.input.drain(..end + 4).collect();
                return parse_head(&String::from_utf8_lossy(&head));
            }
            assert!(
                self.more().await,
                "the connection ended within a head: {:?}",
                self.input
            );
        }
    }

    async fn with_content(&mut self, mut reply: Reply) -> Reply {
        if matches!(reply.status, 204 | 304) {
            return reply;
        }
        if reply.field("Transfer-Encoding") == Some("chunked") {
            loop {
                let line = self.line().await;
                let size = usize::from_str_radix(&line, 16).expect("a chunk size");
                let data = self.bytes(size).await;
                reply.content.extend_from_slice(&data);
                assert_eq!(self.line().await, "", "the end of a chunk");
                if size == 0 {
                    return reply;
                }
            }
        }
        match reply.field("Content-Length").map(str::to_owned) {
            Some(length) => {
                reply.content = self.bytes(length.parse().expect("a length")).await;
            }
            None => reply.content = self.rest().await,
        }
        reply
    }

    async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.input.windows(2).position(|window| window == b"\r\n") {
                let line: Vec<u8> = self.input.drain(..end + 2).collect();
                return String::from_utf8_lossy(&line[..end]).into_owned();
            }
            assert!(self.more().await, "the connection ended within a line");
        }
    }

    /// Receives exactly so many bytes.
    pub async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.input.len() < count {
            assert!(self.more().await, "the connection ended within content");
        }
        self.input.drain(..count).collect()
    }

    /// Receives everything until the server closes. A reset counts as the end.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.input)
    }

    /// Closes the sending side of the connection.
    pub async fn half_close(&mut self) {
        // The server may have closed already.
        let _ = self.socket.shutdown().await;
    }

    /// Returns `true` if no close by the server has arrived yet.
    pub fn is_open(&mut self) -> bool {
        match self.socket.try_read_buf(&mut self.input) {
            Ok(read) => read > 0,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }

    /// Closes the connection with a reset (`SO_LINGER` with zero: close sends RST instead of
    /// FIN).
    pub fn reset(self) {
        self.socket.set_zero_linger().expect("a reset");
    }

    /// Waits for the close. Returns `true` if no bytes came before it.
    pub async fn is_closed(&mut self) -> bool {
        self.rest().await.is_empty()
    }

    /// Waits for more bytes. Returns `false` at the end of the connection; a reset is one.
    async fn more(&mut self) -> bool {
        self.input.reserve(16 * 1024);
        self.socket.read_buf(&mut self.input).await.is_ok_and(|read| read > 0)
    }

    /// Sends a request without content and receives its response. `lines` are a request line
    /// without its version and fields, one per line.
    pub async fn ask(&mut self, lines: &str) -> Reply {
        self.send(head(lines)).await;
        match lines.starts_with("HEAD ") {
            true => self.receive_head().await,
            false => self.receive().await,
        }
    }
}

fn parse_head(head: &str) -> Reply {
    let mut lines = head.trim_end().split("\r\n");
    let status_line = lines.next().expect("a status line");
    let mut parts = status_line.splitn(3, ' ');
    assert_eq!(parts.next(), Some("HTTP/1.1"), "{status_line}");
    let status = parts.next().and_then(|code| code.parse().ok()).expect("a status");
    let reason = parts.next().expect("a space before the reason").to_owned();
    let field = |line: &str| {
        let (name, value) = line.split_once(": ").expect("a field");
        (name.to_owned(), value.to_owned())
    };
    Reply { status, reason, fields: lines.map(field).collect(), content: Vec::new() }
}

/// A client with a cookie jar, like a browser. It opens a new connection for each request.
#[derive(Clone)]
pub struct Visitor {
    pub address: SocketAddr,
    pub cookies: BTreeMap<String, String>,
}

impl Visitor {
    pub async fn get(&mut self, target: &str) -> Reply {
        self.request(&format!("GET {target}"), "").await
    }

    /// Sends a form.
    pub async fn post(&mut self, target: &str, form: &[(&str, &str)]) -> Reply {
        let url = dustdevil::escape::url;
        let pairs =
            form.iter().map(|(name, value)| format!("{}={}", url(name), url(value)));
        let content = pairs.collect::<Vec<_>>().join("&");
        let head = format!(
            "POST {target}\nContent-Type: application/x-www-form-urlencoded\nContent-Length: {}",
            content.len()
        );
        self.request(&head, &content).await
    }

    /// Fetches a page with a form, and sends a form with the token of that page.
    pub async fn fill(&mut self, page: &str, target: &str, form: &[(&str, &str)]) -> Reply {
        let token = self.get(page).await.xsrf_token();
        let mut form = form.to_vec();
        form.push(("_xsrf", &token));
        self.post(target, &form).await
    }

    /// Logs in to the demo.
    pub async fn log_in(&mut self) -> Reply {
        self.fill("/login", "/login", &[("username", "admin"), ("password", "123")]).await
    }

    /// Sends a head, one line each, with the cookies in the jar, followed by the content.
    /// Stores the cookies of the response.
    pub async fn request(&mut self, lines: &str, content: &str) -> Reply {
        let mut client = Client::connect(self.address).await;
        let mut lines = lines.to_owned();
        if !self.cookies.is_empty() {
            let pairs: Vec<String> = self
                .cookies
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            lines.push_str(&format!("\nCookie: {}", pairs.join("; ")));
        }
        client.send(format!("{}{content}", head(&lines))).await;
        let reply = match lines.starts_with("HEAD ") {
            true => client.receive_head().await,
            false => client.receive().await,
        };
        for line in reply.fields_named("Set-Cookie") {
            let (name, rest) = line.split_once('=').expect("a cookie");
            if line.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                let value = rest.split(';').next().unwrap_or_default();
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        reply
    }
}

/// Runs a test in a network namespace of its own, in which it may add and remove addresses:
/// starts the test program again inside one, for this test alone. Linux allows that to all
/// users by default. If it is not possible, the test is skipped and prints a line.
pub async fn in_network_namespace(name: &str, test: impl AsyncFnOnce()) {
    if std::env::var_os("DUSTDEVIL_NETWORK").is_some() {
        return test().await;
    }
    let mut inside = Command::new("unshare");
    inside.args(["--user", "--map-root-user", "--net", "sh", "-c"]);
    inside.arg("ip link set lo up && exec \"$0\" --exact --nocapture \"$1\"");
    inside.arg(std::env::current_exe().expect("a program")).arg(name);
    let text = |output: &[u8]| String::from_utf8_lossy(output).into_owned();
    match inside.env("DUSTDEVIL_NETWORK", "1").output() {
        Ok(output) if !text(&output.stderr).contains("unshare:") => {
            let (log, errors) = (text(&output.stdout), text(&output.stderr));
            assert!(output.status.success(), "{errors}{log}");
            errors.lines().filter(|line| line.contains(": ")).for_each(tell);
        }
        _ => tell(&format!("left out: {name} (no network namespaces)")),
    }
}

/// Adds an address to the loopback interface of the namespace, or removes one.
pub fn change_address(verb: &str, address: &str) {
    let status = Command::new("ip").args(["address", verb, address, "dev", "lo"]).status();
    assert!(status.expect("the command ip").success(), "ip address {verb} {address}");
}
