//! The server of most first tutorials: the standard library, one thread, one `read`, `unwrap`, and
//! a path by `format!`. **Warning: it is vulnerable on purpose.**

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;

use crate::text;

/// Serves the files below `root`, and four pages.
pub(crate) fn serve(listener: &TcpListener, root: &str) {
    for stream in listener.incoming() {
        // One thread: while this client sends nothing, all others wait.
        let mut stream = stream.unwrap();
        let mut buffer = [0; 16 * 1024];
        // One `read`: what has not arrived by now is never read.
        let length = stream.read(&mut buffer).unwrap();
        let mut rest = &buffer[..length];
        while let Some(end) = rest.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head = String::from_utf8(rest[..end].to_vec()).unwrap();
            rest = &rest[end + 4..];
            // Chunked content wins over Content-Length, and a request with both is not refused.
            let content = chunked_length(&head, rest).unwrap_or(content_length(&head));
            rest = &rest[content.min(rest.len())..];
            stream.write_all(&respond(&head, root)).unwrap();
        }
    }
}

/// The length of chunked content: up to the last chunk.
fn chunked_length(head: &str, rest: &[u8]) -> Option<usize> {
    let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let end = rest.windows(5).position(|bytes| bytes == b"0\r\n\r\n")?;
    is_chunked.then_some(end + 5)
}

fn content_length(head: &str) -> usize {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    let length = lines.find(|(name, _)| name.eq_ignore_ascii_case("Content-Length"));
    length.map_or(0, |(_, value)| value.parse().unwrap())
}

fn respond(head: &str, root: &str) -> Vec<u8> {
    let target = head.split(' ').nth(1).unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let argument = |name| text::form_value(query.as_bytes(), name).unwrap_or_default();
    match path {
        "/hello" => page("200 OK", "", b"Hello, world!"),
        // The value goes into the page as it came.
        "/echo" => page("200 OK", "", format!("<p>{}</p>\n", argument("text")).as_bytes()),
        // Any target, and its line ends, too.
        "/redirect" => {
            page("302 Found", &format!("Location: {}\r\n", argument("next")), b"")
        }
        // The line ends of the value end the field, too.
        "/header" => {
            page("200 OK", &format!("X-Echo: {}\r\n", argument("value")), b"done\n")
        }
        // `..`, dotfiles and symbolic links all lead out of what was meant to be served.
        _ => match fs::read(format!("{root}{}", text::decode(path))) {
            Ok(file) => page("200 OK", "", &file),
            Err(_) => page("404 Not Found", "", b"no such file\n"),
        },
    }
}

fn page(status: &str, fields: &str, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html\r\n{fields}Content-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), content].concat()
}
