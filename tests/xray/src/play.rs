//! The player: sends a conversation in the notation of the transcripts, and shows what came and
//! the films of it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use dustdevil::Recorder;
use dustdevil::escape::html as escaped;
use real::{Error, Exchange, RequestHandler, Result, Status, methods};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::pages::{PlayerAddress, films};
use crate::program::{install_quiet_logger, loopback, print, transcripts_site};
use crate::serve::Server;
use crate::steps::{Step, paths, steps};
use crate::support::project;
use crate::text::visible;
use crate::{html, text};

/// Time for which the player waits for a response.
const PATIENCE: Duration = Duration::from_secs(2);

/// Maximum length of a conversation that the player takes, in bytes.
const MAX_CONVERSATION: usize = 64 * 1024;

/// One line of what happened on the wire.
pub enum Event {
    /// The client has sent these bytes.
    Sent(Vec<u8>),
    /// The client has received these bytes.
    Received(Vec<u8>),
    /// The client has closed its side.
    HalfClosed,
    /// The server has closed the connection, or reset it.
    Closed,
}

/// Sends what a conversation sends, and returns what happened. Before each further write, it
/// waits for what the conversation expects to receive in between.
pub async fn play(
    text: &str,
    address: SocketAddr,
) -> Result<(Vec<Event>, SocketAddr), String> {
    let steps = steps(text).map_err(|(line, what)| format!("line {line}: {what}"))?;
    let mut socket =
        TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let peer = socket.local_addr().map_err(|error| error.to_string())?;
    let mut events = Vec::new();
    let mut expected = 0;
    for (_, step) in &steps {
        match step {
            Step::Send(bytes) => {
                receive(&mut socket, &mut events, expected).await;
                expected = 0;
                if socket.write_all(bytes).await.is_ok() {
                    events.push(Event::Sent(bytes.clone()));
                }
            }
            Step::HalfClose => {
                receive(&mut socket, &mut events, expected).await;
                expected = 0;
                let _ = socket.shutdown().await;
                events.push(Event::HalfClosed);
            }
            Step::Receive { parts, .. } => {
                expected += parts.iter().map(Vec::len).sum::<usize>();
            }
            Step::Closed => {}
        }
    }
    receive(&mut socket, &mut events, expected).await;
    if !matches!(events.last(), Some(Event::Closed)) {
        let _ = socket.shutdown().await;
        receive(&mut socket, &mut events, usize::MAX).await;
    }
    Ok((events, peer))
}

/// Receives at least `count` bytes, unless the server closes or says nothing for a while.
async fn receive(socket: &mut TcpStream, events: &mut Vec<Event>, count: usize) {
    let mut received = Vec::new();
    let mut is_closed = matches!(events.last(), Some(Event::Closed));
    while received.len() < count && !is_closed {
        match timeout(PATIENCE, socket.read_buf(&mut received)).await {
            Ok(Ok(1..)) => {}
            Ok(_) => is_closed = true,
            Err(_) => break,
        }
    }
    match events.last_mut() {
        _ if received.is_empty() => {}
        Some(Event::Received(before)) => before.extend(received),
        _ => events.push(Event::Received(received)),
    }
    if is_closed && !matches!(events.last(), Some(Event::Closed)) {
        events.push(Event::Closed);
    }
}

/// Returns what happened in the notation of the transcripts.
fn conversation(events: &[Event]) -> String {
    let mut text = String::new();
    for event in events {
        match event {
            Event::Sent(bytes) => lines(&mut text, '>', bytes),
            Event::Received(bytes) => lines(&mut text, '<', bytes),
            Event::HalfClosed => text.push_str(">|\n"),
            Event::Closed => text.push_str("<|\n"),
        }
    }
    text
}

fn lines(text: &mut String, direction: char, bytes: &[u8]) {
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        let (line, end) = match line.strip_suffix(b"\r\n") {
            Some(line) => (line, ""),
            None => (line, "\\"),
        };
        let shown: String = line.iter().map(|byte| visible(*byte)).collect();
        let _ = writeln!(text, "{direction} {shown}{end}");
    }
}

/// `/play`: the form, the list of transcripts, and what the server made of a conversation.
pub struct PlayHandler;

