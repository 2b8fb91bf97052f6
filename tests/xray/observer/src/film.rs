//! A film: what one request did, from its first byte to its last.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

/// Maximum number of films that are kept. Above it, the oldest goes.
pub const MAX_FILMS: usize = 64;

/// Maximum size of one film in bytes, of which the bytes of the request and those of the response
/// each take a quarter at most.
pub const MAX_FILM_BYTES: usize = 256 * 1024;

/// Time for which a reader waits for a film: its backtraces are resolved meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);

/// The layer in which a step happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// The socket.
    Socket,
    /// HTTP/1.1.
    Http,
    /// Tornado's API.
    Web,
    /// The handler of the application.
    Handler,
    /// The session.
    Session,
    /// The session store.
    Store,
}

impl Layer {
    /// All layers, from the socket up.
    pub const ALL: [Layer; 6] = [
        Layer::Socket,
        Layer::Http,
        Layer::Web,
        Layer::Handler,
        Layer::Session,
        Layer::Store,
    ];

    /// Returns the name.
    pub fn name(self) -> &'static str {
        match self {
            Layer::Socket => "socket",
            Layer::Http => "http",
            Layer::Web => "web",
            Layer::Handler => "handler",
            Layer::Session => "session",
            Layer::Store => "store",
        }
    }
}

/// A function in the chain of a step, with the line at which it waits or calls the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The name, such as `Connection::handle`.
    pub function: String,
    /// The file, relative to the root of the repository.
    pub file: String,
    /// The line.
    pub line: u32,
}

/// One step of a film.
#[derive(Clone, Debug)]
pub struct Step {
    /// Time since the first byte of the request, without the time that observing took.
    pub at: Duration,
    /// The time that it took, for a step that contains others.
    pub took: Option<Duration>,
    /// The layer.
    pub layer: Layer,
    /// A word or two: `head`, `initialize`, `store visit`.
    pub name: String,
    /// The rest of the sentence.
    pub detail: String,
    /// The bytes of the request that it is about, as offsets in the film's `input`.
    pub input: Option<Range<usize>>,
    /// The bytes of the response that it is about, as offsets in the film's `output`.
    pub output: Option<Range<usize>>,
    /// The order in which the observers saw the steps of all connections.
    pub sequence: u64,
    /// The chain of functions, the outermost first. The last one made the step.
    pub frames: Vec<Frame>,
}

impl Step {
    fn bytes(&self) -> usize {
        let frames = self.frames.iter();
        let frames: usize =
            frames.map(|frame| frame.function.len() + frame.file.len()).sum();
        self.name.len() + self.detail.len() + frames
    }
}

/// What one request did.
#[derive(Clone, Debug)]
pub struct Film {
    /// The number, counted from 1.
    pub id: u64,
    /// The client.
    pub peer: SocketAddr,
    /// The number of its connection, counted from 1.
    pub connection: u64,
    /// Method and target, or a note that the head was refused.
    pub title: String,
    /// The status of the final response; 0 if there was none.
    pub status: u16,
    /// The bytes of the request, with secrets masked byte for byte.
    pub input: Vec<u8>,
    /// The offset of `input` on its connection.
    pub input_offset: usize,
    /// The bytes of the response, with secrets masked byte for byte.
    pub output: Vec<u8>,
    /// The offset of `output` on its connection.
    pub output_offset: usize,
    /// The steps, in their order.
    pub steps: Vec<Step>,
    /// Number of bytes and steps that the bounds of a film left out.
    pub left_out: usize,
    /// Time from the first byte of the request to the last byte of the response.
    pub took: Duration,
}

impl Film {
    /// Cuts what exceeds the bounds of a film.
    pub(crate) fn bound(&mut self) {
        for bytes in [&mut self.input, &mut self.output] {
            self.left_out += bytes.len().saturating_sub(MAX_FILM_BYTES / 4);
            bytes.truncate(MAX_FILM_BYTES / 4);
            bytes.shrink_to_fit();
        }
        let mut left = MAX_FILM_BYTES / 2;
        let fits = |step: &&Step| {
            let fits = step.bytes() <= left;
            left = left.saturating_sub(step.bytes());
            fits
        };
        let kept = self.steps.iter().take_while(fits).count();
        self.left_out += self.steps.len() - kept;
        self.steps.truncate(kept);
    }

    /// Returns the size that counts for the bound, in bytes.
    pub fn bytes(&self) -> usize {
        let steps: usize = self.steps.iter().map(Step::bytes).sum();
        self.input.len() + self.output.len() + steps
    }
}

/// The last films.
#[derive(Default)]
pub struct Films {
    kept: Mutex<VecDeque<Arc<Film>>>,
    /// The connections that have ended last, the oldest first: client and number.
    ended: Mutex<VecDeque<(SocketAddr, u64)>>,
    /// The number of the film that has begun last.
    newest: AtomicU64,
    changed: Notify,
}

impl Films {
    pub(crate) fn add(&self, film: Arc<Film>) {
        let mut kept = self.kept();
        let position = kept.partition_point(|other| other.id < film.id);
        kept.insert(position, film);
        if kept.len() > MAX_FILMS {
            kept.pop_front();
        }
        drop(kept);
        self.changed.notify_waiters();
    }

    /// Records that a film has begun.
    pub(crate) fn begin_film(&self, id: u64) {
        self.newest.fetch_max(id, Ordering::Relaxed);
    }

    /// Forgets an earlier connection from `peer`: the system gives its port to another one.
    pub(crate) fn begin(&self, peer: SocketAddr) {
        self.ended().retain(|(other, _)| *other != peer);
    }

    /// Records that all films of a connection have been added.
    pub(crate) fn end(&self, peer: SocketAddr, connection: u64) {
        let mut ended = self.ended();
        ended.push_back((peer, connection));
        if ended.len() > MAX_FILMS {
            ended.pop_front();
        }
        drop(ended);
        self.changed.notify_waiters();
    }

    /// Returns the films, the oldest first.
    pub fn all(&self) -> Vec<Arc<Film>> {
        self.kept().iter().cloned().collect()
    }

    /// Returns a film. Waits a while for one that has begun and is not complete: a client may ask
    /// for it as soon as it has the response.
    pub async fn find(&self, id: u64) -> Option<Arc<Film>> {
        let oldest = self.kept().front().map_or(0, |film| film.id);
        let is_gone = self.kept().len() == MAX_FILMS && id < oldest;
        if id == 0 || id > self.newest.load(Ordering::Relaxed) || is_gone {
            return None;
        }
        self.wait_for(|| self.kept().iter().find(|film| film.id == id).cloned()).await
    }

    /// Returns the films of the connection from `peer`, once it has ended. Waits a while for
    /// its end.
    pub async fn of(&self, peer: SocketAddr) -> Vec<Arc<Film>> {
        let find = || self.ended().iter().rev().find(|(other, _)| *other == peer).copied();
        let ended = self.wait_for(find).await;
        let is_of = |film: &Arc<Film>| Some((film.peer, film.connection)) == ended;
        self.all().into_iter().filter(is_of).collect()
    }

    async fn wait_for<T>(&self, find: impl Fn() -> Option<T>) -> Option<T> {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                match find() {
                    Some(found) => return found,
                    None => changed.await,
                }
            }
        };
        timeout(PATIENCE, wait).await.ok()
    }

    fn ended(&self) -> MutexGuard<'_, VecDeque<(SocketAddr, u64)>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Arc<Film>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
