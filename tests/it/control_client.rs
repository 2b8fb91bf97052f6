//! A control client: a well-behaved client that sends requests while others misbehave, and
//! records how it fared.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::webdriver::tell;

pub const HELLO: &[u8] = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Time after which a response counts as lost. No passing test waits for it.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);

/// Requests `/hello` in a loop, alternately on a keep-alive connection and on a new one.
pub struct ControlClient {
    is_stopping: Arc<AtomicBool>,
    task: JoinHandle<Figures>,
}

/// The observations of the control client.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub responses: u32,
    pub lost: u32,
    pub slowest: Duration,
}

impl ControlClient {
    pub fn begin(address: SocketAddr) -> ControlClient {
        let is_stopping = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(run(address, Arc::clone(&is_stopping)));
        ControlClient { is_stopping, task }
    }

    /// Lets the control client send a few more requests, now that the fault has happened.
    /// Prints the figures, and asserts that no response was lost.
    pub async fn end(self, what: &str, process: u32) {
        self.is_stopping.store(true, Ordering::SeqCst);
        let figures = self.task.await.expect("the control client does not panic");
        let Figures { responses, lost, slowest } = figures;
        let memory = match memory(process, "VmHWM") {
            Some(bytes) => format!("{} MiB", bytes.div_ceil(1024 * 1024)),
            None => String::from("unknown"),
        };
        let note =
            if process == std::process::id() { " (includes the test process)" } else { "" };
        tell(&format!(
            "fault: {what}; control client: {responses} responses, {lost} lost, slowest {:.1} ms; \
             peak memory {memory}{note}",
            slowest.as_secs_f64() * 1000.0,
        ));
        assert_eq!(lost, 0, "{what}");
        assert!(responses > 0, "{what}");
    }
}

async fn run(address: SocketAddr, is_stopping: Arc<AtomicBool>) -> Figures {
    let mut figures = Figures::default();
    let mut kept = None;
    let mut rounds_left = 10;
    while rounds_left > 0 {
        if is_stopping.load(Ordering::SeqCst) {
            rounds_left -= 1;
        }
        let started = Instant::now();
        // The server may close a keep-alive connection while it is idle. The client then sends
        // the request again on a new one (RFC 9112 section 9.3.1).
        let on_kept = match &mut kept {
            Some(socket) => ask(socket).await,
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        if on_kept.is_err() {
            kept = TcpStream::connect(address).await.ok();
        }
        let on_new = async { ask(&mut TcpStream::connect(address).await?).await };
        match timeout(RESPONSE_TIMEOUT, on_new).await {
            Ok(Ok(())) => figures.responses += 1 + u32::from(on_kept.is_ok()),
            _ => figures.lost += 1,
        }
        figures.slowest = figures.slowest.max(started.elapsed());
        sleep(Duration::from_millis(2)).await;
    }
    figures
}

/// Requests `/hello` and waits for the complete response.
pub async fn ask(socket: &mut TcpStream) -> io::Result<()> {
    socket.write_all(HELLO).await?;
    let mut response = Vec::new();
    while !response.ends_with(b"\r\n\r\nHello, world!") {
        if socket.read_buf(&mut response).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// Returns the memory of a process in bytes: `VmRSS` is the current resident set, `VmHWM` its
/// peak. `None` except on Linux.
pub fn memory(process: u32, which: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(which))?;
    let kibibytes: u64 =
        line.trim_start_matches(':').trim().split(' ').next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// Returns the CPU time of a process. `None` except on Linux.
pub fn processor_time(process: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name of the program may contain any character, but it ends with the last parenthesis.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
    let ticks: u32 = ticks.sum::<Result<u32, _>>().ok()?;
    // A clock tick is 10 ms in `/proc` on every Linux architecture.
    Some(Duration::from_millis(10) * ticks)
}

/// Returns the maximum number of file descriptors of this process (`RLIMIT_NOFILE`); 1024
/// except on Linux.
pub fn file_limit() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    soft.and_then(|soft| soft.parse().ok()).unwrap_or(1024)
}

/// Returns the number of open file descriptors of a process. `None` except on Linux.
pub fn open_files(process: u32) -> Option<usize> {
    fs::read_dir(format!("/proc/{process}/fd")).ok().map(Iterator::count)
}
