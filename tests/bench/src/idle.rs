//! The part `idle`: memory of an idle persistent connection (keep-alive), in bytes.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use crate::Result;
use crate::args::Args;
use crate::client::Client;
use crate::competitor::{Competitor, participants, start_baseline};
use crate::directory::Directory;
use crate::figures::{Series, grouped, print_table};
use crate::goal::Goal;
use crate::process::{Server, max_open_files};

/// Number of idle connections: Dustdevil's default `max_connections`.
const CONNECTIONS: u32 = 10_000;

/// Number of connections that are opened and closed before measuring, so that memory that a
/// server allocates once (thread stacks, pools, caches) is not counted as memory of the
/// connections.
const WARM_UP_CONNECTIONS: u32 = 500;

/// File descriptors that the driver and a server need in addition to the connections.
const OTHER_DESCRIPTORS: u64 = 100;

/// Interval at which memory is read until it no longer shrinks. Allocators return freed memory
/// to the kernel late, some of them from a background thread.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

const HELLO: &str = "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// nginx has no `/hello`, so it sends a file.
const FILE: &str = "GET /static/1KiB.txt HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Measures all servers in interleaved rounds. A server runs only while it is measured.
pub(crate) fn measure(args: &Args) -> Result<Vec<Goal>> {
    let descriptors = max_open_files()?;
    if descriptors < u64::from(CONNECTIONS) + OTHER_DESCRIPTORS {
        println!("Skipped idle connections: `ulimit -n` is {descriptors}.\n");
        return Ok(Vec::new());
    }
    let directory = Directory::new()?;
    let competitors = participants(args).into_iter();
    let mut series: Vec<_> = competitors.map(|one| (one, Series::default())).collect();
    let rounds = args.memory_rounds();
    for round in 1..=rounds {
        eprintln!("idle: round {round} of {rounds}");
        for (competitor, bytes) in &mut series {
            let growth = bytes_per_connection(*competitor, &directory)
                .map_err(|error| format!("{}: {error}", competitor.name()))?;
            bytes.push(growth);
        }
    }
    print(&series);
    Ok(goal(&series).into_iter().collect())
}

/// Returns the growth of a server's resident memory per connection that has had one response.
/// It is the server's own memory: the kernel's socket structures and buffers are not in it.
fn bytes_per_connection(competitor: Competitor, directory: &Directory) -> Result<f64> {
    let server = match competitor {
        Competitor::Baseline => {
            let reference = Competitor::Dustdevil.start(directory)?;
            let response = Client::new(reference.address)?.send(HELLO.as_bytes())?;
            start_baseline(HELLO.len(), 1, &response.bytes())?
        }
        _ => competitor.start(directory)?,
    };
    let request = if competitor == Competitor::Nginx { FILE } else { HELLO };
    drop(connect(&server, request, WARM_UP_CONNECTIONS)?);
    let before = settled_memory(&server)?;
    let connections = connect(&server, request, CONNECTIONS)?;
    let after = settled_memory(&server)?;
    if !connections.iter().all(is_open) {
        return Err("the server closed some of the idle connections".into());
    }
    Ok((after - before) / f64::from(CONNECTIONS))
}

/// Opens connections and sends one request on each.
fn connect(server: &Server, request: &str, count: u32) -> Result<Vec<TcpStream>> {
    let connect = |_| {
        let mut client = Client::new(server.address)?;
        match client.send(request.as_bytes())?.status {
            200 => Ok(client.into_stream()),
            status => Err(format!("unexpected status {status}").into()),
        }
    };
    (0..count).map(connect).collect()
}

/// Waits until the server no longer returns memory to the kernel, and returns its resident
/// memory.
fn settled_memory(server: &Server) -> Result<f64> {
    let mut memory = server.resident_bytes()?;
    loop {
        thread::sleep(POLL_INTERVAL);
        let before = std::mem::replace(&mut memory, server.resident_bytes()?);
        if memory >= before {
            return Ok(memory);
        }
    }
}

/// Returns `true` if the server has not closed the connection: then a non-blocking read would
/// block, instead of returning end-of-file.
fn is_open(stream: &TcpStream) -> bool {
    let peek = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut [0]));
    peek.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

fn print(series: &[(Competitor, Series)]) {
    let row = |(competitor, bytes): &(Competitor, Series)| {
        vec![competitor.name().to_owned(), format!("{:.0}", bytes.median())]
    };
    let rows: Vec<Vec<String>> = series.iter().map(row).collect();
    let head = format!("{} idle connections", grouped(CONNECTIONS));
    print_table(&[&head, "bytes per connection"], &rows);
}

fn goal(series: &[(Competitor, Series)]) -> Option<Goal> {
    let dustdevil = series.iter().find(|one| one.0 == Competitor::Dustdevil)?;
    Some(Goal {
        scenario: "idle connection".to_owned(),
        figure: "bytes".to_owned(),
        at_most: 2048.0,
        measured: dustdevil.1.median(),
    })
}
