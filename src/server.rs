//! The server: listens, accepts connections, spawns a task per connection, enforces the
//! connection limit, and shuts down gracefully.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use log::{debug, info, warn};
#[cfg(not(target_os = "linux"))]
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs, lookup_host};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::error::is_out_of_fds;
use crate::http::connection;
use crate::http::server_state::{ServerLimits, ServerState};
#[cfg(not(target_os = "linux"))]
use crate::listener::set_options;
use crate::listener::{BACKLOG, listen};
use crate::session::store::Store;
use crate::signals::{Signals, StopSignal};
use crate::web::application::Application;

/// Interval at which the session store frees the memory of expired sessions.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Time within which a repeated signal counts as the same one (debouncing).
const SAME_SIGNAL: Duration = Duration::from_secs(1);

/// Back-off after accept(2) has failed because there is no free file descriptor (EMFILE,
/// ENFILE).
const OUT_OF_FDS_BACKOFF: Duration = Duration::from_millis(100);

/// Back-off after accept(2) has failed for another reason.
const ACCEPT_ERROR_BACKOFF: Duration = Duration::from_millis(1);

/// Number of file descriptors kept free after a shortage: open connections need them for files
/// that they send, and the session store may need one.
const RESERVED_FDS: usize = 16;

/// Time for which the connection limit stays lowered after a shortage of file descriptors.
const FD_LIMIT_DURATION: Duration = Duration::from_secs(10);

/// Maximum number of deferred connections: accepted, but not served while their network has its
/// share of the slots. Further ones are closed.
const MAX_DEFERRED: usize = 1024;

impl Application {
    /// Binds a listening socket. From now on the kernel completes connections and queues them
    /// in the backlog; they are served when the server is run. Port 0 selects any free port.
    pub async fn listen(self, address: impl ToSocketAddrs) -> io::Result<Server> {
        let mut error = io::Error::other("host name did not resolve");
        for address in lookup_host(address).await? {
            match listen(address, self.settings()) {
                Ok(listener) => {
                    let state = Arc::new(server_state(&self));
                    return Ok(Server { listener, application: Arc::new(self), state });
                }
                Err(reason) => error = reason,
            }
        }
        Err(error)
    }
}

/// An application with a listening socket.
pub struct Server {
    listener: TcpListener,
    application: Arc<Application>,
    state: Arc<ServerState>,
}

impl Server {
    /// Returns the address and port of the listening socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Returns the state that the server's connections share: their number, and the number of
    /// bytes that they buffer.
    pub fn state(&self) -> &Arc<ServerState> {
        &self.state
    }

    /// Serves until the process receives SIGINT (Ctrl-C), SIGTERM or SIGHUP, then shuts down
    /// gracefully: see [`run_until`](Server::run_until). A second signal stops the server
    /// immediately, with an error.
    ///
    /// The same signal twice within a second counts once, because some senders signal a process
    /// and then its process group. SIGHUP is never the second signal, because a terminal that
    /// closes sends it after others. SIGHUP is not handled if the process was started with it
    /// ignored (nohup(1)), nor on systems other than Linux, where that is not known.
    ///
    /// The signal handlers are installed by the call itself, and not by the first poll of its
    /// future: a caller may announce in between that the server runs, and the process that
    /// reads the announcement may send a signal.
    pub fn run(self) -> impl Future<Output = io::Result<()>> {
        let signals = Signals::new();
        async { self.run_until_signal(signals?).await }
    }

    async fn run_until_signal(self, mut signals: Signals) -> io::Result<()> {
        let (stop, stopped) = oneshot::channel();
        let two_signals = async {
            let first = signals.next().await;
            // Fails if the server has already ended.
            let _ = stop.send(());
            let received = Instant::now();
            let is_same = |next| next == first && received.elapsed() < SAME_SIGNAL;
            loop {
                match signals.next().await {
                    StopSignal::HangUp => {}
                    next if is_same(next) => {}
                    _ => return,
                }
            }
        };
        let one_signal = async {
            let _ = stopped.await;
        };
        tokio::select! {
            () = self.run_until(one_signal) => Ok(()),
            () = two_signals => {
                Err(io::Error::other("stopped before every request was answered"))
            }
        }
    }

