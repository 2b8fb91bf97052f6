//! The demo as a separate process, as on the command line.

use std::cell::OnceCell;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// Time without output after which a process counts as stuck. No passing test waits for it.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);

/// A running demo. Dropping it kills the process.
pub struct Process {
    child: Child,
    address: OnceCell<SocketAddr>,
    output: Receiver<String>,
    /// `None` while the log is not read.
    log: Option<Receiver<String>>,
}

/// The result of a process that has ended.
pub struct Ended {
    pub status: ExitStatus,
    /// Lines of standard output, without the address if it was read before.
    pub output: Vec<String>,
    /// Lines of standard error.
    pub log: Vec<String>,
}

/// The command that starts the demo, on a free port unless the arguments say otherwise.
pub fn command<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dustdevil"));
    command.args(["--port", "0"]).args(arguments).env_remove("RUST_LOG");
    command
}

/// The command with a limit of file descriptors (`RLIMIT_NOFILE`).
pub fn command_with_files(files: usize) -> Command {
    command_with(&format!("ulimit -n {files}"))
}

/// The command with a limit of address space (`RLIMIT_AS`), above which allocations fail.
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

    /// Starts the demo without reading its log.
    pub fn start_unread(command: &mut Command) -> Process {
        let command =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the demo starts");
        let output = lines(child.stdout.take().expect("standard output is piped"));
        Process { child, address: OnceCell::new(), output, log: None }
    }

    /// Starts to read the log.
    pub fn read_log(&mut self) {
        self.log = self.child.stderr.take().map(lines);
    }

    /// Returns the address on which the demo listens. Waits until the demo prints it.
    pub fn address(&self) -> SocketAddr {
        *self.address.get_or_init(|| {
            let line =
                self.output.recv_timeout(SILENCE_TIMEOUT).expect("a line with an address");
            let address = line.strip_prefix("dustdevil listens on http://");
            address.and_then(|address| address.parse().ok()).expect(&line)
        })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, such as `TERM` or `INT`.
    pub fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        let sent = kill.args(["-s", name, &self.id().to_string()]).status();
        assert!(sent.expect("the command kill").success(), "{name} was not sent");
    }

    /// Waits until the process ends.
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
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads lines on another thread, so that the process does not block on a full pipe.
fn lines(source: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let lines = BufReader::new(source).lines().map_while(Result::ok);
        // The lines are read to the end even if the receiver has been dropped.
        lines.for_each(|line| drop(sender.send(line)));
    });
    receiver
}

/// Returns all lines that are still to come.
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
