//! Measures what the README says about scale, and how Dustdevil compares to others: `make bench`.
//!
//! This program drives. The servers are processes of their own, so that what they take of time
//! and memory is theirs alone: the demo, nginx, and this program again, told to `serve`. In
//! reading order: the server whose sessions are measured ([`server`]) and what it is filled with
//! ([`fill`]), the ones that it is compared to ([`peers`]), how they are started and looked at
//! from outside ([`process`], [`directory`], [`competitor`]), who asks them ([`client`], and wrk in
//! [`load`]), how figures are put together ([`figures`]) and judged ([`goal`]), what the command
//! line asks for ([`args`]), and then the questions, each in a file of its own. The first has
//! several scenarios ([`scenario`]).
//!
//! No figure means much alone: how fast a machine is differs from one to the next, and from one
//! minute to the next. So whatever is to be compared is measured in turns, round by round, and
//! what is told is the median over the rounds, and how it compares in the same round to
//! something that could not be better.

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

mod goal;

mod args;

mod scenario;

mod requests;

mod idle;

mod scale;

mod memory;

mod latency;

/// What can go wrong ends the program, with a sentence.
type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A question: its name on the command line, and what answers it.
type Part = (&'static str, fn(&Args) -> Result<Vec<Goal>>);

/// All of them.
const PARTS: [Part; 5] = [
    ("requests", requests::measure),
    ("idle", idle::measure),
    ("memory", memory::measure),
    ("scale", scale::measure),
    ("latency", latency::measure),
];

const USAGE: &str = "\
dustdevil-bench ROUNDS [PART]... [SCENARIO]... [SERVER]...
  parts: requests, idle, room, scale, calm
  scenarios of requests: hello, page, page-1000, main, form, login, pipelined, close, 1KiB,
    100KiB, 10MiB
  servers in requests and idle: limit, dustdevil, hyper, axum, actix, nginx
Whatever is not named is all of its kind. DUSTDEVIL in the environment is a demo to measure in
place of target/release/dustdevil.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["serve", "store", limit] => server::serve(limit),
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

/// Answers the questions that are asked for, or, where none is, all of them.
fn drive(args: &Args) -> Result {
    let mut goals = Vec::new();
    for (_, measure) in PARTS.iter().filter(|part| args.has_part(part.0)) {
        goals.extend(measure(args)?);
    }
    goal::print(&goals);
    Ok(())
}
