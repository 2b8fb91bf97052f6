//! Server processes: starting them, and reading their CPU time and memory from `/proc`. Only
//! Linux has it in this form; on other systems the benchmark ends with an error.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::client::Client;

/// A lifetime longer than the benchmark, so that no session expires by accident.
pub(crate) const FOREVER: Duration = Duration::from_secs(7 * 24 * 3600);

/// Memory that one session may need, in bytes, several times what is measured. While a hash
/// table grows, the old and the new one exist at the same time.
const MAX_BYTES_PER_SESSION: f64 = 1024.0;

/// A running server process, which is ended when this is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    /// The command that ends the server. `None`: it is killed.
    stop_command: Option<Command>,
}

/// CPU time of a process, threads that have ended included.
#[derive(Clone, Copy)]
pub(crate) struct CpuTime {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
}

/// Counters of the server's session store.
pub(crate) struct Counters {
    /// Sessions that have not expired.
    pub(crate) live: u64,
    /// Sessions removed because the store was full.
    pub(crate) evicted: u64,
    /// Requests with an id that the store did not find.
    pub(crate) refused: u64,
}

impl Server {
    /// Starts [`crate::server`] with a store for at most `max_sessions` sessions.
    pub(crate) fn start(max_sessions: u32) -> Result<Server> {
        Server::serve(&["store", &max_sessions.to_string()], &[])
    }

    /// Starts this program as a server. The child reads `input` from standard input.
    pub(crate) fn serve(arguments: &[&str], input: &[u8]) -> Result<Server> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve").args(arguments);
        Server::spawn(&mut command, input)
    }

    /// Starts a program that prints the address of its listening socket at the end of its first
    /// line. Port 0 in its `bind` lets the kernel choose a free port.
    pub(crate) fn spawn(command: &mut Command, input: &[u8]) -> Result<Server> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        if let Some(stdin) = &mut child.stdin {
            stdin.write_all(input)?;
        }
        let mut line = String::new();
        let output = child.stdout.take().ok_or("the server has no output")?;
        BufReader::new(output).read_line(&mut line)?;
        let address = line.split_whitespace().last().unwrap_or_default();
        let address = address.trim_start_matches("http://").parse();
        let address = address.map_err(|_| "the server did not print its address")?;
        Ok(Server { child, address, stop_command: None })
    }

    /// Starts a program that does not print its address, and waits until it accepts connections
    /// at `address`. A program with child processes (nginx's workers) that a kill would leave
    /// running is ended by `stop_command`.
    pub(crate) fn spawn_at(
        address: SocketAddr,
        command: &mut Command,
        stop_command: Option<Command>,
    ) -> Result<Server> {
        let child = command.spawn()?;
        let server = Server { child, address, stop_command };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            if began.elapsed() > Duration::from_secs(5) {
                return Err("the server did not start".into());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    /// Makes the server create `count` sessions, with consecutive numbers beginning at `from`,
    /// that all expire when `expire` has passed from now. Returns how long that took.
    pub(crate) fn fill(
        &self,
        from: u32,
        count: u32,
        logged_in: bool,
        expire: Duration,
    ) -> Result<Duration> {
        let expire = expire.as_millis();
        self.run_task(&format!(
            "/fill?from={from}&count={count}&logged_in={logged_in}&expire={expire}"
        ))
    }

    /// Runs a task of the server and returns how long that took, by the server's clock.
    pub(crate) fn run_task(&self, path: &str) -> Result<Duration> {
        let response = Client::new(self.address)?.post(path)?;
        Ok(Duration::try_from_secs_f64(response.parse()?)?)
    }

    pub(crate) fn counters(&self) -> Result<Counters> {
        let response = Client::new(self.address)?.get("/counters")?;
        let numbers: Vec<u64> =
            response.split(' ').map(str::parse).collect::<std::result::Result<_, _>>()?;
        match numbers[..] {
            [live, evicted, refused] => Ok(Counters { live, evicted, refused }),
            _ => Err("the server sent counters of another form".into()),
        }
    }

    /// Returns the CPU time of the server so far, including its child processes.
    ///
    /// The resolution is 10 ms. A measurement takes one second, in which a saturated server on
    /// two cores has about one second of CPU time, so the rounding error is about 1 %, and it
    /// averages out over the rounds.
    pub(crate) fn cpu_time(&self) -> Result<CpuTime> {
        let mut hundredths = [0, 0];
        for process in self.processes()? {
            let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
            // proc(5): the second field is the name in parentheses, which may contain spaces
            // and parentheses itself, so the fields are counted from the last one. `utime` and
            // `stime` are the 12th and 13th after it, in `USER_HZ`, which is 100 per second on
            // Linux whatever the kernel's own tick is.
            let (_, fields) = stat.rsplit_once(')').ok_or("/proc/PID/stat has no name")?;
            let fields = fields.split_whitespace().skip(11);
            for (sum, field) in hundredths.iter_mut().zip(fields) {
                *sum += field.parse::<u64>()?;
            }
        }
        let [user, system] = hundredths.map(|time| Duration::from_millis(time * 10));
        Ok(CpuTime { user, system })
    }

    /// Returns the resident set size (RSS) of the server in bytes. `VmRSS` of
    /// `/proc/PID/status` is cheaper to read, but inexact (proc(5)): the kernel keeps it in
    /// counters per thread or per processor, and adds them up late.
    pub(crate) fn resident_bytes(&self) -> Result<f64> {
        let mut sum = 0.0;
        for process in self.processes()? {
            let path = format!("/proc/{process}/smaps_rollup");
            sum += kibibytes(&path, "Rss:")? * 1024.0;
        }
        Ok(sum)
    }

    /// Returns the ids of the server's process and of its children.
    fn processes(&self) -> Result<Vec<u32>> {
        let id = self.child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        let mut processes = vec![id];
        for child in children.split_whitespace() {
            processes.push(child.parse()?);
        }
        Ok(processes)
    }
}

impl CpuTime {
    /// Returns the CPU time spent since `before`.
    pub(crate) fn since(self, before: CpuTime) -> CpuTime {
        CpuTime {
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
        }
    }

    pub(crate) fn sum(self) -> Duration {
        self.user + self.system
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails if the process has already exited.
        let _ = match &mut self.stop_command {
            Some(stop_command) => stop_command.status().map(drop),
            None => self.child.kill(),
        };
        let _ = self.child.wait();
    }
}

/// Returns `true` if the machine has memory for this many more sessions; otherwise prints that
/// they are skipped.
pub(crate) fn has_memory_for(sessions: u32) -> Result<bool> {
    let needed = f64::from(sessions) * MAX_BYTES_PER_SESSION;
    let available = kibibytes("/proc/meminfo", "MemAvailable:")? * 1024.0;
    if needed > available {
        println!("Skipped {sessions} sessions: not enough memory.");
    }
    Ok(needed <= available)
}

/// Returns the soft limit of open file descriptors, `RLIMIT_NOFILE`, which counts sockets, too.
pub(crate) fn max_open_files() -> Result<u64> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|rest| rest.split_whitespace().next());
    Ok(soft.ok_or("/proc/self/limits has no files")?.parse().unwrap_or(u64::MAX))
}

/// Reads the value of a line `name: value kB` of a file in `/proc`.
fn kibibytes(path: &str, name: &str) -> Result<f64> {
    let text = fs::read_to_string(path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    Ok(number.ok_or_else(|| format!("{path} has no {name}"))?.parse()?)
}
