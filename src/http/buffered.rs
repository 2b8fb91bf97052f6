//! A buffered socket: a socket with an input buffer and an output buffer.
//!
//! Every wait for the client has a timeout: a write has `write_timeout`, and the caller of a
//! read sets one. While a connection waits for anything else, such as its handler,
//! [`BufferedSocket::watch`] notices that the client disconnects.

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::io;
use std::mem;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use log::debug;
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, Interest,
};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use crate::cached_clock::deadline;
use crate::future::poll_once;
use crate::http::buffer_budget::Reservation;
use crate::http::limits::Limits;
use crate::http::server_state::Admission;

/// Capacity of a pooled buffer in bytes: nearly every head fits, and nearly every page.
pub(crate) const BUFFER_CAPACITY: usize = 4 * 1024;

/// Capacity of the input buffer for a large upload, if the buffer budget has space for it: one
/// read(2) then fetches more.
pub(crate) const READ_AHEAD: usize = 64 * 1024;

/// High-water mark of the output buffer: responses to pipelined requests are queued until there
/// are this many bytes, so that many leave in one write. This also bounds the buffer, which the
/// buffer budget does not count.
pub(crate) const FLUSH_THRESHOLD: usize = 8 * 1024;

/// Time for which a healthy client may seem to accept nothing. The kernel reports progress in
/// steps of about 128 KiB (`TCP_NOTSENT_LOWAT`), and a client that reads 16 KiB/s is healthy.
const MAX_HEALTHY_STALL: Duration = Duration::from_secs(8);

/// Maximum number of buffers in the pool of one thread.
const POOL_SIZE: usize = 64;

/// Maximum capacity of a buffer that goes back to the pool. A larger one is freed.
const MAX_POOLED_CAPACITY: usize = 16 * 1024;

