//! How much does a request take, of Dustdevil, of its peers, and of a loop that cannot take less?

use std::time::Instant;

use crate::Result;
use crate::contestant::{Contestant, start_limit, taking_part};
use crate::figures::{Series, print_table, time};
use crate::folder::Folder;
use crate::goal::Goal;
use crate::load::{Wrk, microseconds};
use crate::process::Server;
use crate::scenario::{Aim, Figure, SCENARIOS, Scenario};
use crate::wish::Wish;

/// Enough for the processors never to be idle.
const CONNECTIONS: u32 = 64;

/// How long in each round. Short turns and many rounds bear more disturbance than long turns.
const SECONDS: u32 = 1;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/requests.lua");

/// Answers longer than this are under way for so long that their bytes are counted, and not they.
const LONG: usize = 64 * 1024;

/// A contestant in a scenario, with a server of its own.
struct Subject {
    contestant: Contestant,
    server: Server,
    /// A file of requests, and the bytes of each.
    requests: [String; 2],
    /// The bytes of an answer.
    answer: usize,
    measured: Measured,
}

/// Requests in a second, and microseconds.
#[derive(Default)]
struct Measured {
    rate: Series,
    median: Series,
    late: Series,
    processor: Series,
    user: Series,
    system: Series,
}

/// All servers run all the time, and are asked in turns.
pub(crate) fn measure(wish: &Wish) -> Result<Vec<Goal>> {
    let folder = Folder::new()?;
    let present = taking_part(wish);
    let mut contests = Vec::new();
    for scenario in SCENARIOS.iter().filter(|scenario| wish.has_scenario(scenario.name)) {
        let contestants = scenario.contestants().iter().copied();
        let contestants = contestants.filter(|contestant| present.contains(contestant));
        contests.push((scenario, start(scenario, contestants, &folder)?));
    }
    for round in 0..=wish.rounds {
        match round {
            // Whoever is asked for the first time has memory to map and caches to fill.
            0 => eprintln!("requests: a round that does not count"),
            _ => eprintln!("requests: round {round} of {}", wish.rounds),
        }
        for (scenario, subjects) in &mut contests {
            for turn in 0..subjects.len() {
                // Nobody is always first.
                let at = (turn + round) % subjects.len();
                let subject = &mut subjects[at];
                subject.measure(round).map_err(|error| {
                    format!("{}, {}: {error}", scenario.name, subject.contestant.name())
                })?;
            }
        }
    }
    print(&contests);
    if wish.has_scenario("1KiB") {
        print_stat(&folder)?;
    }
    Ok(contests.iter().flat_map(|(scenario, subjects)| goals(scenario, subjects)).collect())
}

/// Starts those who take part in a scenario. The limit answers what Dustdevil answers.
fn start(
    scenario: &Scenario,
    contestants: impl Iterator<Item = Contestant>,
    folder: &Folder,
) -> Result<Vec<Subject>> {
    eprintln!("requests: {} begins", scenario.name);
    let model = scenario.start(Contestant::Dustdevil, folder)?;
    let requests = scenario.requests(Contestant::Dustdevil, &model)?;
    let request = requests.first().ok_or("there is nothing to ask")?;
    let length = request.len() / scenario.depth.max(1);
    let answer = scenario.answer(&model, &request[..length])?.bytes();
    let begin = |contestant| {
        if contestant == Contestant::Limit {
            let limit = start_limit(length, scenario.depth, &answer)?;
            return Subject::new(scenario, contestant, limit, &requests, folder);
        }
        let server = scenario.start(contestant, folder)?;
        let requests = scenario.requests(contestant, &server)?;
        Subject::new(scenario, contestant, server, &requests, folder)
    };
    contestants.map(begin).collect()
}

impl Subject {
    fn new(
        scenario: &Scenario,
        contestant: Contestant,
        server: Server,
        requests: &[String],
        folder: &Folder,
    ) -> Result<Subject> {
        let request = requests.first().ok_or("there is nothing to ask")?;
        let one = &request[..request.len() / scenario.depth.max(1)];
        let answer = scenario.answer(&server, one)?.bytes().len();
        let file = format!("{}-{}.requests", scenario.name, contestant.name());
        let file = folder.write(&file, requests.concat())?;
        let requests = [file, request.len().to_string()];
        let measured = Measured::default();
        Ok(Subject { contestant, server, requests, answer, measured })
    }

