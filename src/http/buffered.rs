//! A socket with an input buffer and an output buffer.
//!
//! Each wait for the socket has a bound: a write for as long as the client may take none of it, a
//! read for as long as its caller says. While a connection waits for anything else, such as its
//! handler, [`BufferedSocket::watch`] finds out when the client disconnects.

use std::cell::RefCell;
use std::convert::Infallible;
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
use tokio::time::{Instant, sleep, sleep_until};

use crate::cached_clock::deadline;
use crate::future::poll_once;
use crate::http::buffer_budget::Reservation;
use crate::http::eviction::Class;
use crate::http::limits::Limits;
use crate::http::server_state::Admission;

/// The capacity of a new buffer: nearly every head fits, and nearly every page.
pub(crate) const BUFFER_CAPACITY: usize = 4 * 1024;

/// The input buffer of a connection that has much to say, if the memory budget has it.
pub(crate) const READ_AHEAD: usize = 64 * 1024;

/// Responses to pipelined requests are held back until there are so many bytes of them, so that many
/// leave in one write. This bounds the output buffer, too, which no budget counts.
pub(crate) const FLUSH_THRESHOLD: usize = 8 * 1024;

/// How long a healthy client may take none of a write: the kernel says only in steps of some 128 KiB
/// that it has taken more (`TCP_NOTSENT_LOWAT`), and 16 KiB a second is not too slow.
const SLOW_WRITE: Duration = Duration::from_secs(8);

/// Buffers that a thread keeps for the next connection that needs one.
const POOL_SIZE: usize = 64;

/// A buffer that has grown larger is not kept.
const MAX_POOLED_CAPACITY: usize = 16 * 1024;