thread_local! {
    /// The buffer pool. A connection returns its buffers whenever they are empty, so that an
    /// idle connection holds none: ten thousand of them cost their sockets, and not 80 MB of
    /// buffers. The next request of any connection takes the buffer that was used last, which
    /// is likely to be in the CPU's cache.
    ///
    /// Thread-local, because a pool shared by all threads would need a lock for each request.
    /// If work stealing moves a task between threads, its buffer goes to the pool of the other
    /// thread, which does no harm.
    static BUFFER_POOL: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// The byte stream under a connection, usually a `TcpStream`.
pub trait Socket: AsyncRead + AsyncWrite + Unpin + Send {
    /// Makes the next close abortive: it sends a reset, so that the client cannot mistake it
    /// for a normal end, and bytes that were not delivered are discarded.
    fn reset_on_close(&mut self) {}

    /// Completes when the connection has failed: the client has reset it, or its host has
    /// stopped replying. It completes even if bytes received earlier have not been read. Never
    /// completes for a socket that cannot tell.
    fn failed(&mut self) -> impl Future<Output = io::Error> + Send {
        pending()
    }
}

impl Socket for TcpStream {
    /// `SO_LINGER` with zero: close sends RST instead of FIN.
    fn reset_on_close(&mut self) {
        if let Err(error) = self.set_zero_linger() {
            debug!("a connection could not be reset: {error}");
        }
    }

    async fn failed(&mut self) -> io::Error {
        match self.ready(Interest::ERROR).await.and_then(|_| self.take_error()) {
            Ok(None) => io::ErrorKind::ConnectionReset.into(),
            Ok(Some(error)) | Err(error) => error,
        }
    }
}

impl Socket for DuplexStream {}

/// A socket with its buffers. An empty buffer has no capacity: see `BUFFER_POOL`.
pub(crate) struct BufferedSocket<S> {
    pub(super) socket: S,
    pub(crate) admission: Admission,
    /// Bytes that have been read from the socket and not parsed yet.
    pub(crate) input: BytesMut,
    /// Bytes to be written to the socket.
    pub(crate) output: BytesMut,
    /// Number of bytes of `output` that have been written.
    written: usize,
    /// Time since which the client has accepted no bytes. With `written`, it makes `flush`
    /// cancellation-safe: after it was dropped halfway, the next call continues where it
    /// stopped, with the same timeout. [`BufferedSocket::flush_with`] is not cancellation-safe,
    /// because the content that it has written is lost with it.
    blocked_since: Option<Instant>,
    /// Time since which the current request is being handled.
    pub(super) busy_since: Option<Instant>,
    /// The memory of `input` in the buffer budget, if it is larger than a pooled buffer.
    input_reservation: Option<Reservation>,
    /// `true` while a large head is handled. The request has a copy of it, which is not counted
    /// itself: the reservation of `input`, which was as large, is kept for it until
    /// [`BufferedSocket::end_work`].
    holds_head: bool,
    /// `true` while a block of a file is reserved in the buffer budget.
    pub(crate) holds_file: bool,
}

impl<S: Socket> BufferedSocket<S> {
    pub(crate) fn new(socket: S, admission: Admission) -> BufferedSocket<S> {
        BufferedSocket {
            socket,
            admission,
            input: BytesMut::new(),
            output: BytesMut::new(),
            written: 0,
            blocked_since: None,
            busy_since: None,
            input_reservation: None,
            holds_head: false,
            holds_file: false,
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        self.admission.limits()
    }

    /// Waits until more bytes have been read into `input`, and returns their number; 0 is EOF.
    /// The error [`io::ErrorKind::OutOfMemory`] means that the buffer is full and cannot grow.
    pub(crate) async fn fill(&mut self) -> io::Result<usize> {
        poll_fn(|context| {
            if self.input.capacity() == 0 {
                self.input = acquire_buffer();
            }
            let spare = BUFFER_CAPACITY / 2;
            if !self.input.try_reclaim(spare) && !self.grow_input(self.input.len() + spare)
            {
                return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
            }
            self.poll_read(context)
        })
        .await
    }

    /// Polls a read into `input`. If it is pending and `input` is empty, the buffer is released
    /// for the time of the wait.
    pub(super) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let read = pin!(self.socket.read_buf(&mut self.input)).poll(context);
        if read.is_pending() && self.input.is_empty() {
            self.release_input();
        }
        read
    }

    fn release_input(&mut self) {
        let input = mem::take(&mut self.input);
        // Only the reservation tells a large buffer from a small one. The capacity does not:
        // `BytesMut` reports what is left after the bytes that were consumed.
        if self.input_reservation.is_none() {
            release_buffer(input);
        } else if !self.holds_head {
            self.input_reservation = None;
        }
    }

    /// Releases the memory of `input`, if it is empty, while bytes are read elsewhere with
    /// [`BufferedSocket::read_to`].
    pub(crate) fn release_empty_input(&mut self) {
        let is_allocated = self.input.is_empty() && self.input.try_reclaim(1);
        if is_allocated {
            self.release_input();
        }
    }

    /// Grows `input` to at least this capacity. Returns `false` if the buffer budget or the
    /// allocator has no memory for it.
    fn grow_input(&mut self, capacity: usize) -> bool {
        let capacity = capacity.next_power_of_two();
        let mut larger = Vec::new();
        let reservation = self.input_reservation.take();
        let mut reservation =
            reservation.unwrap_or_else(|| self.admission.empty_reservation());
        let is_grown = larger.try_reserve_exact(capacity).is_ok()
            && self.admission.grow(&mut reservation, capacity);
        if is_grown {
            larger.extend_from_slice(&self.input);
            // If the allocator fails, `BytesMut::reserve` aborts the process, but `try_reserve`
            // of a `Vec` returns an error. The `Vec` becomes a `BytesMut` without a copy.
            self.input = BytesMut::from(Bytes::from(larger));
        }
        self.input_reservation = Some(reservation).filter(|memory| !memory.is_empty());
        is_grown
    }

    /// Grows `input` to [`READ_AHEAD`], once, if there is memory for it.
    pub(crate) fn read_ahead(&mut self) {
        if self.input_reservation.is_none() {
            self.grow_input(READ_AHEAD);
        }
    }

    /// Returns `true` if closing this connection would free memory of the buffer budget.
    pub(crate) fn has_buffers(&self) -> bool {
        self.input_reservation.is_some() || self.holds_file
    }

    /// Marks the beginning of the work on a request. A large head keeps the memory of the input
    /// buffer reserved until [`BufferedSocket::end_work`].
    pub(crate) fn begin_work(&mut self, head_length: usize, now: Instant) {
        self.busy_since = Some(now);
        self.holds_head = head_length > BUFFER_CAPACITY;
    }

    pub(crate) fn end_work(&mut self) {
        if mem::take(&mut self.holds_head) && self.input.capacity() == 0 {
            self.input_reservation = None;
        }
    }

    /// Reads bytes of content into the spare capacity of `content`, and returns their number; 0
    /// is EOF.
    pub(crate) async fn read_to(&mut self, content: &mut Vec<u8>) -> io::Result<usize> {
        let spare = content.capacity() - content.len();
        self.socket.read_buf(&mut content.limit(spare)).await
    }

    /// Returns the output buffer, to write a response to.
    pub(crate) fn output(&mut self) -> &mut BytesMut {
        if self.output.capacity() == 0 {
            self.output = acquire_buffer();
        }
        &mut self.output
    }

    /// Writes all of `output` to the socket.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        let has_buffers = self.has_buffers();
        while self.written < self.output.len() {
            let write = pin!(self.socket.write(&self.output[self.written..]));
            let blocked_since = &mut self.blocked_since;
            let written =
                write_with_timeout(write, &self.admission, has_buffers, blocked_since)
                    .await;
            self.written += check_write(&mut self.socket, written)?;
        }
        self.release_output();
        Ok(())
    }

    /// Writes all of `output`, followed by `content`, which is not copied: both go to the
    /// socket in one system call (vectored I/O, writev(2)).
    pub(crate) async fn flush_with(&mut self, content: impl Buf + Send) -> io::Result<()> {
        let has_buffers = self.has_buffers();
        let mut bytes = Buf::chain(&self.output[self.written..], content);
        while bytes.has_remaining() {
            let write = pin!(self.socket.write_buf(&mut bytes));
            let blocked_since = &mut self.blocked_since;
            let written =
                write_with_timeout(write, &self.admission, has_buffers, blocked_since)
                    .await;
            let written = check_write(&mut self.socket, written)?;
            self.written = self.output.len().min(self.written + written);
        }
        self.release_output();
        Ok(())
    }

    fn release_output(&mut self) {
        self.output.clear();
        self.written = 0;
        release_buffer(mem::take(&mut self.output));
    }

    /// Runs `work`, such as a handler, to its end. In the meantime, flushes the responses to
    /// earlier requests and watches the client. If the client disconnects, `work` is dropped
    /// and an error returned.
    ///
    /// Most work is ready when it is polled for the first time, and needs none of that. Other
    /// work is polled whenever it is woken, even while a write is blocked: it may hold a lock
    /// that other connections wait for, and a slow client must not stop it.
    pub(crate) async fn run_watched<W: Future>(
        &mut self,
        work: W,
    ) -> io::Result<W::Output> {
        let mut work = pin!(work);
        if let Poll::Ready(done) = poll_once(work.as_mut()).await {
            return Ok(done);
        }
        let watch = async {
            self.flush().await?;
            self.watch().await
        };
        tokio::select! {
            biased;
            done = work => Ok(done),
            // `watch` never returns a value, so there is none to match (`Infallible`).
            disconnected = Box::pin(watch) => match disconnected? {},
        }
    }

    /// See [`Socket::reset_on_close`].
    pub(crate) fn reset_on_close(&mut self) {
        self.socket.reset_on_close();
    }
}

