//! What the tests stand on: servers on free ports, a client that sees every byte, and a visitor
//! who keeps cookies as a browser does.

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
use dustdevil::session::store::{Counters, SessionInfo, Visit};
use dustdevil::{
    Application, Exchange, Lifetime, MemoryLimits, MemoryStore, Request, Settings, Store,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::webdriver::tell;

/// Where clients are that come over no socket.
pub const CLIENT_IP: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A path of the project, from wherever the tests are started.
pub fn project(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The demo, with all its settings at their defaults.
pub fn demo() -> Application {
    crate::demo::make_app(crate::demo::options::Options::default())
        .expect("the demo is whole")
}

/// The demo, serving, for a user whom no other test knows.
pub async fn demo_of(username: &str) -> Running {
    use crate::demo::{make_app, options::Options};
    let options = Options { username: username.to_owned(), ..Options::default() };
    serve(make_app(options).expect("the demo is whole")).await
}

/// Settings with a store of the test's own.
pub fn settings() -> Settings {
    Settings { session_store: Some(store()), ..Settings::default() }
}

/// A store that no other test knows.
pub fn store() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new(MemoryLimits::default()))
}

/// A store like any that is far away: each answer takes a few turns of the runtime to come, so that
/// whatever can happen in between does.
pub struct SlowStore(pub Arc<dyn Store>);

/// Lets everybody else have so many turns.
pub async fn turns(count: usize) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

impl Store for SlowStore {
    fn create<'a>(
        &'a self,
        key: Key,
        lifetime: Lifetime,
        place: IpAddr,
        name: &'a str,
        value: &'a str,
    ) -> StoreFuture<'a, bool> {
        far(2, move || self.0.create(key, lifetime, place, name, value))
    }

    fn visit<'a>(
        &'a self,
        key: Key,
        place: IpAddr,
        name: &'a str,
    ) -> StoreFuture<'a, Visit> {
        far(2, move || self.0.visit(key, place, name))
    }

    fn get<'a>(
        &'a self,
        key: Key,
        name: &'a str,
    ) -> StoreFuture<'a, Option<Option<String>>> {
        far(2, move || self.0.get(key, name))
    }

    fn set<'a>(
        &'a self,
        key: Key,
        name: &'a str,
        value: &'a str,
    ) -> StoreFuture<'a, Option<()>> {
        far(2, move || self.0.set(key, name, value))
    }

    fn remove<'a>(
        &'a self,
        key: Key,
        name: &'a str,
    ) -> StoreFuture<'a, Option<Option<String>>> {
        far(2, move || self.0.remove(key, name))
    }

    fn compare_and_set<'a>(
        &'a self,
        key: Key,
        name: &'a str,
        expected: Option<&'a str>,
        value: &'a str,
    ) -> StoreFuture<'a, Option<bool>> {
        far(2, move || self.0.compare_and_set(key, name, expected, value))
    }

    fn keys(&self, key: Key) -> StoreFuture<'_, Option<Vec<String>>> {
        far(2, move || self.0.keys(key))
    }

    fn clear(&self, key: Key) -> StoreFuture<'_, Option<()>> {
        far(2, move || self.0.clear(key))
    }

    fn destroy(&self, key: Key) -> StoreFuture<'_, bool> {
        far(2, move || self.0.destroy(key))
    }

    /// Its answer takes longest, so that others come to know of it before it does.
    fn rotate(
        &self,
        key: Key,
        new: Key,
        lifetime: Option<Lifetime>,
    ) -> StoreFuture<'_, bool> {
        far(20, move || self.0.rotate(key, new, lifetime))
    }

    fn successors(&self, key: Key) -> StoreFuture<'_, Vec<Key>> {
        far(2, move || self.0.successors(key))
    }

    fn sessions_of<'a>(&'a self, user: &'a str) -> StoreFuture<'a, Vec<SessionInfo>> {
        far(2, move || self.0.sessions_of(user))
    }

    fn sessions_over_limit<'a>(
        &'a self,
        user: &'a str,
        most: usize,
    ) -> StoreFuture<'a, Vec<Key>> {
        far(2, move || self.0.sessions_over_limit(user, most))
    }

    fn counters(&self) -> StoreFuture<'_, Counters> {
        far(2, move || self.0.counters())
    }

    fn sweep(&self) -> StoreFuture<'_, ()> {
        far(2, move || self.0.sweep())
    }
}

/// Asks after a turn, and has the answer after so many more.
fn far<'a, T: Send + 'a>(
    turns_back: usize,
    ask: impl FnOnce() -> StoreFuture<'a, T> + Send + 'a,
) -> StoreFuture<'a, T> {
    StoreFuture::boxed(async move {
        turns(1).await;
        let answer = ask().await;
        turns(turns_back).await;
        answer
    })
}

/// What the connections of an application share that has no server.
pub fn server_state(application: &Application) -> Arc<ServerState> {
    let connection = application.settings().limits.clone();
    let limits = ServerLimits { connection, ..ServerLimits::default() };
    Arc::new(ServerState::new(limits, application.shutdown().clone()))
}

