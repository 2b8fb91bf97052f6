//! The demo's log: lines on standard error as Tornado has them. A thread of their own writes them,
//! so that whoever stops reading them, and be it a terminal that was paused with Ctrl-S, does not
//! stop the server.

use std::io::{self, Write};
use std::panic;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, SystemTime};

use dustdevil::escape;
use dustdevil::http::date;
use log::error;

/// Lines that may wait to be written. Those that come when so many do are left out.
const WAITING: usize = 4096;

/// How long the end of the program waits for them.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What the thread is handed.
enum Entry {
    /// A line, to be written.
    Line(Vec<u8>),
    /// Somebody who wants to know when all lines before this are written.
    Done(SyncSender<()>),
}

/// The way to the thread.
pub(crate) struct Log {
    entries: SyncSender<Entry>,
}

/// Where the logger writes.
struct Lines {
    entries: SyncSender<Entry>,
    left_out: usize,
}

impl Log {
    /// Begins to log: `[I Sun, 06 Nov 1994 08:49:37 GMT] 200 GET /main ...`. `RUST_LOG=warn` and
    /// the like make it quieter.
    pub(crate) fn start() -> Log {
        let (entries, waiting) = sync_channel(WAITING);
        thread::spawn(move || write_out(&waiting));
        let lines = Lines { entries: entries.clone(), left_out: 0 };
        let environment = env_logger::Env::default().default_filter_or("info");
        env_logger::Builder::from_env(environment)
            .target(env_logger::Target::Pipe(Box::new(lines)))
            .format(|line, record| {
                let level = &record.level().as_str()[..1];
                let now = date::format(SystemTime::now());
                writeln!(line, "[{level} {now}] {}", escape::log(record.args()))
            })
            .init();
        // A panic would be told on standard error directly, and wait for whoever reads that.
        panic::set_hook(Box::new(
            |panic| error!(target: "dustdevil::application", "{panic}"),
        ));
        Log { entries }
    }

    /// Adds the last words, if there are any, and waits until all is written, if that can be had.
    pub(crate) fn finish(self, last_words: Option<String>) {
        let (done, all_written) = sync_channel(1);
        let added = match last_words {
            Some(words) => self.entries.try_send(Entry::Line(words.into_bytes())),
            None => Ok(()),
        };
        if added.and_then(|()| self.entries.try_send(Entry::Done(done))).is_ok() {
            let _ = all_written.recv_timeout(LAST_WORDS);
        }
    }
}

impl Write for Lines {
    /// Takes a whole line, as the logger hands it over.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut entry = Vec::new();
        if self.left_out > 0 {
            entry.extend(
                format!("[W] {} lines were left out here\n", self.left_out).bytes(),
            );
        }
        entry.extend_from_slice(line);
        match self.entries.try_send(Entry::Line(entry)) {
            Ok(()) => self.left_out = 0,
            Err(_) => self.left_out += 1,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_out(entries: &Receiver<Entry>) {
    for entry in entries {
        // Where nobody listens, there is nobody to tell.
        match entry {
            Entry::Line(line) => drop(io::stderr().write_all(&line)),
            Entry::Done(done) => drop(done.send(())),
        }
    }
}
