//! Does anybody have to wait when a million sessions expire at once, or are evicted as fast as
//! others can be created?
//!
//! A few clients ask for the page of a session that stays, each as soon as it is answered. A
//! store that stops for a expiry stops few requests, and those for long: so beside the quantiles
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

/// How long is sampling_start before anything happens.
const IDLE_TIME: Duration = Duration::from_secs(2);

/// How long is sampling_start after it.
const AFTER_TIME: Duration = Duration::from_secs(1);

/// How long the thread that has nothing to do with sessions computes.
const COMPUTE_TIME: Duration = Duration::from_millis(1500);

/// How often it is looked whether sessions have gone.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Sessions that expire are gone by then, or it is a fault.
const SWEEP_TIMEOUT: Duration = Duration::from_secs(120);

/// When something happened.
struct Interval {
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
    let mut fill_time = Duration::from_secs(3);
    for round in 1..=rounds {
        eprintln!("latency: round {round} of {rounds}");
        let [idle, computing, expiring, after_expiry, creating, after_creation] = &mut rows;
        expire(&mut fill_time, idle, expiring, after_expiry)?;
        evict(computing, creating, after_creation)?;
    }
    print(&rows);
    Ok(Vec::new())
}

/// A million sessions of users expire in the same expiry.
fn expire(
    fill_time: &mut Duration,
    idle: &mut Row,
    expiring: &mut Row,
    after: &mut Row,
) -> Result {
    let (server, sampling_start, expiry) = loop {
        let server = Server::start(SESSIONS * 2)?;
        server.fill(0, 1, true, FOREVER)?;
        let time = *fill_time * 2;
        let sampling_start = Instant::now() + time;
        *fill_time = server.fill(1, SESSIONS, true, time + IDLE_TIME)?;
        if Instant::now() < sampling_start {
            break (server, sampling_start, sampling_start + IDLE_TIME);
        }
        eprintln!("latency: fill_time took longer than before; once more");
    };
    sleep_until(sampling_start);
    let (samples, interval) = sample_during(&server, || {
        sleep_until(expiry);
        while server.counters()?.live > 1 {
            if expiry.elapsed() > SWEEP_TIMEOUT {
                return Err("what has expired is never swept".into());
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(Interval { began: expiry, ended: Instant::now() })
    })?;
    idle.add(&samples, &Interval { began: sampling_start, ended: expiry });
    expiring.add(&samples, &interval);
    after.add(
        &samples,
        &Interval { began: interval.ended, ended: interval.ended + AFTER_TIME },
    );
    Ok(())
}

/// A million anonymous sessions begin in a store that is full of such. Whoever is logged in stays,
/// as the contract has it.
fn evict(computing: &mut Row, creating: &mut Row, after: &mut Row) -> Result {
    let server = Server::start(SESSIONS)?;
    server.fill(0, 1, true, FOREVER)?;
    server.fill(1, SESSIONS, false, FOREVER)?;
    let (samples, interval) = sample_during(&server, || {
        interval_of(|| {
            server.run_task(&format!("/compute?time={}", COMPUTE_TIME.as_millis()))
        })
    })?;
    computing.add(&samples, &interval);
    let before = server.counters()?.evicted;
    let (samples, interval) = sample_during(&server, || {
        interval_of(|| server.fill(SESSIONS + 1, SESSIONS, false, FOREVER))
    })?;
    let evicted = server.counters()?.evicted - before;
    // Shards fill unevenly, so a few may have had room.
    if evicted < u64::from(SESSIONS / 100 * 95) {
        return Err(format!("the store was not full: it evicted {evicted}").into());
    }
    creating.add(&samples, &interval);
    after.add(
        &samples,
        &Interval { began: interval.ended, ended: interval.ended + AFTER_TIME },
    );
    Ok(())
}

fn sleep_until(expiry: Instant) {
    thread::sleep(expiry.saturating_duration_since(Instant::now()));
}

fn interval_of(task: impl FnOnce() -> Result<Duration>) -> Result<Interval> {
    let began = Instant::now();
    task()?;
    Ok(Interval { began, ended: Instant::now() })
}

/// Has clients ask while something happens, and for a expiry after; gives what they saw.
fn sample_during(
    server: &Server,
    event: impl FnOnce() -> Result<Interval>,
) -> Result<(Vec<Sample>, Interval)> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let clients: Vec<_> =
            (0..CLIENTS).map(|_| scope.spawn(|| sample(server, &stop))).collect();
        let interval = event();
        thread::sleep(AFTER_TIME);
        stop.store(true, Ordering::Relaxed);
        let mut samples = Vec::new();
        for client in clients {
            samples.extend(client.join().map_err(|_| "a client panicked")??);
        }
        Ok((samples, interval?))
    })
}

/// Asks for the page until it is over.
fn sample(server: &Server, stop: &AtomicBool) -> Result<Vec<Sample>> {
    let mut client = Client::new(server.address)?;
    let mut samples = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        client.get("/page")?;
        samples.push(Sample { began, ended: Instant::now() });
    }
    Ok(samples)
}

impl Row {
    /// Adds a round: the requests that were under way at any time of a interval.
    fn add(&mut self, samples: &[Sample], interval: &Interval) {
        let mut times: Vec<f64> = samples
            .iter()
            .filter(|sample| sample.began < interval.ended && sample.ended > interval.began)
            .map(|sample| microseconds(sample.ended - sample.began))
            .collect();
        times.sort_by(f64::total_cmp);
        self.length.push(microseconds(interval.ended - interval.began));
        self.median.push(quantile(&times, 500));
        self.p99.push(quantile(&times, 990));
        self.p999.push(quantile(&times, 999));
        self.longest.push(quantile(&times, 1000));
    }
}

fn print(rows: &[Row]) {
    let Some(idle) = rows.first() else { return };
    let cell = |series: &Series, idle: &Series| {
        format!("{} ({:.2})", time(series.median()), series.relative_to(idle).median())
    };
    let row = |row: &Row| {
        vec![
            row.name.clone(),
            time(row.length.median()),
            cell(&row.median, &idle.median),
            cell(&row.p99, &idle.p99),
            cell(&row.p999, &idle.p999),
            cell(&row.longest, &idle.longest),
        ]
    };
    let rows: Vec<Vec<String>> = rows.iter().map(row).collect();
    print_table(&["while", "for", "p50", "p99", "p99.9", "longest"], &rows);
    println!("In brackets, how many times what it is while nothing happens.\n");
}