/// An exchange that no socket brought. `head` is a request line and fields, a line each.
pub fn exchange(application: &Application, head: &str) -> Exchange {
    application.exchange(request(head), "127.0.0.1:50000".parse().unwrap())
}

/// A request from its lines, with the Host field that it must have.
pub fn request(lines: &str) -> Request {
    let mut bytes = BytesMut::from(&*head(lines));
    let parsed = Request::parse(&mut bytes, &mut 0, &Limits::default());
    parsed.expect("a request").expect("a whole head")
}

/// A head from a request line without its version, and fields, a line each.
fn head(lines: &str) -> String {
    let (line, fields) = lines.split_once('\n').unwrap_or((lines, ""));
    let fields: String =
        fields.lines().map(|field| format!("{}\r\n", field.trim())).collect();
    format!("{} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n", line.trim())
}

/// A server that runs beside the test, in the same runtime and on the same clock.
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
    /// Tells the server to stop, and waits until it has.
    pub async fn stop(mut self) {
        self.tell_to_stop();
        (&mut self.task).await.expect("the server ends well");
    }

    /// Tells the server to stop.
    pub fn tell_to_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// A connection to it.
    pub async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }

    /// Somebody new.
    pub fn visitor(&self) -> Visitor {
        Visitor { address: self.address, cookies: BTreeMap::new() }
    }
}

/// One connection, byte by byte.
pub struct Client {
    socket: TcpStream,
    input: Vec<u8>,
}

/// A response as it came.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub reason: String,
    pub fields: Vec<(String, String)>,
    pub content: Vec<u8>,
}

impl Reply {
    /// The first value of a field.
    pub fn field<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.fields_named(name).next()
    }

    /// The values of all lines of a field.
    pub fn fields_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let fields =
            self.fields.iter().filter(move |(found, _)| found.eq_ignore_ascii_case(name));
        fields.map(|(_, value)| value.as_str())
    }

    /// The content as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.content).into_owned()
    }

    /// The value of a cookie that it sets.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookie_line(name)?.split(';').next()?.split_once('=').map(|(_, value)| value)
    }

    /// A whole Set-Cookie line.
    pub fn cookie_line(&self, name: &str) -> Option<&str> {
        let mut lines = self.fields_named("Set-Cookie");
        lines.find(|line| line.split_once('=').is_some_and(|(found, _)| found == name))
    }

    /// The `_xsrf` token in its form.
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

    /// One for whom the system keeps little that was not read yet: the rest waits with the server.
    pub async fn connect_with_small_receive_buffer(address: SocketAddr) -> Client {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a smaller buffer");
        let socket = socket.connect(address).await.expect("a connection");
        Client { socket, input: Vec::new() }
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).await.expect("octets sent");
    }

    /// One response to anything but HEAD.
    pub async fn receive(&mut self) -> Reply {
        let head = self.receive_head().await;
        self.with_content(head).await
    }

    /// One response without content: to HEAD, or an interim one.
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

    /// So many bytes.
    pub async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.input.len() < count {
            assert!(self.more().await, "the connection ended within content");
        }
        self.input.drain(..count).collect()
    }

    /// Everything until the server closes. A reset counts as an end.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.input)
    }

    /// Says that no more will be sent.
    pub async fn half_close(&mut self) {
        // The server may have closed already.
        let _ = self.socket.shutdown().await;
    }

    /// Whether the server has not closed yet, as far as is known here.
    pub fn is_open(&mut self) -> bool {
        match self.socket.try_read_buf(&mut self.input) {
            Ok(read) => read > 0,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }

    /// Goes away with a reset.
    pub fn reset(self) {
        self.socket.set_zero_linger().expect("a reset");
    }

    /// Whether the server has closed, with nothing left to read.
    pub async fn is_closed(&mut self) -> bool {
        self.rest().await.is_empty()
    }

    /// Waits for more bytes. A reset is an end like any other.
    async fn more(&mut self) -> bool {
        self.input.reserve(16 * 1024);
        self.socket.read_buf(&mut self.input).await.is_ok_and(|read| read > 0)
    }

    /// Sends a request without content and receives its response. `lines` are a request line
    /// without its version, and fields, a line each.
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

/// Somebody with a browser's cookie jar, and a new connection for each request.
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

    /// Fetches a page with a form, and sends a form with its token.
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

    /// Sends a head, a line each, with the cookies in the jar, and content behind it; keeps the
    /// cookies that come back.
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

/// Runs a test in a network namespace, where it may add and take away addresses: starts the program
/// of the tests once more, inside of one, for this test alone. Linux lets anybody do that, if the
/// system is not told otherwise; where it cannot be done, the test says that it is left out.
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
        _ => tell(&format!("left out: {name}, for here is no network namespace")),
    }
}

/// Adds an address to the loopback interface of such a network, or takes one away.
pub fn change_address(verb: &str, address: &str) {
    let status = Command::new("ip").args(["address", verb, address, "dev", "lo"]).status();
    assert!(status.expect("the command ip").success(), "ip address {verb} {address}");
}
