//! The log of the demo: lines in Tornado's format on standard error, written by a thread.
//!
//! A write to standard error can block, for example while a terminal is paused with Ctrl-S or
//! when a pipe is full. A task that blocked there would stop a worker thread of tokio, and soon
//! the whole server. So tasks only append to a bounded queue; if it is full, lines are dropped
//! and counted (load shedding).
//!
//! ```text
//!  tasks -> env_logger -> QueueWriter -> bounded queue -> thread -> standard error
//!                         (drops and     4096 lines       (may block)
//!                          counts)
//! ```

use std::io::{self, Write};
use std::panic;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, SystemTime};

use dustdevil::escape;
use dustdevil::http::date;
use log::error;

/// Maximum number of lines in the queue. Lines above it are dropped.
const QUEUE_CAPACITY: usize = 4096;

/// Timeout of writing the queued lines when the program ends.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// An item of the queue.
enum Message {
    /// A line to write, with its line break.
    Line(Vec<u8>),
    /// A request to signal the sender when all lines before this item are written.
    Flush(SyncSender<()>),
}

/// The handle to the log, with which the program's end waits for it.
pub(crate) struct Log {
    queue: SyncSender<Message>,
}

/// The output of `env_logger`: puts each line into the queue.
struct QueueWriter {
    queue: SyncSender<Message>,
    /// Number of lines dropped since the last one that was queued.
    dropped: usize,
}

impl Log {
    /// Installs the logger. A line looks like this:
    /// `[I Sun, 06 Nov 1994 08:49:37 GMT] 200 GET /main ...`. `RUST_LOG=warn` makes it quieter.
    pub(crate) fn start() -> Log {
        let (queue, messages) = sync_channel(QUEUE_CAPACITY);
        thread::spawn(move || write_out(&messages));
        let writer = QueueWriter { queue: queue.clone(), dropped: 0 };
        let environment = env_logger::Env::default().default_filter_or("info");
        env_logger::Builder::from_env(environment)
            .target(env_logger::Target::Pipe(Box::new(writer)))
            .format(|line, record| {
                let level = &record.level().as_str()[..1];
                let now = date::format(SystemTime::now());
                writeln!(line, "[{level} {now}] {}", escape::log(record.args()))
            })
            .init();
        // The default hook writes to standard error directly, and could block there.
        panic::set_hook(Box::new(
            |panic| error!(target: "dustdevil::application", "{panic}"),
        ));
        Log { queue }
    }

    /// Queues a final line, if there is one, and waits until the queue is written, at most
    /// [`FLUSH_TIMEOUT`]. Does not wait if the queue is full: its reader is stuck.
    pub(crate) fn finish(self, final_line: Option<String>) {
        let (sender, flushed) = sync_channel(1);
        let queued = match final_line {
            Some(line) => self.queue.try_send(Message::Line(line.into_bytes())),
            None => Ok(()),
        };
        if queued.and_then(|()| self.queue.try_send(Message::Flush(sender))).is_ok() {
            let _ = flushed.recv_timeout(FLUSH_TIMEOUT);
        }
    }
}

impl Write for QueueWriter {
    /// Queues a line. `env_logger` calls `write` once per line, under a lock, so the count of
    /// dropped lines is reported by the next line that fits into the queue.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut text = Vec::new();
        if self.dropped > 0 {
            text.extend(format!("[W] {} log lines dropped\n", self.dropped).bytes());
        }
        text.extend_from_slice(line);
        match self.queue.try_send(Message::Line(text)) {
            Ok(()) => self.dropped = 0,
            Err(_) => self.dropped += 1,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes the queue to standard error until the program ends. Errors are ignored: if standard
/// error is closed, there is no other output to report them on.
fn write_out(messages: &Receiver<Message>) {
    for message in messages {
        match message {
            Message::Line(line) => drop(io::stderr().write_all(&line)),
            Message::Flush(sender) => drop(sender.send(())),
        }
    }
}
