//! How much does a request take, of Dustdevil, of its peers, and of a loop that cannot take less?

use std::time::Instant;

use crate::Result;
use crate::args::Args;
use crate::competitor::{Competitor, participants, start_baseline};
use crate::directory::Directory;
use crate::figures::{Series, print_table, time};
use crate::goal::Goal;
use crate::load::{Wrk, microseconds};
use crate::process::Server;
use crate::scenario::{Figure, MaxRatio, SCENARIOS, Scenario};

/// Enough for the processors never to be idle.
const CONNECTIONS: u32 = 64;

/// How long in each round. Short turns and many rounds bear more disturbance than long turns.
const SECONDS: u32 = 1;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/requests.lua");

/// Answers longer than this are under way for so long that their bytes are counted, and not they.
const LARGE_RESPONSE: usize = 64 * 1024;

/// A competitor in a scenario, with a server of its own.
struct Case {
    competitor: Competitor,
    server: Server,
    /// A file of requests, and the bytes of each.
    requests: [String; 2],
    /// The bytes of an response.
    response: usize,
    measured: Measured,
}

/// Requests in a second, and microseconds.
#[derive(Default)]
struct Measured {
    rate: Series,
    median: Series,
    p99: Series,
    cpu: Series,
    user: Series,
    system: Series,
}

/// All servers run all the time, and are asked in turns.
pub(crate) fn measure(args: &Args) -> Result<Vec<Goal>> {
    let directory = Directory::new()?;
    let present = participants(args);
    let mut runs = Vec::new();
    for scenario in SCENARIOS.iter().filter(|scenario| args.has_scenario(scenario.name)) {
        let competitors = scenario.competitors().iter().copied();
        let competitors = competitors.filter(|competitor| present.contains(competitor));
        runs.push((scenario, start(scenario, competitors, &directory)?));
    }
    for round in 0..=args.rounds {
        match round {
            // Whoever is asked for the first time has memory to map and caches to fill.
            0 => eprintln!("requests: a round that does not count"),
            _ => eprintln!("requests: round {round} of {}", args.rounds),
        }
        for (scenario, cases) in &mut runs {
            for index in 0..cases.len() {
                // Nobody is always first.
                let at = (index + round) % cases.len();
                let case = &mut cases[at];
                case.measure(round).map_err(|error| {
                    format!("{}, {}: {error}", scenario.name, case.competitor.name())
                })?;
            }
        }
    }
    print(&runs);
    if args.has_scenario("1KiB") {
        print_stat(&directory)?;
    }
    Ok(runs.iter().flat_map(|(scenario, cases)| goals(scenario, cases)).collect())
}

/// Starts those who take part in a scenario. The limit answers what Dustdevil answers.
fn start(
    scenario: &Scenario,
    competitors: impl Iterator<Item = Competitor>,
    directory: &Directory,
) -> Result<Vec<Case>> {
    eprintln!("requests: {} begins", scenario.name);
    let reference = scenario.start(Competitor::Dustdevil, directory)?;
    let requests = scenario.requests(Competitor::Dustdevil, &reference)?;
    let request = requests.first().ok_or("there is nothing to ask")?;
    let length = request.len() / scenario.depth.max(1);
    let response = scenario.response(&reference, &request[..length])?.bytes();
    let begin = |competitor| {
        if competitor == Competitor::Baseline {
            let limit = start_baseline(length, scenario.depth, &response)?;
            return Case::new(scenario, competitor, limit, &requests, directory);
        }
        let server = scenario.start(competitor, directory)?;
        let requests = scenario.requests(competitor, &server)?;
        Case::new(scenario, competitor, server, &requests, directory)
    };
    competitors.map(begin).collect()
}

impl Case {
    fn new(
        scenario: &Scenario,
        competitor: Competitor,
        server: Server,
        requests: &[String],
        directory: &Directory,
    ) -> Result<Case> {
        let request = requests.first().ok_or("there is nothing to ask")?;
        let one = &request[..request.len() / scenario.depth.max(1)];
        let response = scenario.response(&server, one)?.bytes().len();
        let file = format!("{}-{}.requests", scenario.name, competitor.name());
        let file = directory.write(&file, requests.concat())?;
        let requests = [file, request.len().to_string()];
        let measured = Measured::default();
        Ok(Case { competitor, server, requests, response, measured })
    }

