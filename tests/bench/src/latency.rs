//! Does anybody have to wait when a million sessions expire at once, or are evicted as fast as
//! others can be created?
//!
//! A few clients ask for the page of a session that stays, each as soon as it is answered. A
//! store that stops for a moment stops few requests, and those for long: so beside the quantiles
//! stands the longest of all.
//!
//! Whatever a server does beside answering takes a processor, and where there are two, one of them
//! is not there for answers. How much that alone costs is measured, too: with a thread that
//! computes something for about as long.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::args::Args;
use crate::client::Client;
use crate::figures::{Series, grouped, print_table, quantile, time};
use crate::goal::Goal;
use crate::load::microseconds;
use crate::process::{FOREVER, Server, has_memory_for};

/// How many expire, or are evicted.
const SESSIONS: u32 = 1_000_000;

/// Clients at once.
const CLIENTS: usize = 2;

/// How long is watched before anything happens.
const BEFORE: Duration = Duration::from_secs(2);

/// How long is watched after it.
const AFTER: Duration = Duration::from_secs(1);

/// How long the thread that has nothing to do with sessions computes.
const COMPUTING: Duration = Duration::from_millis(1500);

/// How often it is looked whether sessions have gone.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Sessions that expire are gone by then, or it is a fault.
const SWEEP_TIMEOUT: Duration = Duration::from_secs(120);

/// When something happened.
struct Span {
    began: Instant,
    ended: Instant,
}

/// One request.
struct Sample {
    began: Instant,
    ended: Instant,
}

/// What is told of a stretch of time: how long it was, and of the requests in it the quantiles and
/// the longest. All are in microseconds.
#[derive(Default)]
struct Row {
    name: String,
    length: Series,
    median: Series,
    p99: Series,
    p999: Series,
    longest: Series,
}

pub(crate) fn measure(args: &Args) -> Result<Vec<Goal>> {
    let rounds = args.rounds;
    if !has_memory_for(SESSIONS)? {
        return Ok(Vec::new());
    }
    let all = grouped(SESSIONS);
    let names = [
        "nothing".to_owned(),
        "a thread computes something".to_owned(),
        format!("{all} sessions expire and are swept"),
        "(the second after)".to_owned(),
        format!("{all} are created in a full store"),
        "(the second after)".to_owned(),
    ];
    let mut rows = names.map(|name| Row { name, ..Row::default() });
    // Corrected by what it really took.
    let mut filling = Duration::from_secs(3);
    for round in 1..=rounds {
        eprintln!("latency: round {round} of {rounds}");
        let [quiet, computing, expiring, after_expiry, creating, after_creation] =
            &mut rows;
        expire(&mut filling, quiet, expiring, after_expiry)?;
        evict(computing, creating, after_creation)?;
    }
    print(&rows);
    Ok(Vec::new())
}

