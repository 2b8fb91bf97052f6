//! The command line: the number of rounds, and the names of parts, scenarios and servers.

use crate::competitor::Competitor;
use crate::scenario::SCENARIOS;
use crate::{PARTS, Result, USAGE, redis_scenario};

/// The parsed arguments. Without a name of a kind, all of that kind are selected.
pub(crate) struct Args {
    /// Number of measured rounds, at least one; a warm-up round comes in addition.
    pub(crate) rounds: usize,
    names: Vec<String>,
}

impl Args {
    /// Parses the arguments. A name that is not a part, scenario or server is an error.
    pub(crate) fn new(rounds: &str, names: &[&str]) -> Result<Args> {
        let rounds = rounds.parse().ok().filter(|&rounds| rounds > 0).ok_or(USAGE)?;
        if !names.iter().all(|name| kinds().iter().any(|kind| kind.contains(name))) {
            return Err(USAGE.into());
        }
        Ok(Args { rounds, names: names.iter().map(|&name| name.to_owned()).collect() })
    }

    /// Number of rounds for memory, at most three: memory differs by a few bytes per session
    /// between rounds, and each round has to create a million sessions.
    pub(crate) fn memory_rounds(&self) -> usize {
        self.rounds.min(3)
    }

    /// Returns `true` if the part is selected. Scenarios without a part select the parts that
    /// have them.
    pub(crate) fn has_part(&self, name: &str) -> bool {
        let names_scenarios = self.names_any(SCENARIO) || self.names_any(REDIS_SCENARIO);
        match name {
            _ if self.names_any(PART) || !names_scenarios => self.has(PART, name),
            "requests" => self.names_any(SCENARIO),
            "redis" => self.names_any(REDIS_SCENARIO),
            _ => false,
        }
    }

    pub(crate) fn has_scenario(&self, name: &str) -> bool {
        self.has(SCENARIO, name)
    }

    pub(crate) fn has_redis_scenario(&self, name: &str) -> bool {
        self.has(REDIS_SCENARIO, name)
    }

    pub(crate) fn has_competitor(&self, name: &str) -> bool {
        self.has(COMPETITOR, name)
    }

    fn has(&self, kind: usize, name: &str) -> bool {
        !self.names_any(kind) || self.names.iter().any(|named| named == name)
    }

    fn names_any(&self, kind: usize) -> bool {
        let kind = &kinds()[kind];
        self.names.iter().any(|name| kind.contains(&name.as_str()))
    }
}

/// Indexes into [`kinds`].
const PART: usize = 0;
const SCENARIO: usize = 1;
const COMPETITOR: usize = 2;
const REDIS_SCENARIO: usize = 3;

fn kinds() -> [Vec<&'static str>; 4] {
    [
        PARTS.map(|part| part.0).to_vec(),
        SCENARIOS.map(|scenario| scenario.name).to_vec(),
        Competitor::ALL.map(Competitor::name).to_vec(),
        redis_scenario::SCENARIOS.map(|scenario| scenario.name).to_vec(),
    ]
}