    fn measure(&mut self, round: usize) -> Result {
        let wrk = Wrk { connections: CONNECTIONS, seconds: SECONDS, script: SCRIPT };
        let before = self.server.cpu_time()?;
        let figures =
            wrk.run(self.server.address, &self.requests.each_ref().map(|a| &**a))?;
        let spent = self.server.cpu_time()?.since(before);
        if round == 0 {
            return Ok(());
        }
        let requests = match self.response {
            #[expect(clippy::cast_precision_loss, reason = "an response has no petabytes")]
            long if long > LARGE_RESPONSE => figures.bytes / long as f64,
            _ => figures.requests,
        };
        self.measured.rate.push(requests / figures.duration * 1e6);
        self.measured.median.push(figures.median);
        self.measured.p99.push(figures.p99);
        self.measured.cpu.push(microseconds(spent.sum()) / requests);
        self.measured.user.push(microseconds(spent.user) / requests);
        self.measured.system.push(microseconds(spent.system) / requests);
        Ok(())
    }

    fn figure(&self, figure: Figure) -> &Series {
        match figure {
            Figure::Cpu => &self.measured.cpu,
            Figure::User => &self.measured.user,
        }
    }
}

fn find(cases: &[Case], competitor: Competitor) -> Option<&Case> {
    cases.iter().find(|case| case.competitor == competitor)
}

/// The peer that takes the least.
fn best_peer(cases: &[Case]) -> Option<&Case> {
    let peers = cases.iter().filter(|case| case.competitor.is_peer());
    peers.min_by(|one, other| {
        one.measured.cpu.median().total_cmp(&other.measured.cpu.median())
    })
}

fn print(runs: &[(&Scenario, Vec<Case>)]) {
    let ratio = |one: &Series, other: Option<&Series>| match other {
        Some(other) => format!("{:.2}", one.relative_to(other).median()),
        None => "-".to_owned(),
    };
    let mut rows = Vec::new();
    for (scenario, cases) in runs {
        // What wrk puts in place of times that it believes to have missed would be wrong there.
        let latency = |series: &Series| match scenario.depth {
            0 | 1 => time(series.median()),
            _ => "-".to_owned(),
        };
        let limit = find(cases, Competitor::Baseline).map(|case| &case.measured.cpu);
        let hyper = find(cases, Competitor::Hyper).map(|case| &case.measured.user);
        let best = best_peer(cases).map(|case| &case.measured.cpu);
        for case in cases {
            let figures = &case.measured;
            rows.push(vec![
                scenario.title.to_owned(),
                case.competitor.name().to_owned(),
                format!("{:.0}", figures.rate.median()),
                latency(&figures.median),
                latency(&figures.p99),
                time(figures.cpu.median()),
                time(figures.user.median()),
                time(figures.system.median()),
                ratio(&figures.cpu, limit),
                ratio(&figures.cpu, best),
                ratio(&figures.user, hyper),
            ]);
        }
    }
    let head = [
        "what is asked",
        "of",
        "requests/s",
        "p50",
        "p99",
        "CPU a request",
        "user",
        "system",
        "CPU to limit's",
        "to best peer's",
        "user to hyper's",
    ];
    print_table(&head, &rows);
    println!(
        "{CONNECTIONS} connections leave no cpu idle. CPU is the server's own, and its \
         parts are user and system. wrk knows of no time where several are asked for at once.\n"
    );
}

/// Dustdevil looks with each request whether a file is still what it was. This is what a look takes, on
/// as many threads at once as serve.
fn print_stat(directory: &Directory) -> Result {
    const TIMES: u32 = 200_000;
    let path = directory.files().join("1KiB.txt");
    let threads = std::thread::available_parallelism()?.get();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let look = || (0..TIMES).try_for_each(|_| path.metadata().map(drop));
        let looks: Vec<_> = (0..threads).map(|_| scope.spawn(look)).collect();
        looks.into_iter().try_for_each(|looks| looks.join().expect("it does not panic"))
    })?;
    let each = microseconds(begun.elapsed()) / f64::from(TIMES);
    println!(
        "A stat of the file of 1 KiB takes {each:.2} µs on each of {threads} threads.\n"
    );
    Ok(())
}

/// What became of what was aimed at, as far as those who are compared took part.
fn goals(scenario: &Scenario, cases: &[Case]) -> Vec<Goal> {
    let goal = |limit: &MaxRatio| {
        let own = find(cases, Competitor::Dustdevil)?.figure(limit.figure);
        let other = find(cases, limit.to)?.figure(limit.figure);
        let of = match limit.figure {
            Figure::Cpu => "CPU",
            Figure::User => "user time",
        };
        Some(Goal {
            scenario: scenario.title.to_owned(),
            figure: format!("{of}, ratio to {}'s", limit.to.name()),
            at_most: limit.at_most,
            measured: own.relative_to(other).median(),
        })
    };
    scenario.max_ratios.iter().filter_map(goal).collect()
}
