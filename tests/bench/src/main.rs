//! The benchmark: `make bench` measures Dustdevil against other servers, and how it scales with
//! the number of sessions. The results are in `tests/bench/README.md`.
//!
//! This program is the driver. Each server is a separate process, so that CPU time and memory
//! can be read per server:
//!
//! ```text
//! dustdevil-bench ROUNDS [PART]...   driver: rounds, /proc/PID, tables, charts, goals
//!   |-- dustdevil                    the demo
//!   |-- dustdevil-bench serve ...    baseline, hyper, axum, actix; or an application with a store
//!   |-- nginx                        static files
//!   |-- redis-server                 sessions, one Redis for each server that is compared
//!   `-- wrk                          load generator, one process for each measurement
//! ```
//!
//! In reading order:
//!
//! - [`server`], the application with Dustdevil's sessions, [`fill`], the sessions that it is
//!   filled with, and [`peers`], the servers that Dustdevil is compared to;
//! - [`process`], [`directory`] and [`competitor`], which start servers and read their CPU time
//!   and memory from `/proc`;
//! - the load generators: [`client`], and wrk in [`load`];
//! - [`figures`] (medians, quantiles, tables), [`charts`] and [`goal`];
//! - [`args`], the command line;
//! - the parts of the benchmark, each in a file: [`requests`] with its [`scenario`]s, [`idle`],
//!   [`memory`], [`scale`] and [`latency`]; and [`redis`] with [`redis_server`],
//!   [`redis_application`], its [`redis_scenario`]s, and [`redis_case`].
//!
//! An absolute time says little: machines differ, and so does one machine from minute to minute
//! (clock frequency, other load). Therefore everything that is compared is measured in
//! interleaved rounds: each round measures every server once. A ratio is computed within its
//! round, so that a slow round affects both sides, and the tables show the median over the
//! rounds. Requests are also compared to a baseline: a loop that parses nothing and writes a
//! prepared response, which is a lower bound for a server on tokio.

use std::process::ExitCode;

use args::Args;
use goal::Goal;

mod server;

mod fill;

mod peers;

mod process;

mod directory;

mod competitor;

mod client;

mod load;

mod figures;

mod charts;

mod goal;

mod args;

mod scenario;

mod requests;

mod idle;

mod scale;

mod memory;

mod latency;

mod redis_server;

mod redis_application;

mod redis_scenario;

mod redis_case;

mod redis;

/// Every error ends the program with its message.
type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A part of the benchmark: its name on the command line, and the function that measures it.
type Part = (&'static str, fn(&Args) -> Result<Vec<Goal>>);

const PARTS: [Part; 6] = [
    ("requests", requests::measure),
    ("idle", idle::measure),
    ("memory", memory::measure),
    ("scale", scale::measure),
    ("latency", latency::measure),
    ("redis", redis::measure),
];

const USAGE: &str = "\
dustdevil-bench ROUNDS [PART]... [SCENARIO]... [SERVER]...
  parts: requests, idle, memory, scale, latency, redis
  scenarios of requests: hello, page, page-1000, main, form, login, pipelined, close, 1KiB,
    100KiB, 10MiB
  scenarios of redis: read, read-1000, write, login, counter, counter-32
  servers in requests and idle: baseline, dustdevil, hyper, axum, actix, nginx
  servers in redis: dustdevil, axum, actix
Without names of a kind, all of that kind are measured. Environment: DUSTDEVIL is the path of
the demo (default: target/release/dustdevil); CHARTS is the directory for the SVG charts
(default: none are written).";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["serve", "store", max_sessions] => server::serve(max_sessions),
        ["serve", "redis-dustdevil", redis] => redis_application::serve(redis),
        ["serve", peer, ref arguments @ ..] => peers::serve(peer, arguments),
        [rounds, ref names @ ..] => Args::new(rounds, names).and_then(|args| drive(&args)),
        [] => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures the selected parts, then prints their goals.
fn drive(args: &Args) -> Result {
    let mut goals = Vec::new();
    for (_, measure) in PARTS.iter().filter(|part| args.has_part(part.0)) {
        goals.extend(measure(args)?);
    }
    goal::print(&goals);
    Ok(())
}