    /// Serves until `stop` completes, then shuts down gracefully: accepts the backlog, stops
    /// accepting, and finishes in-flight requests. Requests that arrive within
    /// `min_idle_timeout` are served, too. Connections that are still open after
    /// `drain_timeout` are closed. If this future is dropped, all connections are closed; the
    /// port is free shortly afterwards.
    pub async fn run_until(self, stop: impl Future<Output = ()>) {
        let (stop_sender, stop_receiver) = oneshot::channel::<()>();
        // The accept loop is a task of its own, so that it runs on a worker thread. The main
        // thread, which runs the future of `block_on`, is not a worker: a task that it spawns
        // goes to the runtime's global queue, and another thread must be woken to fetch it. A
        // worker puts the task on its own queue, from which idle workers can take it (work
        // stealing). It saves a quarter of the processor time of a short connection.
        //
        // Dropping a `JoinSet` aborts its tasks, so this task does not outlive the call.
        let mut serving = JoinSet::new();
        serving.spawn(self.serve_until(async { drop(stop_receiver.await) }));
        let served = tokio::select! {
            () = stop => {
                drop(stop_sender);
                serving.join_next().await
            }
            served = serving.join_next() => served,
        };
        if let Some(Err(error)) = served
            && let Ok(panic) = error.try_into_panic()
        {
            resume_unwind(panic);
        }
    }

    /// Accepts connections until `stop` completes, then drains them. The shutdown signal makes
    /// idle connections close, and each response from then on carries `Connection: close`. At
    /// the end, dropping `connections` aborts the tasks that are left.
    async fn serve_until(self, stop: impl Future<Output = ()>) {
        let Server { listener, application, state } = self;
        let mut connections = Connections::new(Arc::clone(&application), state);
        tokio::select! {
            () = stop => {}
            () = connections.accept(&listener) => {}
            () = sweep(application.session_store()) => {}
        }
        application.shutdown().begin();
        let drain_timeout = application.settings().drain_timeout;
        if timeout(drain_timeout, connections.drain(listener)).await.is_err() {
            let left = connections.tasks.len();
            warn!("drain timeout reached, closing {left} connections");
        }
    }
}

/// The connections of a server, and their limit.
struct Connections {
    application: Arc<Application>,
    state: Arc<ServerState>,
    tasks: JoinSet<()>,
    /// The client of the newest connection.
    newest_peer: SocketAddr,
    /// Connections that were accepted and are not served yet.
    deferred: VecDeque<(TcpStream, SocketAddr)>,
    /// After a shortage of file descriptors: the lowered connection limit, and its beginning.
    fd_limit: Option<(usize, Instant)>,
}

impl Connections {
    fn new(application: Arc<Application>, state: Arc<ServerState>) -> Connections {
        Connections {
            application,
            state,
            tasks: JoinSet::new(),
            newest_peer: SocketAddr::from(([0, 0, 0, 0], 0)),
            deferred: VecDeque::new(),
            fd_limit: None,
        }
    }

    /// Accepts and serves connections, forever, and enforces the two limits: of all connections,
    /// and of those of one client network (its share, see `max_network_share`).
    ///
    /// ```text
    /// connections open        a new connection is
    /// up to the limit         served
    /// one above the limit     served already: another one is evicted for it, so that it need
    ///                         not wait for that
    ///   none can be evicted   left in the backlog, until a connection ends or can be evicted
    ///   ... and the newest    accepted, to see its address: deferred if its network has its
    ///   is of a network       share, too, otherwise served. Clients of other networks must not
    ///   with its full share   wait behind an attacker.
    /// ```
    async fn accept(&mut self, listener: &TcpListener) {
        loop {
            let is_full = self.is_over_limit();
            if !is_full && let Some((socket, peer)) = self.deferred.pop_front() {
                self.serve(socket, peer);
                continue;
            }
            if is_full && self.state.evict_for(self.newest_peer) {
                tokio::select! {
                    _ = self.tasks.join_next() => {}
                    () = self.state.eviction_queue().eviction_missed() => {}
                }
                continue;
            }
            self.state.eviction_queue().set_over_capacity(is_full);
            let is_one_above = self.tasks.len() == self.max_connections() + 1;
            let may_accept =
                !is_full || (is_one_above && self.state.is_at_share(self.newest_peer));
            tokio::select! {
                biased;
                Some(_) = self.tasks.join_next(), if is_full => {}
                () = self.state.eviction_queue().candidate_added(), if is_full => {}
                // By then the lowered limit has expired, and more connections may be open.
                () = sleep(FD_LIMIT_DURATION), if is_full && self.fd_limit.is_some() => {}
                accepted = listener.accept(), if may_accept => match accepted {
                    Ok((socket, peer)) if is_full && self.state.is_at_share(peer) => {
                        self.defer(socket, peer);
                    }
                    Ok((socket, peer)) => self.serve(socket, peer),
                    Err(error) => self.back_off(&error).await,
                }
            }
        }
    }

    fn is_over_limit(&mut self) -> bool {
        // Removes the tasks that have ended.
        while self.tasks.try_join_next().is_some() {}
        self.tasks.len() > self.max_connections()
    }

    fn defer(&mut self, socket: TcpStream, peer: SocketAddr) {
        let has_fds = self.fd_limited_max().is_none();
        match has_fds && self.deferred.len() < MAX_DEFERRED {
            true => self.deferred.push_back((socket, peer)),
            false => {
                debug!("{peer} was closed: its network has its share of the connections");
            }
        }
    }

