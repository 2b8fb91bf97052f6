//! Plays every transcript against a server over a socket. `tests/transcripts/README.md`
//! describes their format.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dustdevil::{
    Application, Error, Exchange, Method, RequestHandler, Result, Settings, Status, handler,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::resources::{
    ColorsHandler, ElsewhereHandler, NoteHandler, VisitsHandler, settings_with_files,
};
use crate::steps::{Step, paths, steps};
use crate::support::project;
#[cfg(test)]
use crate::support::serve;

#[tokio::test]
async fn every_transcript_holds() {
    let server = serve(application(settings_with_files("transcripts"))).await;
    let mut failures = Vec::new();
    for (path, text) in transcripts() {
        failures.extend(hold(&path, &text, server.address).await.err());
    }
    server.stop().await;
    assert!(failures.is_empty(), "\n{}\n", failures.join("\n"));
}

/// RFC 9112 section 9.6: after a response with `Connection: close` the server answers no
/// further request on the connection.
#[tokio::test]
async fn bytes_after_the_last_response_are_never_read_as_a_request() {
    let server = serve(application(settings_with_files("after"))).await;
    let mut failures = Vec::new();
    let mut extended = 0;
    for (path, text) in transcripts() {
        if let Some(text) = with_another_request(&text) {
            failures.extend(hold(&path, &text, server.address).await.err());
            extended += 1;
        }
    }
    server.stop().await;
    assert!(failures.is_empty(), "\n{}\n", failures.join("\n"));
    assert!(extended > 200, "only {extended} transcripts end in a close");
}

/// The application that the transcripts use.
pub fn application(settings: Settings) -> Application {
    Application::new(
        [
            ("/hello", handler::<HelloHandler>),
            ("/echo", handler::<EchoHandler>),
            ("/echo/{segment}", handler::<EchoHandler>),
            ("/stream", handler::<StreamHandler>),
            ("/broken-stream", handler::<BrokenStreamHandler>),
            ("/panic", handler::<PanicHandler>),
            ("/note", handler::<NoteHandler>),
            ("/weak-note", handler::<NoteHandler>),
            ("/elsewhere", handler::<ElsewhereHandler>),
            ("/visits", handler::<VisitsHandler>),
            ("/color", handler::<ColorsHandler>),
            ("/status/{code}", handler::<StatusHandler>),
        ],
        settings,
    )
    .expect("the application is whole")
}

pub struct HelloHandler;

impl RequestHandler for HelloHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        exchange.write("Hello, world!")
    }
}

/// Writes what it received, one line each: method and path, the path segment, every argument
/// `name`, every field `Field`; then the content.
pub struct EchoHandler;

impl RequestHandler for EchoHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get, Method::Post, Method::Put];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        echo(exchange)
    }

    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        echo(exchange)
    }

    async fn put(&mut self, exchange: &mut Exchange) -> Result {
        echo(exchange)
    }
}

fn echo(exchange: &mut Exchange) -> Result {
    let request = exchange.request();
    let mut bytes = format!("{} {}\r\n", request.method(), request.path()).into_bytes();
    for segment in exchange.path_arguments() {
        bytes.extend(format!("segment {segment}\r\n").bytes());
    }
    for value in exchange.get_arguments("name")? {
        bytes.extend(format!("name {value}\r\n").bytes());
    }
    for value in request.field_values("Field") {
        bytes.extend([b"field ", value, b"\r\n"].concat());
    }
    bytes.extend_from_slice(exchange.content());
    exchange.set_header("Content-Type", "application/octet-stream")?;
    exchange.write(bytes)
}

/// Streams a text in three parts.
struct StreamHandler;

impl RequestHandler for StreamHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        exchange.stream(|sender| async move {
            for piece in ["once ", "upon a ", "time"] {
                sender.send(piece).await?;
            }
            Ok(())
        })
    }
}

/// Fails after the first part of its stream.
pub struct BrokenStreamHandler;

impl RequestHandler for BrokenStreamHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let panics = exchange.request().query() == Some("panic");
        exchange.stream(move |sender| async move {
            sender.send("once ").await?;
            assert!(!panics, "on purpose");
            Err(Error::other("on purpose"))
        })
    }
}

struct PanicHandler;

impl RequestHandler for PanicHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, _: &mut Exchange) -> Result {
        panic!("on purpose")
    }
}

/// Responds with the status in its path, and without content.
struct StatusHandler;

impl RequestHandler for StatusHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let code = exchange.path_argument("code")?.parse().unwrap_or_default();
        exchange.set_status(Status::new(code).ok_or(Error::other("no final status"))?);
        Ok(())
    }
}

/// Reads all transcripts, sorted by path.
pub fn transcripts() -> Vec<(PathBuf, String)> {
    let text = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a transcript is text");
        (path, text)
    };
    paths(&project("tests/transcripts")).into_iter().map(text).collect()
}

/// Returns the transcript with one more request after all that the client sends. `None` unless
/// the server closes at the end and the client has not half-closed.
fn with_another_request(text: &str) -> Option<String> {
    let mut lines: Vec<&str> = text.lines().collect();
    let after = lines.iter().rposition(|line| line.starts_with('>'))? + 1;
    if lines.last() != Some(&"<|") || lines.contains(&">|") {
        return None;
    }
    lines.splice(after..after, ["> GET /hello HTTP/1.0", ">"]);
    Some(lines.join("\n"))
}

