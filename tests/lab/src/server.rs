//! A victim as a process of its own, for one attack: attacks do not disturb each other, and a
//! victim that panics takes only itself down.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::target::Target;

/// A running victim. Dropping it kills the process.
pub(crate) struct Server {
    child: Child,
    pub(crate) target: Target,
    /// The file with its log.
    pub(crate) log: PathBuf,
}

impl Server {
    /// Starts a victim of the program `lab`, and waits until it listens. `idle` is its idle
    /// timeout in seconds, or empty.
    pub(crate) fn start(
        lab: &Path,
        victim: &str,
        idle: &str,
        log: PathBuf,
    ) -> Result<Server, String> {
        let failed =
            |error: io::Error| format!("the victim {victim} does not start: {error}");
        let mut command = Command::new(lab);
        command.args(["victim", victim, "--while-stdin"]).env_remove("RUST_LOG");
        if !idle.is_empty() {
            command.args(["--idle", idle]);
        }
        let stderr = File::create(&log).map_err(failed)?;
        // The victim ends when its standard input ends: also if this process is killed.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn().map_err(failed)?;
        let mut line = String::new();
        let output = child.stdout.take().map(BufReader::new);
        let read = output.map(|mut output| output.read_line(&mut line));
        read.transpose().map_err(failed)?;
        match Target::parse(line.trim()) {
            Ok(target) => Ok(Server { child, target, log }),
            Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(format!("the victim {victim} does not start"))
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
