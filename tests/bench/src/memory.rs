//! How much memory does a session take?

use crate::Result;
use crate::args::Args;
use crate::figures::{Series, grouped, print_table};
use crate::goal::Goal;
use crate::process::{FOREVER, Server, has_memory_for};

/// How many there are.
const SESSIONS: u32 = 1_000_000;

/// What a server is filled with.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// A map that nothing but filling it is done with.
    PlainMap(&'static str),
    Store,
    /// What a peer looks sessions up in.
    Peer(&'static str),
}

const KINDS: [(&str, Kind); 6] = [
    ("a plain map, key to user name", Kind::PlainMap("names")),
    ("a plain map of maps, as the tutorial's", Kind::PlainMap("maps")),
    ("the store", Kind::Store),
    ("hyper's map", Kind::Peer("hyper")),
    ("tower-sessions' store", Kind::Peer("axum")),
    ("actix's map", Kind::Peer("actix")),
];

/// The store is compared to maps of the same keys and user names, and to what the peers have. All
/// of them grow as they grow: at a million, a hash table has room for nearly twice as many.
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
    let head = format!("{} sessions with one value, in", grouped(SESSIONS));
    print_table(&[&head, "bytes a session", "ratio"], &rows);
    let goal = |(_, series): (_, &Series)| Goal {
        scenario: format!("one of {} sessions with one value", grouped(SESSIONS)),
        figure: "bytes".to_owned(),
        at_most: 300.0,
        measured: series.median(),
    };
    let store = KINDS.iter().zip(&bytes).filter(|((_, kind), _)| *kind == Kind::Store);
    Ok(store.map(goal).collect())
}

/// By how much a server's memory grows while it is filled, for each session.
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
