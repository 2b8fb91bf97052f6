//! Eviction: which connection is closed when there are too many, or when the memory for buffers is
//! used up.
//!
//! A connection that has waited for some time puts itself into one queue, sorted by its
//! [`Class`] and by the time since which it waits. A busy server never touches the queue: while
//! requests come in quick succession, no connection waits for so long.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;
use tokio::time::Instant;

/// How soon a connection is evicted: in this order, and within a class the one first that has waited
/// longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// Its client has closed its side, or its last response was sent: little is lost with it.
    Closing,
    /// It waits for its client: for a request, for the rest of one, or until the client reads.
    Idle,
    /// A handler or a stream works for it, or its client is as fast as can be expected. It is
    /// evicted only for a client of another network, and if its own has more than its share.
    Busy,
}

impl Class {
    /// Returns `true` if no work would be lost with a connection. The others come last in the queue.
    fn only_waits(self) -> bool {
        self < Class::Busy
    }
}

/// What one client can have all addresses of: an IPv4 address, or a /64 of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Network {
    V4(u32),
    V6(u64),
}

impl Network {
    pub(crate) fn of(address: IpAddr) -> Network {
        match address.to_canonical() {
            IpAddr::V4(address) => Network::V4(address.to_bits()),
            IpAddr::V6(address) => Network::V6((address.to_bits() >> 64) as u64),
        }
    }
}

/// The connections of a server, counted, and the queue of those that may be evicted.
#[derive(Debug)]
pub(crate) struct Evictions {
    /// How many connections of one network may stay while others want in.
    max_per_network: usize,
    queue: Mutex<Queue>,
    /// Whether there are too many connections, and none that could be evicted.
    is_over_capacity: AtomicBool,
    /// A connection came into the queue.
    arrived: Notify,
    /// A connection that was evicted goes on: what it waited for came at the same moment.
    missed: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    candidates: BTreeMap<Position, Candidate>,
    /// Networks that have connections, and how many.
    connections: HashMap<Network, usize>,
    /// How many connections there are, and how many there ever were.
    open: usize,
    admitted: u64,
    /// Networks that have more than their share.
    over_share: usize,
    /// Of the candidates that only wait, those that have memory of the budget.
    with_buffers: BTreeSet<Position>,
}

type Position = (Class, Instant, u64);

/// A connection in the queue. One that is not in it any more was evicted.
#[derive(Debug)]
struct Candidate {
    network: Option<Network>,
    has_buffers: bool,
    waker: Waker,
}

impl Evictions {
    pub(crate) fn new(max_per_network: usize) -> Evictions {
        Evictions {
            max_per_network,
            queue: Mutex::default(),
            is_over_capacity: AtomicBool::new(false),
            arrived: Notify::new(),
            missed: Notify::new(),
        }
    }

    /// Counts a connection of a network, and returns its number.
    fn admit(&self, network: Option<Network>) -> u64 {
        let mut queue = self.lock();
        if let Some(network) = network {
            let count = queue.connections.entry(network).or_default();
            *count += 1;
            let is_over_now = *count == self.max_per_network.saturating_add(1);
            queue.over_share += usize::from(is_over_now);
        }
        queue.open += 1;
        queue.admitted += 1;
        queue.admitted
    }

    /// Counts a connection no more.
    fn remove(&self, network: Option<Network>) {
        let mut queue = self.lock();
        queue.open -= 1;
        let Some(network) = network else { return };
        if let Some(count) = queue.connections.get_mut(&network) {
            *count -= 1;
            let (is_last, was_over) = (*count == 0, *count == self.max_per_network);
            queue.over_share -= usize::from(was_over);
            if is_last {
                queue.connections.remove(&network);
            }
        }
    }

    /// How many connections there are.
    pub(crate) fn open(&self) -> usize {
        self.lock().open
    }

    /// Returns `true` if a network has as many connections as it may have while others want in.
    pub(crate) fn has_share(&self, network: Option<Network>) -> bool {
        self.lock().count(network) >= self.max_per_network
    }

    /// Evicts a connection for one that has just come from `network`. Returns `false` if no
    /// connection can be evicted for it now.
    ///
    /// A network that has more than its share makes room for itself. For any other network, one
    /// that has more than its share makes room, even by a connection that is busy; if there is
    /// none, the first in the queue goes that is not busy.
    pub(crate) fn evict_for(&self, network: Option<Network>) -> bool {
        let mut queue = self.lock();
        let is_over_share = |network| queue.count(network) > self.max_per_network;
        let waiting =
            || queue.candidates.iter().take_while(|((class, ..), _)| class.only_waits());
        let found = if is_over_share(network) {
            waiting().find(|(_, candidate)| candidate.network == network)
        } else if queue.over_share > 0 {
            let mut all = queue.candidates.iter();
            let found = all.find(|(_, candidate)| is_over_share(candidate.network));
            found.or_else(|| waiting().next())
        } else {
            waiting().next()
        };
        let position = found.map(|(position, _)| *position);
        queue.evict(position)
    }

