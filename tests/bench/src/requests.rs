//! The part `requests`: CPU time per request of Dustdevil, of its peers, and of the baseline.

use std::time::Instant;

use crate::Result;
use crate::args::Args;
use crate::charts::{self, Bar};
use crate::competitor::{Competitor, participants, start_baseline};
use crate::directory::Directory;
use crate::figures::{Series, print_table, time};
use crate::goal::Goal;
use crate::load::{Wrk, microseconds};
use crate::process::Server;
use crate::scenario::{Action, Figure, MaxRatio, SCENARIOS, Scenario};

/// Enough connections to keep all processors busy, so that the CPU time per request is the cost
/// under full load.
const CONNECTIONS: u32 = 64;

/// Duration of one measurement, in seconds. Many short interleaved measurements are less
/// sensitive to disturbances of the machine than a few long ones.
const SECONDS: u32 = 1;

pub(crate) const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/requests.lua");

/// Above this number of bytes, requests are counted by bytes received. A measurement begins and
/// ends within large responses, which wrk does not count, although the server has sent part of
/// them.
const LARGE_RESPONSE: usize = 64 * 1024;

/// Column titles of the table.
const HEAD: [&str; 11] = [
    "scenario",
    "server",
    "requests/s",
    "p50",
    "p99",
    "CPU per request",
    "user",
    "system",
    "CPU, to the baseline",
    "CPU, to the best peer",
    "user, to hyper",
];

/// A server in a scenario. It runs during the whole part, also while others are measured.
struct Case {
    competitor: Competitor,
    server: Server,
    /// Arguments of the Lua script: the file of requests, and the length of one.
    requests: [String; 2],
    /// Length of a response in bytes.
    response: usize,
    measured: Measured,
}

/// One figure per round: `rate` in requests per second, all others in microseconds.
#[derive(Default)]
struct Measured {
    rate: Series,
    median: Series,
    p99: Series,
    cpu: Series,
    user: Series,
    system: Series,
}

/// The cases of a scenario.
type Run = (&'static Scenario, Vec<Case>);

/// Starts all servers, then measures them in interleaved rounds after a warm-up round.
///
/// ```text
/// round 0 (warm-up)  hello: baseline dustdevil hyper axum actix | page: baseline ...
/// round 1            hello: dustdevil hyper axum actix baseline | page: dustdevil ...
/// round 2            hello: hyper axum actix baseline dustdevil | page: hyper ...
/// ```
///
/// The servers keep running between their measurements. They are idle then, and an idle server
/// takes no CPU time; starting one for each measurement would add its warm-up to every figure.
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
            // The first requests to a server fault in memory pages and fill caches.
            0 => eprintln!("requests: warm-up round"),
            _ => eprintln!("requests: round {round} of {}", args.rounds),
        }
        for (scenario, cases) in &mut runs {
            for index in 0..cases.len() {
                // A round begins with another server each time, so that a disturbance with the
                // period of a round does not always hit the same one.
                let index = (index + round) % cases.len();
                let case = &mut cases[index];
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
    draw(&runs, args.rounds)?;
    Ok(runs.iter().flat_map(|(scenario, cases)| goals(scenario, cases)).collect())
}

/// Starts the servers of a scenario. The baseline writes the same bytes as Dustdevil, so a
/// response of Dustdevil is recorded first.
fn start(
    scenario: &Scenario,
    competitors: impl Iterator<Item = Competitor>,
    directory: &Directory,
) -> Result<Vec<Case>> {
    eprintln!("requests: starting the servers of {}", scenario.name);
    let reference = scenario.start(Competitor::Dustdevil, directory)?;
    let requests = scenario.requests(Competitor::Dustdevil, &reference)?;
    let request = requests.first().ok_or("the scenario has no request")?;
    let length = request.len() / scenario.depth.max(1);
    let response = scenario.response(&reference, &request[..length])?.bytes();
    let start_case = |competitor| {
        if competitor == Competitor::Baseline {
            let server = start_baseline(length, scenario.depth, &response)?;
            return Case::new(scenario, competitor, server, &requests, directory);
        }
        let server = scenario.start(competitor, directory)?;
        let requests = scenario.requests(competitor, &server)?;
        Case::new(scenario, competitor, server, &requests, directory)
    };
    competitors.map(start_case).collect()
}

impl Case {
    /// Writes the requests to a file for wrk, after checking the response to the first one.
    fn new(
        scenario: &Scenario,
        competitor: Competitor,
        server: Server,
        requests: &[String],
        directory: &Directory,
    ) -> Result<Case> {
        let request = requests.first().ok_or("the scenario has no request")?;
        let one = &request[..request.len() / scenario.depth.max(1)];
        let response = scenario.response(&server, one)?.bytes().len();
        let file = format!("{}-{}.requests", scenario.name, competitor.name());
        let file = directory.write(&file, requests.concat())?;
        let requests = [file, request.len().to_string()];
        let measured = Measured::default();
        Ok(Case { competitor, server, requests, response, measured })
    }

    /// Runs wrk against the server. Round 0 is the warm-up, and is not recorded.
    fn measure(&mut self, round: usize) -> Result {
        let wrk = Wrk { connections: CONNECTIONS, seconds: SECONDS, script: SCRIPT };
        let before = self.server.cpu_time()?;
        let report =
            wrk.run(self.server.address, &self.requests.each_ref().map(|a| &**a))?;
        let cpu_time = self.server.cpu_time()?.since(before);
        if round == 0 {
            return Ok(());
        }
        let requests = match self.response {
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
            large if large > LARGE_RESPONSE => report.bytes / large as f64,
            _ => report.requests,
        };
        self.measured.rate.push(requests / report.duration * 1e6);
        self.measured.median.push(report.median);
        self.measured.p99.push(report.p99);
        self.measured.cpu.push(microseconds(cpu_time.sum()) / requests);
        self.measured.user.push(microseconds(cpu_time.user) / requests);
        self.measured.system.push(microseconds(cpu_time.system) / requests);
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

/// Returns the peer with the lowest CPU time.
fn best_peer(cases: &[Case]) -> Option<&Case> {
    let peers = cases.iter().filter(|case| case.competitor.is_peer());
    peers.min_by(|one, other| {
        one.measured.cpu.median().total_cmp(&other.measured.cpu.median())
    })
}

fn print(runs: &[Run]) {
    let ratio = |one: &Series, other: Option<&Series>| match other {
        Some(other) => format!("{:.2}", one.relative_to(other).median()),
        None => "-".to_owned(),
    };
    let mut rows = Vec::new();
    for (scenario, cases) in runs {
        // wrk corrects latencies for coordinated omission: it adds samples for requests that a
        // slow response delayed. With pipelining its estimate of their number is wrong.
        let latency = |series: &Series| match scenario.depth {
            0 | 1 => time(series.median()),
            _ => "-".to_owned(),
        };
        let baseline = find(cases, Competitor::Baseline).map(|case| &case.measured.cpu);
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
                ratio(&figures.cpu, baseline),
                ratio(&figures.cpu, best),
                ratio(&figures.user, hyper),
            ]);
        }
    }
    print_table(&HEAD, &rows);
    println!(
        "{CONNECTIONS} connections saturate the processors. CPU is the server's own time, the \
         sum of user and system; the last three columns are ratios. wrk measures no latency of \
         pipelined requests.\n"
    );
}

