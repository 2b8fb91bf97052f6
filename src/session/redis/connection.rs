//! [`SharedConnection`]: one connection to Redis that all requests share.
//!
//! # Multiplexing
//!
//! All tasks write their requests to the same TCP connection, without waiting for the
//! replies to earlier ones (pipelining). Redis replies in order, so the n-th reply belongs
//! to the n-th request. That is why one connection is enough, and there is no connection
//! pool.
//!
//! # Reconnecting
//!
//! ```text
//!        call()                  ok
//!  none --------> connecting --------> connected
//!   ^              |      ^             | | |
//!   |        error |      | call()      | | | MOVED: connecting to another node
//!   |              v      | after delay | | +------> connecting
//!   |              failed               | | failover error, or no reply in time
//!   |                                   | +--------> failed
//!   +-----------------------------------+ I/O error
//! ```
//! A connection is made by a task of its own. If the calling task made it, the handshake
//! would be cancelled with that task, by its timeout or because its client disconnected,
//! and the next call would start from the beginning. On a slow network no handshake might
//! ever be completed.
//!
//! A call that arrives while the task is connecting waits for its result, so a reconnect
//! delays requests instead of failing them. The result is in a watch channel, which has two
//! properties that matter here. All receivers see the value. And it stores the value: a
//! receiver that starts to wait after the value was sent still gets it, so there is no lost
//! wake-up.
//!
//! # Retries
//!
//! A request is sent a second time only if Redis has replied that it did not run the first
//! one: `MOVED`, or `NOSCRIPT`, after which the redis crate loads the script. A request
//! without a reply may have been executed, so it is not retried (at-most-once delivery).
//!
//! # Clusters
//!
//! All keys of a store are on one node of a cluster, because they share a hash tag. So one
//! connection is enough here, too. Any node names the right one in its `MOVED` redirection.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use log::warn;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, RedisError, RedisResult,
    ScriptInvocation,
};
use tokio::sync::watch;
use tokio::time::{self, Instant, timeout_at};

use crate::session::error::Error;
use crate::session::redis::node::{address, client, is_failover_error, moved_to, reason};

/// Reconnect delay (backoff): time after a failed attempt in which calls fail immediately,
/// with the error of that attempt. Without it, each request would try to connect to a Redis
/// that is down.
const RECONNECT_DELAY: Duration = Duration::from_millis(100);

/// Upper bound of the timeout, so that adding it to the current time cannot overflow.
const MAX_TIMEOUT: Duration = Duration::from_secs(3600);

/// Maximum number of `MOVED` redirections that one call follows. While the cluster migrates
/// a slot, nodes may disagree about its owner and redirect to each other.
const MAX_REDIRECTS: usize = 4;

/// A multiplexed connection to one of several nodes, which is made when it is first needed
/// and replaced when it fails.
pub(super) struct SharedConnection {
    nodes: Vec<Client>,
    /// Counter that selects the node to try first when connecting (round robin).
    next_node: AtomicUsize,
    /// Hosts and ports of the nodes, for messages.
    address: String,
    timeout: Duration,
    /// The current connection or attempt; `None` before the first call and after an I/O
    /// error.
    ///
    /// A `std::sync::Mutex`, because no code awaits while holding it: each critical section
    /// reads or replaces the value, which takes nanoseconds. A tokio mutex is only needed
    /// if a lock must be held across `.await`. This lock is not held while connecting.
    current: Mutex<Option<Attempt>>,
}

/// A connection attempt: connecting (`None`), connected or failed. Clones share the result.
#[derive(Clone)]
struct Attempt(watch::Receiver<Option<Result<Connection, Failure>>>);

/// A handle to an established connection. Clones share the connection.
#[derive(Clone)]
struct Connection {
    node: Client,
    handle: MultiplexedConnection,
}

/// The reason for which an attempt has failed, and the time at which it did.
#[derive(Clone)]
struct Failure {
    reason: String,
    at: Instant,
}

