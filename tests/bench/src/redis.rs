//! The part `redis`: sessions in Redis. It measures the CPU time of Redis and of the server per
//! request, the commands per request, and lost updates, of Dustdevil, axum and actix.
//!
//! Redis runs all commands on one thread, so its CPU time per request bounds the number of
//! requests that all servers of a site can serve together. All three keep the idle timeout
//! while a visitor only reads; the files of the servers say how.

use crate::Result;
use crate::args::Args;
use crate::charts::{self, Bar};
use crate::competitor::Competitor::{self, Actix, Axum, Dustdevil};
use crate::directory::Directory;
use crate::figures::{print_table, time};
use crate::goal::Goal;
use crate::redis_case::{Case, WRK};
use crate::redis_scenario::{Action, SCENARIOS, Scenario};
use crate::redis_server::Redis;

/// Servers whose framework or middleware has a session store in Redis.
const COMPETITORS: [Competitor; 3] = [Dustdevil, Axum, Actix];

/// Column titles of the table.
const HEAD: [&str; 9] = [
    "scenario",
    "server",
    "requests/s",
    "CPU of Redis",
    "to Dustdevil",
    "CPU of the server",
    "commands sent",
    "commands run",
    "lost updates",
];

/// The cases of a scenario.
type Run = (&'static Scenario, Vec<Case>);

/// Starts all servers, then measures them in interleaved rounds after a warm-up round, like
/// [`requests`](crate::requests::measure).
pub(crate) fn measure(args: &Args) -> Result<Vec<Goal>> {
    if !Redis::is_installed() {
        return Ok(Vec::new());
    }
    let directory = Directory::new()?;
    let mut runs: Vec<Run> = Vec::new();
    for scenario in SCENARIOS.iter().filter(|one| args.has_redis_scenario(one.name)) {
        eprintln!("redis: starting the servers of {}", scenario.name);
        let selected =
            COMPETITORS.into_iter().filter(|one| args.has_competitor(one.name()));
        let cases =
            selected.map(|competitor| Case::start(scenario, competitor, &directory));
        runs.push((scenario, cases.collect::<Result<_>>()?));
    }
    for round in 0..=args.rounds {
        match round {
            0 => eprintln!("redis: warm-up round"),
            _ => eprintln!("redis: round {round} of {}", args.rounds),
        }
        for (scenario, cases) in &mut runs {
            for index in 0..cases.len() {
                // Each round begins with another server, see `requests`.
                let index = (index + round) % cases.len();
                let case = &mut cases[index];
                let outcome = match round {
                    0 => case.warm_up(),
                    _ => case.measure(scenario.action),
                };
                outcome.map_err(|error| {
                    format!("{}, {}: {error}", scenario.name, case.competitor.name())
                })?;
            }
        }
    }
    print(&runs);
    charts::REDIS.draw(&runs.iter().map(bars).collect::<Vec<_>>(), args.rounds)?;
    Ok(goals(&runs))
}

/// Returns a server in the scenario with this name, if it was measured.
fn find<'a>(runs: &'a [Run], scenario: &str, competitor: Competitor) -> Option<&'a Case> {
    let (_, cases) = runs.iter().find(|run| run.0.name == scenario)?;
    cases.iter().find(|case| case.competitor == competitor)
}

/// Prints the table, with a row for each server in each scenario.
fn print(runs: &[Run]) {
    let mut rows = Vec::new();
    for (scenario, cases) in runs {
        // The ratio is computed round by round, like all ratios of the benchmark.
        let own = find(runs, scenario.name, Dustdevil).map(|own| &own.measured.redis_cpu);
        for Case { competitor, sent, measured, .. } in cases {
            let ratio =
                |own| format!("{:.2}", measured.redis_cpu.relative_to(own).median());
            let lost = match scenario.action {
                Action::Count => format!("{:.1} %", measured.lost.median() * 100.0),
                _ => "-".to_owned(),
            };
            rows.push(vec![
                scenario.title.to_owned(),
                competitor.name().to_owned(),
                format!("{:.0}", measured.rate.median()),
                time(measured.redis_cpu.median()),
                own.map_or_else(|| "-".to_owned(), ratio),
                time(measured.server_cpu.median()),
                format!("{sent:.2}"),
                format!("{:.2}", measured.run.median()),
                lost,
            ]);
        }
    }
    print_table(&HEAD, &rows);
    println!(
        "{} connections. CPU time and commands are per request. Commands sent are those of the \
         server, counted by MONITOR in the warm-up round; commands run are from INFO \
         commandstats, and include those that scripts call.\n",
        WRK.connections
    );
}

/// Returns the bars of a scenario, for the chart.
fn bars((scenario, cases): &Run) -> charts::Group {
    let bar = |case: &Case| {
        let value = case.measured.redis_cpu.median();
        Bar { server: case.competitor.name(), value, label: time(value) }
    };
    (scenario.title.to_owned(), cases.iter().map(bar).collect())
}

/// Compares the figures of Dustdevil to its goals, if the servers of a goal were measured.
fn goals(runs: &[Run]) -> Vec<Goal> {
    // The goal for 32 sessions is an upper bound, too: at least 0.5 times as many requests per
    // second in one session as in 32 is at most 2.0 times as many in 32 as in one.
    let goal = |scenario: &str, figure: &str, at_most, measured| {
        let scenario =
            runs.iter().find(|run| run.0.name == scenario).map(|run| run.0.title);
        let (scenario, figure) =
            (scenario.unwrap_or_default().to_owned(), figure.to_owned());
        Goal { scenario, figure, at_most, measured }
    };
    let mut goals = Vec::new();
    if let Some(Case { measured: own, .. }) = find(runs, "read", Dustdevil) {
        goals.push(goal("read", "CPU time of Redis in µs", 4.0, own.redis_cpu.median()));
        for peer in [Axum, Actix] {
            let Some(case) = find(runs, "read", peer) else { continue };
            let ratio = own.redis_cpu.relative_to(&case.measured.redis_cpu).median();
            let figure = format!("CPU time of Redis, ratio to {}", peer.name());
            goals.push(goal("read", &figure, 1.0, ratio));
        }
    }
    if let Some(one) = find(runs, "counter", Dustdevil) {
        goals.push(goal("counter", "commands sent per update", 2.0, one.sent));
        if let Some(many) = find(runs, "counter-32", Dustdevil) {
            let ratio = many.measured.rate.relative_to(&one.measured.rate).median();
            goals.push(goal(
                "counter",
                "requests/s, ratio of 32 sessions to one",
                2.0,
                ratio,
            ));
        }
    }
    goals
}
