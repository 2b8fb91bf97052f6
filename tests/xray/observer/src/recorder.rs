//! The recorder: collects the steps of a connection, and cuts them into films.
//!
//! The observers call the functions of this file. They reach the recorder of their connection
//! through a task-local variable, so nothing has to be passed through the library. A step of
//! another task, such as the sweep of a store, has no recorder and is not recorded.

use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use real::{Method, Request};

use crate::film::{Film, Films, Layer};
use crate::mask::masked;
use crate::recording::{Connection, RawFilm, Transfer};

tokio::task_local! {
    static CONNECTION: Arc<Mutex<Connection>>;
}

/// What the thread that resolves backtraces gets.
pub(crate) enum Finished {
    /// A film is complete.
    Film(RawFilm),
    /// A connection has ended, after its last film: its client and its number.
    Connection(SocketAddr, u64),
}

/// Records all connections of a server.
#[derive(Clone)]
pub struct Recorder {
    films: Arc<Films>,
    pub(crate) finished: Sender<Finished>,
    pub(crate) next_id: Arc<AtomicU64>,
    pub(crate) next_connection: Arc<AtomicU64>,
    pub(crate) next_step: Arc<AtomicU64>,
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
                    Finished::Connection(peer, connection) => added.end(peer, connection),
                }
            }
        });
        let next_id = Arc::new(AtomicU64::new(1));
        let next_connection = Arc::new(AtomicU64::new(1));
        Recorder { films, finished, next_id, next_connection, next_step: Arc::default() }
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
    recorder.films.begin(peer);
    let state = Arc::new(Mutex::new(Connection::new(recorder, peer)));
    CONNECTION.scope(Arc::clone(&state), connection).await;
    let mut state = lock(&state);
    state.publish(true);
    let _ = state.recorder.finished.send(Finished::Connection(peer, state.id));
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
pub(crate) fn mark(layer: Layer, name: &str, detail: &str) {
    with(|connection| connection.mark(layer, name, detail));
}

/// Records a step of an observer of one's own.
pub fn note(layer: Layer, name: &str, detail: &str) {
    mark(layer, name, detail);
}

/// Records a step that contains others. Returns its number for [`end`].
pub(crate) fn begin(layer: Layer, name: &str, detail: &str) -> Option<u64> {
    with(|connection| connection.mark(layer, name, detail))
}

/// Records the end of a step that contains others, and the error with which it ended.
pub(crate) fn end(step: Option<u64>, error: Option<String>) {
    with(|connection| {
        let now = connection.now();
        let steps = connection.steps();
        if let Some(step) = steps.iter_mut().find(|other| Some(other.sequence) == step) {
            step.took = Some(now.saturating_sub(step.at));
            if let Some(error) = error {
                step.detail = format!("{}, ended by: {}", step.detail, masked(&error));
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

/// Leaves out the request that is being handled: it leaves no film. For pages that show films.
pub fn skip(request: &Request) {
    let is_head = request.method() == Method::Head;
    with(|connection| connection.skip_film(is_head));
}
