//! How much memory does a session take?

use crate::Result;
use crate::figures::{Series, grouped, print_table};
use crate::goal::Goal;
use crate::process::{FOREVER, Server, is_room_for};
use crate::wish::Wish;

/// How many there are.
const SESSIONS: u32 = 1_000_000;

/// What a server is filled with, and how it is told to be.
const KINDS: [&str; 3] = [
    "a plain map, key to user name",
    "a plain map of maps, as the tutorial's",
    "the store",
];

/// The store is compared to maps of the same keys and user names. All of them grow as they grow:
/// at a million, a hash table has room for nearly twice as many.
pub(crate) fn measure(wish: &Wish) -> Result<Vec<Goal>> {
    let rounds = wish.rounds;
    if !is_room_for(SESSIONS)? {
        return Ok(Vec::new());
    }
    let mut octets: [Series; 3] = Default::default();
    for round in 1..=rounds {
        eprintln!("room: round {round} of {rounds}");
        for (kind, octets) in octets.iter_mut().enumerate() {
            octets.push(octets_a_session(kind)?);
        }
    }
    let rows: Vec<Vec<String>> = KINDS
        .iter()
        .zip(&octets)
        .map(|(kind, series)| {
            let ratio = series.relative_to(&octets[0]).with_spread();
            vec![(*kind).to_owned(), format!("{:.0}", series.median()), ratio]
        })
        .collect();
    let head = format!("{} sessions with one value, in", grouped(SESSIONS));
    print_table(&[&head, "octets a session", "ratio"], &rows);
    Ok(Vec::new())
}

/// By how much a server's memory grows while it is filled, for each session.
fn octets_a_session(kind: usize) -> Result<f64> {
    let server = Server::start(SESSIONS * 2)?;
    let before = server.memory()?;
    match kind {
        0 => server.have_done(&format!("/plain?of=names&count={SESSIONS}"))?,
        1 => server.have_done(&format!("/plain?of=maps&count={SESSIONS}"))?,
        _ => server.fill(1, SESSIONS, true, FOREVER)?,
    };
    Ok((server.memory()? - before) / f64::from(SESSIONS))
}
