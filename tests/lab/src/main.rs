//! The attack lab: breaks the tutorial and three other victims, and shows the same attacks fail on
//! Dustdevil. `make lab` runs it; the guide page `src/guide/lab.md` explains each attack.
//!
//! **Warning: the victims are vulnerable on purpose.** They listen on loopback only.

use std::process::ExitCode;
use std::time::Duration;

/// The demo, compiled from the source of its binary.
#[path = "../../../src/demo/main.rs"]
#[allow(dead_code, missing_docs, unexpected_cfgs, unused_imports, unreachable_pub)]
mod demo;

mod text;

mod victim;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["victim", name] => victim::serve(name, 0, Duration::from_secs(300)),
        ["victim", name, "--port", port] => {
            victim::serve(name, port.parse().unwrap_or(0), Duration::from_secs(300))
        }
        ["victim", name, "--idle", idle] => {
            victim::serve(name, 0, Duration::from_secs(idle.parse().unwrap_or(300)))
        }
        _ => Err(String::from("usage: dustdevil-lab victim NAME")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("dustdevil-lab: {message}");
            ExitCode::FAILURE
        }
    }
}
