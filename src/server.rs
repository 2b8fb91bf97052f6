//! The door: listening, accepting, one task for each connection, and closing up.

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
use crate::listener::{BACKLOG, listen_on};
use crate::session::store::Store;
use crate::signals::{Signals, Told};
use crate::web::application::Application;

/// How often a store lets go of what has expired.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// A signal that comes again within this time is the same.
const SAME_SIGNAL: Duration = Duration::from_secs(1);

/// How long to wait when the system has no file left for another connection.
const OUT_OF_FDS_BACKOFF: Duration = Duration::from_millis(100);

/// How long to wait when a connection could not be accepted for another reason.
const ACCEPT_ERROR_BACKOFF: Duration = Duration::from_millis(1);

/// Files that are left alone once there were too few for all connections: for what is sent, and for
/// wherever sessions live.
const RESERVED_FDS: usize = 16;

/// How long fewer connections are let in after that.
const FD_LIMIT_DURATION: Duration = Duration::from_secs(10);

/// Connections that wait to be served, at most, because their network has its share of the others.
/// Those that come when so many do are closed.
const MAX_WAITING: usize = 1024;

impl Application {
    /// Binds to an address, and takes connections from now on; they are answered once the
    /// server is run. Port 0 is any that is free.
    pub async fn listen(self, address: impl ToSocketAddrs) -> io::Result<Server> {
        let mut error = io::Error::other("the name has no address");
        for address in lookup_host(address).await? {
            match listen_on(address, self.settings()) {
                Ok(listener) => {
                    let state = Arc::new(state_of(&self));
                    return Ok(Server { listener, application: Arc::new(self), state });
                }
                Err(reason) => error = reason,
            }
        }
        Err(error)
    }
}

/// An application that listens.
pub struct Server {
    listener: TcpListener,
    application: Arc<Application>,
    state: Arc<ServerState>,
}

impl Server {
    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// What its connections share: how many there are, and how much they buffer.
    pub fn state(&self) -> &Arc<ServerState> {
        &self.state
    }

    /// Serves until the process is told to stop, by SIGINT (Ctrl-C), SIGTERM or SIGHUP. See
    /// [`run_until`](Server::run_until). Told a second time, it stops at once, with an error. The
    /// same signal twice within a second is one, for some senders send it to a process and to its
    /// group; and SIGHUP is never a second one, for it comes behind others. SIGHUP is left alone where the process was started to ignore it (nohup(1)), and where
    /// that cannot be told, which is everywhere but on Linux.
    ///
    /// It listens for signals from the call on, and not only once it is awaited: whoever is told
    /// in between that the server is there may already tell it to stop.
    pub fn run(self) -> impl Future<Output = io::Result<()>> {
        let signals = Signals::new();
        async { self.run_until_signal(signals?).await }
    }

