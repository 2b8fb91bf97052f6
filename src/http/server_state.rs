//! What the connections of one server share: their limits, the signal that it shuts down, the memory
//! for their buffers, and the queue of those that may be evicted.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::cached_clock::deadline;
use crate::http::buffer_budget::{BufferBudget, Reservation};
use crate::http::eviction::{Class, Evictions, Network, Place, Queued};
use crate::http::limits::Limits;
use crate::http::shutdown::Shutdown;

/// What the connections of one server share.
#[derive(Debug)]
pub struct ServerState {
    limits: Limits,
    shutdown: Shutdown,
    buffers: Arc<BufferBudget>,
    evictions: Arc<Evictions>,
    /// Addresses of many clients, such as those of proxies.
    exempt: Vec<IpAddr>,
}

/// The bounds of a [`ServerState`]. By default there are none but those of each connection.
#[derive(Clone, Debug)]
pub struct ServerLimits {
    /// What one connection may take.
    pub connection: Limits,
    /// Bytes that all connections together may buffer.
    pub max_buffered: usize,
    /// Connections of one network that may stay while others want in.
    pub max_per_network: usize,
    /// Addresses that this does not count for.
    pub exempt: Vec<IpAddr>,
}

impl Default for ServerLimits {
    fn default() -> ServerLimits {
        let (max_buffered, max_per_network) = (usize::MAX, usize::MAX);
        let (connection, exempt) = (Limits::default(), Vec::new());
        ServerLimits { connection, max_buffered, max_per_network, exempt }
    }
}

impl Default for ServerState {
    fn default() -> ServerState {
        ServerState::new(ServerLimits::default(), Shutdown::default())
    }
}

impl ServerState {
    /// The state of a server that has no connection yet.
    pub fn new(limits: ServerLimits, shutdown: Shutdown) -> ServerState {
        ServerState {
            limits: limits.connection,
            shutdown,
            buffers: BufferBudget::new(limits.max_buffered),
            evictions: Arc::new(Evictions::new(limits.max_per_network)),
            exempt: limits.exempt.iter().map(IpAddr::to_canonical).collect(),
        }
    }

    /// Admits a connection from `peer`. It counts as one until the admission is dropped, which
    /// [`serve`](crate::http::connection::serve) does at its end.
    pub fn admit(self: &Arc<Self>, peer: SocketAddr) -> Admission {
        let place = Place::take(&self.evictions, self.network(peer));
        Admission { state: Arc::clone(self), peer, place }
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.evictions.open()
    }

    /// Bytes that all connections have reserved for their buffers.
    pub fn buffered(&self) -> usize {
        self.buffers.reserved()
    }

    fn network(&self, peer: SocketAddr) -> Option<Network> {
        let address = peer.ip().to_canonical();
        (!self.exempt.contains(&address)).then(|| Network::of(address))
    }

    /// Returns `true` if the network of `peer` has all the connections of its share.
    pub(crate) fn has_share(&self, peer: SocketAddr) -> bool {
        self.evictions.has_share(self.network(peer))
    }

    /// See [`Evictions::evict_for`].
    pub(crate) fn evict_for(&self, newcomer: SocketAddr) -> bool {
        self.evictions.evict_for(self.network(newcomer))
    }

    /// See [`Evictions::arrived`].
    pub(crate) async fn candidate_arrived(&self) {
        self.evictions.arrived().await;
    }

    /// See [`Evictions::missed`].
    pub(crate) async fn eviction_missed(&self) {
        self.evictions.missed().await;
    }

    /// Says whether there are too many connections, none of which can be evicted: then each
    /// closes after its next response.
    pub(crate) fn set_over_capacity(&self, is_over_capacity: bool) {
        self.evictions.set_over_capacity(is_over_capacity);
    }
}

/// One connection of a server, as long as it is one.
#[derive(Debug)]
pub struct Admission {
    state: Arc<ServerState>,
    peer: SocketAddr,
    place: Place,
}

impl Admission {
    /// The address at the other end.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.state.limits
    }

    pub(crate) fn shutdown(&self) -> &Shutdown {
        &self.state.shutdown
    }

    /// Returns `true` if a response that is written now is the last one of its connection.
    pub(crate) fn must_close(&self) -> bool {
        self.state.shutdown.has_begun() || self.state.evictions.is_over_capacity()
    }

    /// Completes when the connection is evicted. It can be from the `min_idle_timeout` after `since` on,
    /// for as long as the future is polled.
    pub(crate) fn evicted(
        &self,
        class: Class,
        since: Instant,
        has_buffers: bool,
    ) -> impl Future<Output = ()> + Send + use<> {
        self.eviction().of(class, since, has_buffers)
    }

    /// The same, to be asked for later.
    pub(crate) fn eviction(&self) -> Eviction {
        Eviction { queued: self.place.queued(), grace: self.state.limits.min_idle_timeout }
    }

    /// A reservation of no bytes of memory yet.
    pub(crate) fn empty_reservation(&self) -> Reservation {
        self.state.buffers.empty()
    }

    /// Reserves as many bytes in all. Returns `false` if there are not so many left; then a
    /// connection is evicted whose client is slow, so that there are more a moment later.
    #[must_use]
    pub(crate) fn grow(&self, reservation: &mut Reservation, bytes: usize) -> bool {
        let grown = reservation.grow_to(bytes);
        if !grown {
            self.state.evictions.evict_buffers();
        }
        grown
    }
}

/// How a connection that waits is evicted.
pub(crate) struct Eviction {
    queued: Queued,
    grace: Duration,
}

impl Eviction {
    /// See [`Admission::evicted`].
    pub(crate) fn of(
        &self,
        class: Class,
        since: Instant,
        has_buffers: bool,
    ) -> impl Future<Output = ()> + Send + use<> {
        let grace = sleep_until(deadline(since, self.grace));
        let evicted = self.queued.evicted(class, since, has_buffers);
        async move {
            grace.await;
            evicted.await;
        }
    }

    /// The same, for a connection that is busy from `since` on, and waits for its client from
    /// `waits_since` on, which may be later than now.
    pub(crate) async fn of_busy(
        self,
        since: Instant,
        waits_since: Instant,
        has_buffers: bool,
    ) {
        tokio::select! {
            () = self.of(Class::Busy, since, has_buffers) => {}
            () = self.of(Class::Idle, waits_since, has_buffers) => {}
        }
    }
}
