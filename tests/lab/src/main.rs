//! The attack lab: breaks the tutorial and three other victims, and shows the same attacks fail on
//! Dustdevil. `make lab` runs it; the guide page `src/guide/lab.md` explains each attack.
//!
//! **Warning: the victims are vulnerable on purpose.** They listen on loopback only.
//!
//! In reading order:
//!
//! - [`victim`], the servers that are attacked, and Dustdevil;
//! - [`script`], the attacks of `attacks/*.sh`, and [`attack`], those that need a program, with
//!   their [`client`];
//! - [`server`] and [`runner`], which start victims, run scripts and print the table;
//! - [`defences`] and [`patch`], which take defences away;
//! - [`target`], the address of a server on loopback, and [`text`], the decoding of URLs.

use std::io::Read;
use std::process::ExitCode;
use std::time::Duration;

/// The demo, compiled from the source of its binary.
#[path = "../../../src/demo/main.rs"]
#[allow(dead_code, missing_docs, unexpected_cfgs, unused_imports, unreachable_pub)]
mod demo;

mod victim;

mod script;

mod attack;

mod client;

mod server;

mod runner;

mod defences;

mod patch;

mod target;

mod text;

const HELP: &str = "\
dustdevil-lab run [N] [--target URL]
    run all attacks, or tell attack N: against the victims and Dustdevil, or against a server
    of yours on loopback
dustdevil-lab defences [N]
    take each defence away that has a patch, and see the attack succeed
dustdevil-lab patches
    check that each patch applies to the source
dustdevil-lab victim NAME [--port PORT] [--idle SECONDS]
    serve a victim: tutorial, toy, snapshot, signed, dustdevil
dustdevil-lab attack NAME URL
    make an attack that a script needs a program for: guess-id, slowloris
";

/// The timeout of sessions, as in the tutorial.
const IDLE: Duration = Duration::from_secs(300);

/// The arguments: words, and options.
#[derive(Default)]
struct Arguments {
    words: Vec<String>,
    target: Option<String>,
    port: u16,
    idle: Option<Duration>,
    while_stdin: bool,
}

impl Arguments {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Arguments, String> {
        let mut parsed = Arguments::default();
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} takes a value"));
            match &*argument {
                "--target" => parsed.target = Some(value()?),
                "--port" => parsed.port = number(&value()?)?,
                "--idle" => parsed.idle = Some(Duration::from_secs(number(&value()?)?)),
                // For the runner: the victim ends with its standard input.
                "--while-stdin" => parsed.while_stdin = true,
                _ => parsed.words.push(argument),
            }
        }
        Ok(parsed)
    }

    /// The argument N, if it is there.
    fn number(&self) -> Result<Option<u32>, String> {
        self.words.get(1).map(|word| number(word)).transpose()
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text} is not a number"))
}

fn main() -> ExitCode {
    let done =
        Arguments::parse(std::env::args().skip(1)).and_then(|arguments| run(&arguments));
    match done {
        Ok(status) => ExitCode::from(status),
        Err(message) => {
            eprintln!("dustdevil-lab: {message}");
            // Not 1, which would say that an attack has succeeded.
            ExitCode::from(2)
        }
    }
}

/// Runs a command, and returns the exit status.
fn run(arguments: &Arguments) -> Result<u8, String> {
    let words: Vec<&str> = arguments.words.iter().map(String::as_str).collect();
    match words[..] {
        ["run"] | ["run", _] => {
            let number = arguments.number()?;
            let is_good = match &arguments.target {
                Some(url) => runner::run_at(number, url)?,
                None => runner::run(number)?,
            };
            Ok(u8::from(!is_good))
        }
        ["patches"] => {
            defences::check()?;
            Ok(0)
        }
        ["defences"] | ["defences", _] => {
            Ok(u8::from(!defences::run(arguments.number()?)?))
        }
        ["victim", name] => {
            if arguments.while_stdin {
                std::thread::spawn(end_with_stdin);
            }
            victim::serve(name, arguments.port, arguments.idle.unwrap_or(IDLE))?;
            Ok(0)
        }
        ["attack", name, url] => Ok(attack::make(name, url)?.status()),
        _ => {
            print!("{HELP}");
            Ok(2)
        }
    }
}

/// Ends the process when its standard input ends.
fn end_with_stdin() {
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    std::process::exit(0);
}
