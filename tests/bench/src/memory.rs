//! The part `memory`: memory of a session, in bytes.

use crate::Result;
use crate::args::Args;
use crate::figures::{Series, grouped, print_table};
use crate::goal::Goal;
use crate::process::{FOREVER, Server, has_memory_for};

/// Number of sessions in each server.
const SESSIONS: u32 = 1_000_000;

/// The data structure that is filled.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// A plain map in [`crate::server`], see [`crate::fill::PlainMap`].
    PlainMap(&'static str),
    /// Dustdevil's memory store.
    Store,
    /// The sessions of a peer.
    Peer(&'static str),
}

/// The rows of the table. Ratios are to the first one.
const KINDS: [(&str, Kind); 6] = [
    ("a plain map, key to user name", Kind::PlainMap("names")),
    ("a plain map of maps, as in the tutorial", Kind::PlainMap("maps")),
    ("Dustdevil's store", Kind::Store),
    ("hyper's map", Kind::Peer("hyper")),
    ("tower-sessions' store", Kind::Peer("axum")),
    ("actix's map", Kind::Peer("actix")),
];

/// Compares the store to plain maps with the same keys and user names, and to the peers'
/// sessions. All are measured at the same number of sessions. A hash table doubles its capacity
/// when it is full, so the figure depends on that number: at a million, std's `HashMap` has
/// capacity for 1,835,008 (7/8 of 2^21 buckets), nearly the most that can be unused.
pub(crate) fn measure(args: &Args) -> Result<Vec<Goal>> {
    if !has_memory_for(SESSIONS)? {
        return Ok(Vec::new());
    }
    let mut bytes: [Series; KINDS.len()] = Default::default();
    let rounds = args.memory_rounds();
    for round in 1..=rounds {
        eprintln!("memory: round {round} of {rounds}");
        for ((_, kind), bytes) in KINDS.iter().zip(&mut bytes) {
            bytes.push(bytes_per_session(*kind)?);
        }
    }
    let rows: Vec<Vec<String>> = KINDS
        .iter()
        .zip(&bytes)
        .map(|((name, _), series)| {
            let ratio = series.relative_to(&bytes[0]).with_spread();
            vec![(*name).to_owned(), format!("{:.0}", series.median()), ratio]
        })
        .collect();
    let head = format!("{} sessions with one value", grouped(SESSIONS));
    print_table(&[&head, "bytes per session", "ratio"], &rows);
    let goal = |(_, series): (_, &Series)| Goal {
        scenario: format!("one of {} sessions with one value", grouped(SESSIONS)),
        figure: "bytes".to_owned(),
        at_most: 300.0,
        measured: series.median(),
    };
    let store = KINDS.iter().zip(&bytes).filter(|((_, kind), _)| *kind == Kind::Store);
    Ok(store.map(goal).collect())
}

/// Returns the growth of a server's resident memory per session while it is filled.
fn bytes_per_session(kind: Kind) -> Result<f64> {
    let server = match kind {
        Kind::Peer(name) => Server::serve(&[name], &[])?,
        _ => Server::start(SESSIONS * 2)?,
    };
    let before = server.resident_bytes()?;
    match kind {
        Kind::PlainMap(of) => {
            server.run_task(&format!("/plain?of={of}&count={SESSIONS}"))?
        }
        _ => server.fill(1, SESSIONS, true, FOREVER)?,
    };
    Ok((server.resident_bytes()? - before) / f64::from(SESSIONS))
}
