//! Eviction: which connection is closed when there are too many, or when the memory for buffers
//! is used up. nginx does the same with its "reusable connections".
//!
//! A connection that has waited for `min_idle_timeout` adds itself to one queue, sorted by
//! [`EvictionClass`] and then by the time since which it has waited:
//!
//! ```text
//!   first                                                             last
//!  +---------------------+---------------------+--------------------------+
//!  | Closing             | Idle                | Busy                     |
//!  |  longest wait first |  longest wait first |  longest work first      |
//!  +---------------------+---------------------+--------------------------+
//!  | evicted for a new connection              | only if its network has  |
//!  |                                           | more than its share      |
//!  +-------------------------------------------+--------------------------+
//! ```
//! The order inside a class is by waiting time and not by last use (LRU): a head of which one
//! byte arrives per second is as old as its first byte, so a slowloris client gains nothing.
//!
//! Shares keep one attacker with many connections from occupying all slots: a network that has
//! more than `max_per_network` connections loses its own connections first, even busy ones.
//!
//! A busy server does not use the queue: if requests arrive in quick succession, no connection
//! waits for so long. Adding and removing is O(log n), in a `BTreeMap`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::http::network::Network;

/// The eviction priority of a connection: earlier variants are evicted first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum EvictionClass {
    /// The client has closed its side, or the last response was sent: little is lost.
    Closing,
    /// The connection waits for its client: for a request, for the rest of one, or for the
    /// client to read.
    Idle,
    /// A handler or a stream is working, or the client is as fast as can be expected.
    Busy,
}

impl EvictionClass {
    /// Returns `true` if no work is lost with a connection of this class.
    fn is_waiting(self) -> bool {
        self < EvictionClass::Busy
    }
}

/// The number of a server's connections, and the queue of those that may be evicted.
#[derive(Debug)]
pub(crate) struct EvictionQueue {
    /// Maximum number of connections that one network keeps while others want to connect.
    max_per_network: usize,
    /// A std mutex, because it is never held across `.await`. Waking a task under it is safe: a
    /// tokio waker schedules the task and does not run it.
    state: Mutex<QueueState>,
    /// `true` if there are too many connections and none can be evicted. An atomic outside the
    /// mutex, because each response reads it.
    is_over_capacity: AtomicBool,
    /// Both are for the accept task alone, and use `notify_one`: if that task is not waiting at
    /// the moment, a permit is stored, and its next wait returns immediately. So no wake-up is
    /// lost between a failed [`evict_for`](EvictionQueue::evict_for) and the wait that follows.
    /// A permit that is out of date makes the accept loop check once more; at worst it evicts
    /// one connection too many.
    candidate_added: Notify,
    eviction_missed: Notify,
}

#[derive(Debug, Default)]
struct QueueState {
    candidates: BTreeMap<QueueKey, Candidate>,
    /// Number of connections of each network that has any.
    connections: HashMap<Network, usize>,
    /// Number of open connections.
    open: usize,
    /// Number of connections that were ever admitted.
    admitted: u64,
    /// Number of networks that have more than their share.
    over_share: usize,
    /// The waiting candidates that hold memory of the buffer budget.
    with_buffers: BTreeSet<QueueKey>,
}

/// The sort key of a candidate. The connection's number makes it unique.
type QueueKey = (EvictionClass, Instant, u64);

/// A connection in the queue. Evicting it removes it from the queue and wakes its task.
#[derive(Debug)]
struct Candidate {
    network: Option<Network>,
    has_buffers: bool,
    waker: Waker,
}

impl EvictionQueue {
    pub(crate) fn new(max_per_network: usize) -> EvictionQueue {
        EvictionQueue {
            max_per_network,
            state: Mutex::default(),
            is_over_capacity: AtomicBool::new(false),
            candidate_added: Notify::new(),
            eviction_missed: Notify::new(),
        }
    }

    /// Adds a connection to the counts and returns its number.
    fn admit(&self, network: Option<Network>) -> u64 {
        let mut state = self.lock();
        if let Some(network) = network {
            let count = state.connections.entry(network).or_default();
            *count += 1;
            let is_over_now = *count == self.max_per_network.saturating_add(1);
            state.over_share += usize::from(is_over_now);
        }
        state.open += 1;
        state.admitted += 1;
        state.admitted
    }

    /// Removes a connection from the counts.
    fn remove(&self, network: Option<Network>) {
        let mut state = self.lock();
        state.open -= 1;
        let Some(network) = network else { return };
        if let Some(count) = state.connections.get_mut(&network) {
            *count -= 1;
            let (is_last, was_over) = (*count == 0, *count == self.max_per_network);
            state.over_share -= usize::from(was_over);
            if is_last {
                state.connections.remove(&network);
            }
        }
    }

    /// Returns the number of open connections.
    pub(crate) fn open(&self) -> usize {
        self.lock().open
    }

    /// Returns `true` if a network has as many connections as its share, or more.
    pub(crate) fn is_at_share(&self, network: Option<Network>) -> bool {
        self.lock().count(network) >= self.max_per_network
    }

