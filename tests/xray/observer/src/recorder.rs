//! The recorder: collects the steps of a connection, and cuts them into films.
//!
//! The observers call the functions of this file. They reach the recorder of their connection
//! through a task-local variable, so nothing has to be passed through the library. A step of
//! another task, such as the sweep of a store, has no recorder and is not recorded.
//!
//! A film begins when the service gets a request, or when a head is refused. Steps before that,
//! from the first byte on, wait in `pending`. It is complete when the response has been written:
//! pipelined responses leave in one write, so what was sent is split by its framing.

use std::backtrace::Backtrace;
use std::collections::VecDeque;
use std::mem;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use real::{Method, Request};

use crate::film::{Film, Films, Layer, Step};
use crate::mask::{mask, masked};
use crate::split;
use crate::trace::{frames, root};

tokio::task_local! {
    static CONNECTION: Arc<Mutex<Connection>>;
}

/// Records all connections of a server.
#[derive(Clone)]
pub struct Recorder {
    films: Arc<Films>,
    finished: Sender<Finished>,
    next_id: Arc<AtomicU64>,
    next_step: Arc<AtomicU64>,
}

impl Recorder {
    /// Creates a recorder. `show` is called with each film when it is complete.
    pub fn new(show: impl Fn(&Film) + Send + 'static) -> Recorder {
        let films = Arc::new(Films::default());
        let (finished, records) = channel::<Finished>();
        let added = Arc::clone(&films);
        // Resolving a backtrace takes long: the thread keeps it out of the connection's time.
        thread::spawn(move || {
            for record in records {
                match record {
                    Finished::Film(raw) => {
                        let film = Arc::new(raw.develop());
                        show(&film);
                        added.add(film);
                    }
                    Finished::Connection(peer) => added.end(peer),
                }
            }
        });
        let next_id = Arc::new(AtomicU64::new(1));
        Recorder { films, finished, next_id, next_step: Arc::default() }
    }

    /// Returns the films.
    pub fn films(&self) -> &Arc<Films> {
        &self.films
    }
}

/// Records what `connection` does, which serves `peer`.
pub async fn record(
    recorder: Recorder,
    peer: SocketAddr,
    connection: impl Future<Output = ()>,
) {
    let state = Arc::new(Mutex::new(Connection::new(recorder, peer)));
    CONNECTION.scope(Arc::clone(&state), connection).await;
    let mut state = lock(&state);
    state.publish(true);
    let _ = state.recorder.finished.send(Finished::Connection(peer));
}

/// A step whose backtrace is not resolved yet.
#[derive(Clone)]
struct RawStep {
    at: Duration,
    took: Option<Duration>,
    layer: Layer,
    name: String,
    detail: String,
    sequence: u64,
    trace: Arc<Backtrace>,
}

/// Bytes that were read or written by one system call.
struct Transfer {
    start: usize,
    length: usize,
    step: RawStep,
}

/// A film that is not complete.
struct OpenFilm {
    id: u64,
    title: String,
    is_head: bool,
    /// `true` after the head of the response was written to the output buffer.
    has_response: bool,
    steps: Vec<RawStep>,
}

/// What the thread that resolves backtraces gets.
enum Finished {
    /// A film is complete.
    Film(RawFilm),
    /// A connection has ended, after its last film.
    Connection(SocketAddr),
}

/// A film whose backtraces are not resolved yet.
struct RawFilm {
    film: Film,
    steps: Vec<(RawStep, Transfers)>,
}

/// The bytes of a step: in the request, and in the response.
type Transfers = (Option<std::ops::Range<usize>>, Option<std::ops::Range<usize>>);

/// The recording of one connection.
struct Connection {
    recorder: Recorder,
    peer: SocketAddr,
    began: Option<Instant>,
    /// The time at which the current observer was called.
    clock: Instant,
    /// The time that observing has taken.
    observing: Duration,
    /// Bytes of the requests that are not in a complete film.
    input: Vec<u8>,
    input_offset: usize,
    output: Vec<u8>,
    output_offset: usize,
    reads: Vec<Transfer>,
    writes: Vec<Transfer>,
    pending: Vec<RawStep>,
    open: VecDeque<OpenFilm>,
}

/// Calls `work` with the connection of the current task, and does not count its time.
fn with<T>(work: impl FnOnce(&mut Connection) -> T) -> Option<T> {
    let started = Instant::now();
    CONNECTION
        .try_with(|connection| {
            let mut connection = lock(connection);
            connection.clock = started;
            let result = work(&mut connection);
            connection.observing += started.elapsed();
            result
        })
        .ok()
}

fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Records a step.
pub(crate) fn mark(layer: Layer, name: &str, detail: String) {
    with(|connection| connection.mark(layer, name, detail));
}

/// Records a step of an observer of one's own.
pub fn note(layer: Layer, name: &str, detail: String) {
    mark(layer, name, detail);
}

/// Records a step that contains others. Returns its number for [`end`].
pub(crate) fn begin(layer: Layer, name: &str, detail: &str) -> Option<u64> {
    with(|connection| connection.mark(layer, name, detail.to_owned()))
}

/// Records the end of a step that contains others, and the error with which it ended.
pub(crate) fn end(step: Option<u64>, error: Option<String>) {
    with(|connection| {
        let now = connection.now();
        let steps = connection.steps();
        if let Some(step) = steps.iter_mut().find(|other| Some(other.sequence) == step) {
            step.took = Some(now.saturating_sub(step.at));
            if let Some(error) = error {
                step.detail = format!("{}, ended by: {error}", step.detail);
            }
        }
    });
}

/// Records bytes that were read from the socket. None mean that the client has closed its side.
pub(crate) fn received(bytes: &[u8]) {
    with(|connection| {
        connection.began.get_or_insert(connection.clock);
        let start = connection.input_offset + connection.input.len();
        let detail = match bytes.len() {
            0 => String::from("the client has closed its side"),
            count => format!("{count} bytes at offset {start}"),
        };
        let step = connection.step(Layer::Socket, "received", detail);
        connection.input.extend_from_slice(bytes);
        connection.reads.push(Transfer { start, length: bytes.len(), step });
    });
}

/// Records bytes that were written to the socket.
pub(crate) fn sent(bytes: &[u8]) {
    with(|connection| {
        let start = connection.output_offset + connection.output.len();
        let detail = format!("{} bytes at offset {start}", bytes.len());
        let step = connection.step(Layer::Socket, "sent", detail);
        connection.output.extend_from_slice(bytes);
        connection.writes.push(Transfer { start, length: bytes.len(), step });
        connection.publish(false);
    });
}

/// Begins the film of a request. Returns its number.
pub(crate) fn new_film(request: &Request) -> Option<u64> {
    let query = request.query().map(|query| format!("?{query}")).unwrap_or_default();
    let title = masked(&format!("{} {}{query}", request.method(), request.path()));
    let is_head = request.method() == Method::Head;
    with(|connection| connection.begin_film(title, is_head))
}

impl Connection {
    fn new(recorder: Recorder, peer: SocketAddr) -> Connection {
        Connection {
            recorder,
            peer,
            began: None,
            clock: Instant::now(),
            observing: Duration::ZERO,
            input: Vec::new(),
            input_offset: 0,
            output: Vec::new(),
            output_offset: 0,
            reads: Vec::new(),
            writes: Vec::new(),
            pending: Vec::new(),
            open: VecDeque::new(),
        }
    }

    /// Returns the time since the first byte of the connection, without that of observing.
    fn now(&self) -> Duration {
        let began = self.began.unwrap_or(self.clock);
        self.clock.saturating_duration_since(began).saturating_sub(self.observing)
    }

    fn step(&mut self, layer: Layer, name: &str, detail: String) -> RawStep {
        let at = self.now();
        let sequence = self.recorder.next_step.fetch_add(1, Ordering::Relaxed);
        let trace = Arc::new(Backtrace::force_capture());
        RawStep { at, took: None, layer, name: name.to_owned(), detail, sequence, trace }
    }

    /// Returns the steps of the request that is being handled, or those of the next.
    fn steps(&mut self) -> &mut Vec<RawStep> {
        match self.open.back_mut() {
            Some(film) if !film.has_response => &mut film.steps,
            _ => &mut self.pending,
        }
    }

    fn mark(&mut self, layer: Layer, name: &str, detail: String) -> u64 {
        // Paths of files are shown relative to the repository.
        let root = format!("{}/", root().display());
        let step = self.step(layer, name, masked(&detail.replace(&root, "")));
        let sequence = step.sequence;
        let is_response = name == "response";
        if is_response && self.open.back().is_none_or(|film| film.has_response) {
            self.begin_film(String::from("a head that was refused"), false);
        }
        self.steps().push(step);
        if let Some(film) = self.open.back_mut().filter(|_| is_response) {
            film.has_response = true;
        }
        sequence
    }

