//! The door: listening, accepting, one task for each connection, and closing up.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use log::{info, warn};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::http::connection;
use crate::session::store::Store;
use crate::web::application::Application;

/// How often a store lets go of what has expired.
const SWEEP: Duration = Duration::from_secs(1);

/// How long to wait when the system has no file left for another connection.
const BREATH: Duration = Duration::from_millis(100);

impl Application {
    /// Binds to an address, and takes connections from now on; they are answered once the
    /// server is run. Port 0 is any that is free.
    pub async fn listen(self, address: impl ToSocketAddrs) -> io::Result<Server> {
        let listener = TcpListener::bind(address).await?;
        Ok(Server { listener, application: Arc::new(self) })
    }
}

/// An application that listens.
pub struct Server {
    listener: TcpListener,
    application: Arc<Application>,
}

impl Server {
    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the process is told to stop, by SIGINT (Ctrl-C) or SIGTERM. See
    /// [`run_until`](Server::run_until). Told a second time, it stops at once, with an error.
    ///
    /// It listens for signals from the call on, and not only once it is awaited: whoever is told
    /// in between that the server is there may already tell it to stop.
    pub fn run(self) -> impl Future<Output = io::Result<()>> {
        let signals = Signals::new();
        async { self.run_until_told(signals?).await }
    }

    async fn run_until_told(self, mut signals: Signals) -> io::Result<()> {
        let (stop, stopped) = oneshot::channel();
        let two_signals = async {
            signals.next().await;
            // Nobody listens any more if the serving is over already.
            let _ = stop.send(());
            signals.next().await;
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

    /// Serves until `stop` completes. Then no connection is accepted any more, those that wait
    /// for a request are closed, and those with a request under way are closed after its answer,
    /// for which they have the `drain_time`.
    pub async fn run_until(self, stop: impl Future<Output = ()>) {
        let Server { listener, application } = self;
        let (drain, draining) = watch::channel(false);
        let mut connections = JoinSet::new();
        tokio::select! {
            () = stop => {}
            () = accept(&listener, &application, &draining, &mut connections) => {}
            () = sweep(application.session_store()) => {}
        }
        drain.send_replace(true);
        drop(listener);
        let drain_time = application.settings().drain_time;
        let all = async { while connections.join_next().await.is_some() {} };
        if timeout(drain_time, all).await.is_err() {
            warn!("{} requests took too long to stop; they are cut off", connections.len());
        }
    }
}

/// Accepts connections, forever.
async fn accept(
    listener: &TcpListener,
    application: &Arc<Application>,
    draining: &watch::Receiver<bool>,
    connections: &mut JoinSet<()>,
) {
    let most = application.settings().max_connections.min(Semaphore::MAX_PERMITS);
    let room = Arc::new(Semaphore::new(most));
    loop {
        // Room first: a client that there is no room for waits in the system's queue.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return pending().await;
        };
        // Those that have ended are let go of.
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((socket, peer)) => {
                let (application, draining) = (Arc::clone(application), draining.clone());
                connections.spawn(serve(socket, peer, application, draining, permit));
            }
            // A client that was gone before it was accepted, or, which lasts longer, no file
            // left to accept it with. Those who are in go on, and leave files when they leave.
            Err(error) => {
                warn!("a connection could not be accepted: {error}");
                sleep(BREATH).await;
            }
        }
    }
}

async fn serve(
    socket: TcpStream,
    peer: SocketAddr,
    application: Arc<Application>,
    draining: watch::Receiver<bool>,
    _room: OwnedSemaphorePermit,
) {
    // Answers are written whole, so there is nothing that waiting for more would save.
    if let Err(error) = socket.set_nodelay(true) {
        info!("no TCP_NODELAY for {peer}: {error}");
    }
    let limits = &application.settings().limits;
    connection::serve(socket, peer, &*application, limits, draining).await;
}

/// Has a store swept, forever.
async fn sweep(store: &Arc<dyn Store>) {
    loop {
        sleep(SWEEP).await;
        if let Err(error) = store.sweep().await {
            warn!("the sessions could not be swept: {error}");
        }
    }
}

/// The ways in which a process is told to stop.
#[cfg(unix)]
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Signals> {
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        Ok(Signals { interrupt, terminate })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Where there are no signals, there is still Ctrl-C.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            pending::<()>().await;
        }
    }
}
