//! What the command line asks for.

use crate::competitor::Competitor;
use crate::scenario::SCENARIOS;
use crate::{PARTS, Result, USAGE};

/// How many rounds, and of what. Where nothing of a kind is named, all of the kind is meant.
pub(crate) struct Args {
    pub(crate) rounds: usize,
    names: Vec<String>,
}

impl Args {
    /// Reads the names of parts, scenarios and competitors.
    pub(crate) fn new(rounds: &str, names: &[&str]) -> Result<Args> {
        let rounds = rounds.parse().ok().filter(|&rounds| rounds > 0).ok_or(USAGE)?;
        if !names.iter().all(|name| kinds().iter().any(|kind| kind.contains(name))) {
            return Err(USAGE.into());
        }
        Ok(Args { rounds, names: names.iter().map(|&name| name.to_owned()).collect() })
    }

    /// Memory hardly differs from one round to the next, so a few will do.
    pub(crate) fn rounds_of_memory(&self) -> usize {
        self.rounds.min(3)
    }

    /// Whoever names scenarios and no part means the part that has them.
    pub(crate) fn has_part(&self, name: &str) -> bool {
        let means_requests = !self.names_any(PART) && self.names_any(SCENARIO);
        if means_requests { name == "requests" } else { self.has(PART, name) }
    }

    pub(crate) fn has_scenario(&self, name: &str) -> bool {
        self.has(SCENARIO, name)
    }

    pub(crate) fn has_contestant(&self, name: &str) -> bool {
        self.has(CONTESTANT, name)
    }

    fn has(&self, kind: usize, name: &str) -> bool {
        !self.names_any(kind) || self.names.iter().any(|named| named == name)
    }

    fn names_any(&self, kind: usize) -> bool {
        let kind = &kinds()[kind];
        self.names.iter().any(|name| kind.contains(&name.as_str()))
    }
}

/// The kinds of names.
const PART: usize = 0;
const SCENARIO: usize = 1;
const CONTESTANT: usize = 2;

fn kinds() -> [Vec<&'static str>; 3] {
    [
        PARTS.map(|part| part.0).to_vec(),
        SCENARIOS.map(|scenario| scenario.name).to_vec(),
        Competitor::ALL.map(Competitor::name).to_vec(),
    ]
}
