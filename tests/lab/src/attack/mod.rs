//! The attacks that need more than a shell and curl. A script calls them:
//! `dustdevil-lab attack guess-id URL`.

mod guess_id;

mod slowloris;

use crate::target::Target;

/// The result of an attack, which is also its exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The target has held: status 0.
    Held,
    /// The attack has succeeded: status 1.
    Broken,
    /// The target does not answer, or has no such page: status 2. This is never "held".
    NoAnswer,
}

impl Outcome {
    /// Returns the outcome that an exit status stands for.
    pub(crate) fn of_status(status: Option<i32>) -> Outcome {
        match status {
            Some(0) => Outcome::Held,
            Some(1) => Outcome::Broken,
            _ => Outcome::NoAnswer,
        }
    }

    pub(crate) fn status(self) -> u8 {
        match self {
            Outcome::Held => 0,
            Outcome::Broken => 1,
            Outcome::NoAnswer => 2,
        }
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            Outcome::Held => "held",
            Outcome::Broken => "broken",
            Outcome::NoAnswer => "no answer",
        }
    }
}

/// Makes an attack, and prints what it does. The error is that the attack or the URL is unknown.
pub(crate) fn make(name: &str, url: &str) -> Result<Outcome, String> {
    let target = Target::parse(url)?;
    let made = match name {
        "guess-id" => guess_id::make(&target),
        "slowloris" => slowloris::make(&target),
        _ => return Err(format!("there is no attack {name}: guess-id, slowloris")),
    };
    Ok(made.unwrap_or_else(|error| {
        println!("The target does not answer: {error}");
        Outcome::NoAnswer
    }))
}