    /// Evicts a connection that has memory of the budget, if there is one that only waits.
    pub(crate) fn evict_buffers(&self) {
        let mut queue = self.lock();
        let position = queue.with_buffers.first().copied();
        queue.evict(position);
    }

    /// Completes when a connection has come into the queue since this completed the last time.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Completes when a connection that was evicted has gone on instead.
    pub(crate) async fn missed(&self) {
        self.missed.notified().await;
    }

    pub(crate) fn is_over_capacity(&self) -> bool {
        self.is_over_capacity.load(Ordering::Relaxed)
    }

    pub(crate) fn set_over_capacity(&self, is_over_capacity: bool) {
        self.is_over_capacity.store(is_over_capacity, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// How many connections a network has that is not exempt.
    fn count(&self, network: Option<Network>) -> usize {
        let count = network.and_then(|network| self.connections.get(&network));
        count.copied().unwrap_or(0)
    }

    fn insert(&mut self, position: Position, candidate: Candidate) {
        if candidate.has_buffers && position.0.only_waits() {
            self.with_buffers.insert(position);
        }
        self.candidates.insert(position, candidate);
    }

    /// Takes a candidate out; `None` if it is not there any more.
    fn remove(&mut self, position: &Position) -> Option<Candidate> {
        self.with_buffers.remove(position);
        self.candidates.remove(position)
    }

    fn evict(&mut self, position: Option<Position>) -> bool {
        let candidate = position.and_then(|position| self.remove(&position));
        candidate.map(|candidate| candidate.waker.wake()).is_some()
    }
}

/// The place of one connection among those of a server. It is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    evictions: Arc<Evictions>,
    network: Option<Network>,
    number: u64,
}

impl Place {
    /// Takes a place for a connection of `network`. `None` is a network that may have any number
    /// of connections, as a trusted proxy may.
    pub(crate) fn take(evictions: &Arc<Evictions>, network: Option<Network>) -> Place {
        let number = evictions.admit(network);
        Place { evictions: Arc::clone(evictions), network, number }
    }

    /// The connection, as the queue knows it.
    pub(crate) fn queued(&self) -> Queued {
        let evictions = Arc::clone(&self.evictions);
        Queued { evictions, network: self.network, number: self.number }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.evictions.remove(self.network);
    }
}

/// See [`Place::queued`].
pub(crate) struct Queued {
    evictions: Arc<Evictions>,
    network: Option<Network>,
    number: u64,
}

impl Queued {
    /// Puts the connection into the queue, as one that waits since then, for as long as the
    /// future is polled; it completes when the connection is evicted. `has_buffers` says whether
    /// that would free memory of the budget.
    pub(crate) fn evicted(
        &self,
        class: Class,
        since: Instant,
        has_buffers: bool,
    ) -> Evicted {
        Evicted {
            evictions: Arc::clone(&self.evictions),
            position: (class, since, self.number),
            network: self.network,
            has_buffers,
            is_queued: false,
        }
    }
}

/// See [`Queued::evicted`].
#[derive(Debug)]
pub(crate) struct Evicted {
    evictions: Arc<Evictions>,
    position: Position,
    network: Option<Network>,
    has_buffers: bool,
    is_queued: bool,
}

impl Future for Evicted {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Evicted { evictions, position, network, has_buffers, is_queued } = &mut *self;
        let mut queue = evictions.lock();
        if *is_queued {
            let Some(candidate) = queue.candidates.get_mut(position) else {
                // Not in the queue any more: it was evicted.
                *is_queued = false;
                return Poll::Ready(());
            };
            candidate.waker.clone_from(context.waker());
        } else {
            *is_queued = true;
            let (network, has_buffers) = (*network, *has_buffers);
            let candidate =
                Candidate { network, has_buffers, waker: context.waker().clone() };
            queue.insert(*position, candidate);
            evictions.arrived.notify_one();
        }
        Poll::Pending
    }
}

impl Drop for Evicted {
    fn drop(&mut self) {
        if self.is_queued && self.evictions.lock().remove(&self.position).is_none() {
            self.evictions.missed.notify_one();
        }
    }
}
