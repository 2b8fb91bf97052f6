//! Every conversation in `tests/transcripts`, held with a server over a socket. The README there
//! tells how to read and to write one.

use std::io;
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
use crate::support::{project, serve};

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

/// RFC 9112 section 9.6: where the server has said that it closes, it answers no further request.
#[tokio::test]
async fn bytes_after_the_last_response_are_never_read_as_a_request() {
    let server = serve(application(settings_with_files("behind"))).await;
    let mut failures = Vec::new();
    let mut held = 0;
    for (path, text) in transcripts() {
        if let Some(text) = with_another_request(&text) {
            failures.extend(hold(&path, &text, server.address).await.err());
            held += 1;
        }
    }
    server.stop().await;
    assert!(failures.is_empty(), "\n{}\n", failures.join("\n"));
    assert!(held > 200, "only {held} transcripts end in a close");
}

/// What the transcripts talk to.
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

/// Says what it was asked, a line each: method and path, the segment, every argument `name`, every
/// field `Field`. Behind them stands the content.
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

/// Tells a story in three pieces.
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
            io::Result::Ok(())
        })
    }
}

/// Forgets how the story goes on.
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
            assert!(!panics, "the stream meant to");
            Err(io::Error::other("nobody knows the end"))
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
        panic!("the handler meant to")
    }
}

/// Answers with the status that it is asked for, and nothing else.
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

/// Every transcript, with its text, in order.
fn transcripts() -> Vec<(PathBuf, String)> {
    let text = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a transcript is text");
        (path, text)
    };
    paths(&project("tests/transcripts")).into_iter().map(text).collect()
}

/// A transcript with another request behind all that the client sends, if it ends with the
/// server closing, and the client has not said that it will send no more.
fn with_another_request(text: &str) -> Option<String> {
    let mut lines: Vec<&str> = text.lines().collect();
    let behind = lines.iter().rposition(|line| line.starts_with('>'))? + 1;
    if lines.last() != Some(&"<|") || lines.contains(&">|") {
        return None;
    }
    lines.splice(behind..behind, ["> GET /hello HTTP/1.0", ">"]);
    Some(lines.join("\n"))
}

/// Holds one conversation; says at which line it took another turn.
async fn hold(path: &Path, text: &str, address: SocketAddr) -> Result<(), String> {
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

/// How far what came is what was expected.
enum Found {
    /// It is, up to here.
    UpTo(usize),
    /// It may become so.
    NotYet,
    /// It never will.
    Never,
}

/// Looks for `parts` at the front of `input`. A gap holds anything but CRLF.
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

/// The client's side. Where something else comes than was expected, the error is what came.
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
            Step::Receive { parts, skip_lines: true } => self.receive_behind(parts).await,
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

    /// Skips lines until one comes that is expected. No empty line is skipped, so that this
    /// stays within a head.
    async fn receive_behind(&mut self, parts: &[Vec<u8>]) -> Result<(), String> {
        while matches!(find(parts, self.line().await?), Found::Never) {
            let length = self.line().await?.len();
            if length == 2 {
                return Err(self.came(""));
            }
            self.input.drain(..length);
        }
        self.receive(parts).await
    }

    /// The next line, with its end.
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

    /// Behind the last step, the client half-closes, and nothing more may come.
    async fn end(&mut self, last: Option<&Step>) -> Result<(), String> {
        if last == Some(&Step::Closed) {
            return Ok(());
        }
        if last != Some(&Step::HalfClose) {
            self.take(&Step::HalfClose).await?;
        }
        self.closed().await
    }

    /// Waits for more; `false` is the end.
    async fn more(&mut self) -> Result<bool, String> {
        self.input.reserve(4096);
        match timeout(READ_TIMEOUT, self.socket.read_buf(&mut self.input)).await {
            Ok(Ok(read)) => Ok(read > 0),
            Ok(Err(error)) => Err(self.came(&format!(", then: {error}"))),
            Err(_) => Err(self.came(", then nothing")),
        }
    }

    /// What has come since the last line that was expected, and what came then.
    fn came(&self, then: &str) -> String {
        let bytes = &self.input[..self.input.len().min(500)];
        format!("{}{then}", bytes.escape_ascii())
    }
}

/// How long to wait for what is expected.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
