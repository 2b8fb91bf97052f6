//! The servers that are compared, and how each is started.

use std::fmt::Write;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use crate::Result;
use crate::args::Args;
use crate::directory::Directory;
use crate::process::{FOREVER, Server};

/// Path of the demo that `make bench` builds. The environment variable `DUSTDEVIL` overrides
/// it, for example with the version before a change.
const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/release/dustdevil");

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Competitor {
    /// The lower bound: a loop that writes a prepared response, see [`crate::peers`].
    Baseline,
    /// The demo, or the application of [`crate::server`].
    Dustdevil,
    Hyper,
    Axum,
    Actix,
    Nginx,
}

impl Competitor {
    pub(crate) const ALL: [Competitor; 6] = [
        Competitor::Baseline,
        Competitor::Dustdevil,
        Competitor::Hyper,
        Competitor::Axum,
        Competitor::Actix,
        Competitor::Nginx,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Competitor::Baseline => "baseline",
            Competitor::Dustdevil => "dustdevil",
            Competitor::Hyper => "hyper",
            Competitor::Axum => "axum",
            Competitor::Actix => "actix",
            Competitor::Nginx => "nginx",
        }
    }

    /// Returns `true` for a server of another project.
    pub(crate) fn is_peer(self) -> bool {
        !matches!(self, Competitor::Baseline | Competitor::Dustdevil)
    }

    /// Starts a server that needs no arguments, which is every one but the baseline.
    pub(crate) fn start(self, directory: &Directory) -> Result<Server> {
        match self {
            Competitor::Dustdevil => start_demo(directory),
            Competitor::Nginx => start_nginx(directory),
            _ => Server::serve(&[self.name()], &[]),
        }
    }

    /// Starts a server with `count` sessions, numbered from 1. Dustdevil's store is created for
    /// twice as many, because its shards fill unevenly and none must evict.
    pub(crate) fn start_with_sessions(
        self,
        directory: &Directory,
        count: u32,
    ) -> Result<Server> {
        let server = match self {
            Competitor::Dustdevil => Server::start(count * 2)?,
            _ => self.start(directory)?,
        };
        server.fill(1, count, true, FOREVER)?;
        Ok(server)
    }
}

/// Starts the baseline for requests of `length` bytes, of which `depth` are pipelined, with the
/// response to each. Depth 0 stands for one request per connection.
pub(crate) fn start_baseline(
    length: usize,
    depth: usize,
    response: &[u8],
) -> Result<Server> {
    let [length, bytes, depth] =
        [length, response.len(), depth].map(|size| size.to_string());
    Server::serve(&["baseline", &length, &bytes, &depth], response)
}

/// Starts the demo on a free port, with the static files and without its log.
fn start_demo(directory: &Directory) -> Result<Server> {
    let demo = std::env::var_os("DUSTDEVIL").unwrap_or_else(|| DEMO.into());
    let mut command = Command::new(&demo);
    command.args(["--port", "0", "--static-path"]).arg(directory.files());
    command.env("RUST_LOG", "off");
    Server::spawn(&mut command, &[])
        .map_err(|error| format!("{} does not start: {error}", demo.display()).into())
}

/// Returns the servers that the command line selects and that are installed.
pub(crate) fn participants(args: &Args) -> Vec<Competitor> {
    let is_selected = |competitor: &Competitor| args.has_competitor(competitor.name());
    let is_installed =
        |competitor: &Competitor| *competitor != Competitor::Nginx || is_nginx_installed();
    Competitor::ALL.into_iter().filter(is_selected).filter(is_installed).collect()
}

/// Returns `true` if nginx is installed; otherwise prints that it is skipped.
fn is_nginx_installed() -> bool {
    let version = Command::new("nginx").arg("-v").stderr(Stdio::null()).status();
    let is_installed =
        !matches!(version, Err(error) if error.kind() == ErrorKind::NotFound);
    if !is_installed {
        println!("Skipped nginx: not installed.\n");
    }
    is_installed
}

/// Starts nginx with one worker per processor, `sendfile` and `tcp_nopush`, as its packages
/// configure it, apart from three things: no access log, as for all servers here; enough
/// connections for the whole load; and no limit of requests per connection (the default of
/// 1,000 would measure reconnecting).
fn start_nginx(directory: &Directory) -> Result<Server> {
    // nginx cannot report a port that the kernel chose, so a free one is found first. Another
    // process could take the port in between; then nginx does not start and the benchmark
    // fails.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let name = format!("nginx-{}", address.port());
    let mut configuration = format!(
        "daemon off;
        worker_processes auto;
        pid {name}.pid;
        error_log stderr crit;
        events {{ worker_connections 20000; }}
        http {{
            sendfile on;
            tcp_nopush on;
            access_log off;
            keepalive_requests 1000000000;
            types {{ text/plain txt; }}
            server {{ listen {address}; root .; }}\n"
    );
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        writeln!(configuration, "{kind}_temp_path {name}-{kind};")?;
    }
    let path = directory.write(&format!("{name}.conf"), configuration + "}\n")?;
    let nginx = || {
        let mut command = Command::new("nginx");
        command.arg("-p").arg(directory.path()).args(["-e", "stderr", "-c", &path]);
        command
    };
    let mut stop_command = nginx();
    stop_command.args(["-s", "stop"]).stderr(Stdio::null());
    Server::spawn_at(address, &mut nginx(), Some(stop_command))
}