impl RequestHandler for PlayHandler {
    methods!(Get, Post);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let name = exchange.get_query_arguments("transcript")?.pop();
        let text = match &name {
            Some(name) => transcript(name).ok_or_else(|| {
                Error::http(Status::NOT_FOUND, "There is no such transcript.")
            })?,
            None => String::from(EXAMPLE),
        };
        exchange.write(html::page("Player", &format!("{}{}", form(&text), list())))
    }

    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        let text = exchange.get_body_argument_raw("conversation")?;
        if text.len() > MAX_CONVERSATION {
            let message = "A conversation may have 64 KiB.";
            return Err(Error::http(Status::CONTENT_TOO_LARGE, message));
        }
        if !text.lines().any(|line| line.starts_with('>')) {
            let message = "No line begins with >, so there is nothing to send.";
            return Err(Error::http(Status::BAD_REQUEST, message));
        }
        let address = exchange.state::<PlayerAddress>()?.0;
        let (events, peer) = play(&text, address)
            .await
            .map_err(|message| Error::http(Status::BAD_REQUEST, message))?;
        let films = films(exchange)?.of(peer).await;
        let mut page = format!(
            "{}<h2>What happened</h2>\n<pre class=\"wire\">{}</pre>\n",
            form(&text),
            escaped(&dustdevil::mask::masked(&conversation(&events)))
        );
        for (index, film) in films.iter().enumerate() {
            page.push_str(&html::film(film, &format!("f{index}")));
        }
        page.push_str(&list());
        exchange.write(html::page("Player", &page))
    }
}

const EXAMPLE: &str = "> GET /hello HTTP/1.1\n> Host: localhost\n>\n";

fn form(text: &str) -> String {
    format!(
        "<h1>Player</h1>\n<p>Type what a client sends, in the notation of the transcripts: \
         <code>&gt; text</code> is a line, a <code>\\</code> at its end leaves out CRLF, and \
         <code>&lt;</code> waits for a response.</p>\n<form method=\"post\" action=\"/play\">\
         <label for=\"conversation\">Conversation</label>\n\
         <textarea id=\"conversation\" name=\"conversation\" rows=\"12\" spellcheck=\"false\">\n{}\
         </textarea>\n<button>Send</button>\n</form>\n",
        escaped(text)
    )
}

/// Returns the text of a transcript by its name, `7-chunked/size-overflowing`.
pub fn transcript(name: &str) -> Option<String> {
    let path = paths(&project("tests/transcripts"))
        .into_iter()
        .find(|path| transcript_name(path) == name)?;
    fs::read_to_string(path).ok()
}

fn transcript_name(path: &std::path::Path) -> String {
    let folder = project("tests/transcripts");
    let path = path.strip_prefix(folder).unwrap_or(path);
    path.with_extension("").to_string_lossy().into_owned()
}

/// Returns the list of all transcripts, by directory.
fn list() -> String {
    let mut sections: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in paths(&project("tests/transcripts")) {
        let name = transcript_name(&path);
        let section = name.split('/').next().unwrap_or_default().to_owned();
        sections.entry(section).or_default().push(name);
    }
    let mut html = String::from("<h2>Transcripts</h2>\n<div class=\"transcripts\">\n");
    for (section, names) in sections {
        let (heading, count) = (heading(&section), names.len());
        let _ = writeln!(
            html,
            "<details><summary title=\"{section}\">{heading} ({count})</summary><ul>"
        );
        for name in names {
            let (_, short) = name.split_once('/').unwrap_or(("", &name));
            let (name, short) = (escaped(&name), escaped(short));
            let _ =
                writeln!(html, "<li><a href=\"/play?transcript={name}\">{short}</a></li>");
        }
        html.push_str("</ul></details>\n");
    }
    html.push_str("</div>\n");
    html
}

/// Returns the heading of a directory: those with a number are sections of RFC 9112.
fn heading(section: &str) -> String {
    match section.split_once('-') {
        Some((number, rest)) if number.parse::<u32>().is_ok() => {
            format!("RFC 9112 section {number}: {}", rest.replace('-', " "))
        }
        _ => section.to_owned(),
    }
}

/// `make play T=...`: plays one transcript, and prints the conversation and its films.
pub async fn main(name: Option<OsString>) -> Result<(), String> {
    let name = name.unwrap_or_default().to_string_lossy().into_owned();
    let text = transcript(&name).ok_or_else(|| {
        format!("there is no transcript {name:?}; such as 7-chunked/size-overflowing")
    })?;
    install_quiet_logger()?;
    let recorder = Recorder::new(|_| {});
    let server = Server::listen(loopback(), transcripts_site("play"), &recorder).await?;
    let address = server.address;
    tokio::spawn(server.run());
    let (events, peer) = play(&text, address).await?;
    print(&dustdevil::mask::masked(&conversation(&events)));
    for film in recorder.films().of(peer).await {
        print(&text::whole(&film));
    }
    Ok(())
}