impl SharedConnection {
    /// Does not connect yet. `ca_certificates` are in PEM format; empty selects those of
    /// the operating system.
    pub(super) fn new(
        urls: &[String],
        ca_certificates: &[u8],
        timeout: Duration,
    ) -> Result<SharedConnection, Error> {
        let nodes = urls.iter().map(|url| client(url, ca_certificates));
        let nodes: Vec<Client> = nodes.collect::<Result<_, _>>()?;
        if nodes.is_empty() {
            return Err(Error::Config(String::from("`urls` is empty")));
        }
        let address = nodes.iter().map(address).collect::<Vec<_>>().join(", ");
        let (next_node, current) = (AtomicUsize::new(0), Mutex::new(None));
        let timeout = timeout.min(MAX_TIMEOUT);
        Ok(SharedConnection { nodes, next_node, address, timeout, current })
    }

    /// Sends a script call or a command and returns the reply. Fails with
    /// [`Error::Unavailable`] if there is no reply within the timeout, which covers connecting
    /// and redirections, too.
    ///
    /// Cancellation safety: dropping the future harms neither the connection nor other
    /// calls. A request that is not written yet is not sent. If it has been sent, Redis may
    /// execute it; the connection's task reads the reply and discards it, so later replies
    /// are matched correctly.
    pub(super) async fn call<T: FromRedisValue + Send>(
        &self,
        request: &impl Request,
    ) -> Result<T, CallError> {
        let deadline = Instant::now() + self.timeout;
        let mut redirects = 0;
        loop {
            let attempt = self.attempt();
            let mut connection = match timeout_at(deadline, attempt.connection()).await {
                Ok(connection) => connection.map_err(|reason| self.unavailable(&reason))?,
                Err(_) => return Err(self.unavailable(&self.timeout_message()).into()),
            };
            let sent_at = Instant::now();
            let reply = request.send(&mut connection.handle);
            match timeout_at(deadline, reply).await {
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(error)) => {
                    let moved_to = moved_to(&connection.node, &error);
                    self.discard(&attempt, moved_to.as_ref(), &error);
                    if moved_to.is_none() || redirects == MAX_REDIRECTS {
                        let unavailable = self.unavailable(&reason(&error));
                        return Err(match error.code() {
                            Some("OOM") => CallError::OutOfMemory(unavailable),
                            _ => CallError::Other(unavailable),
                        });
                    }
                    redirects += 1;
                }
                Err(_) => {
                    // A connection without a reply is considered dead, unless connecting
                    // used up most of the timeout, so that there was little time for the
                    // reply.
                    if sent_at.elapsed() >= self.timeout / 2 {
                        let failed = || Some(Attempt::failed(self.timeout_message()));
                        self.replace(&attempt, failed);
                    }
                    return Err(self.unavailable(&self.timeout_message()).into());
                }
            }
        }
    }

    /// Returns the current attempt if it is usable; otherwise starts another.
    fn attempt(&self) -> Attempt {
        let mut current = self.current();
        match &*current {
            Some(attempt) if attempt.is_usable() => attempt.clone(),
            _ => current.insert(self.start_connecting()).clone(),
        }
    }

    fn start_connecting(&self) -> Attempt {
        let mut nodes = self.nodes.clone();
        let first = self.next_node.fetch_add(1, Ordering::Relaxed);
        nodes.rotate_left(first % self.nodes.len());
        Attempt::start(nodes, self.timeout)
    }

    /// Discards a connection if the error shows that it is of no further use. Other errors,
    /// such as that of a full Redis, concern one request only.
    fn discard(&self, old: &Attempt, moved_to: Option<&Client>, error: &RedisError) {
        if let Some(node) = moved_to {
            self.replace(old, || Some(Attempt::start(vec![node.clone()], self.timeout)));
        } else if error.is_io_error() {
            self.replace(old, || None);
        } else if is_failover_error(error) {
            self.replace(old, || Some(Attempt::failed(reason(error))));
        }
    }

    /// Replaces the current attempt if it is still `old` (compare-and-swap). When a
    /// connection breaks, all calls that use it fail, and each of them gets here. Without
    /// the comparison, the second would discard the connection that the first has just
    /// begun to make.
    ///
    /// Calls in flight on the old connection hold a handle to it, so it stays open until
    /// they end.
    fn replace(&self, old: &Attempt, new: impl FnOnce() -> Option<Attempt>) {
        let mut current = self.current();
        if current.as_ref().is_some_and(|current| current.0.same_channel(&old.0)) {
            *current = new();
        }
    }

    /// A poisoned lock is used all the same: the value is replaced in one assignment, so a
    /// panic cannot leave it half-written.
    fn current(&self) -> MutexGuard<'_, Option<Attempt>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn timeout_message(&self) -> String {
        format!("no answer within {:?}", self.timeout)
    }

    fn unavailable(&self, reason: &str) -> Error {
        Error::Unavailable(format!("Redis at {}: {reason}", self.address))
    }
}