    fn begin_film(&mut self, title: String, is_head: bool) -> u64 {
        let id = self.recorder.next_id.fetch_add(1, Ordering::Relaxed);
        let steps = mem::take(&mut self.pending);
        self.open.push_back(OpenFilm { id, title, is_head, has_response: false, steps });
        id
    }

    /// Completes the films whose response has been sent whole; at the end of the connection, all.
    fn publish(&mut self, is_end: bool) {
        while let Some(film) = self.open.front() {
            let is_last = self.open.len() == 1;
            let input = split::request(&self.input).and_then(|message| message.end);
            let output = split::response(&self.output, film.is_head);
            let output = output.and_then(|message| message.end);
            let (input, output) = match (input, output) {
                (Some(input), Some(output)) if film.has_response => (input, output),
                // A refused request has no framing: what has arrived is all there is.
                _ if is_end && is_last => (self.input.len(), self.output.len()),
                (input, output) if is_end => (input.unwrap_or(0), output.unwrap_or(0)),
                _ => return,
            };
            self.cut(input, output);
        }
    }

    /// Moves the first open film, with so many bytes of input and output, to the films.
    fn cut(&mut self, input: usize, output: usize) {
        let Some(open) = self.open.pop_front() else { return };
        let mut film = Film {
            id: open.id,
            peer: self.peer,
            title: open.title,
            status: 0,
            input: self.input.drain(..input).collect(),
            input_offset: self.input_offset,
            output: self.output.drain(..output).collect(),
            output_offset: self.output_offset,
            steps: Vec::new(),
            left_out: 0,
            took: Duration::ZERO,
        };
        let is_last = self.open.is_empty();
        let mut steps: Vec<(RawStep, Transfers)> = Vec::new();
        for (step, range) in
            take_overlapping(&mut self.reads, self.input_offset, input, is_last)
        {
            steps.push((step, (Some(range), None)));
        }
        for (step, range) in
            take_overlapping(&mut self.writes, self.output_offset, output, is_last)
        {
            steps.push((step, (None, Some(range))));
        }
        steps.extend(open.steps.into_iter().map(|step| (step, (None, None))));
        if is_last && self.input.is_empty() {
            steps.extend(self.pending.drain(..).map(|step| (step, (None, None))));
        }
        steps.sort_by_key(|(step, _)| step.sequence);
        self.input_offset += input;
        self.output_offset += output;
        let final_head = split::response(&film.output, open.is_head);
        if let Some(message) = final_head {
            let before = film.output[..message.head_end - 4].windows(4);
            let head =
                before.enumerate().filter(|(_, window)| window == b"\r\n\r\n").last();
            film.status = split::status(&film.output[head.map_or(0, |(at, _)| at + 4)..]);
        }
        mask(&mut film.input);
        mask(&mut film.output);
        // Fails only at the end of the process.
        let _ = self.recorder.finished.send(Finished::Film(RawFilm { film, steps }));
    }
}

/// Takes the transfers that overlap the first `length` bytes from `offset`, each with the part of
/// the film that it carried. A transfer that goes on stays for the next film, too.
fn take_overlapping(
    transfers: &mut Vec<Transfer>,
    offset: usize,
    length: usize,
    is_last: bool,
) -> Vec<(RawStep, std::ops::Range<usize>)> {
    let mut taken = Vec::new();
    let end = offset + length;
    for transfer in mem::take(transfers) {
        let transfer_end = transfer.start + transfer.length;
        let range =
            transfer.start.max(offset) - offset..transfer_end.min(end).max(offset) - offset;
        if transfer_end <= end && (transfer.length > 0 || is_last) {
            taken.push((transfer.step, range));
        } else if transfer.start < end {
            taken.push((transfer.step.clone(), range));
            transfers.push(transfer);
        } else {
            transfers.push(transfer);
        }
    }
    taken
}

impl RawFilm {
    /// Resolves the backtraces, and counts the times from the first byte of this request.
    fn develop(self) -> Film {
        let RawFilm { mut film, steps } = self;
        let first = steps.first().map(|(step, _)| step.at).unwrap_or_default();
        let last = steps.last().map(|(step, _)| step.at).unwrap_or_default();
        film.took = last.saturating_sub(first);
        film.steps = steps
            .into_iter()
            .map(|(step, (input, output))| Step {
                at: step.at.saturating_sub(first),
                took: step.took,
                layer: step.layer,
                name: step.name,
                detail: step.detail,
                input,
                output,
                sequence: step.sequence,
                frames: frames(&step.trace),
            })
            .collect();
        film.bound();
        film
    }
}
