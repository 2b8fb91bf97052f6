//! A Redis server for one measurement: its process, and the figures that it has of itself.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;

use crate::Result;
use crate::directory::Directory;
use crate::process::Server;

/// A running `redis-server`, and a connection of the driver to it.
pub(crate) struct Redis {
    process: Server,
    connection: Connection,
}

/// What Redis has used since it was started.
#[derive(Clone, Copy)]
pub(crate) struct Usage {
    /// CPU time, user and system, in microseconds.
    pub(crate) cpu: f64,
    /// Number of commands that were run, those that scripts called included.
    pub(crate) commands: f64,
}

impl Redis {
    /// Returns `true` if Redis is installed; otherwise prints that the part is skipped.
    pub(crate) fn is_installed() -> bool {
        let version =
            Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
        let is_installed =
            !matches!(version, Err(error) if error.kind() == ErrorKind::NotFound);
        if !is_installed {
            println!("Skipped redis: redis-server is not installed.\n");
        }
        is_installed
    }

    /// Starts an empty Redis on a free port of the loopback interface. It keeps all data in
    /// memory (`--save ""`), because a snapshot would be written by a child process in the
    /// middle of a measurement. Everything else is Redis's default.
    pub(crate) fn start(directory: &Directory) -> Result<Redis> {
        // Redis cannot report a port that the kernel chose, so a free one is found first.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]);
        command.args(["--save", "", "--dir"]).arg(directory.path());
        let process = Server::spawn_at(address, command.stdout(Stdio::null()), None)?;
        Ok(Redis { process, connection: Connection::new(address)? })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.process.address
    }

    /// Reads CPU time and the number of commands from `INFO`.
    ///
    /// The CPU time is that of `getrusage(2)`. It is the sum that `/proc/PID/stat` has too, but
    /// in microseconds instead of hundredths of a second, which are too coarse here: Redis is
    /// busy for a tenth of a measurement. Its main thread runs all commands.
    pub(crate) fn usage(&mut self) -> Result<Usage> {
        self.connection.send("INFO all")?;
        let mut usage = Usage { cpu: 0.0, commands: 0.0 };
        for line in self.connection.read_bulk_string()?.lines() {
            match line.split_once(':') {
                Some(("used_cpu_user" | "used_cpu_sys", seconds)) => {
                    usage.cpu += seconds.parse::<f64>()? * 1e6;
                }
                // The only command that the driver itself sends between two readings.
                Some(("cmdstat_info", _)) => {}
                Some((name, figures)) if name.starts_with("cmdstat_") => {
                    let calls = figures.strip_prefix("calls=").unwrap_or_default();
                    usage.commands +=
                        calls.split(',').next().unwrap_or("0").parse::<f64>()?;
                }
                _ => {}
            }
        }
        Ok(usage)
    }

    /// Runs a load, and returns the number of commands that clients sent during it.
    ///
    /// `INFO commandstats` adds up commands of clients and of scripts, for example an HMGET of
    /// each. `MONITOR` tells them apart. It makes Redis write a line for each command, so
    /// nothing else is measured at the same time.
    pub(crate) fn count_sent<T>(
        &mut self,
        load: impl FnOnce() -> Result<T>,
    ) -> Result<(f64, T)> {
        let mut monitor = Connection::new(self.address())?;
        monitor.send("MONITOR")?;
        monitor.read_line()?;
        let counting = thread::spawn(move || monitor.count_until_echo());
        let done = load();
        // The echo comes after all earlier commands in the output of MONITOR.
        self.connection.send("ECHO end")?;
        self.connection.read_bulk_string()?;
        let sent = counting.join().expect("it does not panic")?;
        Ok((f64::from(sent), done?))
    }
}

impl Usage {
    /// Returns what was used since `before`.
    pub(crate) fn since(self, before: Usage) -> Usage {
        Usage { cpu: self.cpu - before.cpu, commands: self.commands - before.commands }
    }
}

/// A client that sends inline commands: a line of words, which Redis takes in addition to the
/// arrays of its protocol, RESP.
struct Connection(BufReader<TcpStream>);

impl Connection {
    fn new(address: SocketAddr) -> Result<Connection> {
        Ok(Connection(BufReader::new(TcpStream::connect(address)?)))
    }

    fn send(&mut self, command: &str) -> Result {
        Ok(self.0.get_mut().write_all(format!("{command}\r\n").as_bytes())?)
    }

    fn read_line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        if self.0.read_until(b'\n', &mut line)? == 0 {
            return Err("Redis closed the connection".into());
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    /// Reads a bulk string: `$`, its length, and its bytes, each followed by CRLF.
    fn read_bulk_string(&mut self) -> Result<String> {
        let head = self.read_line()?;
        let length = head.strip_prefix('$').ok_or_else(|| format!("Redis sent {head}"))?;
        let mut bytes = vec![0; length.parse::<usize>()? + 2];
        self.0.read_exact(&mut bytes)?;
        Ok(String::from_utf8(bytes)?)
    }

    /// Counts the commands of clients in the output of `MONITOR`, up to an ECHO. A line is
    /// `+1700000000.123456 [0 127.0.0.1:54321] "HMGET" ...`; for a command that a script
    /// called, it has `lua` in place of the address.
    fn count_until_echo(&mut self) -> Result<u32> {
        let mut sent = 0;
        loop {
            let line = self.read_line()?;
            match line.split(' ').nth(2) {
                Some("lua]") => {}
                _ if line.ends_with("\"ECHO\" \"end\"") => return Ok(sent),
                _ => sent += 1,
            }
        }
    }
}
