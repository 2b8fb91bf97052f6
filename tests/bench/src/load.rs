//! The load: wrk, with a script of ours.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use crate::Result;
use crate::process::Server;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/load.lua");

/// What a server is asked.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) path: &'static str,
    /// Each request has one of the sessions from number 1 to this.
    pub(crate) sessions: u32,
    /// On each connection, one request waits for the answer to the one before.
    pub(crate) connections: u32,
    pub(crate) seconds: u32,
}

/// What came of it.
pub(crate) struct Outcome {
    /// The server's processor time for one request, in microseconds.
    pub(crate) processor: f64,
    /// Of the times that requests took, the median, in microseconds.
    pub(crate) median: f64,
    /// 99 in 100 took no longer than this.
    pub(crate) p99: f64,
}

impl Load {
    /// Puts it on a server. Each seed chooses other sessions.
    pub(crate) fn put_on(self, server: &Server, seed: usize) -> Result<Outcome> {
        let (refused, before) = (server.counters()?.refused, server.spent()?);
        let wrk =
            Wrk { connections: self.connections, seconds: self.seconds, script: SCRIPT };
        let arguments = [self.path, &self.sessions.to_string(), &seed.to_string()];
        let figures = wrk.run(server.address, &arguments)?;
        let time = server.spent()?.since(before).sum();
        if server.counters()?.refused > refused {
            return Err("not every request was answered as it should be".into());
        }
        let Figures { requests, median, p99, .. } = figures;
        Ok(Outcome { processor: microseconds(time) / requests, median, p99 })
    }
}

/// How wrk runs.
pub(crate) struct Wrk {
    pub(crate) connections: u32,
    pub(crate) seconds: u32,
    pub(crate) script: &'static str,
}

/// What it tells; times are in microseconds.
pub(crate) struct Figures {
    pub(crate) requests: f64,
    pub(crate) bytes: f64,
    pub(crate) duration: f64,
    pub(crate) median: f64,
    pub(crate) p99: f64,
}

impl Wrk {
    /// Runs it. If not every request was answered, with a status below 400, that is an error.
    pub(crate) fn run(&self, address: SocketAddr, arguments: &[&str]) -> Result<Figures> {
        let wrk = Command::new("wrk")
            .args(["--threads", "1", "--connections", &self.connections.to_string()])
            .args(["--duration", &format!("{}s", self.seconds), "--timeout", "10s"])
            .args(["--script", self.script, &format!("http://{address}"), "--"])
            .args(arguments)
            .output()
            .map_err(|error| match error.kind() {
                ErrorKind::NotFound => "wrk is missing; tests/set-up.sh installs it".into(),
                _ => format!("wrk does not start: {error}"),
            })?;
        let output = String::from_utf8(wrk.stdout)?;
        let line = output.lines().find_map(|line| line.strip_prefix("figures "));
        let line = line.ok_or("wrk has no figures to give")?;
        let figures: Vec<f64> =
            line.split(' ').map(str::parse).collect::<std::result::Result<_, _>>()?;
        match figures[..] {
            [_, errors, ..] if errors > 0.0 => {
                Err(format!("{errors} requests were not answered as they should be").into())
            }
            [requests, _, bytes, duration, median, p99] => {
                Ok(Figures { requests, bytes, duration, median, p99 })
            }
            _ => Err("wrk gives other figures".into()),
        }
    }
}

pub(crate) fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
