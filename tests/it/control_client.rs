//! Somebody well-behaved who asks while others misbehave, and the figures of what that was like.

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

/// An answer that takes longer is lost. No test that holds waits for it.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);

/// Somebody who asks for `/hello`, over and over, in turn on a connection that is kept and on a new
/// one.
pub struct ControlClient {
    enough: Arc<AtomicBool>,
    task: JoinHandle<Figures>,
}

/// How somebody fared.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub answers: u32,
    pub lost: u32,
    pub slowest: Duration,
}

impl ControlClient {
    pub fn begin(address: SocketAddr) -> ControlClient {
        let enough = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(stand_by(address, Arc::clone(&enough)));
        ControlClient { enough, task }
    }

    /// Has the control ask a few times more, now that whatever happened has happened; prints the
    /// figures, and insists that no answer was lost.
    pub async fn end(self, what: &str, process: u32) {
        self.enough.store(true, Ordering::SeqCst);
        let figures = self.task.await.expect("the control comes back");
        let Figures { answers, lost, slowest } = figures;
        let memory = match memory(process, "VmHWM") {
            Some(bytes) => format!("{} MiB", bytes.div_ceil(1024 * 1024)),
            None => String::from("unknown"),
        };
        let whose =
            if process == std::process::id() { ", the tests' own included" } else { "" };
        tell(&format!(
            "fault: {what}; beside them {answers} answers, {lost} lost, slowest {:.1} ms; \
             peak memory {memory}{whose}",
            slowest.as_secs_f64() * 1000.0,
        ));
        assert_eq!(lost, 0, "{what}");
        assert!(answers > 0, "{what}");
    }
}

async fn stand_by(address: SocketAddr, enough: Arc<AtomicBool>) -> Figures {
    let mut figures = Figures::default();
    let mut kept = None;
    let mut rounds_left = 10;
    while rounds_left > 0 {
        if enough.load(Ordering::SeqCst) {
            rounds_left -= 1;
        }
        let begun = Instant::now();
        // A connection that was kept may be closed while nothing is asked on it; whoever finds it
        // so asks again on another (RFC 9112 section 9.3.1).
        let on_kept = match &mut kept {
            Some(socket) => ask(socket).await,
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        if on_kept.is_err() {
            kept = TcpStream::connect(address).await.ok();
        }
        let on_new = async { ask(&mut TcpStream::connect(address).await?).await };
        match timeout(RESPONSE_TIMEOUT, on_new).await {
            Ok(Ok(())) => figures.answers += 1 + u32::from(on_kept.is_ok()),
            _ => figures.lost += 1,
        }
        figures.slowest = figures.slowest.max(begun.elapsed());
        sleep(Duration::from_millis(2)).await;
    }
    figures
}

/// Asks for `/hello`, and wants the whole answer.
pub async fn ask(socket: &mut TcpStream) -> io::Result<()> {
    socket.write_all(HELLO).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nHello, world!") {
        if socket.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// A process's memory in bytes: `VmRSS` is what it has, `VmHWM` the most that it ever had. Only
/// Linux tells.
pub fn memory(process: u32, which: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(which))?;
    let kibibytes: u64 =
        line.trim_start_matches(':').trim().split(' ').next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// How long a process has had a processor for itself. Only Linux tells.
pub fn processor_time(process: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name of the program may have anything in it, but stands in parentheses.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
    let ticks: u32 = ticks.sum::<Result<u32, _>>().ok()?;
    // Linux counts in hundredths of a second here, on every machine.
    Some(Duration::from_millis(10) * ticks)
}

/// How many files a process may have open. Only Linux tells.
pub fn file_limit() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    soft.and_then(|soft| soft.parse().ok()).unwrap_or(1024)
}

/// How many files a process has open. Only Linux tells.
pub fn open_files(process: u32) -> Option<usize> {
    fs::read_dir(format!("/proc/{process}/fd")).ok().map(Iterator::count)
}