/// Runs a write until the client has accepted a part of it, `write_timeout` has passed, or the
/// connection is evicted. Each write has the whole timeout, so a client that keeps reading may
/// take as long as it needs for a large response. `blocked_since` keeps the beginning of the
/// timeout if the write is dropped and tried again.
async fn write_with_timeout(
    mut write: Pin<&mut (impl Future<Output = io::Result<usize>> + Send)>,
    admission: &Admission,
    has_buffers: bool,
    blocked_since: &mut Option<Instant>,
) -> io::Result<usize> {
    if let Poll::Ready(written) = poll_once(write.as_mut()).await {
        *blocked_since = None;
        return written;
    }
    let since = *blocked_since.get_or_insert_with(Instant::now);
    let timeout = sleep_until(deadline(since, admission.limits().write_timeout));
    let evicted =
        admission.eviction().of_busy(since, since + MAX_HEALTHY_STALL, has_buffers);
    let slow_write = async {
        tokio::select! {
            biased;
            written = write => written,
            () = evicted => Err(evicted_error()),
            () = timeout => Err(io::ErrorKind::TimedOut.into()),
        }
    };
    // Boxed, because most writes need no timer: it takes memory only while a write is blocked.
    let written = Box::pin(slow_write).await;
    *blocked_since = None;
    written
}

/// Returns the number of bytes written. After an error the close is made abortive, so that the
/// kernel discards its send buffer, instead of keeping it for a client that does not read.
fn check_write<S: Socket>(socket: &mut S, written: io::Result<usize>) -> io::Result<usize> {
    match written {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        Ok(written) => Ok(written),
        Err(error) => {
            socket.reset_on_close();
            Err(error)
        }
    }
}

pub(crate) fn evicted_error() -> io::Error {
    io::Error::other("evicted, for another connection")
}

/// Takes a buffer from the pool, or allocates one.
pub(super) fn acquire_buffer() -> BytesMut {
    let pooled = BUFFER_POOL.with_borrow_mut(Vec::pop);
    pooled.unwrap_or_else(|| BytesMut::with_capacity(BUFFER_CAPACITY))
}

/// Returns a buffer to the pool. Frees it if it has grown too large or the pool is full.
fn release_buffer(buffer: BytesMut) {
    BUFFER_POOL.with_borrow_mut(|pool| {
        if pool.len() < POOL_SIZE && buffer.capacity() <= MAX_POOLED_CAPACITY {
            pool.push(buffer);
        }
    });
}