thread_local! {
    /// The buffer pool. One for each thread needs no lock.
    static BUFFER_POOL: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// What a connection is served on: as a rule, a `TcpStream`.
pub trait Socket: AsyncRead + AsyncWrite + Unpin + Send {
    /// Makes the socket end with a reset when it is dropped, so that the client cannot take the
    /// end for a good one.
    fn reset_on_close(&mut self) {}

    /// Completes when the connection has failed, be it that the client reset it or that its host
    /// is gone, even while bytes that came before have not been read. Never, where that cannot be
    /// told.
    fn failed(&mut self) -> impl Future<Output = io::Error> + Send {
        pending()
    }
}

impl Socket for TcpStream {
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

/// A connection has a buffer only while there is something in it. Ten thousand idle connections
/// cost their sockets, and not ten thousand buffers.
pub(crate) struct BufferedSocket<S> {
    socket: S,
    pub(crate) admission: Admission,
    /// Bytes that have been read from the socket and were not used yet.
    pub(crate) input: BytesMut,
    /// Bytes to be written to the socket.
    pub(crate) output: BytesMut,
    /// How many of them were written: a write that is dropped half way is taken up again here.
    written: usize,
    /// Since when the client has taken nothing of what is to be written. With `written`, it lets a flush
    /// be dropped and begun again. [`BufferedSocket::flush_with`] must not be dropped half way.
    blocked_since: Option<Instant>,
    /// Since when there is work on the request at hand.
    busy_since: Option<Instant>,
    /// The memory of `input`, once it had to grow; and of a large head that came in it, while its
    /// request is worked on.
    input_reservation: Option<Reservation>,
    holds_head: bool,
    /// Whether memory of the budget is held for what is being sent.
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

    /// Waits until more bytes have been read into `input`, and returns how many. 0 is the end: the
    /// client will send no more. [`io::ErrorKind::OutOfMemory`] is that the buffer is full and may
    /// not grow.
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

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let read = pin!(self.socket.read_buf(&mut self.input)).poll(context);
        if read.is_pending() && self.input.is_empty() {
            let input = mem::take(&mut self.input);
            // A buffer that was used up to its end reports little capacity, so the reservation
            // tells that it is a large one.
            if self.input_reservation.is_none() {
                release_buffer(input);
            } else if !self.holds_head {
                self.input_reservation = None;
            }
        }
        read
    }

    /// Gives `input` so much capacity, at least. Returns `false` if the memory budget, or the system,
    /// has no more.
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
            // A BytesMut that cannot grow aborts the process. A Vec tells, and becomes one without
            // a copy.
            self.input = BytesMut::from(Bytes::from(larger));
        }
        self.input_reservation = Some(reservation).filter(|memory| !memory.is_empty());
        is_grown
    }

    /// Gives `input` a large capacity, if it has none yet and there is memory for it.
    pub(crate) fn read_ahead(&mut self) {
        if self.input_reservation.is_none() {
            self.grow_input(READ_AHEAD);
        }
    }

    /// Returns `true` if memory of the budget would be free without this connection.
    pub(crate) fn has_buffers(&self) -> bool {
        self.input_reservation.is_some() || self.holds_file
    }

    /// Begins the work on a request with a head of this length, whose memory is that of the input
    /// until [`BufferedSocket::end_work`].
    pub(crate) fn begin_work(&mut self, head_length: usize, now: Instant) {
        self.busy_since = Some(now);
        self.holds_head = head_length > BUFFER_CAPACITY;
    }

    pub(crate) fn end_work(&mut self) {
        if mem::take(&mut self.holds_head) && self.input.capacity() == 0 {
            self.input_reservation = None;
        }
    }

    /// Reads more bytes of content to the end of `content`, as many as it has capacity for, and
    /// returns how many. 0 is the end.
    pub(crate) async fn read_to(&mut self, content: &mut Vec<u8>) -> io::Result<usize> {
        let spare = content.capacity() - content.len();
        self.socket.read_buf(&mut content.limit(spare)).await
    }

    /// The output buffer, to write a response in.
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
            let write = self.socket.write(&self.output[self.written..]);
            let written =
                bounded(pin!(write), &self.admission, has_buffers, &mut self.blocked_since)
                    .await;
            self.written += check_write(&mut self.socket, written)?;
        }
        self.release_output();
        Ok(())
    }

    /// Writes all of `output`, and `content` behind it without copying it: in one system call, as
    /// long as the socket takes both.
    pub(crate) async fn flush_with(&mut self, content: impl Buf + Send) -> io::Result<()> {
        let has_buffers = self.has_buffers();
        let mut bytes = Buf::chain(&self.output[self.written..], content);
        while bytes.has_remaining() {
            let write = self.socket.write_buf(&mut bytes);
            let written =
                bounded(pin!(write), &self.admission, has_buffers, &mut self.blocked_since)
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

    /// Runs `work` to its end. Most work is done when it is polled for the first time. Other work is
    /// polled from then on whenever it is woken, whatever the socket does: it may hold a lock that
    /// other connections wait for. Beside it, the responses to earlier requests are written, and the
    /// client is watched. An error is that it is gone; the work is dropped then.
    pub(crate) async fn run<W: Future>(&mut self, work: W) -> io::Result<W::Output> {
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
            gone = Box::pin(watch) => match gone? {},
        }
    }

    /// Watches the client while its connection waits for something else; completes with an error
    /// when that is of no use any more.
    ///
    /// What the client sends meanwhile is read, so that the end of it is seen; though not more than
    /// a small buffer, behind which only a reset is seen. A client that has closed its side (a
    /// half-close: it sends no more, and may still read) is waited for no longer than the
    /// `half_close_timeout`.
    pub(crate) async fn watch(&mut self) -> io::Result<Infallible> {
        let since = self.busy_since.unwrap_or_else(Instant::now);
        let evicted = self.admission.evicted(Class::Busy, since, false);
        tokio::select! {
            biased;
            ended = self.ended() => ended?,
            () = evicted => return Err(evicted_error()),
        }
        let timeout = self.limits().half_close_timeout;
        let evicted = self.admission.evicted(Class::Closing, Instant::now(), false);
        tokio::select! {
            biased;
            error = self.socket.failed() => Err(error),
            () = evicted => Err(evicted_error()),
            () = sleep(timeout) => Err(io::Error::other("the client had closed its side")),
        }
    }

    /// Completes when the client has closed its side, and with an error when it is gone.
    async fn ended(&mut self) -> io::Result<()> {
        loop {
            let read = poll_fn(|context| {
                if self.input.capacity() == 0 {
                    self.input = acquire_buffer();
                }
                match self.input.try_reclaim(1) {
                    true => self.poll_read(context).map(Some),
                    false => Poll::Ready(None),
                }
            });
            match read.await {
                Some(Ok(0)) => return Ok(()),
                Some(read) => drop(read?),
                None => return Err(self.socket.failed().await),
            }
        }
    }

    /// See [`Socket::reset_on_close`].
    pub(crate) fn reset_on_close(&mut self) {
        self.socket.reset_on_close();
    }

    /// Lingering close (RFC 9112 section 9.6). A socket that is closed with bytes unread resets the
    /// connection, and the reset may overtake the last response. So this closes its own side, and
    /// reads and discards until the client has closed the other, or is cut off.
    pub(crate) async fn linger(&mut self) -> io::Result<()> {
        self.socket.shutdown().await?;
        let cut_off = sleep(self.limits().linger_timeout);
        let evicted = self.admission.evicted(Class::Closing, Instant::now(), false);
        let drain = async {
            loop {
                self.input.clear();
                if self.fill().await? == 0 {
                    return Ok(());
                }
            }
        };
        tokio::select! {
            biased;
            drained = drain => drained,
            () = evicted => Ok(()),
            () = cut_off => Ok(()),
        }
    }
}

/// Runs a write, as long as the client takes none of it: up to the `write_timeout`, or until the
/// connection is evicted. Each write has the whole time, so that a client which goes on reading may
/// take its time over a large response; but one that is tried again has no time more.
async fn bounded(
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
    let late = sleep_until(deadline(since, admission.limits().write_timeout));
    let evicted = admission.eviction().of_busy(since, since + SLOW_WRITE, has_buffers);
    let slow_write = async {
        tokio::select! {
            biased;
            written = write => written,
            () = evicted => Err(evicted_error()),
            () = late => Err(io::ErrorKind::TimedOut.into()),
        }
    };
    // Most writes need no timer, so a connection has no room for one.
    let written = Box::pin(slow_write).await;
    *blocked_since = None;
    written
}

/// How many bytes of a write were taken. A client that takes none is not to have the rest kept for
/// it by the system, either.
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

fn acquire_buffer() -> BytesMut {
    let pooled = BUFFER_POOL.with_borrow_mut(Vec::pop);
    pooled.unwrap_or_else(|| BytesMut::with_capacity(BUFFER_CAPACITY))
}

/// Returns a buffer to the pool, unless it has grown.
fn release_buffer(buffer: BytesMut) {
    BUFFER_POOL.with_borrow_mut(|pool| {
        if pool.len() < POOL_SIZE && buffer.capacity() <= MAX_POOLED_CAPACITY {
            pool.push(buffer);
        }
    });
}
