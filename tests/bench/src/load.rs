//! Load generation with wrk, which runs one of the Lua scripts of this directory.
//!
//! wrk is a closed-loop generator: each connection sends its next request when the response to
//! the one before has arrived. So a faster server gets more requests, and the load always
//! saturates; the figure that can be compared is the server's CPU time per request.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use crate::Result;
use crate::process::Server;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/load.lua");

/// Requests for one path, each with the session of a random number.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) path: &'static str,
    /// Session numbers are 1 to this one.
    pub(crate) sessions: u32,
    /// Number of connections, each with one request in flight: a closed-loop load.
    pub(crate) connections: u32,
    pub(crate) seconds: u32,
}

/// The result of a [`Load`], in microseconds.
pub(crate) struct LoadReport {
    /// CPU time of the server per request, user and system.
    pub(crate) cpu: f64,
    /// Median latency.
    pub(crate) median: f64,
    /// 99th percentile of latency.
    pub(crate) p99: f64,
}

impl Load {
    /// Runs the load against a server. The seed selects the random sessions. It is an error if
    /// the store did not find a session, because a redirect to the login page is cheaper than
    /// the page.
    pub(crate) fn run(self, server: &Server, seed: usize) -> Result<LoadReport> {
        let (refused, before) = (server.counters()?.refused, server.cpu_time()?);
        let wrk =
            Wrk { connections: self.connections, seconds: self.seconds, script: SCRIPT };
        let arguments = [self.path, &self.sessions.to_string(), &seed.to_string()];
        let figures = wrk.run(server.address, &arguments)?;
        let time = server.cpu_time()?.since(before).sum();
        if server.counters()?.refused > refused {
            return Err("the store did not find every session".into());
        }
        let WrkReport { requests, median, p99, .. } = figures;
        Ok(LoadReport { cpu: microseconds(time) / requests, median, p99 })
    }
}

/// The options of wrk.
pub(crate) struct Wrk {
    pub(crate) connections: u32,
    pub(crate) seconds: u32,
    pub(crate) script: &'static str,
}

/// The line that the Lua scripts print at the end; times are in microseconds.
pub(crate) struct WrkReport {
    pub(crate) requests: f64,
    pub(crate) bytes: f64,
    pub(crate) duration: f64,
    pub(crate) median: f64,
    pub(crate) p99: f64,
}

impl Wrk {
    /// Runs wrk with one thread, so that it takes at most one processor away from the server. A
    /// connection error, a timeout or a status of 400 or above is an error.
    pub(crate) fn run(&self, address: SocketAddr, arguments: &[&str]) -> Result<WrkReport> {
        let wrk = Command::new("wrk")
            .args(["--threads", "1", "--connections", &self.connections.to_string()])
            .args(["--duration", &format!("{}s", self.seconds), "--timeout", "10s"])
            .args(["--script", self.script, &format!("http://{address}"), "--"])
            .args(arguments)
            .output()
            .map_err(|error| match error.kind() {
                ErrorKind::NotFound => "wrk is missing; tests/set-up.sh installs it".into(),
                _ => format!("wrk cannot be started: {error}"),
            })?;
        let output = String::from_utf8(wrk.stdout)?;
        let line = output.lines().find_map(|line| line.strip_prefix("figures "));
        let line = line.ok_or("wrk printed no figures")?;
        let figures: Vec<f64> =
            line.split(' ').map(str::parse).collect::<std::result::Result<_, _>>()?;
        match figures[..] {
            [_, errors, ..] if errors > 0.0 => {
                Err(format!("{errors} requests failed").into())
            }
            [requests, _, bytes, duration, median, p99] => {
                Ok(WrkReport { requests, bytes, duration, median, p99 })
            }
            _ => Err("wrk printed figures of another form".into()),
        }
    }
}

/// Converts a duration to microseconds, the unit of all figures.
pub(crate) fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
