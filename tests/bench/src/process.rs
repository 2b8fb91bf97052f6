//! A server as a process of its own, and what the system says of it. Linux's `/proc` says it; on
//! another system the bench ends with an error.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::client::Client;

/// A session that outlives every measurement.
pub(crate) const FOREVER: Duration = Duration::from_secs(7 * 24 * 3600);

/// What one session may take at most, while a map grows and the old one is still there. It is
/// several times what is measured.
const BYTES_A_SESSION: f64 = 1024.0;

/// A server that runs.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    /// What is asked to end it; where that is nobody, it is killed.
    stop_command: Option<Command>,
}

/// Processor time that a server has had, that of threads which have ended included.
#[derive(Clone, Copy)]
pub(crate) struct Spent {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
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
        Server::serve(&["store", &limit.to_string()], &[])
    }

    /// This program, told to serve, and what it reads on its standard input.
    pub(crate) fn serve(arguments: &[&str], input: &[u8]) -> Result<Server> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve").args(arguments);
        Server::spawn(&mut command, input)
    }

    /// A program whose first line ends with the address that it listens on.
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
        let address = address.map_err(|_| "the server did not start")?;
        Ok(Server { child, address, stop_command: None })
    }

    /// A program that says nothing, and listens on an address when it is ready. It has processes
    /// of its own, which it ends when it is told to by another command.
    pub(crate) fn spawn_at(
        address: SocketAddr,
        command: &mut Command,
        stop_command: Command,
    ) -> Result<Server> {
        let child = command.spawn()?;
        let server = Server { child, address, stop_command: Some(stop_command) };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            if began.elapsed() > Duration::from_secs(5) {
                return Err("the server did not start".into());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
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
        self.run_task(&format!(
            "/fill?from={from}&count={count}&logged_in={logged_in}&expire={expire}"
        ))
    }

    /// Has it do something; gives how long that took.
    pub(crate) fn run_task(&self, path: &str) -> Result<Duration> {
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

    /// The processor time that it has had so far, with that of its own processes.
    pub(crate) fn spent(&self) -> Result<Spent> {
        let mut hundredths = [0, 0];
        for process in self.processes()? {
            let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
            // Behind the name, which may have anything in it, `utime` and `stime` are the 12th and
            // 13th: hundredths of a second, whatever the system's own clock ticks in.
            let (_, fields) = stat.rsplit_once(')').ok_or("/proc/PID/stat has no name")?;
            let fields = fields.split_whitespace().skip(11);
            for (sum, field) in hundredths.iter_mut().zip(fields) {
                *sum += field.parse::<u64>()?;
            }
        }
        let [user, system] = hundredths.map(|time| Duration::from_millis(time * 10));
        Ok(Spent { user, system })
    }

    /// The bytes of memory that it has. `VmRSS` would be cheaper, and is only nearly right.
    pub(crate) fn memory(&self) -> Result<f64> {
        let mut sum = 0.0;
        for process in self.processes()? {
            let path = format!("/proc/{process}/smaps_rollup");
            sum += kibibytes(&path, "Rss:")? * 1024.0;
        }
        Ok(sum)
    }

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

impl Spent {
    pub(crate) fn since(self, before: Spent) -> Spent {
        Spent {
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
        // It may have ended by itself.
        let _ = match &mut self.stop_command {
            Some(stop_command) => stop_command.status().map(drop),
            None => self.child.kill(),
        };
        let _ = self.child.wait();
    }
}

/// Whether the machine has memory for so many sessions more; if not, says so.
pub(crate) fn has_memory_for(sessions: u32) -> Result<bool> {
    let needed = f64::from(sessions) * BYTES_A_SESSION;
    let available = kibibytes("/proc/meminfo", "MemAvailable:")? * 1024.0;
    if needed > available {
        println!("Left out, because this machine has not the memory: {sessions} sessions.");
    }
    Ok(needed <= available)
}

/// How many files a process may have open, connections among them.
pub(crate) fn files() -> Result<u64> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|rest| rest.split_whitespace().next());
    Ok(soft.ok_or("/proc/self/limits has no files")?.parse().unwrap_or(u64::MAX))
}

/// A line of a table of the system's.
fn kibibytes(path: &str, name: &str) -> Result<f64> {
    let text = fs::read_to_string(path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    Ok(number.ok_or_else(|| format!("{path} has no {name}"))?.parse()?)
}