    async fn run_until_signal(self, mut signals: Signals) -> io::Result<()> {
        let (stop, stopped) = oneshot::channel();
        let two_signals = async {
            let first = signals.next().await;
            // Nobody listens any more if the serving is over already.
            let _ = stop.send(());
            let told = Instant::now();
            let is_same = |next| next == first && told.elapsed() < SAME_SIGNAL;
            loop {
                match signals.next().await {
                    // A terminal or a session that ends sends it behind the other.
                    Told::HangUp => {}
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

    /// Serves until `stop` completes. Then no connection is accepted any more. Requests that are
    /// under way are answered, and so are those that come within the `min_idle_timeout`; all of
    /// them have the `drain_timeout`. Whoever drops this instead cuts all of them off; the port is free
    /// soon after, though not at once.
    pub async fn run_until(self, stop: impl Future<Output = ()>) {
        let (stopping, told) = oneshot::channel::<()>();
        // A task of its own, for whoever awaits this may not be on a thread that serves: from
        // there, each connection would have to be handed to another. A `JoinSet` that is dropped
        // ends its tasks, so this one does not outlive the call.
        let mut serving = JoinSet::new();
        serving.spawn(self.serve_until(async { drop(told.await) }));
        let served = tokio::select! {
            () = stop => {
                drop(stopping);
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
            warn!("{left} requests took too long to stop; they are cut off");
        }
    }
}

/// The connections, and how many of them there may be.
struct Connections {
    application: Arc<Application>,
    state: Arc<ServerState>,
    tasks: JoinSet<()>,
    /// The client that was let in last.
    newcomer: SocketAddr,
    /// Connections that were accepted and are not served yet.
    waiting: VecDeque<(TcpStream, SocketAddr)>,
    /// There was no file left for another connection: how many are let in after that, and since
    /// when.
    fd_limit: Option<(usize, Instant)>,
}

impl Connections {
    fn new(application: Arc<Application>, state: Arc<ServerState>) -> Connections {
        Connections {
            application,
            state,
            tasks: JoinSet::new(),
            newcomer: SocketAddr::from(([0, 0, 0, 0], 0)),
            waiting: VecDeque::new(),
            fd_limit: None,
        }
    }

    /// Accepts connections, forever. One more is let in than there may be, so that it need not wait
    /// while another one is evicted for it.
    ///
    /// Where none can be evicted, the next has to wait until one has ended or can. If the newcomer is of a
    /// network that has its share of the connections, only others of that network wait: they
    /// are accepted, to find out who comes behind them.
    async fn accept(&mut self, listener: &TcpListener) {
        loop {
            let is_full = self.has_too_many();
            if !is_full && let Some((socket, peer)) = self.waiting.pop_front() {
                self.serve(socket, peer);
                continue;
            }
            if is_full && self.state.evict_for(self.newcomer) {
                tokio::select! {
                    _ = self.tasks.join_next() => {}
                    () = self.state.eviction_missed() => {}
                }
                continue;
            }
            self.state.set_over_capacity(is_full);
            let is_one_more = self.tasks.len() == self.max_connections() + 1;
            let may_accept =
                !is_full || (is_one_more && self.state.has_share(self.newcomer));
            tokio::select! {
                biased;
                Some(_) = self.tasks.join_next(), if is_full => {}
                () = self.state.candidate_arrived(), if is_full => {}
                () = sleep(FD_LIMIT_DURATION), if is_full && self.fd_limit.is_some() => {}
                accepted = listener.accept(), if may_accept => match accepted {
                    Ok((socket, peer)) if is_full && self.state.has_share(peer) => {
                        self.keep_waiting(socket, peer);
                    }
                    Ok((socket, peer)) => self.serve(socket, peer),
                    Err(error) => self.back_off(&error).await,
                }
            }
        }
    }

    fn has_too_many(&mut self) -> bool {
        // The tasks that have ended are taken out.
        while self.tasks.try_join_next().is_some() {}
        self.tasks.len() > self.max_connections()
    }

    fn keep_waiting(&mut self, socket: TcpStream, peer: SocketAddr) {
        let has_files = self.fd_limited_max().is_none();
        match has_files && self.waiting.len() < MAX_WAITING {
            true => self.waiting.push_back((socket, peer)),
            false => {
                debug!("{peer} was closed: its network has its share of the connections");
            }
        }
    }

    /// Waits after a connection could not be accepted.
    async fn back_off(&mut self, error: &io::Error) {
        if is_out_of_fds(error) {
            self.back_off_out_of_fds(error).await;
        } else {
            // A client that was gone before it was accepted. The next may fare better.
            debug!("a connection could not be accepted: {error}");
            sleep(ACCEPT_ERROR_BACKOFF).await;
        }
    }

    /// How many there may be at once.
    fn max_connections(&self) -> usize {
        let setting = self.application.settings().max_connections.max(1);
        self.fd_limited_max()
            .map_or(setting, |max_connections| max_connections.min(setting))
    }

    /// How many there are files for, while the system is short of them.
    fn fd_limited_max(&self) -> Option<usize> {
        let lasts = |(_, since): &(usize, Instant)| since.elapsed() < FD_LIMIT_DURATION;
        self.fd_limit.filter(lasts).map(|(max_connections, _)| max_connections)
    }

    /// The system has no file left. Those who are in must have some for themselves, to answer
    /// from; so for a while there is room for fewer.
    async fn back_off_out_of_fds(&mut self, error: &io::Error) {
        let there = self.tasks.len();
        let max_connections = there.saturating_sub(RESERVED_FDS).max(there / 2).max(1);
        if self.fd_limited_max().is_none() {
            warn!("no more than {max_connections} connections for a while: {error}");
        }
        self.fd_limit = Some((max_connections, Instant::now()));
        sleep(OUT_OF_FDS_BACKOFF).await;
    }

    /// Gives a connection a task of its own.
    fn serve(&mut self, socket: TcpStream, peer: SocketAddr) {
        self.newcomer = peer;
        #[cfg(not(target_os = "linux"))]
        set_options(&SockRef::from(&socket), self.application.settings());
        let (application, admission) =
            (Arc::clone(&self.application), self.state.admit(peer));
        self.tasks.spawn(connection::serve(socket, application, admission));
    }

    /// Lets in whoever has connected before the door closes, and waits until all have gone.
    async fn drain(&mut self, listener: TcpListener) {
        while let Some((socket, peer)) = self.waiting.pop_front() {
            self.serve(socket, peer);
        }
        self.accept_backlog(listener).await;
        while self.tasks.join_next().await.is_some() {}
    }

    /// The system would turn them away with a reset.
    async fn accept_backlog(&mut self, listener: TcpListener) {
        let Ok(listener) = listener.into_std() else { return };
        for _ in 0..BACKLOG {
            // It is asked directly whether there is another, and says so at once if not.
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

fn state_of(application: &Application) -> ServerState {
    let settings = application.settings();
    let limits = ServerLimits {
        connection: settings.limits.clone(),
        max_buffered: settings.max_buffered,
        max_per_network: share_of(settings.max_connections, settings.max_network_share),
        exempt: settings.trusted_proxies.clone(),
    };
    ServerState::new(limits, application.shutdown().clone())
}

/// How many of `max_connections` are a share of them.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss
)]
fn share_of(max_connections: usize, share: f64) -> usize {
    // `as` takes what is no number, or out of range, to the nearest that is.
    ((max_connections as f64 * share) as usize).max(1)
}

/// Has a store swept, forever. That one is away is told once, and once that it is back.
async fn sweep(store: &Arc<dyn Store>) {
    let mut is_away = false;
    loop {
        sleep(SWEEP_INTERVAL).await;
        let swept = store.sweep().await;
        let was_away = std::mem::replace(&mut is_away, swept.is_err());
        match swept {
            Err(error) if !was_away => warn!("the sessions could not be swept: {error}"),
            Ok(()) if was_away => info!("the sessions can be swept again"),
            _ => {}
        }
    }
}
