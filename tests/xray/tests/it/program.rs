//! The program as `make xray`, `make play` and `make race` run it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dustdevil-xray"));
    command.args(arguments).env_remove("RUST_LOG");
    command
}

fn run(arguments: &[&str]) -> Output {
    program(arguments).output().expect("the program starts")
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Fails unless the program has ended with status 1 and one line that says `what`.
fn is_refused(output: &Output, what: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert_eq!((error.lines().count(), output.stdout.len()), (1, 0), "{error}");
    assert!(error.contains(what), "{error}");
}

#[test]
fn any_address_but_loopback_is_refused_in_one_line() {
    for address in ["0.0.0.0", "::", "192.0.2.1"] {
        let output = run(&["--port", "0", "--address", address]);
        is_refused(&output, "on loopback only");
    }
}

#[test]
fn an_unknown_transcript_is_refused_in_one_line() {
    is_refused(
        &run(&["play", "no-such/transcript"]),
        "no transcript \"no-such/transcript\"",
    );
    is_refused(&run(&["play"]), "such as 7-chunked/size-overflowing");
}

#[test]
fn the_player_prints_a_conversation_and_its_film() {
    let text = printed(&run(&["play", "7-chunked/size-overflowing"]));
    let (conversation, film) = text.split_once("\nfilm ").expect("a film");
    assert!(conversation.contains("> Transfer-Encoding: chunked"), "{text}");
    assert!(conversation.contains("< HTTP/1.1 400 Bad Request"), "{text}");
    assert!(film.contains("refused") && film.contains("src/http/chunked.rs:"), "{text}");
}

#[test]
fn a_snapshot_loses_a_value_and_the_live_session_keeps_both() {
    let text = printed(&run(&["race"]));
    let (snapshot, live) = text.split_once("The session of Dustdevil").expect("two races");
    let left = |text: &str| -> Vec<String> {
        let (_, names) = text.split_once("Left in it: ").expect("an outcome");
        names.lines().next().unwrap().split(", ").map(str::to_owned).collect()
    };
    assert_eq!(left(snapshot).len(), 1, "{text}");
    // The save that comes last names the value that it overwrites.
    let overwrites = |line: &str| {
        line.contains("snapshot save")
            && (line.contains("{\"a\": \"1\"} ->") || line.contains("{\"b\": \"1\"} ->"))
    };
    assert!(snapshot.lines().any(overwrites), "{text}");
    assert_eq!(left(live), ["a", "b", "started"], "{text}");
}

/// A running program, which is killed at the end.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_terminal_prints_each_film() {
    let child = program(&["--port", "0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut running = Running(child);
    let mut lines =
        BufReader::new(running.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let first = lines.next().expect("a line");
    let address = first.rsplit("http://").next().unwrap().to_owned();
    let mut socket = TcpStream::connect(&address).unwrap();
    write!(socket, "GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut response = String::new();
    socket.read_to_string(&mut response).unwrap();
    assert!(response.contains("X-Ray: /xray/1\r\n"), "{response}");
    let film: Vec<String> = lines
        .skip_while(|line| !line.starts_with("film "))
        .take_while(|line| !line.is_empty())
        .collect();
    assert!(film[0].starts_with("film 1  GET /hello  200  "), "{film:?}");
    for name in ["received", "head", "framing", "route", "get", "response", "sent"] {
        let is_step = |line: &String| line.split_whitespace().nth(1) == Some(name);
        assert!(film.iter().any(is_step), "{name} is not in {film:#?}");
    }
}