/// A request to Redis.
pub(super) trait Request: Sync {
    /// Sends it and waits for the reply.
    fn send<T: FromRedisValue + Send>(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> impl Future<Output = RedisResult<T>> + Send;
}

impl Request for ScriptInvocation<'_> {
    async fn send<T: FromRedisValue + Send>(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> RedisResult<T> {
        self.invoke_async(connection).await
    }
}

impl Request for Cmd {
    async fn send<T: FromRedisValue + Send>(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> RedisResult<T> {
        self.query_async(connection).await
    }
}

/// Why a call failed.
pub(super) enum CallError {
    /// Redis has reached its `maxmemory` and did nothing.
    OutOfMemory(Error),
    Other(Error),
}

impl From<Error> for CallError {
    fn from(error: Error) -> CallError {
        CallError::Other(error)
    }
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Error {
        match error {
            CallError::OutOfMemory(error) | CallError::Other(error) => error,
        }
    }
}

impl Attempt {
    /// Spawns a task that connects to the first node that accepts a connection.
    fn start(nodes: Vec<Client>, timeout: Duration) -> Attempt {
        let (sender, receiver) = watch::channel(None);
        tokio::spawn(async move {
            let outcome = match time::timeout(timeout, connect_to_any(nodes)).await {
                Ok(outcome) => outcome.map_err(Failure::new),
                Err(_) => Err(Failure::new(format!("no connection within {timeout:?}"))),
            };
            // Fails if there is no receiver left: the store was dropped.
            let _ = sender.send(Some(outcome));
        });
        Attempt(receiver)
    }

    fn failed(reason: String) -> Attempt {
        Attempt(watch::channel(Some(Err(Failure::new(reason)))).1)
    }

    /// Waits until the attempt has succeeded or failed.
    async fn connection(&self) -> Result<Connection, String> {
        let mut outcome = self.0.clone();
        match outcome.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(Ok(connection))) => Ok(connection.clone()),
            Ok(Some(Err(failure))) => Err(failure.reason.clone()),
            // The sender was dropped: the runtime of the connecting task was shut down.
            _ => Err(String::from("the connection was given up")),
        }
    }

    /// Returns `true` if a call should wait for this attempt or use its connection, and
    /// `false` if it failed longer than [`RECONNECT_DELAY`] ago or its task was cancelled.
    fn is_usable(&self) -> bool {
        match &*self.0.borrow() {
            None => self.0.has_changed().is_ok(),
            Some(Ok(_)) => true,
            Some(Err(failure)) => failure.at.elapsed() < RECONNECT_DELAY,
        }
    }
}

impl Failure {
    fn new(reason: String) -> Failure {
        Failure { reason, at: Instant::now() }
    }
}

/// Connects to the first node that accepts a connection. Fails with the error of the last
/// node.
async fn connect_to_any(nodes: Vec<Client>) -> Result<Connection, String> {
    let mut last_error = String::new();
    for node in nodes {
        match connect(&node).await {
            Ok(mut handle) => {
                warn_of_eviction(&node, &mut handle).await;
                return Ok(Connection { node, handle });
            }
            Err(error) => last_error = reason(&error),
        }
    }
    Err(last_error)
}

/// Connects without the redis crate's own timeouts, because the callers set one.
async fn connect(node: &Client) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None);
    node.get_multiplexed_async_connection_with_config(&config).await
}

/// Logs a warning if Redis may evict keys when its memory is full. A server that may not ask, or
/// a Redis that does not know, is left alone.
async fn warn_of_eviction(node: &Client, handle: &mut MultiplexedConnection) {
    let mut info = Cmd::new();
    info.arg("INFO").arg("memory");
    let Ok(info) = info.query_async::<String>(handle).await else { return };
    let field = |name| info.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("");
    let (memory, policy) = (field("maxmemory:"), field("maxmemory_policy:"));
    if !matches!(memory, "" | "0") && !matches!(policy, "" | "noeviction") {
        let address = address(node);
        warn!(
            "Redis at {address} may evict sessions when its memory is full (maxmemory-policy \
             {policy}): CONFIG SET maxmemory-policy noeviction"
        );
    }
}
