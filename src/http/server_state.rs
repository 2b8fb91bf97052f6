//! The state that the connections of one server share: their limits, the shutdown signal, the
//! buffer budget, and the eviction queue.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::cached_clock::deadline;
use crate::http::buffer_budget::{BufferBudget, Reservation};
use crate::http::eviction::{EvictionClass, EvictionQueue, QueueHandle, Slot};
use crate::http::limits::Limits;
use crate::http::network::Network;
use crate::http::shutdown::Shutdown;

/// The shared state of a server's connections.
#[derive(Debug)]
pub struct ServerState {
    limits: Limits,
    shutdown: Shutdown,
    buffers: Arc<BufferBudget>,
    eviction_queue: Arc<EvictionQueue>,
    /// Networks without a share, because they stand for many clients, such as proxies.
    exempt: Vec<Network>,
    debug: bool,
}

/// The limits of a [`ServerState`]. Default: those of each connection, and no others.
#[derive(Clone, Debug)]
pub struct ServerLimits {
    /// The limits of each connection.
    pub connection: Limits,
    /// Maximum number of bytes that all connections together may buffer. Above the limit: 503.
    pub max_buffered: usize,
    /// Maximum number of connections that one network keeps while others want to connect. Above
    /// the limit, its connections are evicted first.
    pub max_per_network: usize,
    /// Networks to which `max_per_network` does not apply, such as those of proxies.
    pub exempt: Vec<Network>,
    /// `true` if the response to a malformed request names the source line that refused it.
    pub debug: bool,
}

impl Default for ServerLimits {
    fn default() -> ServerLimits {
        let (max_buffered, max_per_network) = (usize::MAX, usize::MAX);
        let (connection, exempt) = (Limits::default(), Vec::new());
        ServerLimits { connection, max_buffered, max_per_network, exempt, debug: false }
    }
}

impl Default for ServerState {
    fn default() -> ServerState {
        ServerState::new(ServerLimits::default(), Shutdown::default())
    }
}

impl ServerState {
    /// Creates the state of a server without connections.
    pub fn new(limits: ServerLimits, shutdown: Shutdown) -> ServerState {
        ServerState {
            limits: limits.connection,
            shutdown,
            buffers: BufferBudget::new(limits.max_buffered),
            eviction_queue: Arc::new(EvictionQueue::new(limits.max_per_network)),
            exempt: limits.exempt,
            debug: limits.debug,
        }
    }

    /// Admits a connection from `peer`. The connection is counted until the admission is
    /// dropped, which [`serve`](crate::http::connection::serve) does at its end.
    pub fn admit(self: &Arc<Self>, peer: SocketAddr) -> Admission {
        let slot = Slot::take(&self.eviction_queue, self.network(peer));
        Admission { state: Arc::clone(self), peer, slot }
    }

    /// Returns the number of open connections.
    pub fn connections(&self) -> usize {
        self.eviction_queue.open()
    }

    /// Returns the number of bytes that all connections have reserved for their buffers.
    pub fn buffered(&self) -> usize {
        self.buffers.reserved()
    }

    fn network(&self, peer: SocketAddr) -> Option<Network> {
        let is_exempt = self.exempt.iter().any(|network| network.contains(peer.ip()));
        (!is_exempt).then(|| Network::of_client(peer.ip()))
    }

    /// See [`EvictionQueue::is_at_share`].
    pub(crate) fn is_at_share(&self, peer: SocketAddr) -> bool {
        self.eviction_queue.is_at_share(self.network(peer))
    }

    /// See [`EvictionQueue::evict_for`].
    pub(crate) fn evict_for(&self, peer: SocketAddr) -> bool {
        self.eviction_queue.evict_for(self.network(peer))
    }

    pub(crate) fn eviction_queue(&self) -> &EvictionQueue {
        &self.eviction_queue
    }
}

/// The registration of one open connection with its server (an RAII guard): it counts for the
/// connection limit as long as this value lives, and through it the connection reaches what all
/// connections share, the [`ServerState`].
#[derive(Debug)]
pub struct Admission {
    state: Arc<ServerState>,
    peer: SocketAddr,
    slot: Slot,
}

impl Admission {
    /// Returns the client's address and port.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.state.limits
    }

    /// See [`ServerLimits::debug`].
    pub(crate) fn is_debug(&self) -> bool {
        self.state.debug
    }

    pub(crate) fn shutdown(&self) -> &Shutdown {
        &self.state.shutdown
    }

    /// Returns `true` if the connection must be closed after the next response.
    pub(crate) fn must_close(&self) -> bool {
        self.state.shutdown.has_begun() || self.state.eviction_queue.is_over_capacity()
    }

    /// Completes when the connection is evicted. It may be evicted once it has waited for
    /// `min_idle_timeout` since `since`, and only while the future is polled.
    pub(crate) fn evicted(
        &self,
        class: EvictionClass,
        since: Instant,
        has_buffers: bool,
    ) -> impl Future<Output = ()> + Send + use<> {
        self.eviction().of_waiting(class, since, has_buffers)
    }

    /// Returns a handle that does not borrow the connection, so that the connection's buffers
    /// can be borrowed mutably next to it.
    pub(crate) fn eviction(&self) -> Eviction {
        let grace_period = self.state.limits.min_idle_timeout;
        Eviction { handle: self.slot.queue_handle(), grace_period }
    }

    /// Returns a reservation of zero bytes, to be passed to [`grow`](Admission::grow).
    pub(crate) fn empty_reservation(&self) -> Reservation {
        self.state.buffers.empty()
    }

    /// Grows a reservation to `bytes` in total. Returns `false` if the buffer budget has too
    /// few left. A connection with a slow client is then evicted, so that a retry can succeed.
    #[must_use]
    pub(crate) fn grow(&self, reservation: &mut Reservation, bytes: usize) -> bool {
        let grown = reservation.grow_to(bytes);
        if !grown {
            self.state.eviction_queue.evict_buffers();
        }
        grown
    }
}

/// A handle with which a connection makes itself available for eviction.
pub(crate) struct Eviction {
    handle: QueueHandle,
    /// Time for which a connection waits before it enters the queue.
    grace_period: Duration,
}

impl Eviction {
    /// See [`Admission::evicted`].
    pub(crate) fn of_waiting(
        &self,
        class: EvictionClass,
        since: Instant,
        has_buffers: bool,
    ) -> impl Future<Output = ()> + Send + use<> {
        let grace = sleep_until(deadline(since, self.grace_period));
        let evicted = self.handle.clone().evicted(class, since, has_buffers);
        async move {
            grace.await;
            evicted.await;
        }
    }

    /// The same for a transfer, which counts as busy while its client keeps up with a healthy
    /// data rate, and as idle when it has fallen behind.
    ///
    /// `waits_since` is the time at which a client of exactly that rate would be where this one
    /// is. A faster client is ahead of it, so the time is in the future: a credit, during which
    /// the connection has only its entry as a busy one.
    ///
    /// ```text
    ///   since            now     waits_since      + grace_period
    ///     |---------------|----------|-----------------|--------> time
    ///     | transfer so far  credit    grace period     may be evicted as idle
    /// ```
    pub(crate) async fn of_busy(
        self,
        since: Instant,
        waits_since: Instant,
        has_buffers: bool,
    ) {
        tokio::select! {
            () = self.of_waiting(EvictionClass::Busy, since, has_buffers) => {}
            () = self.of_waiting(EvictionClass::Idle, waits_since, has_buffers) => {}
        }
    }
}
