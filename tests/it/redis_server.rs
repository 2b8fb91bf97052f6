//! A real Redis for one test, on a port and in a folder of its own. It can be killed, started again
//! and held still, and it ends with the test.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dustdevil::{RedisSettings, RedisStore};
use redis::{Client, Connection, FromRedisValue, RedisResult};

use crate::webdriver::{find_program, wait_until};

/// A Redis that runs, unless it was killed.
pub struct RedisServer {
    child: Child,
    port: u16,
    folder: PathBuf,
    options: Vec<String>,
}

/// To write everything down before it is answered, so that a Redis that was killed has lost nothing.
pub const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

/// Counts folders and ports, so that no two tests have the same.
static COUNT: AtomicU32 = AtomicU32::new(0);

impl RedisServer {
    /// A Redis that keeps nothing on the disk. `None` where none is installed, and the tests were
    /// told to do without.
    pub fn start() -> Option<RedisServer> {
        RedisServer::start_with(&[])
    }

    /// The same, with options of `redis-server`.
    pub fn start_with(options: &[&str]) -> Option<RedisServer> {
        is_installed().then(|| RedisServer::run(folder(), options))
    }

    /// The same, in a folder that may have files that the options name.
    pub fn start_in(folder: PathBuf, options: &[&str]) -> Option<RedisServer> {
        is_installed().then(|| RedisServer::run(folder, options))
    }

    fn run(folder: PathBuf, options: &[&str]) -> RedisServer {
        let port = free_port();
        let options = options.iter().map(|&option| option.to_owned()).collect::<Vec<_>>();
        let child = spawn(port, &folder, &options);
        let mut server = RedisServer { child, port, folder, options };
        server.wait_until_it_answers();
        server
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Settings that lead here, and patience that no machine is too slow for.
    pub fn settings(&self) -> RedisSettings {
        let time = Duration::from_secs(30);
        RedisSettings { urls: vec![self.url()], time, ..RedisSettings::default() }
    }

    /// A store that lives here.
    pub fn store(&self) -> RedisStore {
        RedisStore::new(self.settings()).expect("settings that are right")
    }

    /// Ends it at once, as a crash does.
    pub fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it has ended");
    }

    /// Starts it again, on the same port and with what is on its disk.
    pub fn restart(&mut self) {
        self.child = spawn(self.port, &self.folder, &self.options);
        self.wait_until_it_answers();
    }

    /// Holds it still: connections stay, and nobody answers.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// What it answers to a command.
    pub fn ask<T: FromRedisValue>(&self, command: &[&str]) -> T {
        let mut connection = self.connect().expect("a connection");
        query(&mut connection, command).expect("an answer")
    }

    /// A figure that it gives of itself: a line of INFO in some section.
    pub fn info(&self, section: &str, name: &str) -> Option<String> {
        let info: String = self.ask(&["INFO", section]);
        let value =
            info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.map(str::to_owned)
    }

    fn connect(&self) -> RedisResult<Connection> {
        Client::open(self.url())?.get_connection_with_timeout(Duration::from_secs(1))
    }

    /// It answers once it has read what is on its disk; and be it that it wants a password.
    fn wait_until_it_answers(&mut self) {
        let port = self.port;
        let has_begun = wait_until(|| {
            let ended = self.child.try_wait().expect("a status");
            assert!(ended.is_none(), "redis-server has ended: {}", self.log());
            is_ready(port)
        });
        assert!(has_begun, "redis-server does not answer: {}", self.log());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        let sent = kill.args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.expect("the command kill").success(), "{name} was not sent");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may have ended already. A frozen one can be killed, too.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn is_installed() -> bool {
    find_program("redis-server", "redis-server", "REDIS").is_some()
}

/// A folder that no other test has.
pub fn folder() -> PathBuf {
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("redis-{}-{number}", std::process::id());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn spawn(port: u16, folder: &Path, options: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
    command.args(["--logfile", "log", "--dir"]).arg(folder).args(options);
    // Nobody who holds the tests' standard output open is left behind.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("redis-server starts")
}

/// A port that is free and stays so, even while the Redis that has it is killed: it is not of those
/// that systems hand out (RFC 6335 section 6). Others who run these tests begin elsewhere.
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
    let mut answer = [0; 16];
    let _ = socket.set_read_timeout(Some(Duration::from_secs(1)));
    let read = socket.write_all(b"PING\r\n").and_then(|()| socket.read(&mut answer));
    match read {
        // `-NOAUTH` comes from one that is ready; `-LOADING` from one that is not.
        Ok(read) => {
            answer[..read].starts_with(b"+PONG") || answer[..read].starts_with(b"-NOAUTH")
        }
        Err(_) => false,
    }
}

fn query<T: FromRedisValue>(
    connection: &mut Connection,
    command: &[&str],
) -> RedisResult<T> {
    redis::cmd(command[0]).arg(&command[1..]).query(connection)
}
