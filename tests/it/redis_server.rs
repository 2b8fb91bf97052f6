//! A real Redis process for one test, with its own port and directory. It can be killed,
//! restarted and frozen (SIGSTOP), and ends with the test.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dustdevil::{RedisSettings, RedisStore};
use redis::{Client, Connection, FromRedisValue, RedisResult};

use crate::webdriver::{find_program, wait_until};

/// A `redis-server` process. Dropping it kills the process and removes the directory.
pub struct RedisServer {
    child: Child,
    port: u16,
    directory: PathBuf,
    options: Vec<String>,
}

/// Options with which a write is on disk before Redis replies, so a killed Redis has lost
/// nothing.
pub const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

/// A counter that makes the directories and ports of concurrent tests differ.
static COUNT: AtomicU32 = AtomicU32::new(0);

impl RedisServer {
    /// Starts a Redis without persistence. Returns `None` if Redis is not installed and the
    /// tests are configured to run without it.
    pub fn start() -> Option<RedisServer> {
        RedisServer::start_with(&[])
    }

    /// Starts a Redis with more options of `redis-server`.
    pub fn start_with(options: &[&str]) -> Option<RedisServer> {
        is_installed().then(|| RedisServer::run(directory(), options))
    }

    /// Starts a Redis in a directory that contains files for the options.
    pub fn start_in(directory: PathBuf, options: &[&str]) -> Option<RedisServer> {
        is_installed().then(|| RedisServer::run(directory, options))
    }

    fn run(directory: PathBuf, options: &[&str]) -> RedisServer {
        let port = free_port();
        let options = options.iter().map(|&option| option.to_owned()).collect::<Vec<_>>();
        let child = spawn(port, &directory, &options);
        let mut server = RedisServer { child, port, directory, options };
        server.wait_until_ready();
        server
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Returns settings for this Redis, with a timeout that a slow machine does not reach.
    pub fn settings(&self) -> RedisSettings {
        let timeout = Duration::from_secs(30);
        RedisSettings { urls: vec![self.url()], timeout, ..RedisSettings::default() }
    }

    /// Creates a store in this Redis.
    pub fn store(&self) -> RedisStore {
        RedisStore::new(self.settings()).expect("valid settings")
    }

    /// Kills the process (SIGKILL), as a crash would.
    pub fn kill(&mut self) {
        self.child.kill().expect("the process can be killed");
        self.child.wait().expect("the process has ended");
    }

    /// Restarts the process on the same port, with the data that is on disk.
    pub fn restart(&mut self) {
        self.child = spawn(self.port, &self.directory, &self.options);
        self.wait_until_ready();
    }

    /// Suspends the process (SIGSTOP): connections stay open, and there are no replies.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Resumes the process (SIGCONT).
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// Runs a command on a new connection and returns the reply.
    pub fn query<T: FromRedisValue>(&self, command: &[&str]) -> T {
        let mut connection = self.connect().expect("a connection");
        redis::cmd(command[0]).arg(&command[1..]).query(&mut connection).expect("a reply")
    }

    /// Returns a value of a section of `INFO`.
    pub fn info(&self, section: &str, name: &str) -> Option<String> {
        let info: String = self.query(&["INFO", section]);
        let value =
            info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.map(str::to_owned)
    }

    fn connect(&self) -> RedisResult<Connection> {
        Client::open(self.url())?.get_connection_with_timeout(Duration::from_secs(1))
    }

    /// Waits until Redis has loaded its data and replies.
    fn wait_until_ready(&mut self) {
        let port = self.port;
        let is_up = wait_until(|| {
            let ended = self.child.try_wait().expect("a status");
            assert!(ended.is_none(), "redis-server has ended: {}", self.log());
            is_ready(port)
        });
        assert!(is_up, "redis-server does not reply: {}", self.log());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        let sent = kill.args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.expect("the command kill").success(), "{name} was not sent");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // The process may have ended already. SIGKILL also ends a suspended one.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn is_installed() -> bool {
    find_program("redis-server", "redis-server", "REDIS").is_some()
}

/// Creates a directory for one test.
pub fn directory() -> PathBuf {
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("redis-{}-{number}", std::process::id());
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&directory).expect("a new directory");
    directory
}

fn spawn(port: u16, directory: &Path, options: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
    command.args(["--logfile", "log", "--dir"]).arg(directory).args(options);
    // A process that outlives the tests must not hold their standard output open.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("redis-server starts")
}

/// Returns a port that is free, and stays free while its Redis is killed and restarted: it
/// is not an ephemeral port (RFC 6335 section 6), which the kernel could assign to another
/// socket. The process id makes concurrent runs of the tests start at different ports.
pub fn free_port() -> u16 {
    loop {
        let number = std::process::id() * 64 + COUNT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + u16::try_from(number % 20_000).expect("a small number");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn is_ready(port: u16) -> bool {
    use std::io::{Read, Write};
    let Ok(mut socket) = std::net::TcpStream::connect(("127.0.0.1", port)) else {
        return false;
    };
    let mut reply = [0; 16];
    let _ = socket.set_read_timeout(Some(Duration::from_secs(1)));
    let read = socket.write_all(b"PING\r\n").and_then(|()| socket.read(&mut reply));
    match read {
        // `-NOAUTH` comes from a Redis that is ready and has a password, `-LOADING` from
        // one that is still loading its data.
        Ok(read) => {
            reply[..read].starts_with(b"+PONG") || reply[..read].starts_with(b"-NOAUTH")
        }
        Err(_) => false,
    }
}
