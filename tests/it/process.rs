//! The demo as a process of its own, as whoever types its name meets it.

use std::cell::OnceCell;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// How long a process may be silent before it is taken to be stuck. No test that holds waits
/// for it.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);

/// A demo that was started. It is killed when it is dropped.
pub struct Process {
    child: Child,
    address: OnceCell<SocketAddr>,
    output: Receiver<String>,
    /// None, while nobody reads it.
    log: Option<Receiver<String>>,
}

/// What is left of a process.
pub struct Ended {
    pub status: ExitStatus,
    /// What it printed; without the line with its address, if that was asked for.
    pub output: Vec<String>,
    /// What it said on standard error.
    pub log: Vec<String>,
}

/// The command that starts the demo on any port that is free, unless the arguments say
/// otherwise.
pub fn command<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dustdevil"));
    command.args(["--port", "0"]).args(arguments).env_remove("RUST_LOG");
    command
}

/// The same, where the system gives it so many files and no more.
pub fn command_with_files(files: usize) -> Command {
    command_with(&format!("ulimit -n {files}"))
}

/// The same, where the system gives it so much memory and no more, and what is asked for beyond it
/// fails.
pub fn command_with_memory(kibibytes: u64) -> Command {
    command_with(&format!("ulimit -v {kibibytes}"))
}

fn command_with(limit: &str) -> Command {
    let mut command = Command::new("sh");
    let script = format!("{limit} && exec \"$0\" --port 0");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_dustdevil")]).env_remove("RUST_LOG");
    command
}

impl Process {
    pub fn start(command: &mut Command) -> Process {
        let mut process = Process::start_unread(command);
        process.read_log();
        process
    }

    /// The same, but nobody reads its log.
    pub fn start_unread(command: &mut Command) -> Process {
        let command =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the demo starts");
        let output = lines(child.stdout.take().expect("standard output is piped"));
        Process { child, address: OnceCell::new(), output, log: None }
    }

    /// Begins to read its log.
    pub fn read_log(&mut self) {
        self.log = self.child.stderr.take().map(lines);
    }

    /// Where it listens. Waits until it says so.
    pub fn address(&self) -> SocketAddr {
        *self.address.get_or_init(|| {
            let line =
                self.output.recv_timeout(SILENCE_TIMEOUT).expect("a line with an address");
            let address = line.strip_prefix("dustdevil listens on http://");
            address.and_then(|address| address.parse().ok()).expect(&line)
        })
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal: `TERM`, `INT`.
    pub fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        let sent = kill.args(["-s", name, &self.id().to_string()]).status();
        assert!(sent.expect("the command kill").success(), "{name} was not sent");
    }

    /// Waits until it ends.
    pub fn wait(mut self) -> Ended {
        let (output, log) = (rest(&self.output), self.log.as_ref().map(rest));
        Ended {
            status: self.child.wait().expect("a status"),
            output,
            log: log.unwrap_or_default(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads lines while the test does something else, so that a process with much to say need not
/// wait until it is listened to.
fn lines(source: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let lines = BufReader::new(source).lines().map_while(Result::ok);
        // Once nobody wants to know any more, the rest is read all the same.
        lines.for_each(|line| drop(sender.send(line)));
    });
    receiver
}

/// All that is still to come.
fn rest(lines: &Receiver<String>) -> Vec<String> {
    let mut rest = Vec::new();
    loop {
        match lines.recv_timeout(SILENCE_TIMEOUT) {
            Ok(line) => rest.push(line),
            Err(RecvTimeoutError::Disconnected) => return rest,
            Err(RecvTimeoutError::Timeout) => panic!("it does not end; so far: {rest:#?}"),
        }
    }
}
