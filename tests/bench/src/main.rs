//! Measures what the README says about scale: `make bench`.
//!
//! This program drives. The servers are processes of their own, so that what they take of time
//! and memory is theirs alone: each is this program again, told to `serve`. In reading order:
//! the server that is measured ([`server`]) and what it is filled with ([`fill`]), how it is
//! started and looked at from outside ([`process`]), who asks it ([`client`], and wrk in
//! [`load`]), how figures are put together ([`figures`]), and then the questions, each in a
//! file of its own.
//!
//! No figure means much alone: how fast a machine is differs from one to the next, and from one
//! minute to the next. So whatever is to be compared is measured in turns, round by round, and
//! what is told is the median over the rounds, and how it compares in the same round to
//! something that could not be better.

use std::process::ExitCode;

mod server;

mod fill;

mod process;

mod client;

mod load;

mod figures;

mod scale;

mod room;

mod calm;

/// What can go wrong ends the program, with a sentence.
type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A question: its name on the command line, and what answers it.
type Part = (&'static str, fn(rounds: usize) -> Result);

/// All of them.
const PARTS: [Part; 3] =
    [("room", room::measure), ("scale", scale::measure), ("calm", calm::measure)];

const USAGE: &str = "dustdevil-bench ROUNDS [PART]..., where a part is room, scale or calm";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["serve", limit] => server::serve(limit),
        [rounds, ref parts @ ..] => drive(rounds, parts),
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
fn drive(rounds: &str, parts: &[&str]) -> Result {
    let rounds: usize = rounds.parse().ok().filter(|&rounds| rounds > 0).ok_or(USAGE)?;
    if parts.iter().any(|part| PARTS.iter().all(|(name, _)| name != part)) {
        return Err(USAGE.into());
    }
    for (name, measure) in PARTS {
        if parts.is_empty() || parts.contains(&name) {
            measure(rounds)?;
        }
    }
    Ok(())
}