/// A million sessions of users expire in the same moment.
fn expire(
    filling: &mut Duration,
    quiet: &mut Row,
    expiring: &mut Row,
    after: &mut Row,
) -> Result {
    let (server, watched, moment) = loop {
        let server = Server::start(SESSIONS * 2)?;
        server.fill(0, 1, true, FOREVER)?;
        let time = *filling * 2;
        let watched = Instant::now() + time;
        *filling = server.fill(1, SESSIONS, true, time + BEFORE)?;
        if Instant::now() < watched {
            break (server, watched, watched + BEFORE);
        }
        eprintln!("latency: filling took longer than before; once more");
    };
    sleep_until(watched);
    let (samples, span) = watch(&server, || {
        sleep_until(moment);
        while server.counters()?.live > 1 {
            if moment.elapsed() > SWEEP_TIMEOUT {
                return Err("what has expired is never swept".into());
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(Span { began: moment, ended: Instant::now() })
    })?;
    quiet.add(&samples, &Span { began: watched, ended: moment });
    expiring.add(&samples, &span);
    after.add(&samples, &Span { began: span.ended, ended: span.ended + AFTER });
    Ok(())
}

/// A million anonymous sessions begin in a store that is full of such. Whoever is logged in stays,
/// as the contract has it.
fn evict(computing: &mut Row, creating: &mut Row, after: &mut Row) -> Result {
    let server = Server::start(SESSIONS)?;
    server.fill(0, 1, true, FOREVER)?;
    server.fill(1, SESSIONS, false, FOREVER)?;
    let (samples, span) = watch(&server, || {
        span_of(|| server.run_task(&format!("/compute?time={}", COMPUTING.as_millis())))
    })?;
    computing.add(&samples, &span);
    let before = server.counters()?.evicted;
    let (samples, span) =
        watch(&server, || span_of(|| server.fill(SESSIONS + 1, SESSIONS, false, FOREVER)))?;
    let evicted = server.counters()?.evicted - before;
    // Shards fill unevenly, so a few may have had room.
    if evicted < u64::from(SESSIONS / 100 * 95) {
        return Err(format!("the store was not full: it evicted {evicted}").into());
    }
    creating.add(&samples, &span);
    after.add(&samples, &Span { began: span.ended, ended: span.ended + AFTER });
    Ok(())
}

fn sleep_until(moment: Instant) {
    thread::sleep(moment.saturating_duration_since(Instant::now()));
}

fn span_of(act: impl FnOnce() -> Result<Duration>) -> Result<Span> {
    let began = Instant::now();
    act()?;
    Ok(Span { began, ended: Instant::now() })
}

/// Has clients ask while something happens, and for a moment after; gives what they saw.
fn watch(
    server: &Server,
    happening: impl FnOnce() -> Result<Span>,
) -> Result<(Vec<Sample>, Span)> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let clients: Vec<_> =
            (0..CLIENTS).map(|_| scope.spawn(|| ask(server, &is_over))).collect();
        let span = happening();
        thread::sleep(AFTER);
        is_over.store(true, Ordering::Relaxed);
        let mut samples = Vec::new();
        for client in clients {
            samples.extend(client.join().map_err(|_| "a client panicked")??);
        }
        Ok((samples, span?))
    })
}

/// Asks for the page until it is over.
fn ask(server: &Server, is_over: &AtomicBool) -> Result<Vec<Sample>> {
    let mut client = Client::new(server.address)?;
    let mut samples = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let began = Instant::now();
        client.get("/page")?;
        samples.push(Sample { began, ended: Instant::now() });
    }
    Ok(samples)
}

impl Row {
    /// Adds a round: the requests that were under way at any time of a span.
    fn add(&mut self, samples: &[Sample], span: &Span) {
        let mut times: Vec<f64> = samples
            .iter()
            .filter(|sample| sample.began < span.ended && sample.ended > span.began)
            .map(|sample| microseconds(sample.ended - sample.began))
            .collect();
        times.sort_by(f64::total_cmp);
        self.length.push(microseconds(span.ended - span.began));
        self.median.push(quantile(&times, 500));
        self.p99.push(quantile(&times, 990));
        self.p999.push(quantile(&times, 999));
        self.longest.push(quantile(&times, 1000));
    }
}

fn print(rows: &[Row]) {
    let Some(quiet) = rows.first() else { return };
    let cell = |series: &Series, quiet: &Series| {
        format!("{} ({:.2})", time(series.median()), series.relative_to(quiet).median())
    };
    let row = |row: &Row| {
        vec![
            row.name.clone(),
            time(row.length.median()),
            cell(&row.median, &quiet.median),
            cell(&row.p99, &quiet.p99),
            cell(&row.p999, &quiet.p999),
            cell(&row.longest, &quiet.longest),
        ]
    };
    let rows: Vec<Vec<String>> = rows.iter().map(row).collect();
    print_table(&["while", "for", "p50", "p99", "p99.9", "longest"], &rows);
    println!("In brackets, how many times what it is while nothing happens.\n");
}
