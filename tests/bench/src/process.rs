//! A server as a process of its own, and what the system says of it. Linux's `/proc` says it; on
//! another system the bench ends with an error.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::Result;
use crate::client::Client;

/// A session that outlives every measurement.
pub(crate) const FOREVER: Duration = Duration::from_secs(7 * 24 * 3600);

/// What one session may take at most, while a map grows and the old one is still there. It is
/// several times what is measured.
const OCTETS_A_SESSION: f64 = 1024.0;

/// A server that runs.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

/// What its store has counted.
pub(crate) struct Counters {
    pub(crate) live: u64,
    pub(crate) evicted: u64,
    pub(crate) refused: u64,
}

impl Server {
    /// One whose store holds so many sessions.
    pub(crate) fn start(limit: u32) -> Result<Server> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve", &limit.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let output = child.stdout.take().ok_or("the server has no output")?;
        BufReader::new(output).read_line(&mut line)?;
        let address = line.trim().parse().map_err(|_| "the server did not start")?;
        Ok(Server { child, address })
    }

    /// Has it create sessions, from a number on, that all expire so long after now; gives how
    /// long it took.
    pub(crate) fn fill(
        &self,
        from: u32,
        count: u32,
        logged_in: bool,
        expire: Duration,
    ) -> Result<Duration> {
        let expire = expire.as_millis();
        self.have_done(&format!(
            "/fill?from={from}&count={count}&logged_in={logged_in}&expire={expire}"
        ))
    }

    /// Has it do something; gives how long that took.
    pub(crate) fn have_done(&self, path: &str) -> Result<Duration> {
        let answer = Client::new(self.address)?.post(path)?;
        Ok(Duration::try_from_secs_f64(answer.parse()?)?)
    }

    pub(crate) fn counters(&self) -> Result<Counters> {
        let answer = Client::new(self.address)?.get("/counters")?;
        let numbers: Vec<u64> =
            answer.split(' ').map(str::parse).collect::<std::result::Result<_, _>>()?;
        match numbers[..] {
            [live, evicted, refused] => Ok(Counters { live, evicted, refused }),
            _ => Err("the server counts in another way".into()),
        }
    }

    /// The processor time that it has had so far, in user mode and in the system, that of threads
    /// which have ended included.
    pub(crate) fn processor_time(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // Behind the name, which may have anything in it, `utime` and `stime` are the 12th and
        // 13th: hundredths of a second, whatever the system's own clock ticks in.
        let (_, fields) = stat.rsplit_once(')').ok_or("/proc/PID/stat has no name")?;
        let times = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        let hundredths = times.sum::<std::result::Result<u64, _>>()?;
        Ok(Duration::from_millis(hundredths * 10))
    }

    /// The octets of memory that it has. `VmRSS` would be cheaper, and is only nearly right.
    pub(crate) fn memory(&self) -> Result<f64> {
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        kibibytes(&path, "Rss:").map(|kibibytes| kibibytes * 1024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether the machine has memory for so many sessions more; if not, says so.
pub(crate) fn is_room_for(sessions: u32) -> Result<bool> {
    let needed = f64::from(sessions) * OCTETS_A_SESSION;
    let available = kibibytes("/proc/meminfo", "MemAvailable:")? * 1024.0;
    if needed > available {
        println!("Left out, because this machine has not the memory: {sessions} sessions.");
    }
    Ok(needed <= available)
}

/// A line of a table of the system's.
fn kibibytes(path: &str, name: &str) -> Result<f64> {
    let text = fs::read_to_string(path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    Ok(number.ok_or_else(|| format!("{path} has no {name}"))?.parse()?)
}