/// Plays one transcript. The error names the line that failed.
pub async fn hold(path: &Path, text: &str, address: SocketAddr) -> Result<(), String> {
    let file = path.strip_prefix(project("")).unwrap_or(path).display();
    let steps = steps(text).map_err(|(number, what)| format!("{file}:{number}: {what}"))?;
    let mut conversation = Conversation::begin(address).await;
    for (number, step) in &steps {
        conversation.take(step).await.map_err(|came| {
            let line = text.lines().nth(number - 1).unwrap_or_default();
            format!("{file}:{number}\n  expected: {line}\n  came:     {came}")
        })?;
    }
    conversation.end(steps.last().map(|(_, step)| step)).await.map_err(|came| {
        format!("{file}: at the end\n  expected: nothing more\n  came:     {came}")
    })
}

/// The result of comparing the input with an expected line.
enum Found {
    /// The input matches up to this position.
    UpTo(usize),
    /// The input matches so far, but is not complete.
    NotYet,
    /// The input does not match.
    Never,
}

/// Matches `parts` against the start of `input`. A gap between two parts matches anything
/// except CRLF.
fn find(parts: &[Vec<u8>], input: &[u8]) -> Found {
    let (first, others) = parts.split_first().expect("there is one at least");
    let arrived = first.len().min(input.len());
    if input[..arrived] != first[..arrived] {
        return Found::Never;
    }
    if arrived < first.len() {
        return Found::NotYet;
    }
    let mut end = first.len();
    for part in others {
        let rest = &input[end..];
        let line_end = position(rest, b"\r\n");
        match position(rest, part) {
            Some(at) if line_end.is_none_or(|line_end| at <= line_end) => {
                end += at + part.len();
            }
            _ if line_end.is_some() => return Found::Never,
            _ => return Found::NotYet,
        }
    }
    Found::UpTo(end)
}

fn position(bytes: &[u8], part: &[u8]) -> Option<usize> {
    (0..=bytes.len()).find(|&at| bytes[at..].starts_with(part))
}

/// The client side of a transcript. An error contains what came instead of the expected line.
struct Conversation {
    socket: TcpStream,
    input: Vec<u8>,
}

impl Conversation {
    async fn begin(address: SocketAddr) -> Conversation {
        let socket = TcpStream::connect(address).await.expect("a connection");
        Conversation { socket, input: Vec::new() }
    }

    async fn take(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Send(bytes) => {
                self.socket.write_all(bytes).await.map_err(|error| error.to_string())
            }
            Step::HalfClose => {
                self.socket.shutdown().await.map_err(|error| error.to_string())
            }
            Step::Receive { parts, skip_lines: false } => self.receive(parts).await,
            Step::Receive { parts, skip_lines: true } => {
                self.receive_after_skipping(parts).await
            }
            Step::Closed => self.closed().await,
        }
    }

    async fn receive(&mut self, parts: &[Vec<u8>]) -> Result<(), String> {
        loop {
            match find(parts, &self.input) {
                Found::UpTo(end) => {
                    self.input.drain(..end);
                    return Ok(());
                }
                Found::NotYet if self.more().await? => {}
                Found::NotYet => return Err(self.came(", then the end")),
                Found::Never => return Err(self.came("")),
            }
        }
    }

    /// Skips lines up to the expected one. Fails at an empty line, so that it stays within a
    /// head.
    async fn receive_after_skipping(&mut self, parts: &[Vec<u8>]) -> Result<(), String> {
        while matches!(find(parts, self.line().await?), Found::Never) {
            let length = self.line().await?.len();
            if length == 2 {
                return Err(self.came(""));
            }
            self.input.drain(..length);
        }
        self.receive(parts).await
    }

    /// Returns the next line, including its CRLF.
    async fn line(&mut self) -> Result<&[u8], String> {
        loop {
            if let Some(length) = position(&self.input, b"\r\n") {
                return Ok(&self.input[..length + 2]);
            }
            if !self.more().await? {
                return Err(self.came(", then the end"));
            }
        }
    }

    async fn closed(&mut self) -> Result<(), String> {
        if self.input.is_empty() && !self.more().await? {
            return Ok(());
        }
        Err(self.came(""))
    }

    /// Half-closes after the last step, and checks that nothing more comes.
    async fn end(&mut self, last: Option<&Step>) -> Result<(), String> {
        if last == Some(&Step::Closed) {
            return Ok(());
        }
        if last != Some(&Step::HalfClose) {
            self.take(&Step::HalfClose).await?;
        }
        self.closed().await
    }

    /// Waits for more input. Returns `false` at the end of the connection.
    async fn more(&mut self) -> Result<bool, String> {
        self.input.reserve(4096);
        match timeout(READ_TIMEOUT, self.socket.read_buf(&mut self.input)).await {
            Ok(Ok(read)) => Ok(read > 0),
            Ok(Err(error)) => Err(self.came(&format!(", then: {error}"))),
            Err(_) => Err(self.came(", then nothing")),
        }
    }

    /// Describes the input since the last expected line, and what happened then.
    fn came(&self, then: &str) -> String {
        let bytes = &self.input[..self.input.len().min(500)];
        format!("{}{then}", bytes.escape_ascii())
    }
}

/// Time after which an expected line counts as missing. No passing test waits for it.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