    fn measure(&mut self, round: usize) -> Result {
        let wrk = Wrk { connections: CONNECTIONS, seconds: SECONDS, script: SCRIPT };
        let before = self.server.spent()?;
        let figures =
            wrk.run(self.server.address, &self.requests.each_ref().map(|a| &**a))?;
        let spent = self.server.spent()?.since(before);
        if round == 0 {
            return Ok(());
        }
        let requests = match self.answer {
            #[expect(clippy::cast_precision_loss, reason = "an answer has no petabytes")]
            long if long > LONG => figures.bytes / long as f64,
            _ => figures.requests,
        };
        self.measured.rate.push(requests / figures.duration * 1e6);
        self.measured.median.push(figures.median);
        self.measured.late.push(figures.late);
        self.measured.processor.push(microseconds(spent.sum()) / requests);
        self.measured.user.push(microseconds(spent.user) / requests);
        self.measured.system.push(microseconds(spent.system) / requests);
        Ok(())
    }

    fn figure(&self, figure: Figure) -> &Series {
        match figure {
            Figure::Processor => &self.measured.processor,
            Figure::User => &self.measured.user,
        }
    }
}

fn find(subjects: &[Subject], contestant: Contestant) -> Option<&Subject> {
    subjects.iter().find(|subject| subject.contestant == contestant)
}

/// The peer that takes the least.
fn best_peer(subjects: &[Subject]) -> Option<&Subject> {
    let peers = subjects.iter().filter(|subject| subject.contestant.is_peer());
    peers.min_by(|one, other| {
        one.measured.processor.median().total_cmp(&other.measured.processor.median())
    })
}

fn print(contests: &[(&Scenario, Vec<Subject>)]) {
    let ratio = |one: &Series, other: Option<&Series>| match other {
        Some(other) => format!("{:.2}", one.relative_to(other).median()),
        None => "-".to_owned(),
    };
    let mut rows = Vec::new();
    for (scenario, subjects) in contests {
        // What wrk puts in place of times that it believes to have missed would be wrong there.
        let latency = |series: &Series| match scenario.depth {
            0 | 1 => time(series.median()),
            _ => "-".to_owned(),
        };
        let limit =
            find(subjects, Contestant::Limit).map(|subject| &subject.measured.processor);
        let hyper = find(subjects, Contestant::Hyper).map(|subject| &subject.measured.user);
        let best = best_peer(subjects).map(|subject| &subject.measured.processor);
        for subject in subjects {
            let figures = &subject.measured;
            rows.push(vec![
                scenario.title.to_owned(),
                subject.contestant.name().to_owned(),
                format!("{:.0}", figures.rate.median()),
                latency(&figures.median),
                latency(&figures.late),
                time(figures.processor.median()),
                time(figures.user.median()),
                time(figures.system.median()),
                ratio(&figures.processor, limit),
                ratio(&figures.processor, best),
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
        "{CONNECTIONS} connections leave no processor idle. CPU is the server's own, and its \
         parts are user and system. wrk knows of no time where several are asked for at once.\n"
    );
}

/// Dustdevil looks with each request whether a file is still what it was. This is what a look takes, on
/// as many threads at once as serve.
fn print_stat(folder: &Folder) -> Result {
    const TIMES: u32 = 200_000;
    let path = folder.files().join("1KiB.txt");
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
fn goals(scenario: &Scenario, subjects: &[Subject]) -> Vec<Goal> {
    let goal = |aim: &Aim| {
        let own = find(subjects, Contestant::Dustdevil)?.figure(aim.figure);
        let other = find(subjects, aim.to)?.figure(aim.figure);
        let of = match aim.figure {
            Figure::Processor => "CPU",
            Figure::User => "user time",
        };
        Some(Goal {
            of: scenario.title.to_owned(),
            figure: format!("{of}, ratio to {}'s", aim.to.name()),
            at_most: aim.at_most,
            measured: own.relative_to(other).median(),
        })
    };
    scenario.aims.iter().filter_map(goal).collect()
}
