//! The part `scale`: cost and latency of a request by the number of sessions in the store.

use crate::Result;
use crate::args::Args;
use crate::charts;
use crate::figures::{Series, grouped, print_table, time};
use crate::goal::Goal;
use crate::load::Load;
use crate::process::{FOREVER, Server, has_memory_for};

/// Numbers of sessions, one server each. The others are compared to the first.
const SIZES: [u32; 4] = [1_000, 100_000, 1_000_000, 5_000_000];

/// Enough connections to keep all processors busy, for CPU time. Latency under saturation is
/// the length of the queue and says nothing about the server, so it is not used.
const SATURATING_CONNECTIONS: u32 = 64;

/// Few enough connections to leave the processors idle at times, for latency: a request does
/// not queue, so its latency is the server's work plus the kernel's wake-ups.
const UNSATURATING_CONNECTIONS: u32 = 2;

/// Duration of one measurement, in seconds. Many short interleaved measurements are less
/// sensitive to disturbances of the machine than a few long ones.
const SECONDS: u32 = 1;

/// One row of the table: a page of one server.
struct Case {
    name: String,
    path: &'static str,
    sessions: u32,
    /// Index of the server.
    server: usize,
    cpu: Series,
    median: Series,
    p99: Series,
}

/// Measures all servers in interleaved rounds, after a warm-up round. All run from the
/// beginning.
pub(crate) fn measure(args: &Args) -> Result<Vec<Goal>> {
    let rounds = args.rounds;
    let (servers, mut cases) = start()?;
    for round in 0..=rounds {
        match round {
            // The first requests to a server fault in memory pages and fill caches.
            0 => eprintln!("scale: warm-up round"),
            _ => eprintln!("scale: round {round} of {rounds}"),
        }
        for index in 0..cases.len() {
            // A round begins with another server each time, so that a disturbance with the
            // period of a round does not always hit the same one.
            let index = (index + round) % cases.len();
            cases[index].measure(&servers, round)?;
        }
    }
    print(&cases);
    let sizes = cases.iter().filter(|case| case.path == "/page");
    let point = |case: &Case| (case.sessions, [case.cpu.median(), case.median.median()]);
    charts::draw_scale(&sizes.map(point).collect::<Vec<_>>(), rounds)?;
    Ok(goal(&cases).into_iter().collect())
}

/// Starts a server for each size, as far as the machine has memory.
fn start() -> Result<(Vec<Server>, Vec<Case>)> {
    let (mut servers, mut cases) = (Vec::new(), Vec::new());
    for sessions in SIZES {
        if !has_memory_for(sessions)? {
            break;
        }
        eprintln!("scale: creating {sessions} sessions");
        // Twice the capacity: shards fill unevenly, and a full shard would evict.
        let server = Server::start(sessions * 2)?;
        server.fill(1, sessions, true, FOREVER)?;
        if server.counters()?.live != u64::from(sessions) {
            return Err("the store does not have all sessions".into());
        }
        let name = format!("{} sessions", grouped(sessions));
        cases.push(Case::new(name, "/page", sessions, servers.len()));
        servers.push(server);
    }
    let smallest = *SIZES.first().ok_or("there are no sizes")?;
    cases.push(Case::new("the same page, no session".into(), "/public", smallest, 0));
    Ok((servers, cases))
}

impl Case {
    fn new(name: String, path: &'static str, sessions: u32, server: usize) -> Case {
        let (cpu, median, p99) = Default::default();
        Case { name, path, sessions, server, cpu, median, p99 }
    }

    /// Measures CPU time and then latency. Round 0 is the warm-up, and is not recorded.
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

/// The goal that a request costs about the same with a million sessions as with a thousand.
fn goal(cases: &[Case]) -> Option<Goal> {
    let find = |sessions| cases.iter().find(|case| case.sessions == sessions);
    let (few, many) = (find(SIZES[0])?, find(1_000_000)?);
    Some(Goal {
        scenario: format!("logged-in page, {}", many.name),
        figure: format!("CPU time, ratio to {}", few.name),
        at_most: 1.1,
        measured: many.cpu.relative_to(&few.cpu).median(),
    })
}

/// Prints the table, with the first row as 1.00 of all ratios.
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
    let head =
        ["live sessions", "CPU per request", "ratio", "p50", "ratio", "p99", "ratio"];
    print_table(&head, &rows);
    println!(
        "CPU is the server's own, user and system, with {SATURATING_CONNECTIONS} connections, \
         which saturate the processors; p50 and p99 are with {UNSATURATING_CONNECTIONS}, which \
         do not. In parentheses: interquartile range over the rounds.\n"
    );
}
