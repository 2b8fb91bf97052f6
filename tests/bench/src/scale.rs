//! Does a request take longer when there are more sessions?

use crate::Result;
use crate::args::Args;
use crate::figures::{Series, grouped, print_table, time};
use crate::goal::Goal;
use crate::load::Load;
use crate::process::{FOREVER, Server, has_memory_for};

/// How many sessions servers have. The first is what the others are compared to.
const SIZES: [u32; 4] = [1_000, 100_000, 1_000_000, 5_000_000];

/// Enough for the processors never to be idle. How long one request takes then says how long the
/// queue in front of it is, and so nothing; how much cpu time it takes is what counts.
const SATURATING_CONNECTIONS: u32 = 64;

/// Few enough for the processors to be idle at times: how long a request takes is then up to the
/// server, and to the system that wakes it.
const UNSATURATING_CONNECTIONS: u32 = 2;

/// How long in each round. Short turns and many rounds bear more disturbance than long turns.
const SECONDS: u32 = 1;

/// What is measured in turns with others.
struct Case {
    name: String,
    path: &'static str,
    sessions: u32,
    /// Which of the servers it asks.
    server: usize,
    cpu: Series,
    median: Series,
    p99: Series,
}

/// All servers run all the time, each with its sessions, and are asked in turns.
pub(crate) fn measure(args: &Args) -> Result<Vec<Goal>> {
    let rounds = args.rounds;
    let (servers, mut cases) = start()?;
    for round in 0..=rounds {
        match round {
            // Whoever is asked for the first time has memory to map and caches to fill.
            0 => eprintln!("scale: a round that does not count"),
            _ => eprintln!("scale: round {round} of {rounds}"),
        }
        for index in 0..cases.len() {
            // Nobody is always first.
            let at = (index + round) % cases.len();
            cases[at].measure(&servers, round)?;
        }
    }
    print(&cases);
    Ok(goal(&cases).into_iter().collect())
}

/// A server for each size that the machine has memory for.
fn start() -> Result<(Vec<Server>, Vec<Case>)> {
    let (mut servers, mut cases) = (Vec::new(), Vec::new());
    for sessions in SIZES {
        if !has_memory_for(sessions)? {
            break;
        }
        eprintln!("scale: {sessions} sessions begin");
        // Shards fill unevenly; none is to be full.
        let server = Server::start(sessions * 2)?;
        server.fill(1, sessions, true, FOREVER)?;
        if server.counters()?.live != u64::from(sessions) {
            return Err("the store has not all sessions".into());
        }
        let name = format!("{} sessions", grouped(sessions));
        cases.push(Case::new(name, "/page", sessions, servers.len()));
        servers.push(server);
    }
    let smallest = *SIZES.first().ok_or("there is nothing to compare")?;
    cases.push(Case::new("the same page, no session".into(), "/public", smallest, 0));
    Ok((servers, cases))
}

impl Case {
    fn new(name: String, path: &'static str, sessions: u32, server: usize) -> Case {
        let (cpu, median, p99) = Default::default();
        Case { name, path, sessions, server, cpu, median, p99 }
    }

    fn measure(&mut self, servers: &[Server], round: usize) -> Result {
        let (path, sessions, server) = (self.path, self.sessions, &servers[self.server]);
        let many =
            Load { path, sessions, connections: SATURATING_CONNECTIONS, seconds: SECONDS };
        let few = Load { connections: UNSATURATING_CONNECTIONS, ..many };
        let (many, few) = (many.run(server, round)?, few.run(server, round)?);
        if round > 0 {
            self.cpu.push(many.cpu);
            self.median.push(few.median);
            self.p99.push(few.p99);
        }
        Ok(())
    }
}

/// A page takes as long with many sessions as with few.
fn goal(cases: &[Case]) -> Option<Goal> {
    let find = |sessions| cases.iter().find(|case| case.sessions == sessions);
    let (few, many) = (find(SIZES[0])?, find(1_000_000)?);
    Some(Goal {
        scenario: format!("logged-in page, {}", many.name),
        figure: format!("CPU, ratio to {}", few.name),
        at_most: 1.1,
        measured: many.cpu.relative_to(&few.cpu).median(),
    })
}

fn print(cases: &[Case]) {
    let Some(first) = cases.first() else { return };
    let row = |case: &Case| {
        vec![
            case.name.clone(),
            time(case.cpu.median()),
            case.cpu.relative_to(&first.cpu).with_spread(),
            time(case.median.median()),
            format!("{:.2}", case.median.relative_to(&first.median).median()),
            time(case.p99.median()),
            case.p99.relative_to(&first.p99).with_spread(),
        ]
    };
    let rows: Vec<Vec<String>> = cases.iter().map(row).collect();
    let head = ["live", "CPU a request", "ratio", "p50", "ratio", "p99", "ratio"];
    print_table(&head, &rows);
    println!(
        "CPU is the server's own, user and system, with {SATURATING_CONNECTIONS} connections that leave no \
         cpu idle; p50 and p99 are of {UNSATURATING_CONNECTIONS} connections that leave them idle at times.\n"
    );
}
