//! The load: wrk, with a script of ours.

use std::io::ErrorKind;
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
    pub(crate) late: f64,
}

impl Load {
    /// Puts it on a server. Each seed chooses other sessions.
    pub(crate) fn put_on(self, server: &Server, seed: usize) -> Result<Outcome> {
        let (refused, before) = (server.counters()?.refused, server.processor_time()?);
        let figures = self.run_wrk(server, seed)?;
        let time = server.processor_time()?.saturating_sub(before);
        let [requests, errors, median, late] = figures;
        if errors > 0.0 || server.counters()?.refused > refused {
            return Err("not every request was answered as it should be".into());
        }
        Ok(Outcome { processor: microseconds(time) / requests, median, late })
    }

    fn run_wrk(self, server: &Server, seed: usize) -> Result<[f64; 4]> {
        let wrk = Command::new("wrk")
            .args(["--threads", "1", "--connections", &self.connections.to_string()])
            .args(["--duration", &format!("{}s", self.seconds), "--script", SCRIPT])
            .arg(format!("http://{}", server.address))
            .args(["--", self.path, &self.sessions.to_string(), &seed.to_string()])
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
        figures.try_into().map_err(|_| "wrk gives other figures".into())
    }
}

pub(crate) fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
