//! The connection to Redis that all requests share: made when it is needed, and made anew when it
//! fails.
//!
//! A connection is made by a task of its own. If whoever needs it first made it, and had to give
//! up because its time was over, the next would begin again from the start; and where there are
//! many, none might ever get to the end.
//!
//! Of a cluster, one node is all we need: our keys are together. Any node tells which it is.
//!
//! Nothing is asked twice, unless Redis said that it did not do it: a write that nobody answered may
//! have been done.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, FromRedisValue, RedisError, RedisResult,
    ScriptInvocation,
};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use crate::session::error::Error;
use crate::session::redis::node::{client, ip, is_out_of_order, moved_to, reason};

/// For how long nobody tries again when Redis was out of reach. Whoever asks meanwhile has the
/// answer at once.
const PAUSE: Duration = Duration::from_millis(100);

/// Nobody waits for longer, whatever the settings say; so no sum of times is too large.
const LONGEST: Duration = Duration::from_secs(3600);

/// How often one call is sent on to another node of the cluster. While keys move, nodes may not
/// agree on where they are.
const MOST_MOVES: usize = 4;

/// The way to Redis.
pub(super) struct Line {
    nodes: Vec<Client>,
    /// Which of the nodes is tried first when a connection is made: each in its turn.
    turn: AtomicUsize,
    /// Where they are, for messages.
    ip: String,
    time: Duration,
    /// This is a `std::sync::Mutex` because it is never held while anything is waited for.
    current: Mutex<Option<Attempt>>,
}

/// A connection that is being made, that was made, or that could not be made.
#[derive(Clone)]
struct Attempt(watch::Receiver<Option<Result<Connection, Failure>>>);

/// A connection; its clones share it.
#[derive(Clone)]
struct Connection {
    node: Client,
    link: MultiplexedConnection,
}

/// Why there is no connection, and since when.
#[derive(Clone)]
struct Failure {
    reason: String,
    at: Instant,
}

impl Line {
    /// Does not connect yet. `certificates` are in PEM, and empty for those of the system.
    pub(super) fn new(
        urls: &[String],
        certificates: &[u8],
        time: Duration,
    ) -> Result<Line, Error> {
        let nodes: Vec<Client> =
            urls.iter().map(|url| client(url, certificates)).collect::<Result<_, _>>()?;
        if nodes.is_empty() {
            return Err(Error::Config(String::from("no Redis was named")));
        }
        let ip = nodes.iter().map(ip).collect::<Vec<_>>().join(", ");
        let time = time.min(LONGEST);
        Ok(Line { nodes, turn: AtomicUsize::new(0), ip, time, current: Mutex::new(None) })
    }

    /// Has a script run, within the time limit.
    pub(super) async fn call<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, Error> {
        let deadline = Instant::now() + self.time;
        let mut moves = 0;
        loop {
            let attempt = self.attempt();
            let mut connection = match timeout_at(deadline, attempt.connection()).await {
                Ok(connection) => connection.map_err(|reason| self.unavailable(&reason))?,
                Err(_) => return Err(self.unavailable(&self.silence())),
            };
            let asked = Instant::now();
            // If Redis does not know the script, it is loaded and run then.
            let answer = script.invoke_async(&mut connection.link);
            match timeout_at(deadline, answer).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => {
                    let moved_to = moved_to(&connection.node, &error);
                    self.hang_up(&attempt, moved_to.as_ref(), &error);
                    if moved_to.is_none() || moves == MOST_MOVES {
                        return Err(self.unavailable(&reason(&error)));
                    }
                    moves += 1;
                }
                Err(_) => {
                    // Unless most of the time went by while there was no connection yet, this one
                    // is as good as dead.
                    if asked.elapsed() >= self.time / 2 {
                        self.replace(&attempt, || Some(Attempt::failed(self.silence())));
                    }
                    return Err(self.unavailable(&self.silence()));
                }
            }
        }
    }

    /// The connection as it is, unless it failed a while ago: then another is begun.
    fn attempt(&self) -> Attempt {
        let mut current = self.current();
        match &*current {
            Some(attempt) if attempt.is_hopeful() => attempt.clone(),
            _ => {
                let attempt = self.dial();
                *current = Some(attempt.clone());
                attempt
            }
        }
    }

    /// Begins to make a connection to any of the nodes.
    fn dial(&self) -> Attempt {
        let mut nodes = self.nodes.clone();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        nodes.rotate_left(turn % self.nodes.len());
        Attempt::begin(nodes, self.time)
    }

    /// Lets go of a connection if this error says that it is of no more use.
    fn hang_up(&self, attempt: &Attempt, moved_to: Option<&Client>, error: &RedisError) {
        if let Some(node) = moved_to {
            self.replace(attempt, || Some(Attempt::begin(vec![node.clone()], self.time)));
        } else if error.is_io_error() {
            self.replace(attempt, || None);
        } else if is_out_of_order(error) {
            self.replace(attempt, || Some(Attempt::failed(reason(error))));
        }
    }

    /// Puts something else in the place of a connection, unless somebody has already. Those who still
    /// wait for answers on it may do so.
    fn replace(&self, old: &Attempt, new: impl FnOnce() -> Option<Attempt>) {
        let mut current = self.current();
        if current.as_ref().is_some_and(|current| current.0.same_channel(&old.0)) {
            *current = new();
        }
    }

    fn current(&self) -> MutexGuard<'_, Option<Attempt>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn silence(&self) -> String {
        format!("no answer within {:?}", self.time)
    }

    fn unavailable(&self, reason: &str) -> Error {
        Error::Unavailable(format!("Redis at {}: {reason}", self.ip))
    }
}

impl Attempt {
    /// Begins to make a connection to the first of these that takes one.
    fn begin(nodes: Vec<Client>, time: Duration) -> Attempt {
        let (sender, receiver) = watch::channel(None);
        tokio::spawn(async move {
            let outcome = match timeout(time, connect_to_any(nodes)).await {
                Ok(outcome) => outcome.map_err(Failure::new),
                Err(_) => Err(Failure::new(format!("no connection within {time:?}"))),
            };
            // Nobody may be left who waits for it.
            let _ = sender.send(Some(outcome));
        });
        Attempt(receiver)
    }

    fn failed(reason: String) -> Attempt {
        Attempt(watch::channel(Some(Err(Failure::new(reason)))).1)
    }

    /// Waits until there is a connection, or none.
    async fn connection(&self) -> Result<Connection, String> {
        let mut outcome = self.0.clone();
        match outcome.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(Ok(connection))) => Ok(connection.clone()),
            Ok(Some(Err(failure))) => Err(failure.reason.clone()),
            // The runtime that it was made on has ended.
            _ => Err(String::from("the connection was given up")),
        }
    }

    /// Whether it is worth waiting for.
    fn is_hopeful(&self) -> bool {
        match &*self.0.borrow() {
            None => self.0.has_changed().is_ok(),
            Some(Ok(_)) => true,
            Some(Err(failure)) => failure.at.elapsed() < PAUSE,
        }
    }
}

impl Failure {
    fn new(reason: String) -> Failure {
        Failure { reason, at: Instant::now() }
    }
}

async fn connect_to_any(nodes: Vec<Client>) -> Result<Connection, String> {
    let mut why = String::new();
    for node in nodes {
        match connect(&node).await {
            Ok(link) => return Ok(Connection { node, link }),
            Err(error) => why = reason(&error),
        }
    }
    Err(why)
}

/// The time limits are the caller's.
async fn connect(node: &Client) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None);
    node.get_multiplexed_async_connection_with_config(&config).await
}