    /// Evicts a connection for a new one from `network`. Returns `false` if none can be evicted
    /// at the moment.
    ///
    /// | the new connection's network | evicts the first candidate that is |
    /// | --- | --- |
    /// | has more than its share | of the same network, and waiting |
    /// | has not, but another has | of such a network, even busy; otherwise as below |
    /// | has not, nor has another | waiting |
    pub(crate) fn evict_for(&self, network: Option<Network>) -> bool {
        let mut state = self.lock();
        let is_over_share = |network| state.count(network) > self.max_per_network;
        let waiting =
            || state.candidates.iter().take_while(|((class, ..), _)| class.is_waiting());
        let found = if is_over_share(network) {
            waiting().find(|(_, candidate)| candidate.network == network)
        } else if state.over_share > 0 {
            let mut all = state.candidates.iter();
            let found = all.find(|(_, candidate)| is_over_share(candidate.network));
            found.or_else(|| waiting().next())
        } else {
            waiting().next()
        };
        let key = found.map(|(key, _)| *key);
        state.evict(key)
    }

    /// Evicts the first waiting connection that holds memory of the buffer budget, if any.
    pub(crate) fn evict_buffers(&self) {
        let mut state = self.lock();
        let key = state.with_buffers.first().copied();
        state.evict(key);
    }

    /// Completes when a candidate is added to the queue, or has been added since the last time
    /// that this completed.
    pub(crate) async fn candidate_added(&self) {
        self.candidate_added.notified().await;
    }

    /// Completes when an evicted connection has gone on instead of closing: see [`Evicted`].
    pub(crate) async fn eviction_missed(&self) {
        self.eviction_missed.notified().await;
    }

    pub(crate) fn is_over_capacity(&self) -> bool {
        self.is_over_capacity.load(Ordering::Relaxed)
    }

    /// Sets whether there are too many connections and none can be evicted. While this is
    /// `true`, each connection closes after its next response.
    pub(crate) fn set_over_capacity(&self, is_over_capacity: bool) {
        self.is_over_capacity.store(is_over_capacity, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueueState {
    /// Returns the number of connections of a network; 0 for `None`, which has no share.
    fn count(&self, network: Option<Network>) -> usize {
        let count = network.and_then(|network| self.connections.get(&network));
        count.copied().unwrap_or(0)
    }

    fn insert(&mut self, key: QueueKey, candidate: Candidate) {
        if candidate.has_buffers && key.0.is_waiting() {
            self.with_buffers.insert(key);
        }
        self.candidates.insert(key, candidate);
    }

    /// Removes a candidate. Returns `None` if it has already been evicted.
    fn remove(&mut self, key: &QueueKey) -> Option<Candidate> {
        self.with_buffers.remove(key);
        self.candidates.remove(key)
    }

    fn evict(&mut self, key: Option<QueueKey>) -> bool {
        let candidate = key.and_then(|key| self.remove(&key));
        candidate.map(|candidate| candidate.waker.wake()).is_some()
    }
}

/// The slot of one connection: counted from its creation until it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    handle: QueueHandle,
}

impl Slot {
    /// Takes a slot for a connection of `network`. `None` is for an address that is exempt from
    /// shares, such as that of a trusted proxy.
    pub(crate) fn take(queue: &Arc<EvictionQueue>, network: Option<Network>) -> Slot {
        let number = queue.admit(network);
        Slot { handle: QueueHandle { queue: Arc::clone(queue), network, number } }
    }

    /// Returns a handle with which the connection can add itself to the queue.
    pub(crate) fn queue_handle(&self) -> QueueHandle {
        self.handle.clone()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.handle.queue.remove(self.handle.network);
    }
}

/// The queue, and the identity of one connection in it.
#[derive(Clone, Debug)]
pub(crate) struct QueueHandle {
    queue: Arc<EvictionQueue>,
    network: Option<Network>,
    number: u64,
}

impl QueueHandle {
    /// Returns a future that completes when the connection is evicted. The connection is in the
    /// queue from the future's first poll until it is dropped, as one that has waited since
    /// `since`. `has_buffers`: `true` if closing it would free memory of the buffer budget.
    pub(crate) fn evicted(
        self,
        class: EvictionClass,
        since: Instant,
        has_buffers: bool,
    ) -> Evicted {
        let key = (class, since, self.number);
        Evicted { handle: self, key, has_buffers, is_queued: false }
    }
}

/// The future of [`QueueHandle::evicted`].
///
/// An eviction can come too late. The connection awaits this future in a `select!`, next to the
/// event that it waits for. If both become ready before the task is polled, the `select!` takes
/// the event, drops this future, and the connection goes on. The accept task, however, waits
/// for it to close. So `drop` checks whether the candidate was evicted, and notifies the accept
/// task, which evicts another connection.
#[derive(Debug)]
pub(crate) struct Evicted {
    handle: QueueHandle,
    key: QueueKey,
    has_buffers: bool,
    is_queued: bool,
}

impl Future for Evicted {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Evicted { handle, key, has_buffers, is_queued } = &mut *self;
        let QueueHandle { queue, network, .. } = handle;
        let mut state = queue.lock();
        if *is_queued {
            let Some(candidate) = state.candidates.get_mut(key) else {
                *is_queued = false;
                return Poll::Ready(());
            };
            candidate.waker.clone_from(context.waker());
        } else {
            *is_queued = true;
            let (network, has_buffers) = (*network, *has_buffers);
            let candidate =
                Candidate { network, has_buffers, waker: context.waker().clone() };
            state.insert(*key, candidate);
            queue.candidate_added.notify_one();
        }
        Poll::Pending
    }
}

impl Drop for Evicted {
    fn drop(&mut self) {
        let queue = &self.handle.queue;
        if self.is_queued && queue.lock().remove(&self.key).is_none() {
            queue.eviction_missed.notify_one();
        }
    }
}
