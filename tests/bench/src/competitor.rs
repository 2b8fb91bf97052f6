//! Who is compared, and how each is started.

use std::fmt::Write;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use crate::Result;
use crate::args::Args;
use crate::directory::Directory;
use crate::process::{FOREVER, Server};

/// Where `make bench` has the demo built. A `DUSTDEVIL` in the environment names another.
const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/release/dustdevil");

/// Who answers.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Competitor {
    /// A loop that reads and writes.
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

    /// Whether it is one of those that Dustdevil is compared to.
    pub(crate) fn is_peer(self) -> bool {
        !matches!(self, Competitor::Baseline | Competitor::Dustdevil)
    }

    /// Starts it, as long as it needs to be told nothing.
    pub(crate) fn start(self, directory: &Directory) -> Result<Server> {
        match self {
            Competitor::Dustdevil => start_demo(directory),
            Competitor::Nginx => start_nginx(directory),
            _ => Server::serve(&[self.name()], &[]),
        }
    }

    /// Starts it with sessions from number 1 on.
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

/// Starts the limit: for requests of a length, so many at once, and with the answer to each. At a
/// depth of 0, there is one request a connection.
pub(crate) fn start_baseline(length: usize, depth: usize, answer: &[u8]) -> Result<Server> {
    let [length, bytes, depth] = [length, answer.len(), depth].map(|size| size.to_string());
    Server::serve(&["baseline", &length, &bytes, &depth], answer)
}

fn start_demo(directory: &Directory) -> Result<Server> {
    let demo = std::env::var_os("DUSTDEVIL").unwrap_or_else(|| DEMO.into());
    let mut command = Command::new(&demo);
    command.args(["--port", "0", "--static-path"]).arg(directory.files());
    command.env("RUST_LOG", "off");
    Server::spawn(&mut command, &[])
        .map_err(|error| format!("{} does not start: {error}", demo.display()).into())
}

/// Those who are asked for, as far as they are there.
pub(crate) fn participants(args: &Args) -> Vec<Competitor> {
    let is_asked_for = |competitor: &Competitor| args.has_contestant(competitor.name());
    let is_there =
        |competitor: &Competitor| *competitor != Competitor::Nginx || is_nginx_there();
    Competitor::ALL.into_iter().filter(is_asked_for).filter(is_there).collect()
}

/// If not, says so.
fn is_nginx_there() -> bool {
    let version = Command::new("nginx").arg("-v").stderr(Stdio::null()).status();
    let is_there = !matches!(version, Err(error) if error.kind() == ErrorKind::NotFound);
    if !is_there {
        println!("Left out, because it is not installed: nginx.\n");
    }
    is_there
}

/// As it comes, but that it writes no log, and has room for all who come.
fn start_nginx(directory: &Directory) -> Result<Server> {
    // It cannot choose a port itself.
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
    Server::spawn_at(address, &mut nginx(), stop_command)
}