/// Prints the cost of one `stat` of a file, on as many threads in parallel as serve requests.
/// Dustdevil makes one per request of a static file, to notice that the file has changed.
fn print_stat(directory: &Directory) -> Result {
    const TIMES: u32 = 200_000;
    let path = directory.files().join("1KiB.txt");
    let threads = std::thread::available_parallelism()?.get();
    let began = Instant::now();
    std::thread::scope(|scope| {
        let stat = || (0..TIMES).try_for_each(|_| path.metadata().map(drop));
        let stats: Vec<_> = (0..threads).map(|_| scope.spawn(stat)).collect();
        stats.into_iter().try_for_each(|stats| stats.join().expect("it does not panic"))
    })?;
    let each = microseconds(began.elapsed()) / f64::from(TIMES);
    println!("A stat of the 1 KiB file takes {each:.2} µs on each of {threads} threads.\n");
    Ok(())
}

/// Draws the two charts. Files are shown as ratios to nginx, because their times differ by
/// three orders of magnitude. One request per connection costs several times as much as the
/// other pages and would compress their bars, so it is in the table only.
fn draw(runs: &[Run], rounds: usize) -> Result {
    let is_file = |run: &&Run| matches!(run.0.action, Action::File(_));
    let page = |run: &Run| {
        let bars = run.1.iter().map(|case| {
            let cpu = case.measured.cpu.median();
            Bar { server: case.competitor.name(), value: cpu, label: time(cpu) }
        });
        (run.0.title.to_owned(), bars.collect())
    };
    let file = |run: &Run| {
        let nginx = &find(&run.1, Competitor::Nginx)?.measured.cpu;
        let others = run.1.iter().filter(|case| case.competitor != Competitor::Nginx);
        let bars = others.map(|case| {
            let value = case.measured.cpu.relative_to(nginx).median();
            let label = format!("{value:.2} ({})", time(case.measured.cpu.median()));
            Bar { server: case.competitor.name(), value, label }
        });
        let title = format!("{} (nginx: {})", run.0.title, time(nginx.median()));
        Some((title, bars.collect()))
    };
    let pages = runs.iter().filter(|run| !is_file(run) && run.0.depth > 0);
    charts::REQUESTS.draw(&pages.map(page).collect::<Vec<_>>(), rounds)?;
    let files = runs.iter().filter(is_file).filter_map(file);
    charts::FILES.draw(&files.collect::<Vec<_>>(), rounds)
}

/// Compares the figures to the goals of a scenario, if both servers of a ratio were measured.
fn goals(scenario: &Scenario, cases: &[Case]) -> Vec<Goal> {
    let goal = |max: &MaxRatio| {
        let own = find(cases, Competitor::Dustdevil)?.figure(max.figure);
        let other = find(cases, max.to)?.figure(max.figure);
        let figure = match max.figure {
            Figure::Cpu => "CPU time",
            Figure::User => "user time",
        };
        let to = match max.to {
            Competitor::Baseline => "the baseline",
            other => other.name(),
        };
        Some(Goal {
            scenario: scenario.title.to_owned(),
            figure: format!("{figure}, ratio to {to}"),
            at_most: max.at_most,
            measured: own.relative_to(other).median(),
        })
    };
    scenario.max_ratios.iter().filter_map(goal).collect()
}
