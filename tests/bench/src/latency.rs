//! The part `latency`: latency of requests while a million sessions expire in the same instant,
//! or are evicted as fast as others are created.
//!
//! Two clients request the page of a session that stays live, in a closed loop. A store that
//! stops for a moment (a long critical section, a sweep under the lock) delays few requests,
//! but those for long, so it would not show in p99: the table has p99.9 and the maximum, too.
//!
//! Any background work of the server occupies a processor, which is then missing for requests.
//! The cost of that alone is measured for comparison, with a thread that computes for about as
//! long.

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

/// Number of sessions that expire, or are evicted.
const SESSIONS: u32 = 1_000_000;

/// Number of concurrent clients.
const CLIENTS: usize = 2;

/// Duration of sampling before the sessions expire: the idle server.
const IDLE_TIME: Duration = Duration::from_secs(2);

/// Duration of sampling after an event.
const AFTER_TIME: Duration = Duration::from_secs(1);

/// How long the thread for comparison computes.
const COMPUTE_TIME: Duration = Duration::from_millis(1500);

/// Interval at which the number of live sessions is read.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Maximum time for the store to remove expired sessions; after it the benchmark fails.
const SWEEP_TIMEOUT: Duration = Duration::from_secs(120);

/// A time interval in which something happened on the server.
struct Interval {
    began: Instant,
    ended: Instant,
}

/// One request, from its first byte sent to the last byte of its response.
struct Sample {
    began: Instant,
    ended: Instant,
}

/// A row of the table, in microseconds: the length of an interval, and the quantiles and
/// maximum of latency in it.
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
        "nothing else runs".to_owned(),
        "a thread computes".to_owned(),
        format!("{all} sessions expire and are swept"),
        "(the second after that)".to_owned(),
        format!("{all} sessions are created in a full store"),
        "(the second after that)".to_owned(),
    ];
    let mut rows = names.map(|name| Row { name, ..Row::default() });
    // A first estimate; each filling replaces it by the time that it took.
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

/// Measures while a million sessions expire in the same instant.
///
/// ```text
/// creating sessions | spare time | idle server | expired, being swept | the second after
/// ------------------------------>|<- 2 s ----->|<- until 1 is left -->|<- 1 s ---------->
///                         sampling_start     expiry              sweep.ended
/// ```
///
/// Their lifetime has to be set when they are created, but must end after the last one is
/// created and the idle server is sampled. It is twice the time that the filling took the last
/// time, plus the time for the idle server; if that was too short, the filling is repeated.
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
        eprintln!("latency: filling took longer than before; it is repeated");
    };
    sleep_until(sampling_start);
    let (samples, sweep) = sample_during(&server, || {
        sleep_until(expiry);
        while server.counters()?.live > 1 {
            if expiry.elapsed() > SWEEP_TIMEOUT {
                return Err("expired sessions were not swept".into());
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(Interval { began: expiry, ended: Instant::now() })
    })?;
    idle.add(&samples, &Interval { began: sampling_start, ended: expiry });
    expiring.add(&samples, &sweep);
    after.add(&samples, &Interval { began: sweep.ended, ended: sweep.ended + AFTER_TIME });
    Ok(())
}

/// Measures while a thread computes, and then while a million anonymous sessions are created in
/// a store that is full of anonymous sessions, so that each evicts an older one. The clients'
/// session has a user and stays: the store evicts anonymous sessions first.
fn evict(computing: &mut Row, creating: &mut Row, after: &mut Row) -> Result {
    let server = Server::start(SESSIONS)?;
    server.fill(0, 1, true, FOREVER)?;
    server.fill(1, SESSIONS, false, FOREVER)?;
    let (samples, compute) = sample_during(&server, || {
        interval_of(|| {
            server.run_task(&format!("/compute?time={}", COMPUTE_TIME.as_millis()))
        })
    })?;
    computing.add(&samples, &compute);
    let before = server.counters()?.evicted;
    let (samples, creation) = sample_during(&server, || {
        interval_of(|| server.fill(SESSIONS + 1, SESSIONS, false, FOREVER))
    })?;
    let evicted = server.counters()?.evicted - before;
    // Shards fill unevenly, so some of them have free capacity left for a few sessions.
    if evicted < u64::from(SESSIONS / 100 * 95) {
        return Err(format!("the store was not full: it evicted {evicted}").into());
    }
    creating.add(&samples, &creation);
    let ended = creation.ended;
    after.add(&samples, &Interval { began: ended, ended: ended + AFTER_TIME });
    Ok(())
}

fn sleep_until(time: Instant) {
    thread::sleep(time.saturating_duration_since(Instant::now()));
}

fn interval_of(task: impl FnOnce() -> Result<Duration>) -> Result<Interval> {
    let began = Instant::now();
    task()?;
    Ok(Interval { began, ended: Instant::now() })
}

/// Runs the clients during an event on the server and for [`AFTER_TIME`] after it. Returns
/// their samples, and the interval that the event reports.
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
        // Also if the event failed: the scope waits for its threads, which run until then.
        stop.store(true, Ordering::Relaxed);
        let mut samples = Vec::new();
        for client in clients {
            samples.extend(client.join().map_err(|_| "a client panicked")??);
        }
        Ok((samples, interval?))
    })
}

/// Requests the page in a closed loop until `stop` is set.
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
    /// Adds the figures of one round: the requests that were in flight at any time of an
    /// interval.
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
    print_table(&["while", "for", "p50", "p99", "p99.9", "maximum"], &rows);
    println!("In parentheses: ratio to the first row.\n");
}
