//! What the command line asks for.

use crate::contestant::Contestant;
use crate::scenario::SCENARIOS;
use crate::{PARTS, Result, USAGE};

/// How many rounds, and of what. Where nothing of a kind is named, all of the kind is meant.
pub(crate) struct Wish {
    pub(crate) rounds: usize,
    names: Vec<String>,
}

impl Wish {
    /// Reads the names of parts, scenarios and contestants.
    pub(crate) fn new(rounds: &str, names: &[&str]) -> Result<Wish> {
        let rounds = rounds.parse().ok().filter(|&rounds| rounds > 0).ok_or(USAGE)?;
        if !names.iter().all(|name| kinds().iter().any(|kind| kind.contains(name))) {
            return Err(USAGE.into());
        }
        Ok(Wish { rounds, names: names.iter().map(|&name| name.to_owned()).collect() })
    }

    /// Memory hardly differs from one round to the next, so a few will do.
    pub(crate) fn rounds_of_memory(&self) -> usize {
        self.rounds.min(3)
    }

    pub(crate) fn has_part(&self, name: &str) -> bool {
        self.has(0, name)
    }

    pub(crate) fn has_scenario(&self, name: &str) -> bool {
        self.has(1, name)
    }

    pub(crate) fn has_contestant(&self, name: &str) -> bool {
        self.has(2, name)
    }

    fn has(&self, kind: usize, name: &str) -> bool {
        let kind = &kinds()[kind];
        let mut named =
            self.names.iter().filter(|name| kind.contains(&&***name)).peekable();
        named.peek().is_none() || named.any(|named| named == name)
    }
}

fn kinds() -> [Vec<&'static str>; 3] {
    [
        PARTS.map(|part| part.0).to_vec(),
        SCENARIOS.map(|scenario| scenario.name).to_vec(),
        Contestant::ALL.map(Contestant::name).to_vec(),
    ]
}