    /// Waits after accept(2) has failed.
    async fn back_off(&mut self, error: &io::Error) {
        if is_out_of_fds(error) {
            self.back_off_out_of_fds(error).await;
        } else {
            // Usually ECONNABORTED: the client disconnected before it was accepted.
            debug!("a connection could not be accepted: {error}");
            sleep(ACCEPT_ERROR_BACKOFF).await;
        }
    }

    /// Returns the connection limit.
    fn max_connections(&self) -> usize {
        let setting = self.application.settings().max_connections.max(1);
        self.fd_limited_max().map_or(setting, |max| max.min(setting))
    }

    /// Returns the lowered connection limit, for a while after a shortage of file descriptors.
    fn fd_limited_max(&self) -> Option<usize> {
        let lasts = |(_, since): &(usize, Instant)| since.elapsed() < FD_LIMIT_DURATION;
        self.fd_limit.filter(lasts).map(|(max, _)| max)
    }

    /// Handles EMFILE (the process is out of file descriptors) and ENFILE (the system is). Open
    /// connections need descriptors to send files, so the limit is lowered for a while, below
    /// the number of open connections; eviction then frees some. The back-off keeps the accept
    /// loop from spinning: the connection stays in the backlog, and accept(2) would fail again.
    async fn back_off_out_of_fds(&mut self, error: &io::Error) {
        let open = self.tasks.len();
        let max = open.saturating_sub(RESERVED_FDS).max(open / 2).max(1);
        if self.fd_limited_max().is_none() {
            warn!(
                "out of file descriptors ({error}), limiting to {max} connections for {} s",
                FD_LIMIT_DURATION.as_secs()
            );
        }
        self.fd_limit = Some((max, Instant::now()));
        sleep(OUT_OF_FDS_BACKOFF).await;
    }

    /// Spawns the task of a connection.
    fn serve(&mut self, socket: TcpStream, peer: SocketAddr) {
        self.newest_peer = peer;
        #[cfg(not(target_os = "linux"))]
        set_options(&SockRef::from(&socket), self.application.settings());
        let (application, admission) =
            (Arc::clone(&self.application), self.state.admit(peer));
        self.tasks.spawn(connection::serve(socket, application, admission));
    }

    /// Drains the server: serves the connections that clients have already opened, and waits
    /// until all connections have ended.
    async fn drain(&mut self, listener: TcpListener) {
        while let Some((socket, peer)) = self.deferred.pop_front() {
            self.serve(socket, peer);
        }
        self.accept_backlog(listener).await;
        while self.tasks.join_next().await.is_some() {}
    }

    /// Accepts the connections in the backlog, then closes the listening socket. When it is
    /// closed, the kernel resets connections that were not accepted, although their clients may
    /// have sent a request.
    async fn accept_backlog(&mut self, listener: TcpListener) {
        let Ok(listener) = listener.into_std() else { return };
        for _ in 0..BACKLOG {
            // accept(2) itself on the non-blocking socket. Tokio would wait for a readiness
            // event and could not tell that the backlog is empty.
            let accepted = listener.accept().and_then(|(socket, peer)| {
                socket.set_nonblocking(true)?;
                Ok((TcpStream::from_std(socket)?, peer))
            });
            match accepted {
                Ok((socket, peer)) => self.serve(socket, peer),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if is_out_of_fds(&error) => drop(self.tasks.join_next().await),
                Err(error) => debug!("a connection could not be served any more: {error}"),
            }
        }
    }
}

fn server_state(application: &Application) -> ServerState {
    let settings = application.settings();
    let limits = ServerLimits {
        connection: settings.limits.clone(),
        max_buffered: settings.max_buffered,
        max_per_network: share_of(settings.max_connections, settings.max_network_share),
        exempt: settings.trusted_proxies.clone(),
        debug: settings.debug,
    };
    ServerState::new(limits, application.shutdown().clone())
}

/// Returns the number of connections in a share of `max_connections`, at least 1.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss
)]
fn share_of(max_connections: usize, share: f64) -> usize {
    // `as` saturates, and turns NaN into 0.
    ((max_connections as f64 * share) as usize).max(1)
}

/// Sweeps a session store, forever. Logs the first of several failures, and the recovery.
async fn sweep(store: &Arc<dyn Store>) {
    let mut is_failing = false;
    loop {
        sleep(SWEEP_INTERVAL).await;
        let swept = store.sweep().await;
        let was_failing = std::mem::replace(&mut is_failing, swept.is_err());
        match swept {
            Err(error) if !was_failing => warn!("session sweep failed: {error}"),
            Ok(()) if was_failing => info!("session sweep recovered"),
            _ => {}
        }
    }
}
